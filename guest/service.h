/* SPDX-License-Identifier: MIT */
/*
 * service: what a relay stream of the guest is answered by: `docker`, `exec` and `log`
 * (docs/relay-protocol.md). A service object lives from the open of its stream to
 * dinv_service_end(), which it calls itself, or until its host goes.
 */
#pragma once

#include "guest/engine-log.h"
#include "guest/loop.h"
#include "relay/mux.h"

typedef struct DinvRelayHost DinvRelayHost;
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
    DinvRelayHost *host;
    DinvService *next;
    DinvService *previous;
};

/* Opens the service for `stream`: accepts it and takes it over, with *service as its data pointer.
 * It may not end the service yet. 0, or -errno: then nothing was touched, and the caller refuses
 * the stream with that errno. */
typedef int (*DinvServiceOpen)(DinvRelayHost *host, DinvRelayStream *stream,
                               const uint8_t *argument, size_t argument_len, DinvService **service);
int dinv_service_docker_open(DinvRelayHost *host, DinvRelayStream *stream, const uint8_t *argument,
                             size_t argument_len, DinvService **service);
int dinv_service_exec_open(DinvRelayHost *host, DinvRelayStream *stream, const uint8_t *argument,
                           size_t argument_len, DinvService **service);
int dinv_service_log_open(DinvRelayHost *host, DinvRelayStream *stream, const uint8_t *argument,
                          size_t argument_len, DinvService **service);

/* For services: the end of one (calls its destroy), and the word that a stream was written to. */
void dinv_service_end(DinvService *service);
void dinv_relay_host_has_output(DinvRelayHost *host);

DinvLoop *dinv_relay_host_get_loop(const DinvRelayHost *host);
const char *dinv_relay_host_get_docker_socket(const DinvRelayHost *host);
DinvEngineLog *dinv_relay_host_get_log(const DinvRelayHost *host);
