/* SPDX-License-Identifier: MIT */
/* Clients for whom the relay has no stream yet. */
#include "tests/unit/lib/vm-relay.h"

/* Those for whom there is no stream wait, in their order, and lose nothing that they have said. */
static void test_more_wait(Fixture *fixture, gconstpointer data) {
    int clients[MANY + 2];
    (void)data;
    for (guint i = 0; i < G_N_ELEMENTS(clients); i++) {
        clients[i] = join(fixture, "echo");
    }
    int first = join(fixture, "echo");
    int second = join(fixture, "echo");
    int gone = join(fixture, "echo");
    g_assert_cmpint(send(second, "early", 5, MSG_NOSIGNAL), ==, 5);
    for (guint i = 0; i < 200; i++) {
        turn(fixture);
    }
    g_assert_cmpuint(count_streams(fixture), ==, G_N_ELEMENTS(clients));
    char byte;
    g_assert_cmpint(take(first, &byte, 1), ==, -EAGAIN);
    close(clients[0]);
    assert_echo(fixture, first, "now");
    g_assert_cmpint(take(second, &byte, 1), ==, -EAGAIN);
    close(gone);
    close(clients[1]);
    close(clients[2]);
    char early[5];
    ssize_t got = 0;
    turn_until(fixture, (got = take(second, early, sizeof early)) != -EAGAIN);
    g_assert_cmpint(got, ==, sizeof early);
    g_assert_cmpint(memcmp(early, "early", sizeof early), ==, 0);
    turn_until(fixture, count_streams(fixture) == G_N_ELEMENTS(clients) - 1);
    int last = join(fixture, "echo");
    assert_echo(fixture, last, "last");
    /* Some wait when the channel goes. */
    int late = join(fixture, "echo");
    dinv_vm_relay_free(g_steal_pointer(&fixture->host));
    g_assert_true(is_over(late));
    close(late);
    close(last);
    close(first);
    close(second);
    for (guint i = 3; i < G_N_ELEMENTS(clients); i++) {
        close(clients[i]);
    }
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add("/vm/relay-waiting/in-order", Fixture, NULL, set_up, test_more_wait, tear_down);
    return g_test_run();
}
