/* SPDX-License-Identifier: MIT */
/* The program virtiofsd: where it is, whether this process can run it, and what it is told. */
#pragma once

#include "launcher/machine/machine.h"

/* `chosen` is DINV_VIRTIOFSD, borrowed as long as *found is used, or NULL: then it is looked for
 * where Debian has it, 13 as a package of its own, 12 as QEMU's, with other options. Its sandbox is
 * a chroot, for root with Docker's default capabilities; an ordinary user's has none, and all files
 * that it makes are that user's, which QEMU's cannot. FALSE where this process cannot run it, or
 * may have too few descriptors for it; *reason, to be freed, then says why. Does not block. */
gboolean dinv_machine_virtiofsd_find(const char *chosen, DinvMachineVirtiofsd *found,
                                     char **reason);

/* How many inodes the guest may know before it drops its caches: half of the descriptors that a
 * virtiofsd can have, as the guest looks once a second. */
gint64 dinv_machine_virtiofsd_get_inodes_max(void);

/* argv for one directory, to be freed with g_strfreev(); `tag`, if it is not NULL, is what the
 * server tells the guest is the share's name, where the machine does not; `fd` is the number of the
 * listening socket in it. Pure. */
char **dinv_machine_virtiofsd_argv(const DinvMachineVirtiofsd *program, const DinvMountSpec *mount,
                                   const char *tag, int fd) G_GNUC_WARN_UNUSED_RESULT;
