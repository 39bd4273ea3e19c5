/* SPDX-License-Identifier: MIT */
/*
 * The launcher's end of the relay against a mux in the guest's role, whose services are: `echo`
 * (gives back what comes, and ends when the opener has ended), `shut` (ends at once, and counts
 * what still comes), `mute` (never reads) and any other (refused).
 */
#pragma once

#include "launcher/vm/relay.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "relay/mux.h"
#include "tests/unit/lib/relay-pull.h"
#include "tests/unit/lib/wait-until.h"

#define MANY        300u
#define CHUNK_BYTES 65536u

typedef enum { SERVICE_ECHO, SERVICE_SHUT, SERVICE_MUTE } Service;

typedef struct {
    DinvVmRelay *host;
    guint closed;
    int guest; /* -1 when the guest closed the channel */
    DinvRelayMux *mux;
    GHashTable *streams; /* of the guest: DinvRelayStream* -> Service */
    gsize shut_received;
    char *argument; /* of the last open */
    guint broken;
    gboolean guest_may_die;
    guint8 output[CHUNK_BYTES];
    gsize output_start;
    gsize output_end;
} Fixture;

/* --- The guest --- */

static inline void close_stream(Fixture *fixture, DinvRelayStream *stream, int error) {
    g_hash_table_remove(fixture->streams, stream);
    dinv_relay_stream_close(stream, error);
}

static inline void serve_echo(Fixture *fixture, DinvRelayStream *stream) {
    const uint8_t *bytes = NULL;
    for (;;) {
        ssize_t length = dinv_relay_stream_peek(stream, &bytes);
        if (length == 0) {
            dinv_relay_stream_finish(stream);
            close_stream(fixture, stream, 0);
        }
        if (length <= 0) {
            return;
        }
        ssize_t written = dinv_relay_stream_write(stream, bytes, (size_t)length);
        if (written < 0) {
            return;
        }
        dinv_relay_stream_consume(stream, (size_t)written);
    }
}

static inline void serve_shut(Fixture *fixture, DinvRelayStream *stream) {
    const uint8_t *bytes = NULL;
    ssize_t length = 0;
    while ((length = dinv_relay_stream_peek(stream, &bytes)) > 0) {
        fixture->shut_received += (gsize)length;
        dinv_relay_stream_consume(stream, (size_t)length);
    }
    if (length == 0) {
        close_stream(fixture, stream, 0);
    }
}

static inline void serve(void *user, DinvRelayStream *stream) {
    Fixture *fixture = user;
    Service service = (Service)GPOINTER_TO_INT(g_hash_table_lookup(fixture->streams, stream));
    if (service == SERVICE_ECHO) {
        serve_echo(fixture, stream);
    } else if (service == SERVICE_SHUT) {
        serve_shut(fixture, stream);
    }
}

static inline void on_incoming(void *user, DinvRelayStream *stream, const char *service,
                               const uint8_t *argument, size_t argument_len) {
    static const char *const names[] = {"echo", "shut", "mute"};
    Fixture *fixture = user;
    g_free(fixture->argument);
    fixture->argument = g_strndup((const char *)argument, argument_len);
    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        if (strcmp(service, names[i]) == 0) {
            g_hash_table_insert(fixture->streams, stream, GINT_TO_POINTER((int)i));
            dinv_relay_stream_accept(stream);
            if (i == SERVICE_SHUT) {
                dinv_relay_stream_finish(stream);
            }
            return;
        }
    }
    dinv_relay_stream_refuse(stream, ECONNREFUSED);
    dinv_relay_stream_close(stream, 0);
}

static inline void on_broken(void *user, DinvRelayStream *stream, int error) {
    Fixture *fixture = user;
    (void)error;
    fixture->broken++;
    close_stream(fixture, stream, 0);
}

