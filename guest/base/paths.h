/* SPDX-License-Identifier: MIT */
/* Paths that several rooms of the guest use, and nobody outside of it. */
#pragma once

/* What the agent needs for itself. Not /run/dinv, where users like to have the engine's socket. */
#define DINV_AGENT_DIRECTORY "/run/dinv-agent"
