/* SPDX-License-Identifier: MIT */
/*
 * The room guest/agent: process 1 of the machine from its first to its last instruction. It puts
 * the other rooms together and decides what comes when; how a thing is done (a mount, a network, a
 * daemon, a message) is in the rooms below and may not enter. It holds no configuration but what
 * the launcher sent.
 *
 * agent: the only entrance.
 */
#pragma once

#include <stdint.h>

/* Runs the machine; ends by switching it off. `start_us` is the CLOCK_BOOTTIME at which this
 * process began. Signals must have been blocked. */
_Noreturn void dinv_agent_run(uint64_t start_us);
