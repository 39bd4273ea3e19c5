/* SPDX-License-Identifier: MIT */
/*
 * The launcher's end of the relay against a mux in the guest's role, whose services are: `echo`
 * (gives back what comes, and ends when the opener has ended), `shut` (ends at once, and counts
 * what still comes), `mute` (never reads) and any other (refused).
 */
#include "launcher/vm/relay.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "relay/mux.h"
#include "tests/unit/lib/relay-pull.h"
#include "tests/unit/lib/wait-until.h"

#define BIG_BYTES   (8u << 20)
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

static void close_stream(Fixture *fixture, DinvRelayStream *stream, int error) {
    g_hash_table_remove(fixture->streams, stream);
    dinv_relay_stream_close(stream, error);
}

static void serve_echo(Fixture *fixture, DinvRelayStream *stream) {
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

static void serve_shut(Fixture *fixture, DinvRelayStream *stream) {
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

static void serve(void *user, DinvRelayStream *stream) {
    Fixture *fixture = user;
    Service service = (Service)GPOINTER_TO_INT(g_hash_table_lookup(fixture->streams, stream));
    if (service == SERVICE_ECHO) {
        serve_echo(fixture, stream);
    } else if (service == SERVICE_SHUT) {
        serve_shut(fixture, stream);
    }
}

static void on_incoming(void *user, DinvRelayStream *stream, const char *service,
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

static void on_broken(void *user, DinvRelayStream *stream, int error) {
    Fixture *fixture = user;
    (void)error;
    fixture->broken++;
    close_stream(fixture, stream, 0);
}

/* Reads what has come, writes what it can; never waits. */
static void guest_turn(Fixture *fixture) {
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

static void turn(Fixture *fixture) {
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

static void on_closed(gpointer user) {
    ((Fixture *)user)->closed++;
}

static DinvRelayMux *new_guest_mux(Fixture *fixture, guint64 epoch) {
    static const DinvRelayCallbacks callbacks = {
        .incoming = on_incoming, .readable = serve, .writable = serve, .reset = on_broken};
    return dinv_relay_mux_new(DINV_RELAY_GUEST, epoch, NULL, &callbacks, fixture);
}

static void set_up(Fixture *fixture, gconstpointer data) {
    int fds[2];
    (void)data;
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), ==, 0);
    fixture->guest = fds[1];
    fixture->streams = g_hash_table_new(NULL, NULL);
    fixture->mux = new_guest_mux(fixture, 77);
    fixture->host = dinv_vm_relay_new(fds[0], on_closed, fixture);
}

static void tear_down(Fixture *fixture, gconstpointer data) {
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
static int join(Fixture *fixture, const char *service) {
    int fds[2];
    g_autoptr(GError) error = NULL;
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), ==, 0);
    gboolean joined = dinv_vm_relay_bridge(fixture->host, service, "{\"a\":1}", 7, fds[0], &error);
    g_assert_no_error(error);
    g_assert_true(joined);
    return fds[1];
}

static guint count_streams(const Fixture *fixture) {
    DinvRelayStats stats;
    dinv_vm_relay_get_stats(fixture->host, &stats);
    return stats.streams;
}

/* How much came: bytes, 0 at the end, -EAGAIN, -ECONNRESET. */
static ssize_t take(int client, void *bytes, gsize size) {
    ssize_t got = recv(client, bytes, size, 0);
    return got >= 0 ? got : -errno;
}

static gboolean is_over(int client) {
    char byte;
    ssize_t got = take(client, &byte, 1);
    g_assert_cmpint(got, <=, 0);
    return got == 0 || got == -ECONNRESET;
}

/* `text` there and back. */
static void assert_echo(Fixture *fixture, int client, const char *text) {
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

/* --- Tests --- */

static void test_bridge(Fixture *fixture, gconstpointer data) {
    (void)data;
    int client = join(fixture, "echo");
    assert_echo(fixture, client, "hello");
    g_assert_cmpstr(fixture->argument, ==, "{\"a\":1}");
    assert_echo(fixture, client, "again");
    g_assert_cmpuint(count_streams(fixture), ==, 1);
    close(client);
    turn_until(fixture, count_streams(fixture) == 0);
    g_assert_cmpuint(fixture->broken, ==, 0);
}

static void test_refused(Fixture *fixture, gconstpointer data) {
    (void)data;
    int client = join(fixture, "nonsense");
    turn_until(fixture, is_over(client));
    g_assert_cmpuint(count_streams(fixture), ==, 0);
    close(client);
}

static void test_invalid(Fixture *fixture, gconstpointer data) {
    int fds[2];
    g_autoptr(GError) error = NULL;
    g_autofree char *argument = g_strnfill(DINV_RELAY_ARGUMENT_MAX + 1, 'x');
    (void)data;
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), ==, 0);
    g_assert_false(dinv_vm_relay_bridge(fixture->host, "echo", argument,
                                        DINV_RELAY_ARGUMENT_MAX + 1, fds[0], &error));
    g_assert_nonnull(error);
    g_assert_true(is_over(fds[1])); /* it was taken all the same */
    close(fds[1]);
}

/* The client ends its half, and still gets the whole answer; then the end. */
static void test_client_half_close(Fixture *fixture, gconstpointer data) {
    char answer[16] = "";
    (void)data;
    int client = join(fixture, "echo");
    g_assert_cmpint(send(client, "last", 4, MSG_NOSIGNAL), ==, 4);
    g_assert_cmpint(shutdown(client, SHUT_WR), ==, 0);
    ssize_t got = -EAGAIN;
    turn_until(fixture, (got = take(client, answer, sizeof answer)) != -EAGAIN);
    g_assert_cmpstr(answer, ==, "last");
    turn_until(fixture, (got = take(client, answer, sizeof answer)) != -EAGAIN);
    g_assert_cmpint(got, ==, 0);
    turn_until(fixture, count_streams(fixture) == 0);
    g_assert_cmpuint(fixture->broken, ==, 0);
    close(client);
}

/* The guest ends its half: the client sees the end, and what it sends still arrives. */
static void test_guest_half_close(Fixture *fixture, gconstpointer data) {
    char byte;
    ssize_t got = -EAGAIN;
    (void)data;
    int client = join(fixture, "shut");
    turn_until(fixture, (got = take(client, &byte, 1)) != -EAGAIN);
    g_assert_cmpint(got, ==, 0);
    g_assert_cmpint(send(client, "still here", 10, MSG_NOSIGNAL), ==, 10);
    turn_until(fixture, fixture->shut_received == 10);
    g_assert_cmpuint(count_streams(fixture), ==, 1);
    g_assert_cmpint(shutdown(client, SHUT_WR), ==, 0);
    turn_until(fixture, count_streams(fixture) == 0);
    close(client);
}

static guint8 pattern(gsize position) {
    return (guint8)((position * 2654435761u) >> 13);
}

/* More than any buffer on the way, both ways at once. */
static void test_big(Fixture *fixture, gconstpointer data) {
    guint8 chunk[CHUNK_BYTES];
    gsize sent = 0;
    gsize received = 0;
    (void)data;
    int client = join(fixture, "echo");
    guint deadline = g_timeout_add(GUARD_MS, on_wait_guard, NULL);
    while (received < BIG_BYTES) {
        gsize want = MIN(sizeof chunk, BIG_BYTES - sent);
        for (gsize i = 0; i < want; i++) {
            chunk[i] = pattern(sent + i);
        }
        ssize_t put = want > 0 ? send(client, chunk, want, MSG_NOSIGNAL) : 0;
        sent += put > 0 ? (gsize)put : 0;
        if (sent == BIG_BYTES && want > 0) {
            g_assert_cmpint(shutdown(client, SHUT_WR), ==, 0);
        }
        ssize_t got = take(client, chunk, sizeof chunk);
        g_assert_true(got > 0 || got == -EAGAIN);
        for (ssize_t i = 0; i < got; i++) {
            g_assert_cmpuint(chunk[i], ==, pattern(received + (gsize)i));
        }
        received += got > 0 ? (gsize)got : 0;
        turn(fixture);
    }
    g_source_remove(deadline);
    turn_until(fixture, is_over(client));
    close(client);
}

/* Many at once, some never read at either end: the others are not held up. */
static void test_many(Fixture *fixture, gconstpointer data) {
    int clients[MANY];
    int stuck[2];
    guint8 chunk[CHUNK_BYTES] = {0};
    (void)data;
    stuck[0] = join(fixture, "mute");
    stuck[1] = join(fixture, "echo"); /* whose answers nobody reads */
    for (guint i = 0; i < 200; i++) {
        (void)send(stuck[i % 2], chunk, sizeof chunk, MSG_NOSIGNAL);
        turn(fixture);
    }
    for (guint i = 0; i < MANY; i++) {
        clients[i] = join(fixture, "echo");
    }
    for (guint i = 0; i < MANY; i++) {
        g_autofree char *text = g_strdup_printf("client %u", i);
        assert_echo(fixture, clients[i], text);
    }
    g_assert_cmpuint(count_streams(fixture), ==, MANY + 2);
    for (guint i = 0; i < MANY; i++) {
        close(clients[i]);
    }
    turn_until(fixture, count_streams(fixture) == 2);
    DinvRelayStats stats;
    dinv_vm_relay_get_stats(fixture->host, &stats);
    g_assert_cmpuint(stats.memory, <, 4u << 20);
    /* What the one sent before it went is still to be read; nobody is left to read the other's. */
    close(stuck[0]);
    close(stuck[1]);
    turn_until(fixture, count_streams(fixture) == 1);
}

/* The client goes away without reading: its stream ends, whoever writes. */
static void test_client_vanishes(Fixture *fixture, gconstpointer data) {
    guint8 chunk[CHUNK_BYTES] = {0};
    (void)data;
    int client = join(fixture, "echo");
    for (guint i = 0; i < 100; i++) {
        (void)send(client, chunk, sizeof chunk, MSG_NOSIGNAL);
        turn(fixture);
    }
    close(client);
    turn_until(fixture, count_streams(fixture) == 0);
    int other = join(fixture, "echo");
    assert_echo(fixture, other, "well");
    close(other);
}

/* Nothing is polled for ever: after a hang-up on a stream that waits for the guest, the loop rests.
 */
static void test_hang_up_rests(Fixture *fixture, gconstpointer data) {
    guint8 chunk[CHUNK_BYTES] = {0};
    (void)data;
    int client = join(fixture, "mute");
    for (guint i = 0; i < 200; i++) {
        (void)send(client, chunk, sizeof chunk, MSG_NOSIGNAL);
        turn(fixture);
    }
    close(client);
    guint busy = 0;
    for (guint i = 0; i < 1000; i++) {
        guest_turn(fixture);
        busy = g_main_context_iteration(NULL, FALSE) ? busy + 1 : 0;
    }
    g_assert_cmpuint(busy, <, 10);
}

static void test_channel_ends(Fixture *fixture, gconstpointer data) {
    (void)data;
    int idle = join(fixture, "echo");
    int full = join(fixture, "mute");
    guint8 chunk[CHUNK_BYTES] = {0};
    assert_echo(fixture, idle, "before");
    for (guint i = 0; i < 50; i++) {
        (void)send(full, chunk, sizeof chunk, MSG_NOSIGNAL);
        turn(fixture);
    }
    close(fixture->guest);
    fixture->guest = -1;
    turn_until(fixture, fixture->closed == 1);
    g_assert_true(is_over(idle));
    g_assert_true(is_over(full));
    g_assert_cmpuint(count_streams(fixture), ==, 0);
    int fds[2];
    g_autoptr(GError) error = NULL;
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), ==, 0);
    g_assert_false(dinv_vm_relay_bridge(fixture->host, "echo", NULL, 0, fds[0], &error));
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_NOT_CONNECTED);
    close(fds[1]);
    close(idle);
    close(full);
}

