/* SPDX-License-Identifier: MIT */
/*
 * shutdown-steps: what is really done in each step of the shutdown, whose order is in shutdown.h.
 * For process 1 of a machine of its own only: it signals and unmounts everything.
 */
#pragma once

#include "guest/agent/shutdown.h"

/* To be called with the agent (internal.h) as `user`. */
extern const DinvAgentShutdownOperations dinv_agent_shutdown_steps;
