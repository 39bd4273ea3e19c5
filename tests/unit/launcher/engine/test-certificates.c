/* SPDX-License-Identifier: MIT */
/* Certificates in PEM text of many kinds, and the places where they are looked for. */
#include "launcher/engine/certificates.h"

#include <string.h>
#include <unistd.h>

#include "tests/unit/lib/scratch.h"

#define PEM(body) "-----BEGIN CERTIFICATE-----\n" body "\n-----END CERTIFICATE-----\n"

static guint add(DinvEngineCertificates *certificates, const char *text) {
    g_autoptr(GError) error = NULL;
    guint found = 0;
    g_assert_true(dinv_engine_certificates_add(certificates, text, strlen(text), &found, &error));
    g_assert_no_error(error);
    return found;
}

static void test_add(void) {
    g_autoptr(DinvEngineCertificates) certificates = dinv_engine_certificates_new();
    g_assert_cmpuint(add(certificates, "subject: A\n" PEM("QUFB") "text\n" PEM("QkJC")), ==, 2);
    /* That certificate once more, with other ends of lines. */
    g_assert_cmpuint(add(certificates, "-----BEGIN CERTIFICATE-----\r\nQU\r\nFB\r\n"
                                       "-----END CERTIFICATE-----"),
                     ==, 1);
    g_assert_cmpuint(dinv_engine_certificates_count(certificates), ==, 2);
    g_assert_cmpstr(certificates->pem->str, ==, PEM("QUFB") PEM("QkJC"));
}

static void test_no_certificates(void) {
    static const char *const texts[] = {
        "",
        "-----BEGIN CERTIFICATE-----",
        "-----BEGIN CERTIFICATE-----\nQUFB",
        PEM(""),
        PEM("QUF"),
        PEM("QU*B"),
        "-----BEGIN PRIVATE KEY-----\nQUFB\n-----END PRIVATE KEY-----\n",
        "-----END CERTIFICATE-----\nQUFB\n-----BEGIN CERTIFICATE-----\n",
    };
    for (guint i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autoptr(DinvEngineCertificates) certificates = dinv_engine_certificates_new();
        g_assert_cmpuint(add(certificates, texts[i]), ==, 0);
        g_assert_cmpuint(certificates->pem->len, ==, 0);
    }
}

static void test_too_many(void) {
    g_autoptr(DinvEngineCertificates) certificates = dinv_engine_certificates_new();
    g_autoptr(GError) error = NULL;
    guint found = 0;
    g_autofree char *body = g_strnfill(DINV_ENGINE_CERTIFICATES_MAX_BYTES, 'A');
    g_autofree char *text =
        g_strconcat("-----BEGIN CERTIFICATE-----", body, "-----END CERTIFICATE-----", NULL);
    g_assert_false(dinv_engine_certificates_add(certificates, text, strlen(text), &found, &error));
    g_assert_cmpstr(error->message, ==, "the certificates are more than 448 KiB with it");
}

static void test_collect(void) {
    Scratch scratch;
    scratch_make(&scratch);
    scratch_write(&scratch, "usr/local/share/ca-certificates/b.crt", PEM("QkJC"));
    scratch_write(&scratch, "usr/local/share/ca-certificates/a/a.crt", PEM("QUFB"));
    scratch_write(&scratch, "usr/local/share/ca-certificates/read.me", PEM("eHh4"));
    scratch_write(&scratch, "usr/local/share/ca-certificates/der.crt", "0\x82\x01");
    scratch_write(&scratch, "etc/ssl/certs/ca-certificates.crt", PEM("eHh4"));
    scratch_write(&scratch, "bundle", PEM("QUFB") PEM("Q0ND"));
    scratch_write(&scratch, "one/0", PEM("RERE"));
    scratch_write(&scratch, "two/0", PEM("RUVF"));
    g_autofree char *file = g_strdup_printf("SSL_CERT_FILE=%s/bundle", scratch.path);
    g_autofree char *directories = g_strdup_printf("SSL_CERT_DIR=%s/one:%s/none:%s/two",
                                                   scratch.path, scratch.path, scratch.path);
    char *const environment[] = {file, directories, NULL};
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GError) error = NULL;
    g_autoptr(DinvEngineCertificates) certificates =
        dinv_engine_certificates_collect(scratch.path, environment, warnings, &error);
    g_assert_no_error(error);
    g_assert_cmpstr(certificates->pem->str, ==,
                    PEM("QUFB") PEM("QkJC") PEM("Q0ND") PEM("RERE") PEM("RUVF"));
    g_assert_cmpuint(warnings->len, ==, 1);
    g_assert_nonnull(strstr(warnings->pdata[0], "der.crt\" holds no certificate in PEM form"));
    scratch_remove(&scratch);
}

/* What cannot be read is named, and is no reason not to start; what is too large is one. */
static void test_unreadable(void) {
    Scratch scratch;
    scratch_make(&scratch);
    char *const environment[] = {(char *)"SSL_CERT_FILE=/nowhere/bundle.pem", NULL};
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GError) error = NULL;
    g_autoptr(DinvEngineCertificates) certificates =
        dinv_engine_certificates_collect(scratch.path, environment, warnings, &error);
    g_assert_nonnull(certificates);
    g_assert_cmpstr(warnings->pdata[0], ==,
                    "SSL_CERT_FILE: \"/nowhere/bundle.pem\" cannot be read: No such file or "
                    "directory, ignoring it");
    g_autofree char *body = g_strnfill(DINV_ENGINE_CERTIFICATES_MAX_BYTES, 'A');
    g_autofree char *text =
        g_strconcat("-----BEGIN CERTIFICATE-----", body, "-----END CERTIFICATE-----", NULL);
    scratch_write(&scratch, "usr/local/share/ca-certificates/large.crt", text);
    g_assert_null(dinv_engine_certificates_collect(scratch.path, environment, warnings, &error));
    g_assert_nonnull(
        strstr(error->message, "/large.crt\": the certificates are more than 448 KiB"));
    scratch_remove(&scratch);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/launcher/certificates/add", test_add);
    g_test_add_func("/launcher/certificates/none", test_no_certificates);
    g_test_add_func("/launcher/certificates/too-many", test_too_many);
    g_test_add_func("/launcher/certificates/collect", test_collect);
    g_test_add_func("/launcher/certificates/unreadable", test_unreadable);
    return g_test_run();
}