/* Bytes that are no frames break every bridge, once; then the session begins anew. */
static void test_protocol_error(Fixture *fixture, gconstpointer data) {
    (void)data;
    for (guint round = 0; round < 3; round++) {
        int client = join(fixture, "echo");
        assert_echo(fixture, client, "before");
        g_assert_cmpint(write(fixture->guest, "\x7fgarbage!", 9), ==, 9);
        turn_until(fixture, is_over(client));
        close(client);
        g_assert_cmpuint(fixture->closed, ==, 0);
        turn_until(fixture, fixture->broken == round + 1);
    }
    int client = join(fixture, "echo");
    assert_echo(fixture, client, "after");
    close(client);
}

/* A guest that was started anew, or restored. */
static void test_guest_restarts(Fixture *fixture, gconstpointer data) {
    (void)data;
    int client = join(fixture, "echo");
    assert_echo(fixture, client, "before");
    dinv_relay_mux_restart(fixture->mux, 78);
    turn_until(fixture, is_over(client));
    close(client);
    client = join(fixture, "echo");
    assert_echo(fixture, client, "after");
    close(client);
}

static void test_free_with_bridges(Fixture *fixture, gconstpointer data) {
    int clients[8];
    (void)data;
    for (guint i = 0; i < G_N_ELEMENTS(clients); i++) {
        clients[i] = join(fixture, i % 2 == 0 ? "echo" : "mute");
        (void)send(clients[i], "x", 1, MSG_NOSIGNAL);
        turn(fixture);
    }
    g_clear_pointer(&fixture->host, dinv_vm_relay_free);
    for (guint i = 0; i < G_N_ELEMENTS(clients); i++) {
        char byte;
        g_assert_cmpint(recv(clients[i], &byte, 1, 0), <=, 1);
        close(clients[i]);
    }
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
#define ADD(name, function)                                                                        \
    g_test_add("/launcher/relay-host/" name, Fixture, NULL, set_up, function, tear_down)
    ADD("bridge", test_bridge);
    ADD("refused", test_refused);
    ADD("invalid", test_invalid);
    ADD("client-half-close", test_client_half_close);
    ADD("guest-half-close", test_guest_half_close);
    ADD("big", test_big);
    ADD("many", test_many);
    ADD("client-vanishes", test_client_vanishes);
    ADD("hang-up-rests", test_hang_up_rests);
    ADD("channel-ends", test_channel_ends);
    ADD("protocol-error", test_protocol_error);
    ADD("guest-restarts", test_guest_restarts);
    ADD("free-with-bridges", test_free_with_bridges);
    return g_test_run();
}
