/* SPDX-License-Identifier: MIT */
/*
 * doors: how a connection that this process accepted comes into libslirp.
 *
 * libslirp takes connections only from a listener that it made itself, whose backlog is one and
 * which knows one family of addresses. So it is given one for each port of the guest that is
 * forwarded, a "door", whose socket is taken away from under it at once; nobody can connect to
 * it. When one of our own listeners has accepted a connection, the door is said to be readable,
 * libslirp calls accept(), and as an executable's symbols precede those of the C library, that is
 * the one in doors.c: it hands out our connection with the source address that the guest is to
 * see.
 */
#pragma once

#include <libslirp.h>
#include <netinet/in.h>
#include <stdbool.h>

#include "usernet/process/flows.h"
#include "usernet/process/forward.h"

typedef struct DinvUsernetDoors DinvUsernetDoors;

/* There can be only one at a time. All arguments are borrowed. `guest` is the address that every
 * door leads to, `gateway` the one that clients without an address of their own in the guest's
 * network come from; `mask` that of the network. NULL, with errno, on failure. */
DinvUsernetDoors *dinv_usernet_doors_new(DinvUsernetFlows *flows, struct in_addr guest,
                                         struct in_addr gateway, struct in_addr mask);
/* Closes what no guest has seen. Before the stack, which is then not called. */
void dinv_usernet_doors_free(DinvUsernetDoors *doors);

/* A door for one more forward to this port; 0 or a negative errno. */
int dinv_usernet_doors_open(DinvUsernetDoors *doors, Slirp *slirp, uint16_t guest_port);
/* One forward fewer; the last takes the door with it. Connections that nothing inside has heard of
 * yet are reset if they came by this forward. */
void dinv_usernet_doors_close(DinvUsernetDoors *doors, Slirp *slirp,
                              const DinvUsernetForward *forward);

bool dinv_usernet_doors_is_door(const DinvUsernetDoors *doors, int fd);
/* Whether accept() of this door would give a connection. */
bool dinv_usernet_doors_is_ready(const DinvUsernetDoors *doors, int fd);
/* How many connections wait in all. */
size_t dinv_usernet_doors_waiting(const DinvUsernetDoors *doors);

/* Takes what the forward's listener has, as far as there is room; 0, or -EMFILE and the like if the
 * listener should rest until a descriptor is free. */
int dinv_usernet_doors_take(DinvUsernetDoors *doors, DinvUsernetForward *forward);

/* How often accept() was called for a door: at start-up, whether it is ours that libslirp calls. */
unsigned dinv_usernet_doors_accepts(const DinvUsernetDoors *doors);
