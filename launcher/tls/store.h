/* SPDX-License-Identifier: MIT */
/*
 * The directory of certificates, laid out as docker:dind does it:
 *
 *   ca/{key,cert}.pem   server/{key,cert,ca}.pem   client/{key,cert,ca}.pem
 *
 * What is missing is made, what is there is kept. A certificate that was made here (or by
 * docker:dind) and does not do any more, because it expires or lacks an address of this container,
 * is signed anew with the same key; one from elsewhere is never replaced: if it does not do, that
 * is an error. Without ca/key.pem nothing is signed, and the three files of server/ have to be
 * there. Blocks for file I/O.
 */
#pragma once

#include <gio/gio.h>

typedef struct {
    char *certificate; /* paths of PEM files */
    char *key;
    char *ca; /* the CAs whose clients are let in */
} DinvTlsFiles;

void dinv_tls_files_clear(DinvTlsFiles *files);

/* The names that a server here must have: those of the container and its addresses, `docker`,
 * `localhost`, and `more` ("DNS:NAME", "IP:ADDRESS"; may be NULL). Transfer full. */
char **dinv_tls_list_names(const char *const *more);

/* Looks whether dinv_tls_store_prepare() would work, and changes nothing. On success adds to
 * `notes` (may be NULL) a sentence (char*) for each thing that it would do; each sentence of
 * `warnings` (may be NULL) says what will not work for clients. Errors are DINV_TLS_ERROR
 * (files.h). */
gboolean dinv_tls_store_check(const char *directory, const char *const *names, GPtrArray *notes,
                              GPtrArray *warnings, GError **error);

/* Makes what is missing, one process at a time in one directory, and says which files a server
 * uses. A half-made directory, after a crash say, is completed. */
gboolean dinv_tls_store_prepare(const char *directory, const char *const *names, GPtrArray *notes,
                                GPtrArray *warnings, DinvTlsFiles *files, GError **error);
