/* SPDX-License-Identifier: MIT */
/*
 * What User-Mode Linux is left with. A guest that has taken over its kernel has this process, and
 * in seccomp mode a program of the guest can; so the launcher confines it between fork and exec
 * (confine/confine.h), and it keeps to what it was given.
 *
 * It gets descriptors and needs nothing else: no file to open, no socket to make, no program to
 * start but its stub, which is a file without a name. A kernel without the patch for that opens its
 * disks by their names in /proc/self/fd, and connects to virtiofsd by such a name; then Landlock is
 * what it keeps to, if there is Landlock. The self-test finds out which of the two a kernel is.
 */
#pragma once

#include <glib.h>

#include "launcher/machine/process.h"

/* More than the files of any kernel. */
#define DINV_UML_CAGE_FILES_MAX 16

typedef struct {
    GArray *fds; /* of int: the kernel itself, and what it inherits beside its caller's
                    descriptors */
    int cpuinfo; /* the number of a descriptor of /proc/cpuinfo in the kernel; -1: it opens that
                    itself */
    DinvConfineFile files[DINV_UML_CAGE_FILES_MAX];
    const DinvConfineTable *tables[3];
    DinvConfinePlan plan;
} DinvUmlCage;

/* Opens the kernel `path` and what it reads. `first` is the number that the first of cage->fds will
 * have in the kernel, `disks` the numbers of its disks. FALSE, with a message that names the file,
 * if the kernel cannot be opened; else the cage is to be spawned in. */
gboolean dinv_uml_cage_init(DinvUmlCage *cage, const char *path, gboolean use_ptrace,
                            gboolean opens_files, int first, const int *disks, gsize disk_count,
                            GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Spawns the kernel in its cage, by the cage's descriptors, which are appended to `fds`, those that
 * its caller gives it from DINV_MACHINE_PROCESS_FIRST_FD on; then clears the cage. *in_force is
 * what of it is to be had. NULL, with a message, if the kernel cannot be started. */
DinvMachineProcess *dinv_uml_cage_spawn(DinvUmlCage *cage, char **argv, GArray *fds,
                                        DinvConfinement *in_force, DinvMachineProcessGone gone,
                                        gpointer user, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* What is in force, for people and programs: the words of dinv_confinement_format(), and
 * "descriptors" if the kernel opens nothing itself. To be freed. */
char *dinv_uml_cage_describe(const DinvConfinement *confinement, gboolean opens_files);
