/* SPDX-License-Identifier: MIT */
/* Takes the text of a --host apart, and finds the number behind a host's name. */
#include "launcher/engine/host-address.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#define USUAL_SOCKET  "/var/run/docker.sock"
#define PORT          "2375"
#define PORT_WITH_TLS "2376"

static gboolean refuse(GError **error, const char *text, const char *problem) {
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, "\"%s\" %s", text, problem);
    return FALSE;
}

/* What stands behind "unix://". */
static gboolean parse_path(const char *text, const char *path, DinvEngineHostAddress *address,
                           GError **error) {
    const gsize longest = sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1;
    g_autofree char *absolute =
        g_canonicalize_filename(path[0] != '\0' ? path : USUAL_SOCKET, NULL);
    if (strlen(absolute) > longest) {
        return refuse(error, text, "is longer than the path of a socket can be (107 bytes)");
    }
    /* Two slashes at the front would be kept. */
    address->path = g_strdup(absolute + (g_str_has_prefix(absolute, "//") ? 1 : 0));
    return TRUE;
}

/* The number of a host, in brackets if it is of IPv6; NULL if there is none. Transfer full. */
static char *find_number(const char *host) {
    char number[NI_MAXHOST];
    struct addrinfo *found = NULL;
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    if (host[0] == '\0' || strcmp(host, "localhost") == 0) {
        return g_strdup("127.0.0.1");
    }
    if (getaddrinfo(host, NULL, &hints, &found) != 0) {
        return NULL;
    }
    gboolean is_ipv6 = found->ai_family == AF_INET6;
    int result = getnameinfo(found->ai_addr, found->ai_addrlen, number, sizeof number, NULL, 0,
                             NI_NUMERICHOST);
    freeaddrinfo(found);
    return result != 0 ? NULL : g_strdup_printf(is_ipv6 ? "[%s]" : "%s", number);
}

static gboolean is_numeric(const char *host) {
    struct in_addr ipv4;
    return host[0] == '[' || inet_pton(AF_INET, host, &ipv4) == 1;
}

/* What stands behind "tcp://". */
static gboolean parse_tcp(const char *text, const char *rest, gboolean tls,
                          DinvEngineHostAddress *address, GError **error) {
    g_autofree char *place = g_strdup(rest);
    if (g_str_has_suffix(place, "/")) {
        place[strlen(place) - 1] = '\0';
    }
    if (strchr(place, '/') != NULL) {
        return refuse(error, text, "has a path behind the port, which dinv does not serve");
    }
    char *bracket = strrchr(place, ']');
    char *colon = strchr(bracket != NULL ? bracket : place, ':');
    const char *port = colon != NULL && colon[1] != '\0' ? colon + 1 : tls ? PORT_WITH_TLS : PORT;
    g_autofree char *host =
        g_strndup(place, colon != NULL ? (gsize)(colon - place) : strlen(place));
    g_autofree char *number = is_numeric(host) ? g_strdup(host) : find_number(host);
    if (number == NULL) {
        return refuse(error, text, "names a host that has no address here");
    }
    g_autofree char *whole = g_strconcat(number, ":", port, NULL);
    if (!dinv_tcp_address_parse(whole, &address->tcp)) {
        return refuse(error, text,
                      "is not an address, such as tcp://127.0.0.1:2375 or tcp://[::1]:2375");
    }
    return TRUE;
}

gboolean dinv_engine_host_address_parse(const char *text, gboolean tls,
                                        DinvEngineHostAddress *address, GError **error) {
    const char *scheme_end = strstr(text, "://");
    *address = (DinvEngineHostAddress){0};
    if (text[0] == '\0') {
        return parse_path(text, "", address, error);
    }
    if (scheme_end == NULL) {
        return parse_tcp(text, text, tls, address, error);
    }
    if (g_str_has_prefix(text, "unix://")) {
        return parse_path(text, scheme_end + 3, address, error);
    }
    if (g_str_has_prefix(text, "tcp://")) {
        return parse_tcp(text, scheme_end + 3, tls, address, error);
    }
    return refuse(error, text,
                  g_str_has_prefix(text, "fd://")
                      ? "asks for a socket of systemd, which there is none of; name unix://PATH or "
                        "tcp://ADDRESS:PORT"
                      : "is neither unix://PATH nor tcp://ADDRESS:PORT");
}

void dinv_engine_host_address_clear(DinvEngineHostAddress *address) {
    g_clear_pointer(&address->path, g_free);
}
