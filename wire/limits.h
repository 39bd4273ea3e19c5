/* SPDX-License-Identifier: MIT */
/* Limits of processes in the guest. */
#pragma once

/* The most descriptors that one may be allowed: fs.nr_open, as systemd sets it. */
#define DINV_WIRE_FILES_MOST 1073741816
