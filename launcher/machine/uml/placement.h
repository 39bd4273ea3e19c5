/* SPDX-License-Identifier: MIT */
/*
 * On which CPUs User-Mode Linux runs.
 *
 * The guest's kernel and the process of the guest's program that it runs wake one another all the
 * time, one at work and the other asleep. On two CPUs each wake-up finds a CPU that sleeps, and all
 * takes three times as long. So each vCPU is bound to a CPU, and the kernel keeps the processes
 * that it runs there, too (its parameter pin=). A machine with one vCPU is moved to another CPU
 * when somebody else wants that one.
 */
#pragma once

#include <glib.h>
#include <sched.h>

typedef struct DinvUmlPlacement DinvUmlPlacement;

/* Chooses among the CPUs that this process may run on: one for each vCPU, none at all if there are
 * too few of them. Never NULL. */
DinvUmlPlacement *dinv_uml_placement_new(guint vcpus);

/* The CPUs, in the order of vCPUs, as "1" or "0,1"; NULL: the machine is not bound. Borrowed. */
const char *dinv_uml_placement_get_pins(const DinvUmlPlacement *placement);

/* Looks every few seconds, from the default main context, whether the process `pid` has to wait for
 * its CPU while another one idles, and moves it there. */
void dinv_uml_placement_watch(DinvUmlPlacement *placement, GPid pid);

/* The process stays where it is. */
void dinv_uml_placement_free(DinvUmlPlacement *placement);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DinvUmlPlacement, dinv_uml_placement_free)

/* What the decision to move is made of, for one CPU and for one period between two looks. */
typedef struct {
    guint cpu;
    guint64 busy; /* in ticks, with all that is not idle */
    guint64 idle;
} DinvUmlCpuTimes;

/* Takes the lines of /proc/stat apart: an array of DinvUmlCpuTimes, since the machine was started,
 * of those CPUs that are in `allowed`. Transfer full. */
GArray *dinv_uml_placement_parse_stat(const char *text, const cpu_set_t *allowed);

/* The CPU to go to from `current`: `waited` is the part of the period, 0 to 1, that the process has
 * waited for `current`; `before` and `after` are of the period's two ends. `current` if it is
 * better to stay. Pure. */
guint dinv_uml_placement_choose(guint current, double waited, const GArray *before,
                                const GArray *after);
