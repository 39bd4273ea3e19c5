/* SPDX-License-Identifier: MIT */
/*
 * channels: the two ports to the launcher, found at the start of the machine: `control`, over which
 * the agent speaks for itself, and `relay`, whose streams its services answer. No policy: what is
 * said comes from the owner.
 */
#pragma once

#include <stdbool.h>

#include "guest/base/loop.h"
#include "guest/channels/control.h"
#include "guest/engine/log.h"
#include "guest/services/relay.h"

typedef struct DinvAgentChannels DinvAgentChannels;

typedef struct {
    /* A launcher is there: the place to send `hello`. */
    void (*connected)(void *user);
    /* A request came; it must be answered exactly once. Borrowed for the call. */
    void (*request)(void *user, const DinvMessage *message);
    /* The machine does not have one of the ports. `text` is for a person. */
    void (*missing)(void *user, const char *text);
} DinvAgentChannelsCallbacks;

/* Finds nothing yet. `callbacks` is copied. NULL if out of memory. */
DinvAgentChannels *dinv_agent_channels_new(DinvLoop *loop,
                                           const DinvAgentChannelsCallbacks *callbacks, void *user);

/* Begins to look for the ports; callbacks come from the loop. `docker_socket` and `log`, which the
 * relay's services need, are borrowed for good. */
void dinv_agent_channels_find(DinvAgentChannels *channels, const char *docker_socket,
                              DinvEngineLog *log);

/* As dinv_channel_control_…() of the same names. An event is dropped, and a request refused with
 * -ENOTCONN, while there is no port; `fields` is taken over. */
void dinv_agent_channels_send_event(DinvAgentChannels *channels, const char *name,
                                    struct json_object *fields);
void dinv_agent_channels_reply(DinvAgentChannels *channels, int64_t id,
                               struct json_object *results);
void dinv_agent_channels_reply_error(DinvAgentChannels *channels, int64_t id, const char *text);
int dinv_agent_channels_request(DinvAgentChannels *channels, const char *verb,
                                struct json_object *fields, DinvChannelControlAnswer answer,
                                void *user);

/* Whether all that was said has left. */
bool dinv_agent_channels_is_drained(const DinvAgentChannels *channels);

/* The relay's figures; all 0 while there is none. */
void dinv_agent_channels_get_relay_stats(const DinvAgentChannels *channels, DinvRelayStats *stats);
/* Ends every stream: what their services hold open keeps file systems in use. */
void dinv_agent_channels_close_relay(DinvAgentChannels *channels);
