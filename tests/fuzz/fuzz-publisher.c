/* SPDX-License-Identifier: MIT */
/*
 * What a guest may ask of the table of forwarded ports, in any order and while answers are under
 * way. A line of the input is one step: `p` or `u` and a request to publish or unpublish, `a` to
 * let the machine's answers come, `r` to change whether it refuses. The machine here has a table of
 * its own, as QEMU has: both must agree in the end.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "launcher/base/log.h"
#include "launcher/network/publisher.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct DinvMachine {
    GHashTable *rules; /* "tcp 0.0.0.0:80", as a set */
    gboolean refuses;
};

static void require(gboolean condition) {
    if (!condition) {
        abort();
    }
}

static char *rule_of(const DinvPortForward *forward, const char *address) {
    return g_strdup_printf("%s %s:%u", forward->protocol == DINV_PROTOCOL_UDP ? "udp" : "tcp",
                           address, forward->host_port);
}

static void finish(GAsyncReadyCallback callback, gpointer user, gboolean well) {
    GTask *task = g_task_new(NULL, NULL, callback, user);
    if (well) {
        g_task_return_boolean(task, TRUE);
    } else {
        g_task_return_new_error(task, G_IO_ERROR, G_IO_ERROR_ADDRESS_IN_USE, "refused");
    }
    g_object_unref(task);
}

void dinv_machine_add_forward(DinvMachine *machine, const DinvPortForward *forward,
                              const char *address, GAsyncReadyCallback callback, gpointer user) {
    gboolean well = !machine->refuses;
    require(forward->host_port != 0 && forward->guest_port != 0);
    if (well) { /* a rule that is there already would be refused by QEMU, too */
        require(g_hash_table_add(machine->rules, rule_of(forward, address)));
    }
    finish(callback, user, well);
}

void dinv_machine_remove_forward(DinvMachine *machine, const DinvPortForward *forward,
                                 const char *address, GAsyncReadyCallback callback, gpointer user) {
    g_autofree char *rule = rule_of(forward, address);
    require(g_hash_table_remove(machine->rules, rule));
    finish(callback, user, TRUE);
}

gboolean dinv_machine_forward_finish(DinvMachine *machine, GAsyncResult *result, GError **error) {
    (void)machine;
    return g_task_propagate_boolean(G_TASK(result), error);
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

/* Every forward that is not declared is a rule, and there are no others. */
static void compare(const DinvNetworkPublisher *publisher, const DinvMachine *machine) {
    struct json_object *ports = dinv_network_publisher_describe(publisher);
    guint rules = 0;
    for (size_t i = 0; i < json_object_array_length(ports); i++) {
        struct json_object *port = json_object_array_get_idx(ports, i);
        if (json_object_get_boolean(json_object_object_get(port, "declared"))) {
            continue;
        }
        g_autofree char *rule = g_strdup_printf(
            "%s %s:%d", json_object_get_string(json_object_object_get(port, "protocol")),
            json_object_get_string(json_object_object_get(port, "address")),
            json_object_get_int(json_object_object_get(port, "host_port")));
        require(g_hash_table_contains(machine->rules, rule));
        rules++;
    }
    require(rules == g_hash_table_size(machine->rules));
    json_object_put(ports);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const DinvPortForward declared[] = {{DINV_PROTOCOL_TCP, 8080, 8080},
                                               {DINV_PROTOCOL_TCP, 8443, 443},
                                               {DINV_PROTOCOL_UDP, 5353, 53}};
    DinvConfig config = {.ports = g_array_new(FALSE, FALSE, sizeof(DinvPortForward))};
    DinvMachine machine = {.rules = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL)};
    g_autofree char *text = g_strndup((const char *)data, size);
    g_auto(GStrv) lines = g_strsplit(text, "\n", 256);
    guint asked = 0;
    guint answers = 0;
    dinv_log_start(DINV_LOG_ERROR);
    g_array_append_vals(config.ports, declared, G_N_ELEMENTS(declared));
    DinvNetworkPublisher *publisher = dinv_network_publisher_new(&machine, &config);
    for (guint i = 0; lines[i] != NULL; i++) {
        struct json_object *request = json_tokener_parse(lines[i][0] != '\0' ? lines[i] + 1 : "");
        if (lines[i][0] == 'a') {
            settle();
        } else if (lines[i][0] == 'r') {
            machine.refuses = !machine.refuses;
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
    compare(publisher, &machine);
    dinv_network_publisher_free(publisher);
    g_hash_table_unref(machine.rules);
    g_array_unref(config.ports);
    return 0;
}
