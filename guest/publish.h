/* SPDX-License-Identifier: MIT */
/*
 * publish: the agent's side of published ports. A port proxy (port-proxy.c) connects for each port
 * that dockerd publishes, and says which; the launcher is asked to forward it, and the proxy gets
 * the answer. The port is published for as long as the proxy keeps its connection: however the
 * proxy ends, the launcher hears of it.
 *
 * A proxy sends one line, {"protocol": "tcp", "address": "0.0.0.0", "port": 8080, "container":
 * "172.17.0.2:80"}, and gets one: "ok", or "error " and a sentence. It asks for the release by
 * shutting down its sending side; the connection is closed once that is done.
 */
#pragma once

#include "guest/control.h"

typedef struct DinvPublish DinvPublish;

/* Sends a request to the launcher; the contract is that of dinv_control_request(). */
typedef int (*DinvPublishRequest)(void *user, const char *verb, struct json_object *fields,
                                  DinvControlAnswer answer, void *answer_user);

/* Listens on `socket_path`, for root only. NULL with errno set. */
DinvPublish *dinv_publish_new(DinvLoop *loop, const char *socket_path, DinvPublishRequest request,
                              void *user);
/* Only when no request is unanswered any more. NULL is ignored. */
void dinv_publish_free(DinvPublish *publish);
