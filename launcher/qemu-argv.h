/* SPDX-License-Identifier: MIT */
/*
 * The command line of QEMU: a pure function of the plan. No file is opened and nothing is asked of
 * the system, so that tests can compare whole command lines with golden files
 * (tests/unit/golden/qemu-argv/).
 */
#pragma once

#include <glib.h>

#include "launcher/machine.h"

/* The descriptors that QEMU inherits, as numbers in QEMU: connected stream sockets. */
typedef struct {
    int qmp;
    int control;
    int relay;
    int console;
    int first_share; /* with plan->virtiofsd: one for each directory, numbers that follow each other
                      */
} DinvQemuFds;

/* How the 9p server treats owners and modes. Passthrough needs an effective user of root. */
typedef enum { DINV_9P_PASSTHROUGH, DINV_9P_NONE } Dinv9pSecurity;

/* What the guest finds the copies of plan->files_dir by. */
#define DINV_QEMU_FILES_TAG "dinv-files"
/* The id of the network backend, for hostfwd_add and hostfwd_remove. */
#define DINV_QEMU_NETDEV "net0"

/* The whole argv, program name included, NULL-terminated; to be freed with g_strfreev(). The guest
 * finds the directory with index N in plan->mounts (at most DINV_MOUNTS_MAX) by the tag "dinvN",
 * the copies of files by DINV_QEMU_FILES_TAG, disks by the serials "dinv-root", "dinv-data" and
 * "dinv-volume", the
 * virtio-serial ports by the names "dinv.control" and "dinv.relay". */
char **dinv_qemu_argv(const DinvMachinePlan *plan, const DinvQemuFds *fds,
                      Dinv9pSecurity security) G_GNUC_WARN_UNUSED_RESULT;
