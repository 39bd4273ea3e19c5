/* SPDX-License-Identifier: MIT */
/*
 * The room guest/services: the guest's end of the relay and the services on its streams. A service
 * knows its stream, its host and what it serves (docker's socket, a command, a log); of the
 * control channel and of the machine's states nothing may enter.
 *
 * service.h: what a relay stream of the guest is answered by: `docker`, `exec` and `log`
 * (docs/relay-protocol.md). A service object lives from the open of its stream to
 * dinv_service_end(), which it calls itself, or until its host goes.
 */
#pragma once

#include "guest/base/loop.h"
#include "guest/engine/log.h"
#include "relay/mux.h"

typedef struct DinvServiceRelay DinvServiceRelay;
typedef struct DinvService DinvService;

typedef struct {
    /* What the mux says about the service's stream; `writable` also comes once right after the
     * open. `broken` is the last of them. */
    void (*readable)(DinvService *service);
    void (*writable)(DinvService *service);
    void (*broken)(DinvService *service, int error);
    /* Frees the object and all it holds, closes its stream if it still has it. */
    void (*destroy)(DinvService *service);
} DinvServiceOperations;

/* The first member of each service's own struct. */
struct DinvService {
    const DinvServiceOperations *operations;
    DinvServiceRelay *host;
    DinvService *next;
    DinvService *previous;
};

/* Opens the service for `stream`: accepts it and takes it over, with *service as its data pointer.
 * It may not end the service yet. 0, or -errno: then nothing was touched, and the caller refuses
 * the stream with that errno. */
typedef int (*DinvServiceOpen)(DinvServiceRelay *host, DinvRelayStream *stream,
                               const uint8_t *argument, size_t argument_len, DinvService **service);
int dinv_service_docker_open(DinvServiceRelay *host, DinvRelayStream *stream,
                             const uint8_t *argument, size_t argument_len, DinvService **service);
int dinv_service_exec_open(DinvServiceRelay *host, DinvRelayStream *stream, const uint8_t *argument,
                           size_t argument_len, DinvService **service);
int dinv_service_log_open(DinvServiceRelay *host, DinvRelayStream *stream, const uint8_t *argument,
                          size_t argument_len, DinvService **service);

/* For services: the end of one (calls its destroy), and the word that a stream was written to. */
void dinv_service_end(DinvService *service);
void dinv_service_relay_has_output(DinvServiceRelay *host);

DinvLoop *dinv_service_relay_get_loop(const DinvServiceRelay *host);
const char *dinv_service_relay_get_docker_socket(const DinvServiceRelay *host);
DinvEngineLog *dinv_service_relay_get_log(const DinvServiceRelay *host);
