/* SPDX-License-Identifier: MIT */
/* The tiny machine of the KVM self-test; for kvm-probe.c alone. */
#pragma once

#include "launcher/host/kvm-probe.h"

#define DINV_HOST_KVM_GUEST_MEMORY 0x10000u

/* Makes the machine in `guest_memory` (DINV_HOST_KVM_GUEST_MEMORY zeroed bytes, page-aligned), runs
 * it, and notes in *seen how far it came. May hang in the kernel: to be called in a process that
 * can be killed; async-signal-safe, so it may follow fork(). */
void dinv_host_kvm_run_test(const char *device, guint8 *guest_memory,
                            volatile DinvHostKvmObservation *seen);

/* Copies the step and the fault mark that the guest left in its memory. */
void dinv_host_kvm_read_marks(const guint8 *guest_memory, DinvHostKvmObservation *seen);
