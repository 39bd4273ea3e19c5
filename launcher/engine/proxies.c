/* SPDX-License-Identifier: MIT */
/* Looks the variables up, and finds the host in the URL of a proxy. */
#include "launcher/engine/proxies.h"

#include <gio/gio.h>
#include <string.h>

#include "launcher/base/text.h"

/* Longer ones are a mistake, and the message to the guest has its limits. */
#define VALUE_MAX_BYTES (4u << 10)

static const char *const proxy_names[] = {"HTTP_PROXY",  "http_proxy", "HTTPS_PROXY",
                                          "https_proxy", "ALL_PROXY",  "all_proxy"};
static const char *const exception_names[] = {"NO_PROXY", "no_proxy"};

/* A password may be in it, so the message does not show the value. */
static gboolean find_one(char *const *environment, const char *name, GStrvBuilder *found,
                         GError **error) {
    const char *value = g_environ_getenv((char **)environment, name);
    if (value == NULL || value[0] == '\0') {
        return TRUE;
    }
    if (!dinv_text_is_printable(value, "") || strlen(value) > VALUE_MAX_BYTES) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                    "%s: the value is not UTF-8, has control characters in it, or is longer than "
                    "%u KiB",
                    name, VALUE_MAX_BYTES >> 10);
        return FALSE;
    }
    g_autofree char *entry = g_strconcat(name, "=", value, NULL);
    g_strv_builder_add(found, entry);
    return TRUE;
}

char **dinv_engine_proxies_find(char *const *environment, GError **error) {
    g_autoptr(GStrvBuilder) found = g_strv_builder_new();
    for (guint i = 0; i < G_N_ELEMENTS(proxy_names); i++) {
        if (!find_one(environment, proxy_names[i], found, error)) {
            return NULL;
        }
    }
    for (guint i = 0; i < G_N_ELEMENTS(exception_names); i++) {
        if (!find_one(environment, exception_names[i], found, error)) {
            return NULL;
        }
    }
    return g_strv_builder_end(found);
}

static gboolean is_loopback(const char *host, gsize length) {
    g_autofree char *text = g_ascii_strdown(host, (gssize)length);
    if (strcmp(text, "localhost") == 0 || g_str_has_suffix(text, ".localhost")) {
        return TRUE;
    }
    if (text[0] == '[' && g_str_has_suffix(text, "]")) {
        text[length - 1] = '\0';
        memmove(text, text + 1, length - 1);
    }
    g_autoptr(GInetAddress) address = g_inet_address_new_from_string(text);
    return address != NULL && g_inet_address_get_is_loopback(address);
}

char *dinv_engine_proxies_translate(const char *proxy, const char *gateway) {
    const char *scheme = strstr(proxy, "://");
    const char *host = scheme != NULL ? scheme + strlen("://") : proxy;
    const char *end = host + strcspn(host, "/?#");
    for (const char *p = host; p < end; p++) { /* a password may have an @ in it: the last counts */
        if (*p == '@') {
            host = p + 1;
        }
    }
    const char *bracket = *host == '[' ? memchr(host, ']', (gsize)(end - host)) : NULL;
    const char *colon = bracket != NULL ? bracket + 1 : memchr(host, ':', (gsize)(end - host));
    const char *behind = colon != NULL ? colon : end;
    if (!is_loopback(host, (gsize)(behind - host))) {
        return g_strdup(proxy);
    }
    return g_strdup_printf("%.*s%s%s", (int)(host - proxy), proxy, gateway, behind);
}
