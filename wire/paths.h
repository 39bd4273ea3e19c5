/* SPDX-License-Identifier: MIT */
/* Paths in the guest that the launcher or the root image must know as well. */
#pragma once

/* What the agent needs for itself. Not /run/dinv, where users like to have the engine's socket. */
#define DINV_WIRE_AGENT_DIRECTORY "/run/dinv-agent"
/* Where the data disk is mounted: the engine keeps everything there. */
#define DINV_WIRE_DATA_ROOT "/var/lib/docker"
