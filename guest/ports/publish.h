/* SPDX-License-Identifier: MIT */
/*
 * The room guest/ports: published ports, both the agent's side (here) and the port proxy
 * (proxy.h), a program of its own, and the line that they share (request.h). Listening outside is
 * the launcher's part and may not enter, nor may other requests to it.
 *
 * publish.h: the agent's side of published ports. A port proxy (proxy.c) connects for each port
 * that dockerd publishes, and says which; the launcher is asked to forward it, and the proxy gets
 * the answer. The port is published for as long as the proxy keeps its connection: however the
 * proxy ends, the launcher hears of it.
 *
 * A proxy sends one line, {"protocol": "tcp", "address": "0.0.0.0", "port": 8080, "guest_port":
 * 8080, "is_guests": true, "is_shared": false, "container": "172.17.0.2:80"}, and gets one: "ok",
 * or "error " and a sentence. It asks for the release by shutting down its sending side; the
 * connection is closed once that is done.
 */
#pragma once

#include "guest/channels/control.h"

typedef struct DinvPortsPublish DinvPortsPublish;

/* Sends a request to the launcher; the contract is that of dinv_channel_control_request(). */
typedef int (*DinvPortsRequest)(void *user, const char *verb, struct json_object *fields,
                                DinvChannelControlAnswer answer, void *answer_user);

/* Listens on `socket_path`, for root only. NULL with errno set. */
DinvPortsPublish *dinv_ports_publish_new(DinvLoop *loop, const char *socket_path,
                                         DinvPortsRequest request, void *user);
/* Only when no request is unanswered any more. NULL is ignored. */
void dinv_ports_publish_free(DinvPortsPublish *publish);
