/* SPDX-License-Identifier: MIT */
/*
 * PID 1 of the small guest in which the relay is measured. One process serves the raw port with
 * plain blocking reads and writes; this one has the relay's port, with the loop, the port code and
 * the mux that dinv-guest has, and two services in place of dockerd (relay-work.h). Only one of the
 * two is used at a time.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/random.h>
#include <unistd.h>

#include "guest/base/loop.h"
#include "guest/channels/port.h"
#include "guest/channels/tty.h"
#include "guest/system/power.h"
#include "relay/mux.h"
#include "tests/bench/relay-work.h"

enum { WRITES_A_ROUND = 32 };

static uint8_t zeros[BENCH_GUEST_BUFFER];

_Noreturn static void give_up(const char *what) {
    (void)fprintf(stderr, "relay-guest: %s: %s\n", what, strerror(errno));
    dinv_system_power_off();
}

/* The command line of a machine without virtio-serial says which terminal has that name. */
static int open_port(const char *name) {
    int fd = dinv_channel_port_find("/sys/class/virtio-ports", "/dev", name);
    if (fd == -ENOENT) {
        fd = dinv_channel_tty_open("/proc/cmdline", "/dev", name);
    }
    if (fd < 0) {
        errno = -fd;
        give_up(name);
    }
    return fd;
}

/* --- The raw port --- */

static void wait_for(int fd, short events) {
    struct pollfd pollfd = {.fd = fd, .events = events};
    if (poll(&pollfd, 1, -1) < 0) {
        give_up("poll");
    }
}

static void write_all(int fd, const uint8_t *bytes, size_t len) {
    while (len > 0) {
        ssize_t written = write(fd, bytes, len);
        if (written < 0 && errno == EAGAIN) {
            wait_for(fd, POLLOUT);
            continue;
        }
        if (written <= 0) {
            give_up("write to the raw port");
        }
        bytes += written;
        len -= (size_t)written;
    }
}

static size_t read_some(int fd, uint8_t *bytes, size_t len) {
    for (;;) {
        ssize_t got = read(fd, bytes, len);
        if (got > 0) {
            return (size_t)got;
        }
        if (got == 0) {
            _exit(0); /* relay-bench has gone */
        }
        if (errno != EAGAIN) {
            give_up("read from the raw port");
        }
        wait_for(fd, POLLIN);
    }
}

static void raw_sink(int fd, uint64_t len) {
    static uint8_t buffer[BENCH_GUEST_BUFFER];
    uint64_t received = 0;
    while (received < len) {
        uint64_t rest = len - received;
        received += read_some(fd, buffer, rest < sizeof buffer ? (size_t)rest : sizeof buffer);
    }
    uint8_t answer[BENCH_NUMBER_SIZE];
    bench_put_number(answer, received);
    write_all(fd, answer, sizeof answer);
}

static void raw_source(int fd, uint64_t len) {
    while (len > 0) {
        size_t part = len < sizeof zeros ? (size_t)len : sizeof zeros;
        write_all(fd, zeros, part);
        len -= part;
    }
}

_Noreturn static void serve_raw(int fd) {
    /* What comes before a terminal is a plain stream of bytes would be changed by it. */
    write_all(fd, &(uint8_t){BENCH_READY}, 1);
    for (;;) {
        uint8_t request[BENCH_REQUEST_SIZE];
        for (size_t len = 0; len < sizeof request;) {
            len += read_some(fd, request + len, sizeof request - len);
        }
        if (request[0] == BENCH_SINK) {
            raw_sink(fd, bench_get_number(request + 1));
        } else {
            raw_source(fd, bench_get_number(request + 1));
        }
    }
}

/* --- The relay --- */

typedef struct {
    DinvRelayMux *mux;
    DinvChannelPort *port;
    DinvTimer *flush;
} Relay;

typedef struct {
    bool is_source;
    uint64_t number; /* sink: received; source: still to send */
} Service;

static void end_service(DinvRelayStream *stream) {
    free(dinv_relay_stream_get_data(stream));
    dinv_relay_stream_close(stream, 0);
}

static void sink_go_on(Service *service, DinvRelayStream *stream) {
    const uint8_t *bytes;
    ssize_t len;
    while ((len = dinv_relay_stream_peek(stream, &bytes)) > 0) {
        service->number += (uint64_t)len;
        dinv_relay_stream_consume(stream, (size_t)len);
    }
    if (len == 0) {
        uint8_t answer[BENCH_NUMBER_SIZE];
        bench_put_number(answer, service->number);
        (void)dinv_relay_stream_write(stream, answer, sizeof answer);
        dinv_relay_stream_finish(stream);
        end_service(stream);
    }
}

