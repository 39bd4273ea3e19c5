/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation. All nine files are read first, then judged from the CA down, and only then
 * something is written: keys before the certificates that belong to them, so that a crash leaves a
 * key without a certificate at worst, which the next start completes. dinv_tls_store_prepare() does
 * that under a lock and judges anew afterwards: what it says to be good was read from the disk.
 */
#include "launcher/tls/store.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "launcher/base/directories.h"
#include "launcher/tls/files.h"

/* A certificate that ends sooner is renewed at a start. */
#define RENEW_BEFORE_S (G_GINT64_CONSTANT(30) * 24 * 3600)
#define LOCK_TRY_US    20000u
#define LOCK_TRIES     500u

#define ROLES 3u

static const char *const role_names[ROLES] = {
    [DINV_TLS_CA] = "ca", [DINV_TLS_SERVER] = "server", [DINV_TLS_CLIENT] = "client"};

/* One of the three directories. */
typedef struct {
    char *directory;
    char *key_path;
    char *certificate_path;
    char *ca_path; /* NULL in ca/ */
    DinvTlsIdentity identity;
    char *ca_text; /* of ca_path; NULL if it is missing */
    gboolean new_key;
    gboolean new_certificate;
    gboolean new_ca_text;
    gboolean can_wait; /* the certificate does for now */
} Part;

typedef struct {
    const char *directory;
    const char *const *names;
    Part parts[ROLES];
    gboolean managed_elsewhere; /* there is no CA key, and server/ is whole */
    GPtrArray *notes;
    GPtrArray *warnings;
} Store;

/* --- Reading --- */

static void part_clear(Part *part) {
    dinv_tls_identity_clear(&part->identity);
    g_free(part->directory);
    g_free(part->key_path);
    g_free(part->certificate_path);
    g_free(part->ca_path);
    g_free(part->ca_text);
}

static void store_clear(Store *store) {
    for (guint i = 0; i < ROLES; i++) {
        part_clear(&store->parts[i]);
    }
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Store, store_clear)

