/* SPDX-License-Identifier: MIT */
/* The rate of the time stamp counter. */
#pragma once

#include <glib.h>

/* The rate of this machine's time stamp counter in kHz, measured against the clock for 20 ms; 0 if
 * there is none or the measurement makes no sense. An emulated guest reads the same counter, and
 * its kernel cannot find the rate out by itself. (/proc/cpuinfo's "cpu MHz" is the core's speed of
 * the moment, which is another number where that varies.) Blocks. */
guint dinv_host_tsc_measure_khz(void);
