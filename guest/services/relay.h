/* SPDX-License-Identifier: MIT */
/*
 * relay: the guest's end of the relay: the mux on its port, and the services on its streams. The
 * launcher's bytes are checked by the mux; what breaks its protocol starts the relay anew.
 */
#pragma once

#include "guest/services/service.h"

/* Takes over `fd`, the relay's byte stream. `docker_socket` is copied, `log` borrowed. NULL if out
 * of memory: then `fd` is the caller's. */
DinvServiceRelay *dinv_service_relay_new(DinvLoop *loop, int fd, const char *docker_socket,
                                         DinvEngineLog *log);
/* Ends all services and streams. */
void dinv_service_relay_free(DinvServiceRelay *host);

void dinv_service_relay_get_stats(const DinvServiceRelay *host, DinvRelayStats *stats);
