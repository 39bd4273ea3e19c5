/* SPDX-License-Identifier: MIT */
/*
 * What was asked of dinv-usernet and is not answered yet, and what it has said yes to: both outlive
 * a process of it. Private to usernet.c, which has the process.
 */
#pragma once

#include <gio/gio.h>

#include "usernet/protocol.h"

typedef struct DinvNetworkUsernetCalls DinvNetworkUsernetCalls;

/* No process yet. */
DinvNetworkUsernetCalls *dinv_network_usernet_calls_new(void);
/* Whoever waits gets ECANCELED. */
void dinv_network_usernet_calls_free(DinvNetworkUsernetCalls *calls);

/* There is a process, at the other end of the seqpacket socket `control` (borrowed, until detach).
 * It gets the forwards that are to be there, then the calls that another one has not answered. */
void dinv_network_usernet_calls_attach(DinvNetworkUsernetCalls *calls, int control);
/* It is gone. */
void dinv_network_usernet_calls_detach(DinvNetworkUsernetCalls *calls);
/* There will be no other: whoever waits, and whoever asks from now on, gets ENETDOWN. */
void dinv_network_usernet_calls_lose(DinvNetworkUsernetCalls *calls);

/* `task` is taken over: it ends with TRUE, for a list with a GArray of DinvUsernetReply, or with an
 * error of DINV_NETWORK_USERNET_ERROR. The id in `request` is of no meaning. */
void dinv_network_usernet_calls_make(DinvNetworkUsernetCalls *calls,
                                     const DinvUsernetRequest *request, GTask *task);
/* What the process said, but for its `ready`. */
void dinv_network_usernet_calls_take_reply(DinvNetworkUsernetCalls *calls,
                                           const DinvUsernetReply *reply);