/* Like the writer to the raw port it does not make its bytes: what is in the memory goes. */
static void source_go_on(Service *service, DinvRelayStream *stream) {
    while (service->number > 0) {
        uint8_t *bytes;
        ssize_t room = dinv_relay_stream_reserve(stream, &bytes);
        if (room <= 0) {
            return;
        }
        size_t part = service->number < (uint64_t)room ? (size_t)service->number : (size_t)room;
        dinv_relay_stream_commit(stream, part);
        service->number -= part;
    }
    dinv_relay_stream_finish(stream);
    const uint8_t *bytes;
    if (dinv_relay_stream_peek(stream, &bytes) == 0) {
        end_service(stream);
    }
}

static void go_on(void *user, DinvRelayStream *stream) {
    (void)user;
    Service *service = dinv_relay_stream_get_data(stream);
    if (service->is_source) {
        source_go_on(service, stream);
    } else {
        sink_go_on(service, stream);
    }
}

static void broken(void *user, DinvRelayStream *stream, int error) {
    (void)user;
    (void)error;
    end_service(stream);
}

static void incoming(void *user, DinvRelayStream *stream, const char *name, const uint8_t *argument,
                     size_t argument_len) {
    (void)user;
    bool is_source = strcmp(name, "source") == 0;
    Service *service = calloc(1, sizeof *service);
    if (service == NULL || (is_source && argument_len != BENCH_NUMBER_SIZE)) {
        free(service);
        dinv_relay_stream_refuse(stream, EINVAL);
        dinv_relay_stream_close(stream, 0);
        return;
    }
    service->is_source = is_source;
    service->number = is_source ? bench_get_number(argument) : 0;
    dinv_relay_stream_set_data(stream, service);
    dinv_relay_stream_accept(stream);
    if (is_source) {
        source_go_on(service, stream);
    }
}

/* As in guest/services/relay.c. */
static void flush(void *user) {
    Relay *relay = user;
    if (!dinv_channel_port_is_connected(relay->port)) {
        return;
    }
    for (int turn = 0; turn < WRITES_A_ROUND; turn++) {
        const uint8_t *bytes;
        ssize_t len = dinv_relay_mux_peek(relay->mux, &bytes);
        ssize_t written = len > 0 ? dinv_channel_port_write(relay->port, bytes, (size_t)len) : len;
        if (written <= 0) {
            return;
        }
        dinv_relay_mux_consume(relay->mux, (size_t)written);
    }
    dinv_timer_set(relay->flush, 0);
}

static void has_output(Relay *relay) {
    if (!dinv_timer_is_set(relay->flush)) {
        dinv_timer_set(relay->flush, 0);
    }
}

static void received(void *user, const uint8_t *bytes, size_t len) {
    Relay *relay = user;
    if (dinv_relay_mux_feed(relay->mux, bytes, len) < 0) {
        errno = EPROTO;
        give_up("the relay");
    }
    has_output(relay);
}

static void connected(void *user) {
    has_output(user);
}

static void disconnected(void *user) {
    (void)user;
    dinv_system_power_off();
}

static void serve_relay(int fd) {
    static const DinvRelayCallbacks mux_callbacks = {
        .incoming = incoming,
        .readable = go_on,
        .writable = go_on,
        .reset = broken,
    };
    static const DinvChannelPortCallbacks port_callbacks = {
        .connected = connected,
        .disconnected = disconnected,
        .received = received,
        .writable = flush,
    };
    static Relay relay;
    uint64_t epoch = 1;
    if (getrandom(&epoch, sizeof epoch, GRND_NONBLOCK) < 0) {
        epoch = dinv_boottime_us();
    }
    DinvLoop *loop = dinv_loop_new();
    relay.mux = dinv_relay_mux_new(DINV_RELAY_GUEST, epoch, NULL, &mux_callbacks, &relay);
    relay.flush = loop != NULL ? dinv_timer_new(loop, flush, &relay) : NULL;
    if (relay.mux == NULL || relay.flush == NULL ||
        (relay.port = dinv_channel_port_new(loop, fd, &port_callbacks, &relay)) == NULL) {
        give_up("start of the relay");
    }
    (void)dinv_loop_run(loop);
}

int main(void) {
    (void)mount("none", "/sys", "sysfs", 0, NULL);
    (void)mount("none", "/proc", "proc", 0, NULL);
    int raw = open_port(BENCH_RAW_PORT);
    int relay = open_port(BENCH_RELAY_PORT);
    pid_t child = fork();
    if (child < 0) {
        give_up("fork");
    }
    if (child == 0) {
        close(relay);
        serve_raw(raw);
    }
    close(raw);
    serve_relay(relay);
    dinv_system_power_off();
}
