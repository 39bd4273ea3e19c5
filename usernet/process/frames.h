/* SPDX-License-Identifier: MIT */
/*
 * frames: the machine's end of the network, a SOCK_DGRAM socket pair with one Ethernet frame a
 * message. A frame that the socket does not take waits in a queue; whoever makes frames asks
 * first whether there is one (dinv_usernet_frames_blocked()) and stops until it is gone, so that
 * frames are late and never lost. The machine's own frames are read until the queue has grown to
 * its bound.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "usernet/process/loop.h"

/* The longest frame that is taken from the machine: an IPv4 packet of 65,535 bytes in Ethernet. */
#define DINV_USERNET_FRAME_MAX 65550u

typedef struct DinvUsernetFrames DinvUsernetFrames;

/* `frame` is borrowed for the call. */
typedef void (*DinvUsernetOnFrame)(void *opaque, const uint8_t *frame, size_t len);

/* Borrows `fd` and watches it; NULL, with errno, on failure. */
DinvUsernetFrames *dinv_usernet_frames_new(DinvUsernetLoop *loop, int fd,
                                           DinvUsernetOnFrame on_frame, void *opaque);
void dinv_usernet_frames_free(DinvUsernetFrames *frames);

/* Takes a copy. Never blocks. */
void dinv_usernet_frames_send(DinvUsernetFrames *frames, const void *frame, size_t len);
bool dinv_usernet_frames_blocked(const DinvUsernetFrames *frames);
/* Bytes that wait. */
size_t dinv_usernet_frames_queued(const DinvUsernetFrames *frames);