/* Reads what has come, writes what it can; never waits. */
static inline void guest_turn(Fixture *fixture) {
    guint8 input[CHUNK_BYTES];
    if (fixture->guest < 0) {
        return;
    }
    ssize_t got = read(fixture->guest, input, sizeof input);
    if (got > 0 && dinv_relay_mux_feed(fixture->mux, input, (size_t)got) < 0) {
        g_assert_true(fixture->guest_may_die);
        return;
    }
    for (;;) {
        if (fixture->output_start == fixture->output_end) {
            ssize_t pulled = relay_pull(fixture->mux, fixture->output, CHUNK_BYTES);
            fixture->output_start = 0;
            fixture->output_end = (gsize)MAX(pulled, 0);
        }
        ssize_t sent = send(fixture->guest, fixture->output + fixture->output_start,
                            fixture->output_end - fixture->output_start, MSG_NOSIGNAL);
        if (sent <= 0) {
            return;
        }
        fixture->output_start += (gsize)sent;
    }
}

/* --- Both --- */

static inline void turn(Fixture *fixture) {
    guest_turn(fixture);
    (void)g_main_context_iteration(NULL, FALSE);
}

#define turn_until(fixture, condition)                                                             \
    do {                                                                                           \
        guint guard = g_timeout_add(GUARD_MS, on_wait_guard, NULL);                                \
        while (!(condition)) {                                                                     \
            turn(fixture);                                                                         \
        }                                                                                          \
        g_source_remove(guard);                                                                    \
    } while (0)

static inline void on_closed(gpointer user) {
    ((Fixture *)user)->closed++;
}

static inline DinvRelayMux *new_guest_mux(Fixture *fixture, guint64 epoch) {
    static const DinvRelayCallbacks callbacks = {
        .incoming = on_incoming, .readable = serve, .writable = serve, .reset = on_broken};
    return dinv_relay_mux_new(DINV_RELAY_GUEST, epoch, NULL, &callbacks, fixture);
}

static inline void set_up(Fixture *fixture, gconstpointer data) {
    int fds[2];
    (void)data;
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), ==, 0);
    fixture->guest = fds[1];
    fixture->streams = g_hash_table_new(NULL, NULL);
    fixture->mux = new_guest_mux(fixture, 77);
    fixture->host = dinv_vm_relay_new(fds[0], MANY + 2, on_closed, fixture);
}

static inline void tear_down(Fixture *fixture, gconstpointer data) {
    (void)data;
    dinv_vm_relay_free(fixture->host);
    g_autoptr(GList) streams = g_hash_table_get_keys(fixture->streams);
    for (GList *item = streams; item != NULL; item = item->next) {
        dinv_relay_stream_close(item->data, 0);
    }
    dinv_relay_mux_free(fixture->mux);
    g_hash_table_unref(fixture->streams);
    if (fixture->guest >= 0) {
        close(fixture->guest);
    }
    g_free(fixture->argument);
}

/* Joins a new socket to `service`; the client's end. */
static inline int join(Fixture *fixture, const char *service) {
    int fds[2];
    g_autoptr(GError) error = NULL;
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), ==, 0);
    gboolean joined = dinv_vm_relay_bridge(fixture->host, service, "{\"a\":1}", 7, fds[0], &error);
    g_assert_no_error(error);
    g_assert_true(joined);
    return fds[1];
}

static inline guint count_streams(const Fixture *fixture) {
    DinvRelayStats stats;
    dinv_vm_relay_get_stats(fixture->host, &stats);
    return stats.streams;
}

/* How much came: bytes, 0 at the end, -EAGAIN, -ECONNRESET. */
static inline ssize_t take(int client, void *bytes, gsize size) {
    ssize_t got = recv(client, bytes, size, 0);
    return got >= 0 ? got : -errno;
}

static inline gboolean is_over(int client) {
    char byte;
    ssize_t got = take(client, &byte, 1);
    g_assert_cmpint(got, <=, 0);
    return got == 0 || got == -ECONNRESET;
}

/* `text` there and back. */
static inline void assert_echo(Fixture *fixture, int client, const char *text) {
    char answer[256] = "";
    gsize length = strlen(text);
    g_assert_cmpint(send(client, text, length, MSG_NOSIGNAL), ==, (ssize_t)length);
    for (gsize received = 0; received < length;) {
        ssize_t got = -EAGAIN;
        turn_until(fixture, (got = take(client, answer + received, length - received)) != -EAGAIN);
        g_assert_cmpint(got, >, 0);
        received += (gsize)got;
    }
    g_assert_cmpstr(answer, ==, text);
}
