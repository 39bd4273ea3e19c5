/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation. Bytes from the port go into the mux as they come; its callbacks reach the
 * service of the stream, which may write to any stream. Whoever writes says so, and a timer of 0
 * ms, at the end of the same round of the loop, writes what the mux has gathered, from where it
 * lies: under emulation a copy costs as much as the port. What the port does not take at once stays
 * in the mux, and its credit and bounds hold back everybody else.
 */
#include "guest/services/relay.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "guest/base/log.h"
#include "guest/channels/port.h"
#include "wire/services.h"

enum { WRITES_A_ROUND = 32 };

struct DinvServiceRelay {
    DinvLoop *loop;
    DinvChannelPort *port;
    DinvRelayMux *mux;
    DinvTimer *flush;
    char *docker_socket;
    DinvEngineLog *log;
    DinvService *services;
    bool complained; /* about the protocol, since the launcher came */
};

static const struct {
    const char *name;
    DinvServiceOpen open;
} services[] = {
    {DINV_WIRE_SERVICE_DOCKER, dinv_service_docker_open},
    {DINV_WIRE_SERVICE_EXEC, dinv_service_exec_open},
    {DINV_WIRE_SERVICE_LOG, dinv_service_log_open},
};

static uint64_t make_guest_epoch(void) {
    uint64_t epoch;
    /* Before the launcher's entropy has come the kernel may have none: the clock differs too. */
    if (getrandom(&epoch, sizeof epoch, GRND_NONBLOCK) != (ssize_t)sizeof epoch) {
        epoch = dinv_boottime_us();
    }
    return epoch;
}

static void relay_incoming(void *user, DinvRelayStream *stream, const char *name,
                           const uint8_t *argument, size_t argument_len) {
    DinvServiceRelay *host = user;
    int result = -ENOENT;
    for (size_t index = 0; index < sizeof services / sizeof services[0]; index++) {
        if (strcmp(services[index].name, name) != 0) {
            continue;
        }
        DinvService *service = NULL;
        result = services[index].open(host, stream, argument, argument_len, &service);
        if (result == 0 && service != NULL) {
            service->host = host;
            service->previous = NULL;
            service->next = host->services;
            if (service->next != NULL) {
                service->next->previous = service;
            }
            host->services = service;
            service->operations->writable(service);
        }
        break;
    }
    if (result < 0) {
        dinv_relay_stream_refuse(stream, -result);
        dinv_relay_stream_close(stream, 0);
    }
    dinv_service_relay_has_output(host);
}

static void stream_readable(void *user, DinvRelayStream *stream) {
    (void)user;
    DinvService *service = dinv_relay_stream_get_data(stream);
    if (service != NULL) {
        service->operations->readable(service);
    }
}

static void stream_writable(void *user, DinvRelayStream *stream) {
    (void)user;
    DinvService *service = dinv_relay_stream_get_data(stream);
    if (service != NULL) {
        service->operations->writable(service);
    }
}

static void stream_broken(void *user, DinvRelayStream *stream, int error) {
    (void)user;
    DinvService *service = dinv_relay_stream_get_data(stream);
    if (service != NULL) {
        service->operations->broken(service, error);
    }
}

/* The guest opens no streams: nobody accepts or refuses one of ours. */
static const DinvRelayCallbacks mux_callbacks = {
    .incoming = relay_incoming,
    .readable = stream_readable,
    .writable = stream_writable,
    .reset = stream_broken,
};

void dinv_service_relay_has_output(DinvServiceRelay *host) {
    if (!dinv_timer_is_set(host->flush)) {
        dinv_timer_set(host->flush, 0);
    }
}

/* Everything on the transport is void: streams, half frames in either direction. */
static void restart_relay(DinvServiceRelay *host) {
    dinv_relay_mux_restart(host->mux, make_guest_epoch());
    dinv_service_relay_has_output(host);
}

static void relay_protocol_error(DinvServiceRelay *host) {
    if (!host->complained) {
        host->complained = true;
        dinv_log_error("relay: the launcher broke the protocol, starting anew");
    }
    restart_relay(host);
}

static void flush_relay(void *user) {
    DinvServiceRelay *host = user;
    if (!dinv_channel_port_is_connected(host->port)) {
        return;
    }
    for (int turn = 0; turn < WRITES_A_ROUND; turn++) {
        const uint8_t *bytes;
        ssize_t len = dinv_relay_mux_peek(host->mux, &bytes);
        if (len < 0) {
            relay_protocol_error(host);
        }
        if (len <= 0) {
            return;
        }
        ssize_t written = dinv_channel_port_write(host->port, bytes, (size_t)len);
        if (written < 0) {
            return; /* the port says when it takes more */
        }
        dinv_relay_mux_consume(host->mux, (size_t)written);
    }
    dinv_service_relay_has_output(host);
}

static void relay_port_connected(void *user) {
    DinvServiceRelay *host = user;
    host->complained = false;
    dinv_service_relay_has_output(host);
}

static void relay_port_disconnected(void *user) {
    restart_relay(user);
}

static void relay_port_received(void *user, const uint8_t *bytes, size_t len) {
    DinvServiceRelay *host = user;
    if (dinv_relay_mux_feed(host->mux, bytes, len) < 0) {
        relay_protocol_error(host);
    }
    if (dinv_relay_mux_has_output(host->mux)) {
        dinv_service_relay_has_output(host);
    }
}

DinvServiceRelay *dinv_service_relay_new(DinvLoop *loop, int fd, const char *docker_socket,
                                         DinvEngineLog *log) {
    static const DinvChannelPortCallbacks port_callbacks = {
        .connected = relay_port_connected,
        .disconnected = relay_port_disconnected,
        .received = relay_port_received,
        .writable = flush_relay,
    };
    DinvServiceRelay *host = calloc(1, sizeof *host);
    if (host == NULL) {
        return NULL;
    }
    host->loop = loop;
    host->log = log;
    host->docker_socket = strdup(docker_socket);
    host->mux =
        dinv_relay_mux_new(DINV_RELAY_GUEST, make_guest_epoch(), NULL, &mux_callbacks, host);
    host->flush = dinv_timer_new(loop, flush_relay, host);
    if (host->docker_socket != NULL && host->mux != NULL && host->flush != NULL) {
        host->port = dinv_channel_port_new(loop, fd, &port_callbacks, host);
    }
    if (host->port == NULL) {
        dinv_service_relay_free(host);
        return NULL;
    }
    return host;
}

void dinv_service_relay_free(DinvServiceRelay *host) {
    if (host == NULL) {
        return;
    }
    while (host->services != NULL) {
        dinv_service_end(host->services);
    }
    if (host->mux != NULL) {
        dinv_relay_mux_free(host->mux);
    }
    dinv_timer_free(host->flush);
    dinv_channel_port_free(host->port);
    free(host->docker_socket);
    free(host);
}

void dinv_service_relay_get_stats(const DinvServiceRelay *host, DinvRelayStats *stats) {
    dinv_relay_mux_get_stats(host->mux, stats);
}

void dinv_service_end(DinvService *service) {
    if (service->previous != NULL) {
        service->previous->next = service->next;
    } else {
        service->host->services = service->next;
    }
    if (service->next != NULL) {
        service->next->previous = service->previous;
    }
    service->operations->destroy(service);
}

DinvLoop *dinv_service_relay_get_loop(const DinvServiceRelay *host) {
    return host->loop;
}

const char *dinv_service_relay_get_docker_socket(const DinvServiceRelay *host) {
    return host->docker_socket;
}

DinvEngineLog *dinv_service_relay_get_log(const DinvServiceRelay *host) {
    return host->log;
}
