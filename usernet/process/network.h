/* SPDX-License-Identifier: MIT */
/*
 * The room usernet/process: the network of one machine. Frames of the machine go into libslirp,
 * its frames to the machine; ports of the outer container are forwarded to the guest. What dinv
 * makes of it may not enter: who asks for a forward, and why, is the launcher's.
 *
 * Theory of operation (more in docs/usernet.md): one thread, one epoll loop (loop.h). A turn asks
 * libslirp which sockets it wants, waits, handles what the machine sent, and lets libslirp read
 * and write. Every frame passes here in both directions, so connections are known by their flags
 * (flows.h) without libslirp's help. TCP comes in through doors (doors.h); UDP that comes in is
 * not libslirp's at all (udp.h). While the machine does not take a frame nothing more is read
 * outside, and libslirp's timers stand still.
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "usernet/process/forward.h"
#include "usernet/process/loop.h"

typedef struct DinvUsernetNetwork DinvUsernetNetwork;

typedef struct {
    struct in_addr network, mask;
    unsigned mtu;
    /* How long a half-closed connection may be silent before the guest is asked whether it is still
     * there. */
    int64_t probe_ns;
} DinvUsernetConfig;

/* `frames_fd` and `loop` are borrowed. NULL with a sentence in *problem on failure: no memory, no
 * descriptors, or a libslirp that calls another accept() than ours. */
DinvUsernetNetwork *dinv_usernet_network_new(DinvUsernetLoop *loop, int frames_fd,
                                             const DinvUsernetConfig *config, const char **problem);
/* Closes all sockets; connections are reset. */
void dinv_usernet_network_free(DinvUsernetNetwork *network);

/* Waits for something to do, at most until libslirp's next timer, and does it. */
void dinv_usernet_network_turn(DinvUsernetNetwork *network);

/* 0 or a negative errno, with what failed in *step ("socket", "bind", "listen", "forward"). */
int dinv_usernet_network_add(DinvUsernetNetwork *network, const DinvUsernetEndpoint *endpoint,
                             uint16_t guest_port, const char **step);
/* 0, or -ENOENT. Connections that are open stay open. */
int dinv_usernet_network_remove(DinvUsernetNetwork *network, const DinvUsernetEndpoint *endpoint);
/* The first, or the one after `forward`; NULL at the end. Valid until one is removed. */
const DinvUsernetForward *dinv_usernet_network_next(const DinvUsernetNetwork *network,
                                                    const DinvUsernetForward *forward);
