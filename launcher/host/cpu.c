/* SPDX-License-Identifier: MIT */
/* CPUID of x86; other CPUs count as real ones. */
#include "launcher/host/cpu.h"

#include <string.h>

#define HYPERVISOR_LEAF 0x40000000u
#define HYPERVISOR_BIT  (1u << 31) /* of ECX in leaf 1 */

gboolean dinv_host_cpu_is_tcg(guint32 ebx, guint32 ecx, guint32 edx) {
    const guint32 words[] = {ebx, ecx, edx};
    return memcmp(words, "TCGTCGTCGTCG", sizeof words) == 0;
}

#ifdef __x86_64__

#include <cpuid.h>

gboolean dinv_host_cpu_is_emulated(void) {
    guint32 eax = 0;
    guint32 ebx = 0;
    guint32 ecx = 0;
    guint32 edx = 0;
    if (__get_cpuid(1, &eax, &ebx, &ecx, &edx) == 0 || (ecx & HYPERVISOR_BIT) == 0) {
        return FALSE;
    }
    /* Not __get_cpuid(): its check of the highest leaf does not know of hypervisors' leaves. */
    __cpuid(HYPERVISOR_LEAF, eax, ebx, ecx, edx);
    return dinv_host_cpu_is_tcg(ebx, ecx, edx);
}

#else

gboolean dinv_host_cpu_is_emulated(void) {
    return FALSE;
}

#endif
