/* SPDX-License-Identifier: MIT */
/* The verb `ports`: what is forwarded, and why. The names of containers are the engine's to tell.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "launcher/cli.h"
#include "launcher/log.h"

#define ENGINE_TIMEOUT_S 5
#define REPLY_MAX_BYTES  ((gsize)16 << 20)

static struct json_object *get(struct json_object *object, const char *key) {
    struct json_object *value = NULL;
    return json_object_is_type(object, json_type_object) &&
                   json_object_object_get_ex(object, key, &value)
               ? value
               : NULL;
}

static const char *text_of(struct json_object *object, const char *key) {
    const char *text = json_object_get_string(get(object, key));
    return text != NULL ? text : "-";
}

/* --- The names of containers, by their addresses --- */

static int connect_engine(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval limit = {.tv_sec = ENGINE_TIMEOUT_S};
    if (g_strlcpy(address.sun_path, path, sizeof address.sun_path) >= sizeof address.sun_path) {
        return -1;
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) < 0 ||
                    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) < 0 ||
                    connect(fd, (struct sockaddr *)&address, sizeof address) < 0)) {
        (void)close(fd);
        fd = -1;
    }
    return fd;
}

/* The body of the engine's answer; HTTP/1.0, so that it ends with the connection. NULL if there is
 * none. */
static struct json_object *list_containers(const char *path) {
    static const char request[] = "GET /containers/json HTTP/1.0\r\nHost: docker\r\n\r\n";
    g_autoptr(GString) reply = g_string_new(NULL);
    int fd = connect_engine(path);
    if (fd < 0) {
        return NULL;
    }
    if (send(fd, request, sizeof request - 1, MSG_NOSIGNAL) == (ssize_t)sizeof request - 1) {
        char chunk[65536];
        ssize_t got;
        while ((got = read(fd, chunk, sizeof chunk)) > 0 && reply->len < REPLY_MAX_BYTES) {
            g_string_append_len(reply, chunk, got);
        }
    }
    (void)close(fd);
    const char *body = strstr(reply->str, "\r\n\r\n");
    return body != NULL ? json_tokener_parse(body + 4) : NULL;
}

static void add_container(GHashTable *names, struct json_object *container) {
    const char *name =
        json_object_get_string(json_object_array_get_idx(get(container, "Names"), 0));
    struct json_object *networks = get(get(container, "NetworkSettings"), "Networks");
    if (name == NULL || !json_object_is_type(networks, json_type_object)) {
        return;
    }
    json_object_object_foreach(networks, network, settings) {
        (void)network;
        g_hash_table_insert(names, g_strdup(text_of(settings, "IPAddress")),
                            dinv_log_printable_line(name[0] == '/' ? name + 1 : name));
    }
}

/* IP address -> name. Empty when the engine does not answer: the addresses are shown then. */
static GHashTable *container_names(const char *socket_path) {
    GHashTable *names = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    struct json_object *containers = list_containers(socket_path);
    if (json_object_is_type(containers, json_type_array)) {
        for (gsize i = 0; i < json_object_array_length(containers); i++) {
            struct json_object *container = json_object_array_get_idx(containers, i);
            if (json_object_is_type(get(container, "Names"), json_type_array)) {
                add_container(names, container);
            }
        }
    }
    json_object_put(containers);
    return names;
}

/* --- What is shown --- */

static char *describe_reason(struct json_object *port, GHashTable *names) {
    struct json_object *containers = get(port, "containers");
    GString *reason =
        g_string_new(json_object_get_boolean(get(port, "declared")) ? "declared" : "");
    for (gsize i = 0; i < json_object_array_length(containers); i++) {
        const char *address = json_object_get_string(json_object_array_get_idx(containers, i));
        const char *colon = strrchr(address, ':');
        g_autofree char *ip = g_strndup(address, colon != NULL ? (gsize)(colon - address) : 0);
        const char *name = g_hash_table_lookup(names, ip);
        g_string_append_printf(reason, "%spublished by %s", reason->len > 0 ? ", " : "",
                               name != NULL ? name : address);
        if (name != NULL) {
            g_string_append_printf(reason, " (%s)", address);
        }
    }
    return g_string_free(reason, FALSE);
}

static void print_ports(struct json_object *ports, GHashTable *names) {
    printf("%-28s %-8s %s\n", "OUTSIDE", "INSIDE", "WHY");
    for (gsize i = 0; i < json_object_array_length(ports); i++) {
        struct json_object *port = json_object_array_get_idx(ports, i);
        g_autofree char *reason = describe_reason(port, names);
        g_autofree char *outside =
            g_strdup_printf("%s:%s/%s", text_of(port, "address"), text_of(port, "host_port"),
                            text_of(port, "protocol"));
        printf("%-28s %-8s %s\n", outside, text_of(port, "guest_port"), reason);
    }
}

/* With the rules of QEMU. */
static gboolean print_json(const DinvConfig *config, struct json_object *ports) {
    struct json_object *answer = dinv_cli_ask(config, "forwards");
    if (answer == NULL) {
        return FALSE;
    }
    struct json_object *all = json_object_new_object();
    struct json_object *rules = json_object_new_array();
    g_auto(GStrv) lines = g_strsplit(text_of(answer, "forwards"), "\n", -1);
    for (guint i = 0; lines[i] != NULL; i++) {
        if (lines[i][0] != '\0') {
            json_object_array_add(rules, json_object_new_string(lines[i]));
        }
    }
    json_object_object_add(all, "ports", json_object_get(ports));
    json_object_object_add(all, "qemu", rules);
    puts(json_object_to_json_string_ext(all, JSON_C_TO_STRING_PRETTY));
    json_object_put(all);
    json_object_put(answer);
    return TRUE;
}

int dinv_cli_ports(const DinvConfig *config, int argc, char **argv) {
    gboolean as_json = argc == 1 && strcmp(argv[0], "--json") == 0;
    if (argc > 0 && !as_json) {
        dinv_cli_complain("ports: \"%s\" is not known; the only option is --json", argv[0]);
        return DINV_EXIT_FAILED;
    }
    struct json_object *status = dinv_cli_ask(config, "status");
    if (status == NULL) {
        return EXIT_FAILURE;
    }
    struct json_object *ports = get(status, "ports");
    gboolean shown = TRUE;
    if (as_json) {
        shown = print_json(config, ports);
    } else {
        g_autoptr(GHashTable) names = container_names(text_of(status, "socket"));
        print_ports(ports, names);
    }
    json_object_put(status);
    return shown && dinv_cli_flush("ports") ? EXIT_SUCCESS : EXIT_FAILURE;
}
