/* SPDX-License-Identifier: MIT */
/*
 * The room launcher/machine/qemu: the machine of machine.h as a QEMU microvm, or q35. Everything
 * that is QEMU's own is here: its command line, the commands of its monitor, what its events mean.
 * What is said over the guest's channels may not enter.
 *
 * argv: the command line of QEMU, a pure function of the plan. No file is opened and nothing is
 * asked of the system, so that tests can compare whole command lines with golden files
 * (tests/unit/golden/qemu-argv/).
 */
#pragma once

#include "launcher/machine/machine.h"

/* The descriptors that QEMU inherits, as numbers in QEMU: connected stream sockets, and the
 * datagram socket of the network. */
typedef struct {
    int qmp;
    int control;
    int relay;
    int console;
    int network;
    int first_share; /* with plan->virtiofsd: one for each directory, from this number on */
} DinvQemuFds;

/* How the 9p server treats owners and modes. Passthrough needs an effective user of root. */
typedef enum { DINV_9P_PASSTHROUGH, DINV_9P_NONE } Dinv9pSecurity;

/* The whole argv, program name included, NULL-terminated; to be freed with g_strfreev(). The guest
 * finds shares, disks and virtio-serial ports by the names in wire/. */
char **dinv_qemu_argv(const DinvMachinePlan *plan, const DinvQemuFds *fds,
                      Dinv9pSecurity security) G_GNUC_WARN_UNUSED_RESULT;
