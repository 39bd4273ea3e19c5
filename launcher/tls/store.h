/* SPDX-License-Identifier: MIT */
/*
 * The room launcher/tls: certificates, and clients that come with TLS. This file is the directory
 * of certificates, server.h the clients of the port, connection.h one of them. Which port that is,
 * and what the clients want of the engine, may not enter.
 *
 * The directory is laid out as docker:dind does it:
 *
 *   ca/{key,cert}.pem   server/{key,cert,ca}.pem   client/{key,cert,ca}.pem
 *
 * What is missing is made, what is there is kept. A certificate of dinv's own that does not do any
 * more, because it expires or lacks an address of this container, is signed anew with the same key;
 * one from elsewhere is never replaced: if it does not do, that is an error. Dinv's own is a CA
 * that has its mark (files.h), and a server's or client's with the name that dinv or docker:dind
 * gives it. Without ca/key.pem nothing is signed, and the three files of server/ have to be there.
 */
#pragma once

#include <gio/gio.h>

/* The names that a server here must have: those of the container and its addresses, `docker`,
 * `localhost`, and `more` ("DNS:NAME", "IP:ADDRESS"; may be NULL). Transfer full. */
char **dinv_tls_list_names(const char *const *more);

/* Looks whether dinv_tls_store_prepare() would work, and changes nothing. On success adds to
 * `notes` (may be NULL) a sentence (char*) for each thing that it would do; each sentence of
 * `warnings` (may be NULL) says what does not work for clients, or soon will not. Errors are
 * DINV_TLS_ERROR (files.h). Blocks for file I/O. */
gboolean dinv_tls_store_check(const char *directory, const char *const *names, GPtrArray *notes,
                              GPtrArray *warnings, GError **error);

/* Makes what is missing, one process at a time in one directory. A half-made directory, after a
 * crash say, is completed; so this may be ended at any time. Blocks for file I/O, and for at most
 * ten seconds while another process makes certificates there: not for a main loop. */
gboolean dinv_tls_store_prepare(const char *directory, const char *const *names, GPtrArray *notes,
                                GPtrArray *warnings, GError **error);

typedef struct {
    char *certificate; /* paths of PEM files */
    char *key;
    char *ca; /* the CAs whose clients are let in; NULL: all clients are */
} DinvTlsFiles;

/* Which files of the directory a server uses. Transfer full. Does not look at them. */
DinvTlsFiles dinv_tls_store_get_files(const char *directory);
void dinv_tls_files_clear(DinvTlsFiles *files);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(DinvTlsFiles, dinv_tls_files_clear)
