/* SPDX-License-Identifier: MIT */
/*
 * What is wrong with certificates, and what is to be done about it: from the CA down, as what is
 * signed can only be as good as who signed it.
 */
#include "launcher/tls/judge.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "launcher/base/directories.h"

/* A certificate that ends sooner is renewed at a start. */
#define RENEW_BEFORE_S (G_GINT64_CONSTANT(30) * 24 * 3600)

/* --- What there is --- */

static gboolean has_key(const DinvTlsPart *part) {
    return part->identity.key != NULL;
}

gboolean dinv_tls_part_has_certificate(const DinvTlsPart *part) {
    return part->identity.certificates != NULL;
}

static void add_sentence(GPtrArray *texts, char *text) {
    if (texts != NULL) {
        g_ptr_array_add(texts, text);
    } else {
        g_free(text);
    }
}

static gboolean refuse_certificate(GError **error, const DinvTlsPart *part, const char *problem,
                                   const char *remedy) {
    g_set_error(error, DINV_TLS_ERROR, DINV_TLS_ERROR_INVALID, "\"%s\" %s; %s",
                part->certificate_path, problem, remedy);
    return FALSE;
}

/* Whether a server's or client's certificate was made here or by docker:dind, and so may be
 * replaced. (A CA is ours only if it is marked: clients elsewhere may trust it.) */
