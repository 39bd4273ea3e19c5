/* SPDX-License-Identifier: MIT */
/* The program virtiofsd: where it is, and whether this process can run it. */
#pragma once

#include "launcher/machine/machine.h"

/* Where Debian has the program: 13 as a package of its own, 12 as QEMU's, with other options. Its
 * sandbox is a chroot, for root with Docker's default capabilities. FALSE, and why, where this
 * process cannot run it, or may have too few descriptors for it. */
gboolean dinv_machine_virtiofsd_find(DinvMachineVirtiofsd *found, char **reason);

/* How many inodes the guest may know before it drops its caches: half of the descriptors that a
 * virtiofsd can have, as the guest looks once a second. */
gint64 dinv_machine_virtiofsd_get_inodes_max(void);
