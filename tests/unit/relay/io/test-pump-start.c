/* SPDX-License-Identifier: MIT */
/* A pump that is made when its stream has had something for it for a while. */
#include <glib.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "relay/io/pump.h"
#include "tests/unit/lib/relay-pair.h"

static void start_on_watch(void *user, DinvRelayPump *pump, int fd, short events) {
    (void)pump;
    (void)fd;
    *(short *)user = events;
}

static void start_on_done(void *user, DinvRelayPump *pump, int error) {
    (void)user;
    (void)pump;
    (void)error;
    g_assert_not_reached();
}

static void start_on_output(void *user) {
    (void)user;
}

/* What is there is moved without being asked for by an event. */
static void test_data_before_pump(void) {
    static const DinvRelayPumpCallbacks callbacks = {
        .watch = start_on_watch, .done = start_on_done, .output = start_on_output};
    RelayPair pair;
    relay_side_init(&pair.launcher, DINV_RELAY_LAUNCHER, 1, NULL);
    relay_side_init(&pair.guest, DINV_RELAY_GUEST, 2, NULL);
    pair.guest.consume = FALSE;
    DinvRelayStream *client = relay_open(&pair.launcher, "s");
    relay_pair_settle(&pair, 65536);
    g_assert_cmpint(dinv_relay_stream_write(client, "early", 5), ==, 5);
    relay_pair_settle(&pair, 65536);
    int fds[2];
    short events = 0;
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), ==, 0);
    DinvRelayPump *pump =
        dinv_relay_pump_new(relay_side_stream(&pair.guest, 0), fds[1], &callbacks, &events);
    char bytes[6] = "";
    g_assert_cmpint(read(fds[0], bytes, 5), ==, 5);
    g_assert_cmpstr(bytes, ==, "early");
    g_assert_cmpint(events, ==, POLLIN);
    dinv_relay_pump_free(pump);
    dinv_relay_stream_close(client, 0);
    (void)close(fds[0]);
    relay_pair_settle(&pair, 65536);
    relay_pair_clear(&pair);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/relay/pump/data-before-pump", test_data_before_pump);
    return g_test_run();
}
