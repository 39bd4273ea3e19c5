/* SPDX-License-Identifier: MIT */
/*
 * The room launcher/machine/uml: the machine of machine.h as User-Mode Linux, a Linux kernel that
 * is an ordinary process and has its guest's programs run in processes of the outer container.
 * Everything that is that kernel's own is here: its command line, how it ends, on which CPU it
 * runs. What is said over the guest's channels may not enter.
 *
 * argv: the command line, a pure function of the plan (tests/unit/golden/uml-argv/).
 */
#pragma once

#include "launcher/machine/machine.h"

/* The descriptors that the kernel inherits, by their numbers in it. */
typedef struct {
    int control; /* connected stream sockets */
    int relay;
    int console;
    int network; /* a datagram socket, one Ethernet frame a message */
    int root;    /* files */
    int data;
    int volume;      /* with plan->volume_image */
    int first_share; /* with plan->virtiofsd: sockets to the servers, from this number on, or their
                        names (virtiofs.h); one for each directory, and one for plan->files_dir */
    int cpuinfo;     /* of /proc/cpuinfo; -1: the kernel opens it */
} DinvUmlFds;

/* The name of the program in its own argv. No file has it, so that a guest that reboots, which for
 * this kernel is to exec argv[0], ends instead; it then says DINV_UML_REBOOT_TEXT on stderr. */
#define DINV_UML_ARGV0       "/dinv/never/again"
#define DINV_UML_REBOOT_TEXT "Failed to exec kernel"

/* What the kernel says on stderr when it begins to wait for space under a disk, and at the end. */
#define DINV_UML_FULL_TEXT "ubd: no space left on the host"
#define DINV_UML_ROOM_TEXT "ubd: there is space on the host again"

/* The whole argv, with DINV_UML_ARGV0, NULL-terminated; to be freed with g_strfreev(). `pins` are
 * the CPUs for the vCPUs (placement.h), NULL: any. */
char **dinv_uml_argv(const DinvMachinePlan *plan, const DinvUmlFds *fds,
                     const char *pins) G_GNUC_WARN_UNUSED_RESULT;

/* The same for a self-test: the smallest machine that gets to its first program. Of `fds` are used
 * root, console and cpuinfo. */
char **dinv_uml_test_argv(gboolean use_ptrace, const DinvUmlFds *fds,
                          const char *pins) G_GNUC_WARN_UNUSED_RESULT;
