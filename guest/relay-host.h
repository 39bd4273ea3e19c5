/* SPDX-License-Identifier: MIT */
/*
 * relay-host: the guest's end of the relay: the mux on its port, and the services on its streams.
 */
#pragma once

#include "guest/service.h"

/* Takes over `fd`, the relay's byte stream. `docker_socket` is copied, `log` borrowed. NULL if out
 * of memory: then `fd` is the caller's. */
DinvRelayHost *dinv_relay_host_new(DinvLoop *loop, int fd, const char *docker_socket,
                                   DinvEngineLog *log);
/* Ends all services and streams. */
void dinv_relay_host_free(DinvRelayHost *host);

void dinv_relay_host_get_stats(const DinvRelayHost *host, DinvRelayStats *stats);
