/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation. All eight files are read first, then judged (judge.h), and only then
 * something is written: keys before the certificates that belong to them, so that a crash leaves a
 * key without a certificate at worst, which the next start completes. dinv_tls_store_prepare() does
 * that under a lock and judges anew afterwards: what it says to be good was read from the disk.
 */
#include "launcher/tls/store.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "launcher/tls/files.h"
#include "launcher/tls/judge.h"

/* Ten seconds in all. */
#define LOCK_TRY_US 20000u
#define LOCK_TRIES  500u

static const char *const role_names[DINV_TLS_ROLES] = {
    [DINV_TLS_CA] = "ca", [DINV_TLS_SERVER] = "server", [DINV_TLS_CLIENT] = "client"};

/* --- Reading --- */

static void part_clear(DinvTlsPart *part) {
    dinv_tls_identity_clear(&part->identity);
    g_free(part->directory);
    g_free(part->key_path);
    g_free(part->certificate_path);
    g_free(part->ca_path);
    g_free(part->ca_text);
}

static void findings_clear(DinvTlsFindings *found) {
    for (guint i = 0; i < DINV_TLS_ROLES; i++) {
        part_clear(&found->parts[i]);
    }
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(DinvTlsFindings, findings_clear)

static gboolean part_read(DinvTlsPart *part, const char *directory, DinvTlsRole role,
                          GError **error) {
    part->directory = g_build_filename(directory, role_names[role], NULL);
    part->key_path = g_build_filename(part->directory, "key.pem", NULL);
    part->certificate_path = g_build_filename(part->directory, "cert.pem", NULL);
    if (role != DINV_TLS_CA) {
        part->ca_path = g_build_filename(part->directory, "ca.pem", NULL);
        if (!dinv_tls_read_text(part->ca_path, &part->ca_text, error)) {
            return FALSE;
        }
    }
    return dinv_tls_identity_read(&part->identity, part->key_path, part->certificate_path, error);
}

static gboolean findings_read(DinvTlsFindings *found, GError **error) {
    for (guint i = 0; i < DINV_TLS_ROLES; i++) {
        if (!part_read(&found->parts[i], found->directory, (DinvTlsRole)i, error)) {
            return FALSE;
        }
    }
    return TRUE;
}

/* --- Making --- */

/* The certificates in `identity` are replaced by a new one. */
static gboolean sign_anew(DinvTlsFindings *found, DinvTlsRole role, GError **error) {
    static const char *const subjects[DINV_TLS_ROLES] = {[DINV_TLS_CA] = "dinv CA",
                                                         [DINV_TLS_SERVER] = "dinv server",
                                                         [DINV_TLS_CLIENT] = "dinv client"};
    DinvTlsPart *part = &found->parts[role];
    gnutls_x509_crt_t made = NULL;
    /* A CA keeps its name, by which what it has signed knows it. */
    g_autofree char *name =
        role == DINV_TLS_CA && dinv_tls_part_has_certificate(part)
            ? dinv_tls_certificate_get_common_name(part->identity.certificates[0])
            : NULL;
    made = dinv_tls_certificate_new(
        role, name != NULL ? name : subjects[role], role == DINV_TLS_SERVER ? found->names : NULL,
        part->identity.key, role == DINV_TLS_CA ? NULL : &found->parts[DINV_TLS_CA].identity,
        error);
    if (made == NULL) {
        return FALSE;
    }
    gnutls_x509_privkey_t key = g_steal_pointer(&part->identity.key);
    dinv_tls_identity_clear(&part->identity);
    part->identity.key = key;
    part->identity.certificates = g_new0(gnutls_x509_crt_t, 1);
    part->identity.certificates[0] = made;
    part->identity.count = 1;
    return TRUE;
}

static gboolean make_key(DinvTlsPart *part, DinvTlsRole role, GError **error) {
    part->identity.key = dinv_tls_key_new(error);
    g_autofree char *text =
        part->identity.key != NULL ? dinv_tls_key_to_text(part->identity.key, error) : NULL;
    /* As docker:dind: a client in another container may be another user. */
    gboolean good =
        text != NULL &&
        dinv_tls_write_text(part->key_path, role == DINV_TLS_CLIENT ? 0644 : 0600, text, error);
    if (text != NULL) {
        explicit_bzero(text, strlen(text));
    }
    return good;
}

static gboolean make_part(DinvTlsFindings *found, DinvTlsRole role, GError **error) {
    DinvTlsPart *part = &found->parts[role];
    if (!dinv_tls_part_needs_writing(part)) {
        return TRUE;
    }
    if (g_mkdir_with_parents(part->directory, 0755) < 0) {
        g_set_error(error, DINV_TLS_ERROR, DINV_TLS_ERROR_IO, "cannot make \"%s\": %s",
                    part->directory, g_strerror(errno));
        return FALSE;
    }
    if (part->new_key && !make_key(part, role, error)) {
        return FALSE;
    }
    if (part->new_ca_text) {
        g_autofree char *text =
            dinv_tls_certificate_to_text(found->parts[DINV_TLS_CA].identity.certificates[0], error);
        if (text == NULL || !dinv_tls_write_text(part->ca_path, 0644, text, error)) {
            return FALSE;
        }
    }
    if (part->new_certificate) {
        g_autofree char *text = NULL;
        if (!sign_anew(found, role, error)) {
            return FALSE;
        }
        text = dinv_tls_certificate_to_text(part->identity.certificates[0], error);
        return text != NULL && dinv_tls_write_text(part->certificate_path, 0644, text, error);
    }
    return TRUE;
}

/* Others that make certificates in this directory wait for us, and we for them. -1: not locked. */
static int lock_directory(const char *directory, GError **error) {
    if (g_mkdir_with_parents(directory, 0755) < 0 && errno != EEXIST) {
        g_set_error(error, DINV_TLS_ERROR, DINV_TLS_ERROR_IO, "cannot make \"%s\": %s", directory,
                    g_strerror(errno));
        return -1;
    }
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (guint i = 0; fd >= 0 && i < LOCK_TRIES; i++) {
        if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
            return fd;
        }
        if (errno != EWOULDBLOCK && errno != EINTR) {
            break;
        }
        g_usleep(LOCK_TRY_US);
    }
    if (errno == EWOULDBLOCK) {
        g_set_error(error, DINV_TLS_ERROR, DINV_TLS_ERROR_IO,
                    "another dinv has been making certificates in \"%s\" for %u s; wait for it, or "
                    "stop it",
                    directory, LOCK_TRIES * LOCK_TRY_US / G_USEC_PER_SEC);
    } else {
        g_set_error(error, DINV_TLS_ERROR, DINV_TLS_ERROR_IO, "cannot lock \"%s\": %s", directory,
                    g_strerror(errno));
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    return -1;
}

/* --- The whole --- */

gboolean dinv_tls_store_check(const char *directory, const char *const *names, GPtrArray *notes,
                              GPtrArray *warnings, GError **error) {
    g_auto(DinvTlsFindings)
        found = {.directory = directory, .names = names, .notes = notes, .warnings = warnings};
    return findings_read(&found, error) && dinv_tls_findings_judge(&found, error);
}

static gboolean make_all(const char *directory, const char *const *names, GPtrArray *notes,
                         GPtrArray *warnings, GError **error) {
    g_auto(DinvTlsFindings)
        found = {.directory = directory, .names = names, .notes = notes, .warnings = warnings};
    if (!findings_read(&found, error) || !dinv_tls_findings_judge(&found, error)) {
        return FALSE;
    }
    for (guint i = 0; !found.managed_elsewhere && i < DINV_TLS_ROLES; i++) {
        if (!make_part(&found, (DinvTlsRole)i, error)) {
            return FALSE;
        }
    }
    return TRUE;
}

gboolean dinv_tls_store_prepare(const char *directory, const char *const *names, GPtrArray *notes,
                                GPtrArray *warnings, GError **error) {
    int fd = lock_directory(directory, error);
    if (fd < 0) {
        return FALSE;
    }
    gboolean good = make_all(directory, names, notes, warnings, error) &&
                    dinv_tls_store_check(directory, names, NULL, NULL, error);
    (void)close(fd);
    return good;
}

DinvTlsFiles dinv_tls_store_get_files(const char *directory) {
    return (DinvTlsFiles){
        .certificate = g_build_filename(directory, "server", "cert.pem", NULL),
        .key = g_build_filename(directory, "server", "key.pem", NULL),
        .ca = g_build_filename(directory, "server", "ca.pem", NULL),
    };
}

void dinv_tls_files_clear(DinvTlsFiles *files) {
    g_clear_pointer(&files->certificate, g_free);
    g_clear_pointer(&files->key, g_free);
    g_clear_pointer(&files->ca, g_free);
}
