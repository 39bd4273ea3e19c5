/* SPDX-License-Identifier: MIT */
/* The verb `ports`: what is forwarded, and why. Names of containers come from the engine. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "launcher/base/json-text.h"
#include "launcher/base/log.h"
#include "launcher/cli/cli.h"
#include "launcher/cli/engine-client.h"
#include "launcher/cli/launcher-client.h"
#include "launcher/cli/output.h"
#include "launcher/state/launcher-socket.h"

#define REPLY_MAX_BYTES ((gsize)16 << 20)
#define JSON_DEPTH      32

/* --- The names of containers, by their addresses --- */

/* The body of the engine's answer; HTTP/1.0, so that it ends with the connection. NULL if there is
 * none. */
static struct json_object *list_containers(const char *path) {
    static const char request[] = "GET /containers/json HTTP/1.0\r\nHost: docker\r\n\r\n";
    g_autoptr(GString) reply = g_string_new(NULL);
    int fd = dinv_cli_engine_connect(path);
    if (fd < 0) {
        return NULL;
    }
    if (send(fd, request, sizeof request - 1, MSG_NOSIGNAL) == (ssize_t)sizeof request - 1) {
        char chunk[65536];
        ssize_t got = 0;
        while ((got = read(fd, chunk, sizeof chunk)) > 0 && reply->len < REPLY_MAX_BYTES) {
            g_string_append_len(reply, chunk, got);
        }
    }
    (void)close(fd);
    const char *body = strstr(reply->str, "\r\n\r\n");
    if (body == NULL) {
        return NULL;
    }
    gsize head = (gsize)(body + 4 - reply->str);
    return dinv_json_text_parse(body + 4, reply->len - head, JSON_DEPTH);
}

static void add_container(GHashTable *names, struct json_object *container) {
    const char *name =
        json_object_get_string(json_object_array_get_idx(dinv_cli_json_get(container, "Names"), 0));
    struct json_object *networks =
        dinv_cli_json_get(dinv_cli_json_get(container, "NetworkSettings"), "Networks");
    if (name == NULL || !json_object_is_type(networks, json_type_object)) {
        return;
    }
    json_object_object_foreach(networks, network, settings) {
        (void)network;
        static const char *const keys[] = {"IPAddress", "GlobalIPv6Address"};
        for (guint i = 0; i < G_N_ELEMENTS(keys); i++) {
            const char *address = dinv_cli_json_text(settings, keys[i]);
            if (address[0] != '\0') {
                g_hash_table_insert(names, g_strdup(address),
                                    dinv_log_printable_line(name[0] == '/' ? name + 1 : name));
            }
        }
    }
}

/* IP address -> name. Empty when the engine does not answer: the addresses are shown then. */
static GHashTable *container_names(const char *socket_path) {
    GHashTable *names = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    struct json_object *containers = list_containers(socket_path);
    if (json_object_is_type(containers, json_type_array)) {
        for (gsize i = 0; i < json_object_array_length(containers); i++) {
            struct json_object *container = json_object_array_get_idx(containers, i);
            if (json_object_is_type(dinv_cli_json_get(container, "Names"), json_type_array)) {
                add_container(names, container);
            }
        }
    }
    json_object_put(containers);
    return names;
}

/* --- What is shown --- */

/* The name of the container at "ADDRESS:PORT"; NULL if there is none, borrowed. */
static const char *find_name(GHashTable *names, const char *address) {
    const char *colon = strrchr(address, ':');
    g_autofree char *ip = g_strndup(address, colon != NULL ? (gsize)(colon - address) : 0);
    return g_hash_table_lookup(names, ip);
}

static char *describe_reason(struct json_object *port, GHashTable *names) {
    struct json_object *containers = dinv_cli_json_get(port, "containers");
    GString *reason = g_string_new(
        json_object_get_boolean(dinv_cli_json_get(port, "declared")) ? "declared" : "");
    for (gsize i = 0; i < json_object_array_length(containers); i++) {
        const char *address = json_object_get_string(json_object_array_get_idx(containers, i));
        const char *name = find_name(names, address);
        g_string_append_printf(reason, "%spublished by %s", reason->len > 0 ? ", " : "",
                               name != NULL ? name : address);
        if (name != NULL) {
            g_string_append_printf(reason, " (%s)", address);
        }
    }
    return g_string_free(reason, FALSE);
}

static void print_table(struct json_object *ports, GHashTable *names) {
    printf("%-28s %-8s %s\n", "OUTSIDE", "INSIDE", "WHY");
    for (gsize i = 0; i < json_object_array_length(ports); i++) {
        struct json_object *port = json_object_array_get_idx(ports, i);
        g_autofree char *reason = describe_reason(port, names);
        const char *address = dinv_cli_json_text(port, "address");
        gboolean is_ipv6 = strchr(address, ':') != NULL;
        g_autofree char *outside = g_strdup_printf(
            "%s%s%s:%s/%s", is_ipv6 ? "[" : "", address, is_ipv6 ? "]" : "",
            dinv_cli_json_text(port, "host_port"), dinv_cli_json_text(port, "protocol"));
        printf("%-28s %-8s %s\n", outside, dinv_cli_json_text(port, "guest_port"), reason);
    }
}

/* Gives each port the names of its containers, null where one is not known. */
static void add_names(struct json_object *ports, GHashTable *names) {
    for (gsize i = 0; i < json_object_array_length(ports); i++) {
        struct json_object *port = json_object_array_get_idx(ports, i);
        struct json_object *containers = dinv_cli_json_get(port, "containers");
        struct json_object *list = json_object_new_array();
        for (gsize j = 0; j < json_object_array_length(containers); j++) {
            const char *address = json_object_get_string(json_object_array_get_idx(containers, j));
            const char *name = find_name(names, address);
            json_object_array_add(list, name != NULL ? json_object_new_string(name) : NULL);
        }
        json_object_object_add(port, "names", list);
    }
}

/* Prints the ports, and the forwards with their counters; FALSE after a complaint. */
static gboolean print_json(const DinvConfig *config, struct json_object *ports, GHashTable *names) {
    struct json_object *answer = dinv_cli_launcher_ask(config, DINV_STATE_LAUNCHER_VERB_FORWARDS);
    if (answer == NULL) {
        return FALSE;
    }
    add_names(ports, names);
    struct json_object *all = json_object_new_object();
    json_object_object_add(all, "ports", json_object_get(ports));
    json_object_object_add(all, "forwards", json_object_get(dinv_cli_json_get(answer, "forwards")));
    puts(json_object_to_json_string_ext(all, JSON_C_TO_STRING_PRETTY));
    json_object_put(all);
    json_object_put(answer);
    return TRUE;
}

int dinv_cli_ports(const DinvConfig *config, int argc, char **argv) {
    gboolean as_json = FALSE;
    if (!dinv_cli_parse_json_option("ports", argc, argv, &as_json)) {
        return DINV_EXIT_FAILED;
    }
    struct json_object *status = dinv_cli_launcher_ask(config, DINV_STATE_LAUNCHER_VERB_STATUS);
    if (status == NULL) {
        return EXIT_FAILURE;
    }
    struct json_object *ports = dinv_cli_json_get(status, "ports");
    g_autoptr(GHashTable) names = container_names(dinv_cli_json_text(status, "socket"));
    gboolean shown = TRUE;
    if (as_json) {
        shown = print_json(config, ports, names);
    } else {
        print_table(ports, names);
    }
    json_object_put(status);
    return shown && dinv_cli_flush("ports") ? EXIT_SUCCESS : EXIT_FAILURE;
}
