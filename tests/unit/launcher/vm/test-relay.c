/* SPDX-License-Identifier: MIT */
/* The launcher's end of the relay, stream by stream and as a whole. */
#include "tests/unit/lib/vm-relay.h"

#define BIG_BYTES (8u << 20)

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