static gboolean part_read(Part *part, const char *directory, DinvTlsRole role, GError **error) {
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

static gboolean store_read(Store *store, GError **error) {
    for (guint i = 0; i < ROLES; i++) {
        if (!part_read(&store->parts[i], store->directory, (DinvTlsRole)i, error)) {
            return FALSE;
        }
    }
    return TRUE;
}

/* --- Judging --- */

static gboolean has_key(const Part *part) {
    return part->identity.key != NULL;
}

static gboolean has_certificate(const Part *part) {
    return part->identity.certificates != NULL;
}

static void note(GPtrArray *texts, char *text) {
    if (texts != NULL) {
        g_ptr_array_add(texts, text);
    } else {
        g_free(text);
    }
}

static gboolean refuse(GError **error, const Part *part, const char *problem, const char *remedy) {
    g_set_error(error, DINV_TLS_ERROR, DINV_TLS_ERROR_INVALID, "\"%s\" %s; %s",
                part->certificate_path, problem, remedy);
    return FALSE;
}

/* Whether the certificate was made here or by docker:dind, which may be replaced. */
static gboolean is_ours(const Part *part) {
    static const char *const makers[] = {"dinv ", "docker:dind "};
    g_autofree char *name = dinv_tls_certificate_get_common_name(part->identity.certificates[0]);
    for (guint i = 0; name != NULL && i < G_N_ELEMENTS(makers); i++) {
        if (g_str_has_prefix(name, makers[i])) {
            return TRUE;
        }
    }
    return FALSE;
}

static char *date_of(time_t time) {
    g_autoptr(GDateTime) date = g_date_time_new_from_unix_utc((gint64)time);
    return date == NULL ? g_strdup("?") : g_date_time_format(date, "%Y-%m-%d");
}

/* What is wrong with the times of a certificate, NULL if nothing. */
static char *find_time_problem(gnutls_x509_crt_t certificate) {
    gint64 now = g_get_real_time() / G_USEC_PER_SEC;
    time_t start = gnutls_x509_crt_get_activation_time(certificate);
    time_t end = gnutls_x509_crt_get_expiration_time(certificate);
    g_autofree char *date = date_of(start > now ? start : end);
    if (start != (time_t)-1 && start > now) {
        return g_strdup_printf("is not valid before %s", date);
    }
    return end != (time_t)-1 && end <= now ? g_strdup_printf("expired on %s", date) : NULL;
}

static gboolean ends_soon(gnutls_x509_crt_t certificate) {
    time_t end = gnutls_x509_crt_get_expiration_time(certificate);
    return end != (time_t)-1 && end <= g_get_real_time() / G_USEC_PER_SEC + RENEW_BEFORE_S;
}

/* Whether `part` is signed by one of `cas`, for its role. */
static gboolean is_signed_by(const Part *part, DinvTlsRole role, const gnutls_x509_crt_t *cas,
                             guint count) {
    const char *purpose =
        role == DINV_TLS_SERVER ? GNUTLS_KP_TLS_WWW_SERVER : GNUTLS_KP_TLS_WWW_CLIENT;
    gnutls_typed_vdata_st data = {.type = GNUTLS_DT_KEY_PURPOSE_OID,
                                  .data = (unsigned char *)purpose,
                                  .size = (unsigned)strlen(purpose)};
    gnutls_x509_trust_list_t list = NULL;
    unsigned status = GNUTLS_CERT_INVALID;
    if (gnutls_x509_trust_list_init(&list, 0) < 0) {
        return FALSE;
    }
    /* Times are judged apart: they have messages of their own. */
    if (gnutls_x509_trust_list_add_cas(list, cas, count, 0) < 0 ||
        gnutls_x509_trust_list_verify_crt2(list, part->identity.certificates, part->identity.count,
                                           &data, 1, GNUTLS_VERIFY_DISABLE_TIME_CHECKS, &status,
                                           NULL) < 0) {
        status = GNUTLS_CERT_INVALID;
    }
    gnutls_x509_trust_list_deinit(list, 0);
    return status == 0;
}

/* Whatever makes a server's or client's certificate useless, NULL if nothing. */
static char *find_problem(const Part *part, DinvTlsRole role, const gnutls_x509_crt_t *cas,
                          guint count) {
    if (!has_key(part)) {
        return g_strdup("has no private key beside it (key.pem)");
    }
    if (!dinv_tls_key_fits(part->identity.key, part->identity.certificates[0])) {
        return g_strdup("does not belong to the private key beside it (key.pem)");
    }
    if (!is_signed_by(part, role, cas, count)) {
        return g_strdup(role == DINV_TLS_SERVER ? "is not signed for a server by the CA (ca.pem)"
                                                : "is not signed for a client by the CA (ca.pem)");
    }
    return find_time_problem(part->identity.certificates[0]);
}

/* The first wanted name that the certificate lacks, NULL if none. */
static const char *find_missing_name(const Part *part, const char *const *names) {
    g_auto(GStrv) has = dinv_tls_certificate_get_names(part->identity.certificates[0]);
    for (gsize i = 0; names != NULL && names[i] != NULL; i++) {
        if (!g_strv_contains((const char *const *)has, names[i])) {
            return names[i];
        }
    }
    return NULL;
}

/* Whether the text of a ca.pem begins with the certificate in ca/. */
static gboolean holds(const char *text, const Part *ca) {
    gnutls_x509_crt_t certificate = NULL;
    gboolean same = FALSE;
    if (text == NULL || gnutls_x509_crt_init(&certificate) < 0) {
        return FALSE;
    }
    gnutls_datum_t datum = {.data = (unsigned char *)text, .size = (unsigned)strlen(text)};
    if (gnutls_x509_crt_import(certificate, &datum, GNUTLS_X509_FMT_PEM) >= 0) {
        same = gnutls_x509_crt_equals(certificate, ca->identity.certificates[0]) != 0;
    }
    gnutls_x509_crt_deinit(certificate);
    return same;
}

/* Marks the server's or client's certificate to be signed anew, if it has to and may be. */
static gboolean judge_leaf(Store *store, DinvTlsRole role, GError **error) {
    Part *ca = &store->parts[DINV_TLS_CA];
    Part *part = &store->parts[role];
    const char *missing = NULL;
    part->new_key = !has_key(part);
    part->new_certificate = !has_certificate(part);
    if (part->new_certificate) {
        part->new_ca_text = TRUE;
        return TRUE;
    }
    g_autofree char *problem =
        find_problem(part, role, ca->identity.certificates, ca->identity.count);
    if (!is_ours(part)) {
        part->new_key = FALSE;
        part->new_ca_text = problem == NULL && part->ca_text == NULL;
        if (problem != NULL && role == DINV_TLS_CLIENT) { /* not ours to use, nor to touch */
            note(store->warnings, g_strdup_printf("\"%s\" %s: clients that use it are refused",
                                                  part->certificate_path, problem));
            return TRUE;
        }
        return problem == NULL ||
               refuse(error, part, problem, "replace it, or remove it to have one made");
    }
    if (problem == NULL && ends_soon(part->identity.certificates[0])) {
        problem = g_strdup("ends within 30 days");
        part->can_wait = TRUE;
    }
    if (role == DINV_TLS_SERVER && problem == NULL &&
        (missing = find_missing_name(part, store->names)) != NULL) {
        problem = g_strdup_printf("does not have the name %s", missing);
        part->can_wait = TRUE;
    }
    if (problem == NULL) { /* then only because its CA is made anew */
        part->can_wait = ca->can_wait;
    }
    part->new_certificate = problem != NULL || ca->new_certificate;
    part->new_ca_text = part->new_certificate || !holds(part->ca_text, ca);
    if (problem != NULL) {
        note(store->notes,
             g_strdup_printf("\"%s\" %s, making it anew", part->certificate_path, problem));
    }
    return TRUE;
}

static gboolean judge_ca(Store *store, GError **error) {
    Part *ca = &store->parts[DINV_TLS_CA];
    Part *server = &store->parts[DINV_TLS_SERVER];
    g_autofree char *problem = NULL;
    if (!has_key(ca) && has_certificate(ca)) {
        return refuse(
            error, ca, "has no private key beside it (key.pem) to sign with",
            "add it, or all three of server/{ca,cert,key}.pem, or remove this one to have "
            "a CA made");
    }
    if (!has_certificate(ca)) {
        if (has_certificate(server) && !is_ours(server)) {
            return refuse(error, server,
                          has_key(server) && server->ca_text != NULL
                              ? "is of a CA that is missing (ca/cert.pem)"
                              : "is there, but not all of server/{ca,cert,key}.pem",
                          "add what is missing, or remove it to have certificates made");
        }
        ca->new_key = !has_key(ca);
        ca->new_certificate = TRUE;
        return TRUE;
    }
    if (!dinv_tls_key_fits(ca->identity.key, ca->identity.certificates[0])) {
        return refuse(error, ca, "does not belong to the private key beside it (key.pem)",
                      "replace one of them, or remove both to have a CA made");
    }
    problem = find_time_problem(ca->identity.certificates[0]);
    if (problem != NULL && !is_ours(ca)) {
        return refuse(error, ca, problem, "replace it, or remove it to have one made");
    }
    ca->can_wait = problem == NULL;
    ca->new_certificate =
        is_ours(ca) && (problem != NULL || ends_soon(ca->identity.certificates[0]));
    return TRUE;
}

/* Certificates that somebody else manages: they are right, or that is an error. */
static gboolean judge_given(Store *store, GError **error) {
    Part *server = &store->parts[DINV_TLS_SERVER];
    gnutls_x509_crt_t *cas = NULL;
    unsigned count = 0;
    gnutls_datum_t text = {.data = (unsigned char *)server->ca_text,
                           .size = (unsigned)strlen(server->ca_text)};
    int code = gnutls_x509_crt_list_import2(&cas, &count, &text, GNUTLS_X509_FMT_PEM, 0);
    if (code < 0) {
        g_set_error(error, DINV_TLS_ERROR, DINV_TLS_ERROR_INVALID,
                    "\"%s\" is not a certificate in PEM form (%s)", server->ca_path,
                    gnutls_strerror(code));
        return FALSE;
    }
    g_autofree char *problem = find_problem(server, DINV_TLS_SERVER, cas, count);
    g_autofree char *ca_problem = find_time_problem(cas[0]);
    for (unsigned i = 0; i < count; i++) {
        gnutls_x509_crt_deinit(cas[i]);
    }
    gnutls_free(cas);
    if (ca_problem != NULL) {
        g_set_error(error, DINV_TLS_ERROR, DINV_TLS_ERROR_INVALID, "\"%s\" %s; replace it",
                    server->ca_path, ca_problem);
        return FALSE;
    }
    return problem == NULL || refuse(error, server, problem, "replace it");
}

/* In a directory that cannot be written: what does for now, does. */
static void leave_what_can_wait(Store *store) {
    for (guint i = 0; i < ROLES; i++) {
        const Part *part = &store->parts[i];
        gboolean lacks_ca_text = part->new_ca_text && part->ca_text == NULL;
        if (lacks_ca_text || (part->new_certificate && !part->can_wait)) {
            return;
        }
    }
    for (guint i = 0; i < ROLES; i++) {
        store->parts[i].new_certificate = FALSE;
        store->parts[i].new_ca_text = FALSE;
    }
    for (guint i = 0; store->notes != NULL && i < store->notes->len; i++) {
        note(store->warnings, g_strdup_printf("%s: cannot write there, ignoring",
                                              (const char *)store->notes->pdata[i]));
    }
    if (store->notes != NULL) {
        g_ptr_array_set_size(store->notes, 0);
    }
}

static gboolean is_writable(const char *directory) {
    g_autofree char *nearest = dinv_directory_nearest(directory);
    return access(nearest, W_OK | X_OK) == 0;
}

static gboolean needs_writing(const Part *part) {
    return part->new_key || part->new_certificate || part->new_ca_text;
}

static gboolean store_judge(Store *store, GError **error) {
    const Part *server = &store->parts[DINV_TLS_SERVER];
    store->managed_elsewhere = !has_key(&store->parts[DINV_TLS_CA]) && has_key(server) &&
                               has_certificate(server) && server->ca_text != NULL;
    if (store->managed_elsewhere) {
        return judge_given(store, error);
    }
    if (!judge_ca(store, error) || !judge_leaf(store, DINV_TLS_SERVER, error) ||
        !judge_leaf(store, DINV_TLS_CLIENT, error)) {
        return FALSE;
    }
    for (guint i = 0; i < ROLES; i++) {
        if (needs_writing(&store->parts[i]) && !is_writable(store->parts[i].directory)) {
            int code = errno;
            leave_what_can_wait(store);
            if (needs_writing(&store->parts[i])) {
                g_set_error(error, DINV_TLS_ERROR, DINV_TLS_ERROR_IO,
                            "cannot make certificates in \"%s\": %s", store->parts[i].directory,
                            g_strerror(code));
                return FALSE;
            }
        }
    }
    return TRUE;
}

/* --- Making --- */

/* The certificates in `identity` are replaced by a new one. */
static gboolean sign(Store *store, DinvTlsRole role, GError **error) {
    static const char *const subjects[ROLES] = {[DINV_TLS_CA] = "dinv CA",
                                                [DINV_TLS_SERVER] = "dinv server",
                                                [DINV_TLS_CLIENT] = "dinv client"};
    Part *part = &store->parts[role];
    gnutls_x509_crt_t made = NULL;
    /* A CA keeps its name, by which what it has signed knows it. */
    g_autofree char *name =
        role == DINV_TLS_CA && has_certificate(part)
            ? dinv_tls_certificate_get_common_name(part->identity.certificates[0])
            : NULL;
    made = dinv_tls_certificate_new(
        role, name != NULL ? name : subjects[role], role == DINV_TLS_SERVER ? store->names : NULL,
        part->identity.key, role == DINV_TLS_CA ? NULL : &store->parts[DINV_TLS_CA].identity,
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

static gboolean make_key(Part *part, DinvTlsRole role, GError **error) {
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

static gboolean make_part(Store *store, DinvTlsRole role, GError **error) {
    Part *part = &store->parts[role];
    if (!needs_writing(part)) {
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
            dinv_tls_certificate_to_text(store->parts[DINV_TLS_CA].identity.certificates[0], error);
        if (text == NULL || !dinv_tls_write_text(part->ca_path, 0644, text, error)) {
            return FALSE;
        }
    }
    if (part->new_certificate) {
        g_autofree char *text = NULL;
        if (!sign(store, role, error)) {
            return FALSE;
        }
        text = dinv_tls_certificate_to_text(part->identity.certificates[0], error);
        return text != NULL && dinv_tls_write_text(part->certificate_path, 0644, text, error);
    }
    return TRUE;
}

/* Others that make certificates in this directory wait for us, and we for them. -1: not locked. */
static int lock(const char *directory, GError **error) {
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
    g_set_error(error, DINV_TLS_ERROR, DINV_TLS_ERROR_IO, "cannot lock \"%s\": %s", directory,
                g_strerror(errno));
    if (fd >= 0) {
        (void)close(fd);
    }
    return -1;
}

/* --- The whole --- */

gboolean dinv_tls_store_check(const char *directory, const char *const *names, GPtrArray *notes,
                              GPtrArray *warnings, GError **error) {
    g_auto(Store)
        store = {.directory = directory, .names = names, .notes = notes, .warnings = warnings};
    return store_read(&store, error) && store_judge(&store, error);
}

static gboolean make_all(const char *directory, const char *const *names, GPtrArray *notes,
                         GPtrArray *warnings, GError **error) {
    g_auto(Store)
        store = {.directory = directory, .names = names, .notes = notes, .warnings = warnings};
    if (!store_read(&store, error) || !store_judge(&store, error)) {
        return FALSE;
    }
    for (guint i = 0; !store.managed_elsewhere && i < ROLES; i++) {
        if (!make_part(&store, (DinvTlsRole)i, error)) {
            return FALSE;
        }
    }
    return TRUE;
}

gboolean dinv_tls_store_prepare(const char *directory, const char *const *names, GPtrArray *notes,
                                GPtrArray *warnings, DinvTlsFiles *files, GError **error) {
    int fd = lock(directory, error);
    if (fd < 0) {
        return FALSE;
    }
    gboolean good = make_all(directory, names, notes, warnings, error) &&
                    dinv_tls_store_check(directory, names, NULL, NULL, error);
    (void)close(fd);
    if (good) {
        *files = (DinvTlsFiles){
            .certificate = g_build_filename(directory, "server", "cert.pem", NULL),
            .key = g_build_filename(directory, "server", "key.pem", NULL),
            .ca = g_build_filename(directory, "server", "ca.pem", NULL),
        };
    }
    return good;
}

void dinv_tls_files_clear(DinvTlsFiles *files) {
    g_clear_pointer(&files->certificate, g_free);
    g_clear_pointer(&files->key, g_free);
    g_clear_pointer(&files->ca, g_free);
}
