/* SPDX-License-Identifier: MIT */
/* What kind of CPU this machine has. */
#pragma once

#include <glib.h>

/* Whether this machine's CPU is itself emulated by QEMU (TCG), which says so in CPUID. FALSE where
 * that cannot be known. Does not block. */
gboolean dinv_host_cpu_is_emulated(void);

/* Whether this is what TCG answers to CPUID leaf 0x40000000 in EBX, ECX and EDX. */
gboolean dinv_host_cpu_is_tcg(guint32 ebx, guint32 ecx, guint32 edx);
