/* SPDX-License-Identifier: MIT */
/*
 * confine: what this process gives up before it reads the first frame, so that a hole in libslirp
 * is no more than a hole in the network: no file, no program, no other process, no raw socket.
 * For good; confine/confine.h does it.
 */
#pragma once

#include "confine/confine.h"

/* Confines the calling thread, which has to be the only one; nothing may be opened by path
 * later. */
DinvConfinement dinv_usernet_confine(void);
