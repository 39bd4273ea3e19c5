/* SPDX-License-Identifier: MIT */
/*
 * What a guest may ask of the table of forwarded ports, in any order and while answers are under
 * way. A line of the input is one step: `p` or `u` and a request to publish or unpublish, `a` to
 * let its answers come, `r` to change whether it refuses. dinv-usernet has a table of its
 * own here, as the real one has: both must agree in the end.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "launcher/base/log.h"
#include "launcher/network/publisher.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct DinvNetworkUsernet {
    GHashTable *rules; /* "tcp 0.0.0.0:80", as a set */
    int refuses;       /* the errno */
};

static void require(gboolean condition) {
    if (!condition) {
        abort();
    }
}

static char *rule_of(const DinvUsernetEndpoint *endpoint) {
    char address[DINV_USERNET_ADDRESS_SIZE];
    dinv_usernet_address_format(endpoint, address);
    return g_strdup_printf("%s %s:%u", endpoint->udp ? "udp" : "tcp", address, endpoint->port);
}

GQuark dinv_network_usernet_error_quark(void) {
    return g_quark_from_static_string("fuzz-usernet");
}

static void finish(GAsyncReadyCallback callback, gpointer user, int number) {
    GTask *task = g_task_new(NULL, NULL, callback, user);
    if (number == 0) {
        g_task_return_boolean(task, TRUE);
    } else {
        g_task_return_new_error(task, DINV_NETWORK_USERNET_ERROR, number, "refused");
    }
    g_object_unref(task);
}

void dinv_network_usernet_add(DinvNetworkUsernet *usernet, const DinvUsernetEndpoint *endpoint,
                              guint16 guest_port, GAsyncReadyCallback callback, gpointer user) {
    require(endpoint->port != 0 && guest_port != 0);
    if (usernet->refuses == 0) { /* one that is there already would be refused */
        require(g_hash_table_add(usernet->rules, rule_of(endpoint)));
    }
    finish(callback, user, usernet->refuses);
}

void dinv_network_usernet_remove(DinvNetworkUsernet *usernet, const DinvUsernetEndpoint *endpoint,
                                 GAsyncReadyCallback callback, gpointer user) {
    g_autofree char *rule = rule_of(endpoint);
    require(g_hash_table_remove(usernet->rules, rule));
    finish(callback, user, 0);
}

gboolean dinv_network_usernet_finish(GAsyncResult *result, GError **error) {
    return g_task_propagate_boolean(G_TASK(result), error);
}

/* A declared port that cannot be is the end of a machine, not of its table. */
static void on_failed(const char *text, gpointer user) {
    (void)user;
    require(text[0] != '\0');
}

static void on_done(const char *error, gpointer user) {
    guint *answers = user;
    require(error == NULL || error[0] != '\0');
    (*answers)++;
}

static void settle(void) {
    while (g_main_context_iteration(NULL, FALSE)) {
    }
}

/* Every forward is a rule, and there are no others. */
static void compare(const DinvNetworkPublisher *publisher, const DinvNetworkUsernet *usernet) {
    struct json_object *ports = dinv_network_publisher_describe(publisher);
    for (size_t i = 0; i < json_object_array_length(ports); i++) {
        struct json_object *port = json_object_array_get_idx(ports, i);
        g_autofree char *rule = g_strdup_printf(
            "%s %s:%d", json_object_get_string(json_object_object_get(port, "protocol")),
            json_object_get_string(json_object_object_get(port, "address")),
            json_object_get_int(json_object_object_get(port, "host_port")));
        require(g_hash_table_contains(usernet->rules, rule));
    }
    require(json_object_array_length(ports) == g_hash_table_size(usernet->rules));
    json_object_put(ports);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const DinvPortForward declared[] = {{DINV_PROTOCOL_TCP, 8080, 8080},
                                               {DINV_PROTOCOL_TCP, 8443, 443},
                                               {DINV_PROTOCOL_UDP, 5353, 53}};
    DinvConfig config = {.ports = g_array_new(FALSE, FALSE, sizeof(DinvPortForward))};
    DinvNetworkUsernet usernet = {.rules =
                                      g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL)};
    g_autofree char *text = g_strndup((const char *)data, size);
    g_auto(GStrv) lines = g_strsplit(text, "\n", 256);
    guint asked = 0;
    guint answers = 0;
    dinv_log_start(DINV_LOG_ERROR);
    g_array_append_vals(config.ports, declared, G_N_ELEMENTS(declared));
    DinvNetworkPublisher *publisher =
        dinv_network_publisher_new(&usernet, &config, on_failed, NULL);
    for (guint i = 0; lines[i] != NULL; i++) {
        struct json_object *request = json_tokener_parse(lines[i][0] != '\0' ? lines[i] + 1 : "");
        if (lines[i][0] == 'a') {
            settle();
        } else if (lines[i][0] == 'r') {
            usernet.refuses = usernet.refuses == 0            ? EADDRINUSE
                              : usernet.refuses == EADDRINUSE ? EADDRNOTAVAIL
                                                              : 0;
        } else if (json_object_is_type(request, json_type_object)) {
            asked++;
            (lines[i][0] == 'u'
                 ? dinv_network_publisher_unpublish
                 : dinv_network_publisher_publish)(publisher, request, on_done, &answers);
        }
        json_object_put(request);
    }
    settle();
    require(asked == answers);
    compare(publisher, &usernet);
    dinv_network_publisher_free(publisher);
    g_hash_table_unref(usernet.rules);
    g_array_unref(config.ports);
    return 0;
}
