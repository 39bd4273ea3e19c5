/* SPDX-License-Identifier: MIT */
/*
 * A guest's network without a process: it takes the place of launcher/network/usernet.c in a test
 * program. What was asked for is noted, the answers come from the loop. Included once per test
 * program.
 */
#pragma once

#include <errno.h>
#include <string.h>

#include "launcher/network/usernet.h"

struct DinvNetworkUsernet {
    DinvNetworkUsernetLost lost;
    gpointer user;
    GString *forwards; /* "add tcp 0.0.0.0:80-80", a line each */
};

static DinvNetworkUsernet *fake_usernet; /* the one there is, if any */
static gboolean fake_refuses_usernet;    /* dinv_network_usernet_new() fails */
static int fake_refuses_forward;         /* with this errno, if not 0, and so are those below */
static int fake_refuses_ipv6;

GQuark dinv_network_usernet_error_quark(void) {
    return g_quark_from_static_string("fake-usernet");
}

DinvNetworkUsernet *dinv_network_usernet_new(const DinvNetworkUsernetPlan *plan,
                                             DinvNetworkUsernetLost lost, gpointer user,
                                             GError **error) {
    (void)plan;
    g_assert_null(fake_usernet);
    if (fake_refuses_usernet) {
        g_set_error_literal(error, DINV_NETWORK_USERNET_ERROR, ENOENT, "no network today");
        return NULL;
    }
    fake_usernet = g_new0(DinvNetworkUsernet, 1);
    fake_usernet->lost = lost;
    fake_usernet->user = user;
    fake_usernet->forwards = g_string_new(NULL);
    return fake_usernet;
}

void dinv_network_usernet_free(DinvNetworkUsernet *usernet) {
    if (usernet != NULL) {
        g_assert_true(usernet == fake_usernet);
        g_string_free(usernet->forwards, TRUE);
        g_clear_pointer(&fake_usernet, g_free);
    }
}

int dinv_network_usernet_get_machine_fd(const DinvNetworkUsernet *usernet) {
    (void)usernet;
    return 0;
}

GPid dinv_network_usernet_get_pid(const DinvNetworkUsernet *usernet) {
    (void)usernet;
    return 4343;
}

const char *dinv_network_usernet_get_features(const DinvNetworkUsernet *usernet) {
    (void)usernet;
    return "seccomp";
}

static inline void fake_answer(const DinvUsernetEndpoint *endpoint, GTask *task) {
    int number = fake_refuses_forward;
    if (number == 0 && endpoint->ipv6) {
        number = fake_refuses_ipv6;
    }
    if (number != 0) {
        g_task_return_new_error(task, DINV_NETWORK_USERNET_ERROR, number, "it is taken");
    } else {
        g_task_return_boolean(task, TRUE);
    }
}

static inline void fake_note(DinvNetworkUsernet *usernet, const char *what,
                             const DinvUsernetEndpoint *endpoint, guint16 guest_port) {
    char address[DINV_USERNET_ADDRESS_SIZE];
    dinv_usernet_address_format(endpoint, address);
    g_string_append_printf(usernet->forwards, "%s %s %s:%u", what, endpoint->udp ? "udp" : "tcp",
                           address, endpoint->port);
    if (guest_port != 0) {
        g_string_append_printf(usernet->forwards, "-%u", guest_port);
    }
    g_string_append_c(usernet->forwards, '\n');
}

void dinv_network_usernet_add(DinvNetworkUsernet *usernet, const DinvUsernetEndpoint *endpoint,
                              guint16 guest_port, GAsyncReadyCallback callback, gpointer user) {
    g_autoptr(GTask) task = g_task_new(NULL, NULL, callback, user);
    fake_note(usernet, "add", endpoint, guest_port);
    fake_answer(endpoint, task);
}

void dinv_network_usernet_remove(DinvNetworkUsernet *usernet, const DinvUsernetEndpoint *endpoint,
                                 GAsyncReadyCallback callback, gpointer user) {
    g_autoptr(GTask) task = g_task_new(NULL, NULL, callback, user);
    fake_note(usernet, "remove", endpoint, 0);
    fake_answer(endpoint, task);
}

gboolean dinv_network_usernet_finish(GAsyncResult *result, GError **error) {
    return g_task_propagate_boolean(G_TASK(result), error);
}

/* One forward, whatever was asked for. */
void dinv_network_usernet_list(DinvNetworkUsernet *usernet, GAsyncReadyCallback callback,
                               gpointer user) {
    g_autoptr(GTask) task = g_task_new(NULL, NULL, callback, user);
    GArray *list = g_array_new(FALSE, FALSE, sizeof(DinvUsernetReply));
    const DinvUsernetReply one = {.type = DINV_USERNET_FORWARD,
                                  .endpoint = {.address = {127, 0, 0, 1}, .port = 8080},
                                  .guest_port = 80,
                                  .connections = 3,
                                  .open = 1,
                                  .to_guest = 5,
                                  .from_guest = 7};
    (void)usernet;
    g_array_append_val(list, one);
    g_task_return_pointer(task, list, (GDestroyNotify)g_array_unref);
}

GArray *dinv_network_usernet_list_finish(GAsyncResult *result, GError **error) {
    return g_task_propagate_pointer(G_TASK(result), error);
}
