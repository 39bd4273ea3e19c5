/* SPDX-License-Identifier: MIT */
/* The TCP ports where the engine is to answer. */
#include <unistd.h>

#include "launcher/preflight-checks.h"

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

void dinv_preflight_check_endpoints(const DinvConfig *config, DinvPreflight *result) {
    if (config->plaintext.port != 0 &&
        check_port("DINV_PLAINTEXT_PORT", &config->plaintext, result)) {
        g_autofree char *address = dinv_tcp_address_to_string(&config->plaintext);

        dinv_preflight_add(result, "tcp", DINV_CHECK_OK,
                           g_strdup_printf("%s, without TLS: to everyone who reaches it", address),
                           NULL);
    }
}
