/* SPDX-License-Identifier: MIT */
/* The `docker` service: one connection to dockerd's unix socket for each stream. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "guest/base/log.h"
#include "guest/base/unix-socket.h"
#include "guest/services/service.h"
#include "relay/io/pump.h"

typedef struct {
    DinvService base;
    DinvServiceRelay *host;
    DinvLoop *loop;
    DinvRelayPump *pump;
    int fd;
} Connection;

static void docker_fd_ready(void *user, int fd, short revents) {
    (void)fd;
    Connection *connection = user;
    dinv_relay_pump_ready(connection->pump, revents);
}

static void docker_pump_watch(void *user, DinvRelayPump *pump, int fd, short events) {
    (void)pump;
    Connection *connection = user;
    if (events == 0) {
        dinv_loop_unwatch(connection->loop, fd);
        return;
    }
    /* A hang-up is always reported, and may not be asked for. */
    events = (short)(events & (POLLIN | POLLOUT));
    int result = dinv_loop_watch(connection->loop, fd, events, docker_fd_ready, connection);
    if (result < 0) {
        dinv_log_error("docker service: cannot watch a connection (errno %d)", -result);
    }
}

static void docker_pump_done(void *user, DinvRelayPump *pump, int error) {
    (void)pump;
    (void)error;
    Connection *connection = user;
    DinvServiceRelay *host = connection->host;
    dinv_service_end(&connection->base);
    dinv_service_relay_has_output(host);
}

static void docker_pump_output(void *user) {
    Connection *connection = user;
    dinv_service_relay_has_output(connection->host);
}

static void docker_readable(DinvService *service) {
    Connection *connection = (Connection *)service;
    DinvServiceRelay *host = connection->host;
    dinv_relay_pump_stream_readable(connection->pump);
    /* Consuming gives credit back, which is output as well. */
    dinv_service_relay_has_output(host);
}

static void docker_writable(DinvService *service) {
    Connection *connection = (Connection *)service;
    dinv_relay_pump_stream_writable(connection->pump);
}

static void docker_broken(DinvService *service, int error) {
    Connection *connection = (Connection *)service;
    dinv_relay_pump_stream_broken(connection->pump, error);
}

static void docker_destroy(DinvService *service) {
    Connection *connection = (Connection *)service;
    dinv_relay_pump_free(connection->pump);
    free(connection);
}

static const DinvServiceOperations operations = {
    .readable = docker_readable,
    .writable = docker_writable,
    .broken = docker_broken,
    .destroy = docker_destroy,
};

int dinv_service_docker_open(DinvServiceRelay *host, DinvRelayStream *stream,
                             const uint8_t *argument, size_t argument_len, DinvService **service) {
    (void)argument;
    (void)argument_len;
    static const DinvRelayPumpCallbacks callbacks = {
        .watch = docker_pump_watch,
        .done = docker_pump_done,
        .output = docker_pump_output,
    };
    Connection *connection = calloc(1, sizeof *connection);
    if (connection == NULL) {
        return -ENOMEM;
    }
    connection->base.operations = &operations;
    connection->host = host;
    connection->loop = dinv_service_relay_get_loop(host);
    connection->fd = dinv_unix_socket_connect(dinv_service_relay_get_docker_socket(host));
    if (connection->fd < 0) {
        int error = connection->fd;
        free(connection);
        return error;
    }
    connection->pump = dinv_relay_pump_new(stream, connection->fd, &callbacks, connection);
    if (connection->pump == NULL) {
        close(connection->fd);
        free(connection);
        return -ENOMEM;
    }
    dinv_relay_stream_set_data(stream, connection);
    dinv_relay_stream_accept(stream);
    *service = &connection->base;
    return 0;
}
