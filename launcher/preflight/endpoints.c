/* SPDX-License-Identifier: MIT */
/* The TCP ports where the engine is to answer, and the certificates for it. */
#include <unistd.h>

#include "launcher/preflight/checks.h"
#include "launcher/tls/files.h"
#include "launcher/tls/store.h"

/* Adds a line if `address` cannot be listened on. */
static gboolean check_port(const char *setting, const DinvTcpAddress *address,
                           DinvPreflight *result) {
    g_autoptr(GError) error = NULL;
    int fd = dinv_tcp_listen(address, 1, &error);

    if (fd >= 0) {
        close(fd);
        return TRUE;
    }
    dinv_preflight_add(result, "tcp", DINV_CHECK_FAILED,
                       g_strdup_printf("%s: %s", setting, error->message),
                       g_strdup_printf("set %s to a free port, or stop who uses it", setting));
    return FALSE;
}

static void add_texts(GPtrArray *texts, DinvCheckStatus status, DinvPreflight *result) {
    for (guint i = 0; i < texts->len; i++) {
        dinv_preflight_add(result, "certificates", status, g_strdup(texts->pdata[i]), NULL);
    }
}

static gboolean check_certificates(const DinvConfig *config, DinvPreflight *result) {
    g_auto(GStrv) names = dinv_tls_list_names((const char *const *)config->tls_names);
    g_autoptr(GPtrArray) notes = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GError) error = NULL;

    if (!dinv_tls_store_check(config->tls_directory, (const char *const *)names, notes, warnings,
                              &error)) {
        gboolean io = g_error_matches(error, DINV_TLS_ERROR, DINV_TLS_ERROR_IO);

        dinv_preflight_add(result, "certificates", DINV_CHECK_FAILED,
                           g_strdup_printf("DINV_TLS_CERTDIR: %s", error->message),
                           io ? g_strdup_printf("give the container a volume there (docker run -v "
                                                "NAME:%s), writable for the user it runs as",
                                                config->tls_directory)
                              : NULL);
        return FALSE;
    }
    add_texts(notes, DINV_CHECK_OK, result);
    add_texts(warnings, DINV_CHECK_WARNING, result);
    return TRUE;
}

void dinv_preflight_check_endpoints(const DinvConfig *config, DinvPreflight *result) {
    if (config->plaintext.port != 0 &&
        check_port("DINV_PLAINTEXT_PORT", &config->plaintext, result)) {
        g_autofree char *address = dinv_tcp_address_to_string(&config->plaintext);

        dinv_preflight_add(result, "tcp", DINV_CHECK_OK,
                           g_strdup_printf("%s, without TLS: to everyone who reaches it", address),
                           NULL);
    }
    if (config->tls_directory != NULL && check_port("DINV_TLS_PORT", &config->tls, result) &&
        check_certificates(config, result)) {
        g_autofree char *address = dinv_tcp_address_to_string(&config->tls);

        dinv_preflight_add(result, "tcp", DINV_CHECK_OK,
                           g_strdup_printf("%s, with TLS: to clients with a certificate of \"%s\"",
                                           address, config->tls_directory),
                           NULL);
    }
}
