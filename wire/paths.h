/* SPDX-License-Identifier: MIT */
/* Paths in the guest that the launcher or the root image must know as well. */
#pragma once

/* Where the data disk is mounted: the engine keeps everything there. */
#define DINV_WIRE_DATA_ROOT "/var/lib/docker"
