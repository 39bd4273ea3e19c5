/* SPDX-License-Identifier: MIT */
/*
 * What a hostile QEMU may send to the QMP client. The first byte of the input chooses how the rest
 * is cut into reads and whether a callback frees the client; the rest is what the peer says.
 */
#include <glib.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "qmp/client.h"

#define CALLS     3u
#define INPUT_MAX 32768u /* fits a socket buffer, so that writing never waits */

typedef struct {
    DinvQmpClient *client;
    guint replies;
    guint disconnects;
    guint free_after; /* callbacks until one frees the client; 0: none does */
} Peer;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void count(Peer *peer) {
    if (peer->free_after > 0 && --peer->free_after == 0) {
        dinv_qmp_client_free(g_steal_pointer(&peer->client));
    }
}

static void on_reply(struct json_object *result, const GError *error, gpointer user) {
    Peer *peer = user;
    g_assert((result == NULL) != (error == NULL));
    peer->replies++;
    count(peer);
}

static void on_event(DinvQmpClient *client G_GNUC_UNUSED, const char *name,
                     struct json_object *data G_GNUC_UNUSED, gpointer user) {
    g_assert(name != NULL);
    count(user);
}

static void on_disconnected(DinvQmpClient *client G_GNUC_UNUSED, const GError *error,
                            gpointer user) {
    Peer *peer = user;
    g_assert(error != NULL);
    peer->disconnects++;
    count(peer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const DinvQmpCallbacks callbacks = {.event = on_event, .disconnected = on_disconnected};
    if (size == 0 || size > INPUT_MAX) {
        return 0;
    }
    Peer peer = {0};
    peer.free_after = data[0] & 7u;
    size_t piece = (data[0] >> 3) == 0 ? size : (size_t)(data[0] >> 3);
    int fds[2];
    g_assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
    peer.client = dinv_qmp_client_new(fds[0], 60000, &callbacks, &peer);
    for (guint i = 0; i < CALLS; i++) {
        dinv_qmp_client_call(peer.client, "query-status", NULL, 60000, on_reply, &peer);
    }
    for (size_t at = 1; at < size && peer.client != NULL && peer.disconnects == 0; at += piece) {
        (void)send(fds[1], data + at, MIN(piece, size - at), MSG_NOSIGNAL | MSG_DONTWAIT);
        while (g_main_context_iteration(NULL, FALSE)) {
        }
    }
    (void)close(fds[1]);
    while (peer.client != NULL && peer.disconnects == 0) {
        g_main_context_iteration(NULL, TRUE);
    }
    if (peer.client != NULL) {
        g_assert(peer.disconnects == 1);
        dinv_qmp_client_free(peer.client);
    }
    g_assert(peer.replies == CALLS);
    while (g_main_context_iteration(NULL, FALSE)) {
    }
    return 0;
}
