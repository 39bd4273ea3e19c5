/* SPDX-License-Identifier: MIT */
/*
 * confine: what this process gives up before it reads the first frame, so that a hole in libslirp
 * is no more than a hole in the network: no file, no program, no other process, no raw socket.
 * For good.
 *
 * Each part is tried, none is needed: an old kernel, or an outer container that forbids one of
 * them, lacks that part and says so.
 */
#pragma once

#include <stdbool.h>

typedef struct {
    bool no_new_privs;
    bool capabilities; /* none left but CAP_NET_BIND_SERVICE, and that only where ports need it */
    bool core;         /* RLIMIT_CORE 0 */
    bool landlock;     /* no path at all */
    bool seccomp;      /* confine-seccomp.c */
} DinvUsernetConfinement;

/* Confines the calling thread, which has to be the only one; nothing may be opened by path
 * later. */
DinvUsernetConfinement dinv_usernet_confine(void);

/* The FEATURES of docs/usernet.md: those that are in force, with commas, or "none". */
void dinv_usernet_confinement_format(const DinvUsernetConfinement *confinement, char *out,
                                     unsigned long size);

/* confine-seccomp.c: with no_new_privs only. Other system calls than the loop needs fail with EPERM
 * from now on, so that what a library only tries out does no harm. False if the kernel refuses. */
bool dinv_usernet_confine_seccomp(void);
