/* SPDX-License-Identifier: MIT */
/*
 * Keys and certificates as files (PEM), and new ones. Blocks for file I/O and, with a new key, for
 * some tenths of a second.
 */
#pragma once

#include <gio/gio.h>
#include <gnutls/x509.h>
#include <sys/types.h>

#define DINV_TLS_ERROR (dinv_tls_error_quark())
GQuark dinv_tls_error_quark(void);

typedef enum {
    DINV_TLS_ERROR_INVALID, /* a file is missing, or not what it has to be */
    DINV_TLS_ERROR_IO,      /* a file cannot be read or written */
    DINV_TLS_ERROR_FAILED,  /* GnuTLS failed */
} DinvTlsError;

/* A private key, and certificates with the first one's issuers behind it; either may be missing. */
typedef struct {
    gnutls_x509_privkey_t key;
    gnutls_x509_crt_t *certificates; /* NULL if there are none */
    guint count;
} DinvTlsIdentity;

/* Frees both; it may be used again. */
void dinv_tls_identity_clear(DinvTlsIdentity *identity);

/* The text of a file of at most 256 KiB, transfer full; NULL in *text if it is missing or empty. */
gboolean dinv_tls_read_text(const char *path, char **text, GError **error);

/* Reads what is there of the two files, which must then be whole: they are whatever lies there, and
 * not trusted. */
gboolean dinv_tls_identity_read(DinvTlsIdentity *identity, const char *key_path,
                                const char *certificate_path, GError **error);

/* Replaces a file as a whole: whoever reads it, also after a crash, has the former text or this
 * one. Only one process may do that in one directory at a time. */
gboolean dinv_tls_write_text(const char *path, mode_t mode, const char *text, GError **error);

/* A new key, RSA as docker:dind's: there are clients that know no other. Takes some tenths of a
 * second. Transfer full (gnutls_x509_privkey_deinit()), NULL on failure. */
gnutls_x509_privkey_t dinv_tls_key_new(GError **error);

/* PEM, that of a key as PKCS #1 ("RSA PRIVATE KEY"), which old clients in Java look for. NULL on
 * failure. Transfer full; that of a key is for the caller to wipe. */
char *dinv_tls_key_to_text(gnutls_x509_privkey_t key, GError **error);
char *dinv_tls_certificate_to_text(gnutls_x509_crt_t certificate, GError **error);

typedef enum { DINV_TLS_CA, DINV_TLS_SERVER, DINV_TLS_CLIENT } DinvTlsRole;

/* A new certificate for `key`, signed by `issuer`, or by itself if that is NULL. `names` (may be
 * NULL) are "DNS:NAME" and "IP:ADDRESS"; what GnuTLS does not take as a name is left out. A CA is
 * marked as dinv's own. Transfer full (gnutls_x509_crt_deinit()), NULL on failure. */
gnutls_x509_crt_t dinv_tls_certificate_new(DinvTlsRole role, const char *common_name,
                                           const char *const *names, gnutls_x509_privkey_t key,
                                           const DinvTlsIdentity *issuer, GError **error);

/* The names of a certificate, "DNS:NAME" and "IP:ADDRESS" in lower case. Transfer full. */
char **dinv_tls_certificate_get_names(gnutls_x509_crt_t certificate);

/* The common name of a certificate's subject, NULL if it has none. Transfer full. */
char *dinv_tls_certificate_get_common_name(gnutls_x509_crt_t certificate);

/* Whether it is a CA of dinv_tls_certificate_new(), by its mark: a name is anybody's. The CAs of
 * dinv's first versions have none. */
gboolean dinv_tls_certificate_is_marked(gnutls_x509_crt_t certificate);

/* Whether `certificate` is that of `key`. */
gboolean dinv_tls_key_fits(gnutls_x509_privkey_t key, gnutls_x509_crt_t certificate);