static gboolean is_leaf_ours(const DinvTlsPart *part) {
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
static gboolean is_signed_by(const DinvTlsPart *part, DinvTlsRole role,
                             const gnutls_x509_crt_t *cas, guint count) {
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
static char *find_leaf_problem(const DinvTlsPart *part, DinvTlsRole role,
                               const gnutls_x509_crt_t *cas, guint count) {
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
static const char *find_missing_name(const DinvTlsPart *part, const char *const *names) {
    g_auto(GStrv) has = dinv_tls_certificate_get_names(part->identity.certificates[0]);
    for (gsize i = 0; names != NULL && names[i] != NULL; i++) {
        if (!g_strv_contains((const char *const *)has, names[i])) {
            return names[i];
        }
    }
    return NULL;
}

/* Whether the text of a ca.pem begins with the certificate in ca/. */
static gboolean holds(const char *text, const DinvTlsPart *ca) {
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
static gboolean judge_leaf(DinvTlsFindings *found, DinvTlsRole role, GError **error) {
    DinvTlsPart *ca = &found->parts[DINV_TLS_CA];
    DinvTlsPart *part = &found->parts[role];
    const char *missing = NULL;
    part->new_key = !has_key(part);
    part->new_certificate = !dinv_tls_part_has_certificate(part);
    if (part->new_certificate) {
        part->new_ca_text = TRUE;
        return TRUE;
    }
    g_autofree char *problem =
        find_leaf_problem(part, role, ca->identity.certificates, ca->identity.count);
    if (!is_leaf_ours(part)) {
        part->new_key = FALSE;
        part->new_ca_text = problem == NULL && part->ca_text == NULL;
        if (problem != NULL && role == DINV_TLS_CLIENT) { /* not ours to use, nor to touch */
            add_sentence(found->warnings,
                         g_strdup_printf("\"%s\" %s: clients that use it are refused",
                                         part->certificate_path, problem));
            return TRUE;
        }
        return problem == NULL || refuse_certificate(error, part, problem,
                                                     "replace it, or remove it to have one made");
    }
    if (problem == NULL && ends_soon(part->identity.certificates[0])) {
        problem = g_strdup("ends within 30 days");
        part->can_wait = TRUE;
    }
    if (role == DINV_TLS_SERVER && problem == NULL &&
        (missing = find_missing_name(part, found->names)) != NULL) {
        problem = g_strdup_printf("does not have the name %s", missing);
        part->can_wait = TRUE;
    }
    if (problem == NULL) { /* then only because its CA is made anew */
        part->can_wait = ca->can_wait;
    }
    part->new_certificate = problem != NULL || ca->new_certificate;
    part->new_ca_text = part->new_certificate || !holds(part->ca_text, ca);
    if (problem != NULL) {
        add_sentence(found->notes,
                     g_strdup_printf("\"%s\" %s, making it anew", part->certificate_path, problem));
    }
    return TRUE;
}

/* There is no CA: one is made, unless a certificate that is not ours to replace needs another. */
static gboolean judge_missing_ca(DinvTlsFindings *found, GError **error) {
    DinvTlsPart *ca = &found->parts[DINV_TLS_CA];
    const DinvTlsPart *server = &found->parts[DINV_TLS_SERVER];
    if (dinv_tls_part_has_certificate(server) && !is_leaf_ours(server)) {
        return refuse_certificate(error, server,
                                  has_key(server) && server->ca_text != NULL
                                      ? "is of a CA that is missing (ca/cert.pem)"
                                      : "is there, but not all of server/{ca,cert,key}.pem",
                                  "add what is missing, or remove it to have certificates made");
    }
    ca->new_key = !has_key(ca);
    ca->new_certificate = TRUE;
    return TRUE;
}

/* The CA's times: dinv's own is made anew in time, another is left to whoever it belongs to. */
static gboolean judge_ca_times(DinvTlsFindings *found, GError **error) {
    DinvTlsPart *ca = &found->parts[DINV_TLS_CA];
    const DinvTlsPart *server = &found->parts[DINV_TLS_SERVER];
    gnutls_x509_crt_t certificate = ca->identity.certificates[0];
    gboolean is_marked = dinv_tls_certificate_is_marked(certificate);
    g_autofree char *problem = find_time_problem(certificate);
    /* One of dinv's own cannot stand above a server's certificate that is not to be touched. */
    gboolean is_replaceable = !dinv_tls_part_has_certificate(server) || is_leaf_ours(server);
    const char *remedy = is_replaceable
                             ? "replace it, or remove it alone to have one made for the same key "
                               "(key.pem); clients need the new ca.pem and cert.pem then"
                             : "replace it, and with it the certificates that it has signed";
    if (problem != NULL && !is_marked) {
        return refuse_certificate(error, ca, problem, remedy);
    }
    ca->can_wait = problem == NULL;
    ca->new_certificate = is_marked && (problem != NULL || ends_soon(certificate));
    if (ca->new_certificate) {
        add_sentence(found->notes,
                     g_strdup_printf("\"%s\" %s, making it anew", ca->certificate_path,
                                     problem != NULL ? problem : "ends within 30 days"));
    } else if (ends_soon(certificate)) {
        g_autofree char *date = date_of(gnutls_x509_crt_get_expiration_time(certificate));
        add_sentence(found->warnings,
                     g_strdup_printf("\"%s\" ends on %s and is not renewed, as it is not known to "
                                     "be dinv's own; %s",
                                     ca->certificate_path, date, remedy));
    }
    return TRUE;
}

static gboolean judge_ca(DinvTlsFindings *found, GError **error) {
    const DinvTlsPart *ca = &found->parts[DINV_TLS_CA];
    if (!dinv_tls_part_has_certificate(ca)) {
        return judge_missing_ca(found, error);
    }
    if (!has_key(ca)) {
        return refuse_certificate(
            error, ca, "has no private key beside it (key.pem) to sign with",
            "add it, or all three of server/{ca,cert,key}.pem, or remove this one to have "
            "a CA made");
    }
    if (!dinv_tls_key_fits(ca->identity.key, ca->identity.certificates[0])) {
        return refuse_certificate(error, ca,
                                  "does not belong to the private key beside it (key.pem)",
                                  "replace one of them, or remove both to have a CA made");
    }
    return judge_ca_times(found, error);
}

/* Certificates that somebody else manages: they are right, or that is an error. */
static gboolean judge_given(DinvTlsFindings *found, GError **error) {
    DinvTlsPart *server = &found->parts[DINV_TLS_SERVER];
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
    g_autofree char *problem = find_leaf_problem(server, DINV_TLS_SERVER, cas, count);
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
    return problem == NULL || refuse_certificate(error, server, problem, "replace it");
}

/* In a directory that cannot be written: what does for now, does. */
static void leave_what_can_wait(DinvTlsFindings *found) {
    for (guint i = 0; i < DINV_TLS_ROLES; i++) {
        const DinvTlsPart *part = &found->parts[i];
        gboolean lacks_ca_text = part->new_ca_text && part->ca_text == NULL;
        if (lacks_ca_text || (part->new_certificate && !part->can_wait)) {
            return;
        }
    }
    for (guint i = 0; i < DINV_TLS_ROLES; i++) {
        found->parts[i].new_certificate = FALSE;
        found->parts[i].new_ca_text = FALSE;
    }
    for (guint i = 0; found->notes != NULL && i < found->notes->len; i++) {
        add_sentence(found->warnings, g_strdup_printf("%s: cannot write there, ignoring",
                                                      (const char *)found->notes->pdata[i]));
    }
    if (found->notes != NULL) {
        g_ptr_array_set_size(found->notes, 0);
    }
}

static gboolean is_writable(const char *directory) {
    g_autofree char *nearest = dinv_directory_nearest(directory);
    return access(nearest, W_OK | X_OK) == 0;
}

gboolean dinv_tls_part_needs_writing(const DinvTlsPart *part) {
    return part->new_key || part->new_certificate || part->new_ca_text;
}

gboolean dinv_tls_findings_judge(DinvTlsFindings *found, GError **error) {
    const DinvTlsPart *server = &found->parts[DINV_TLS_SERVER];
    found->managed_elsewhere = !has_key(&found->parts[DINV_TLS_CA]) && has_key(server) &&
                               dinv_tls_part_has_certificate(server) && server->ca_text != NULL;
    if (found->managed_elsewhere) {
        return judge_given(found, error);
    }
    if (!judge_ca(found, error) || !judge_leaf(found, DINV_TLS_SERVER, error) ||
        !judge_leaf(found, DINV_TLS_CLIENT, error)) {
        return FALSE;
    }
    for (guint i = 0; i < DINV_TLS_ROLES; i++) {
        if (dinv_tls_part_needs_writing(&found->parts[i]) &&
            !is_writable(found->parts[i].directory)) {
            int code = errno;
            leave_what_can_wait(found);
            if (dinv_tls_part_needs_writing(&found->parts[i])) {
                g_set_error(error, DINV_TLS_ERROR, DINV_TLS_ERROR_IO,
                            "cannot make certificates in \"%s\": %s", found->parts[i].directory,
                            g_strerror(code));
                return FALSE;
            }
        }
    }
    return TRUE;
}
