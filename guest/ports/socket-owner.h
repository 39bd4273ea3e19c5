/* SPDX-License-Identifier: MIT */
/*
 * socket-owner: whose a socket is. Every process of a container is in a cgroup that dockerd made
 * for it, and no process of the guest's own is: that tells them apart, and not what a container
 * says of itself.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Of "container 0123456789ab", or of a cgroup's name. */
enum { DINV_PORTS_OWNER_SIZE = 64 };

typedef struct {
    uint64_t inode; /* asked for */
    bool engine;    /* it is dockerd's own, which listens for the services of a swarm */
    char owner[DINV_PORTS_OWNER_SIZE]; /* for people; "" unless it is a container's */
} DinvPortsSocketOwner;

/* Fills in `engine` and `owner` of each of the `count` sockets by looking at the descriptors of
 * all processes in `proc` ("/proc") that are in neither the root cgroup nor `engine_cgroup`
 * ("engine"), and of dockerd. Takes as long as it takes to read these, so it is for sockets that
 * are new. */
void dinv_ports_find_owners(const char *proc, const char *engine_cgroup,
                            DinvPortsSocketOwner *sockets, size_t count);
