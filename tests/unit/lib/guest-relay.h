/* SPDX-License-Identifier: MIT */
/*
 * The guest's services behind a real mux on both sides: the guest's end of the relay, a launcher at
 * the other, both in one loop, and a stream as its client sees it. A test's own client has a
 * RelayClient as its first member.
 */
#pragma once

#include "guest/channels/port.h"
#include "guest/services/relay.h"
#include "tests/unit/lib/guest-harness.h"
#include "tests/unit/lib/relay-pull.h"
#include "tests/unit/lib/scratch.h"

/* The launcher's end of a relay, in the same loop. */
typedef struct {
    DinvChannelPort *port;
    DinvRelayMux *mux;
    DinvTimer *flush;
    size_t start;
    size_t len;
    uint8_t bytes[64 * 1024];
} Launcher;

static inline void launcher_flush(void *user) {
    Launcher *launcher = user;
    for (;;) {
        while (launcher->start < launcher->len) {
            ssize_t written = dinv_channel_port_write(
                launcher->port, launcher->bytes + launcher->start, launcher->len - launcher->start);
            if (written < 0) {
                return;
            }
            launcher->start += (size_t)written;
        }
        ssize_t pulled = relay_pull(launcher->mux, launcher->bytes, sizeof launcher->bytes);
        g_assert_cmpint(pulled, >=, 0);
        launcher->start = 0;
        launcher->len = (size_t)pulled;
        if (pulled == 0) {
            return;
        }
    }
}

/* To be called after any stream function. */
static inline void launcher_kick(Launcher *launcher) {
    dinv_timer_set(launcher->flush, 0);
}

static inline void launcher_received(void *user, const uint8_t *bytes, size_t len) {
    Launcher *launcher = user;
    g_assert_cmpint(dinv_relay_mux_feed(launcher->mux, bytes, len), ==, 0);
    launcher_kick(launcher);
}

static inline void launcher_connected(void *user) {
    launcher_kick(user);
}

static inline void launcher_disconnected(void *user) {
    (void)user;
}

static inline Launcher *launcher_new(DinvLoop *loop, int fd, const DinvRelayCallbacks *callbacks,
                                     void *user) {
    static const DinvChannelPortCallbacks port_callbacks = {
        .connected = launcher_connected,
        .disconnected = launcher_disconnected,
        .received = launcher_received,
        .writable = launcher_flush,
    };
    Launcher *launcher = g_new0(Launcher, 1);
    launcher->mux = dinv_relay_mux_new(DINV_RELAY_LAUNCHER, g_random_int(), NULL, callbacks, user);
    launcher->flush = dinv_timer_new(loop, launcher_flush, launcher);
    launcher->port = dinv_channel_port_new(loop, fd, &port_callbacks, launcher);
    g_assert_nonnull(launcher->mux);
    g_assert_nonnull(launcher->port);
    return launcher;
}

static inline void launcher_free(Launcher *launcher) {
    dinv_channel_port_free(launcher->port);
    dinv_timer_free(launcher->flush);
    dinv_relay_mux_free(launcher->mux);
    g_free(launcher);
}

/* --- both ends -------------------------------------------------------------------------------- */

typedef struct {
    Harness harness;
    Scratch scratch;
    Launcher *launcher;
    DinvServiceRelay *host;
    DinvEngineLog *log;
    char *socket_path; /* where dockerd would listen */
} RelayFixture;

static inline bool relay_fixture_has_no_streams(void *user) {
    RelayFixture *fixture = user;
    DinvRelayStats stats;
    dinv_service_relay_get_stats(fixture->host, &stats);
    return stats.streams == 0;
}

/* --- a client --------------------------------------------------------------------------------- */

typedef struct {
    RelayFixture *fixture;
    DinvRelayStream *stream; /* NULL once over */
    GByteArray *to_send;
    guint sent;
    bool finish; /* when all was sent */
    bool ended;  /* the end of the stream was seen */
    int error;   /* refused or reset */
} RelayClient;

/* Sends as much as the stream takes; the rest goes by itself. */
static inline void relay_client_send(RelayClient *client) {
    while (client->stream != NULL && client->sent < client->to_send->len) {
        ssize_t written =
            dinv_relay_stream_write(client->stream, client->to_send->data + client->sent,
                                    client->to_send->len - client->sent);
        if (written < 0) {
            break;
        }
        client->sent += (guint)written;
    }
    if (client->stream != NULL && client->finish && client->sent == client->to_send->len) {
        dinv_relay_stream_finish(client->stream);
    }
    launcher_kick(client->fixture->launcher);
}

static inline void relay_client_writable(void *user, DinvRelayStream *stream) {
    (void)user;
    relay_client_send(dinv_relay_stream_get_data(stream));
}

static inline void relay_client_broken(void *user, DinvRelayStream *stream, int error) {
    (void)user;
    RelayClient *client = dinv_relay_stream_get_data(stream);
    client->error = error;
    dinv_relay_stream_close(stream, 0);
    client->stream = NULL;
}

static inline void relay_client_init(RelayClient *client, RelayFixture *fixture,
                                     const char *service, const char *argument) {
    *client = (RelayClient){.fixture = fixture, .to_send = g_byte_array_new()};
    client->stream = dinv_relay_open(fixture->launcher->mux, service, (const uint8_t *)argument,
                                     strlen(argument), client, NULL);
    g_assert_nonnull(client->stream);
    launcher_kick(fixture->launcher);
}

static inline void relay_client_clear(RelayClient *client) {
    if (client->stream != NULL) {
        dinv_relay_stream_close(client->stream, 0);
        launcher_kick(client->fixture->launcher);
    }
    g_byte_array_unref(client->to_send);
}

static inline bool relay_client_is_over(void *user) {
    RelayClient *client = user;
    return client->ended || client->error != 0;
}

/* --- set-up and tear-down --------------------------------------------------------------------- */

/* `readable` is the test's own way to read; what else the launcher hears is the clients'. */
static inline void relay_fixture_init(RelayFixture *fixture, guint log_size,
                                      void (*readable)(void *user, DinvRelayStream *stream)) {
    const DinvRelayCallbacks callbacks = {
        .readable = readable,
        .writable = relay_client_writable,
        .refused = relay_client_broken,
        .reset = relay_client_broken,
    };
    harness_init(&fixture->harness);
    scratch_make(&fixture->scratch);
    fixture->socket_path = scratch_path(&fixture->scratch, "docker.sock");
    g_autofree char *path = scratch_path(&fixture->scratch, "log");
    fixture->log = dinv_engine_log_new(path, log_size);
    int ends[2];
    harness_socketpair(ends);
    fixture->host =
        dinv_service_relay_new(fixture->harness.loop, ends[0], fixture->socket_path, fixture->log);
    g_assert_nonnull(fixture->host);
    fixture->launcher = launcher_new(fixture->harness.loop, ends[1], &callbacks, fixture);
}

/* Nothing is left behind by what the clients of the test did. */
static inline void relay_fixture_clear(RelayFixture *fixture) {
    harness_run_until(&fixture->harness, relay_fixture_has_no_streams, fixture);
    launcher_free(fixture->launcher);
    dinv_service_relay_free(fixture->host);
    dinv_engine_log_free(fixture->log);
    g_free(fixture->socket_path);
    scratch_remove(&fixture->scratch);
    harness_clear(&fixture->harness);
}
