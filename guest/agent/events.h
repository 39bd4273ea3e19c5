/* SPDX-License-Identifier: MIT */
/*
 * events: what the guest tells the launcher unasked (docs/control-protocol.md, "Guest to
 * launcher"). All of it is dropped while nobody is connected, and never blocks.
 */
#pragma once

#include <stdint.h>

#include "guest/agent/channels.h"
#include "guest/base/log.h"

/* `start_us`: the CLOCK_BOOTTIME at which process 1 began to run. */
void dinv_agent_event_hello(DinvAgentChannels *channels, uint64_t start_us);
/* A step of the start; `name` is one of DINV_WIRE_PHASE_…. */
void dinv_agent_event_phase(DinvAgentChannels *channels, const char *name);
/* The disk of that serial number is beyond repair. */
void dinv_agent_event_damaged(DinvAgentChannels *channels, const char *serial);
/* The engine answers; `engine` is its version. */
void dinv_agent_event_ready(DinvAgentChannels *channels, const char *engine);
/* A line for the launcher's log. */
void dinv_agent_event_log(DinvAgentChannels *channels, DinvGuestLogLevel level, const char *text);
/* The machine cannot go on; `log` (NULL: none) is the end of the engine's. */
void dinv_agent_event_failed(DinvAgentChannels *channels, const char *what, const char *text,
                             const char *log);
/* The last one. `clean`: every file system is unmounted or read-only. */
void dinv_agent_event_exit(DinvAgentChannels *channels, bool clean);
