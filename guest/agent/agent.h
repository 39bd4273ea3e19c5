/* SPDX-License-Identifier: MIT */
/*
 * agent: process 1 from its first to its last instruction. Puts the other parts of the room
 * together; holds no configuration but what the launcher sent.
 */
#pragma once

#include <stdint.h>

/* Runs the machine; ends by switching it off. `start_us` is the CLOCK_BOOTTIME at which this
 * process began. Signals must have been blocked. */
_Noreturn void dinv_agent_run(uint64_t start_us);
