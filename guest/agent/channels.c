/* SPDX-License-Identifier: MIT */
/* Looks for the ports until both are there; hands on what is said. */
#include "guest/agent/channels.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "guest/channels/port.h"
#include "guest/channels/tty.h"
#include "wire/channels.h"

enum {
    FIND_AGAIN_MS = 10,
    FIND_MS = 30000,
};

struct DinvAgentChannels {
    DinvLoop *loop;
    DinvAgentChannelsCallbacks callbacks;
    void *user;
    DinvTimer *find;
    uint64_t find_deadline_ms;
    const char *docker_socket;
    DinvEngineLog *log;
    DinvChannelControl *control; /* both NULL until their port was found */
    DinvServiceRelay *relay;
};

/* A port of virtio-serial, or the terminal that the kernel's command line says is in its place. */
static int open_port(const char *name, const char *parameter) {
    int fd = dinv_channel_port_find("/sys/class/virtio-ports", "/dev", name);
    return fd == -ENOENT ? dinv_channel_tty_open("/proc/cmdline", "/dev", parameter) : fd;
}

static void find_control(DinvAgentChannels *channels) {
    int fd = open_port(DINV_WIRE_CONTROL_PORT, DINV_WIRE_CONTROL_PARAMETER);
    if (fd < 0) {
        return;
    }
    const DinvChannelControlCallbacks callbacks = {
        .connected = channels->callbacks.connected,
        .request = channels->callbacks.request,
    };
    channels->control = dinv_channel_control_new(channels->loop, fd, &callbacks, channels->user);
    if (channels->control == NULL) {
        close(fd);
    }
}

static void find_relay(DinvAgentChannels *channels) {
    int fd = open_port(DINV_WIRE_RELAY_PORT, DINV_WIRE_RELAY_PARAMETER);
    if (fd < 0) {
        return;
    }
    channels->relay =
        dinv_service_relay_new(channels->loop, fd, channels->docker_socket, channels->log);
    if (channels->relay == NULL) {
        close(fd);
    }
}

/* The ports' names come with messages of the device, a moment after its driver. */
static void find_ports(void *user) {
    DinvAgentChannels *channels = user;
    if (channels->control == NULL) {
        find_control(channels);
    }
    if (channels->relay == NULL) {
        find_relay(channels);
    }
    if (channels->control != NULL && channels->relay != NULL) {
        return;
    }
    if (dinv_now_ms() < channels->find_deadline_ms) {
        dinv_timer_set(channels->find, FIND_AGAIN_MS);
    } else {
        channels->callbacks.missing(channels->user,
                                    channels->control == NULL
                                        ? "the machine has no port " DINV_WIRE_CONTROL_PORT
                                        : "the machine has no port " DINV_WIRE_RELAY_PORT);
    }
}

DinvAgentChannels *
dinv_agent_channels_new(DinvLoop *loop, const DinvAgentChannelsCallbacks *callbacks, void *user) {
    DinvAgentChannels *channels = calloc(1, sizeof *channels);
    if (channels == NULL) {
        return NULL;
    }
    channels->loop = loop;
    channels->callbacks = *callbacks;
    channels->user = user;
    channels->find = dinv_timer_new(loop, find_ports, channels);
    if (channels->find == NULL) {
        free(channels);
        return NULL;
    }
    return channels;
}

void dinv_agent_channels_find(DinvAgentChannels *channels, const char *docker_socket,
                              DinvEngineLog *log) {
    channels->docker_socket = docker_socket;
    channels->log = log;
    channels->find_deadline_ms = dinv_now_ms() + FIND_MS;
    dinv_timer_set(channels->find, 0);
}

void dinv_agent_channels_send_event(DinvAgentChannels *channels, const char *name,
                                    struct json_object *fields) {
    if (channels->control != NULL) {
        dinv_channel_control_send_event(channels->control, name, fields);
    } else {
        json_object_put(fields);
    }
}

void dinv_agent_channels_reply(DinvAgentChannels *channels, int64_t id,
                               struct json_object *results) {
    dinv_channel_control_reply(channels->control, id, results);
}

void dinv_agent_channels_reply_error(DinvAgentChannels *channels, int64_t id, const char *text) {
    dinv_channel_control_reply_error(channels->control, id, text);
}

int dinv_agent_channels_request(DinvAgentChannels *channels, const char *verb,
                                struct json_object *fields, DinvChannelControlAnswer answer,
                                void *user) {
    if (channels->control == NULL) {
        json_object_put(fields);
        return -ENOTCONN;
    }
    return dinv_channel_control_request(channels->control, verb, fields, answer, user);
}

bool dinv_agent_channels_is_drained(const DinvAgentChannels *channels) {
    return channels->control == NULL || dinv_channel_control_is_drained(channels->control);
}

void dinv_agent_channels_get_relay_stats(const DinvAgentChannels *channels, DinvRelayStats *stats) {
    *stats = (DinvRelayStats){0};
    if (channels->relay != NULL) {
        dinv_service_relay_get_stats(channels->relay, stats);
    }
}

void dinv_agent_channels_close_relay(DinvAgentChannels *channels) {
    dinv_service_relay_free(channels->relay);
    channels->relay = NULL;
}
