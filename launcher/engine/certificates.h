/* SPDX-License-Identifier: MIT */
/*
 * The certificate authorities that the outer container was given, as PEM text, for the engine to
 * trust as well: those that update-ca-certificates would add, those of SSL_CERT_FILE and
 * SSL_CERT_DIR, and what is mounted into /etc/ssl/certs.
 */
#pragma once

#include <glib.h>

/* Together, as PEM. Debian's whole set has 220 KiB. */
#define DINV_ENGINE_CERTIFICATES_MAX_BYTES (448u << 10)

#define DINV_ENGINE_CERTIFICATES_ERROR (dinv_engine_certificates_error_quark())
GQuark dinv_engine_certificates_error_quark(void);
typedef enum {
    DINV_ENGINE_CERTIFICATES_ERROR_TOO_LARGE,
} DinvEngineCertificatesError;

typedef struct {
    GString *pem;      /* every certificate once */
    GHashTable *known; /* their base64 without line ends */
} DinvEngineCertificates;

DinvEngineCertificates *dinv_engine_certificates_new(void);
void dinv_engine_certificates_free(DinvEngineCertificates *certificates);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DinvEngineCertificates, dinv_engine_certificates_free)

guint dinv_engine_certificates_count(const DinvEngineCertificates *certificates);

/* Adds the certificates of a file's bytes, and how many of them are certificates to *found. Text
 * between them, keys and certificate requests are passed over. */
gboolean dinv_engine_certificates_add(DinvEngineCertificates *certificates, const char *bytes,
                                      gsize length, guint *found, GError **error);

/* Collects all that the outer container has. `root` is put before the paths of the file system ("":
 * nothing), `environment` is where SSL_CERT_FILE and SSL_CERT_DIR are looked up. What cannot be
 * read, and files without a certificate, become sentences (char *) in `warnings`. NULL when they
 * are too many; the message names the file. Transfer full. */
DinvEngineCertificates *dinv_engine_certificates_collect(const char *root, char *const *environment,
                                                         GPtrArray *warnings, GError **error);
