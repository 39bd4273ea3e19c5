/* SPDX-License-Identifier: MIT */
/* A CPU for each vCPU: see placement.h for why. What cannot be read or set is left as it is. */
#include "launcher/machine/uml/placement.h"

#include <stdio.h>
#include <string.h>

#define LOOK_SECONDS 3u
/* The part of the time that the machine may wait for its CPU before it looks for another, and the
 * part that the other must have idled: enough for a machine that computes without a pause. */
#define WAITED_MAX 0.2
#define IDLE_MIN   0.7

struct DinvUmlPlacement {
    cpu_set_t allowed;
    char *pins;  /* NULL: nothing is bound */
    guint vcpus; /* that are */
    guint cpu;   /* of the first */
    GPid pid;
    guint source;
    GArray *times;     /* at the last look; NULL: there was none */
    guint64 waited_ns; /* at the last look */
    gint64 look_us;    /* when that was */
};

/* ---- choosing ---- */

GArray *dinv_uml_placement_parse_stat(const char *text, const cpu_set_t *allowed) {
    GArray *times = g_array_new(FALSE, FALSE, sizeof(DinvUmlCpuTimes));
    for (const char *line = text; line != NULL && *line != '\0';) {
        guint cpu = 0;
        guint64 user = 0, nice = 0, system = 0, idle = 0, wait = 0, irq = 0, softirq = 0, steal = 0;
        int found = sscanf(line,
                           "cpu%u %" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT
                           " %" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT
                           " %" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT,
                           &cpu, &user, &nice, &system, &idle, &wait, &irq, &softirq, &steal);
        if (found >= 5 && g_str_has_prefix(line, "cpu") && g_ascii_isdigit(line[3]) &&
            cpu < CPU_SETSIZE && CPU_ISSET(cpu, allowed)) {
            DinvUmlCpuTimes one = {.cpu = cpu,
                                   .busy = user + nice + system + irq + softirq + steal,
                                   .idle = idle + wait};
            g_array_append_val(times, one);
        }
        line = strchr(line, '\n');
        line = line != NULL ? line + 1 : NULL;
    }
    return times;
}

/* The part of the period that a CPU was idle; -1: unknown. */
static double idle_part(const DinvUmlCpuTimes *after, const GArray *before) {
    for (guint i = 0; i < before->len; i++) {
        const DinvUmlCpuTimes *old = &g_array_index(before, DinvUmlCpuTimes, i);
        guint64 busy = after->busy - old->busy;
        guint64 idle = after->idle - old->idle;
        if (old->cpu == after->cpu && after->busy >= old->busy && after->idle >= old->idle &&
            busy + idle > 0) {
            return (double)idle / (double)(busy + idle);
        }
    }
    return -1;
}

guint dinv_uml_placement_choose(guint current, double waited, const GArray *before,
                                const GArray *after) {
    guint best = current;
    double best_idle = IDLE_MIN;
    for (guint i = 0; waited > WAITED_MAX && i < after->len; i++) {
        const DinvUmlCpuTimes *one = &g_array_index(after, DinvUmlCpuTimes, i);
        double idle = idle_part(one, before);
        if (one->cpu != current && idle >= best_idle) {
            best = one->cpu;
            best_idle = idle;
        }
    }
    return best;
}

/* ---- looking ---- */

static GArray *read_times(const DinvUmlPlacement *placement) {
    g_autofree char *text = NULL;
    if (!g_file_get_contents("/proc/stat", &text, NULL, NULL)) {
        return g_array_new(FALSE, FALSE, sizeof(DinvUmlCpuTimes));
    }
    return dinv_uml_placement_parse_stat(text, &placement->allowed);
}

/* How long the kernel's first thread has been ready to run and did not, in nanoseconds. */
static guint64 read_waited(GPid pid) {
    g_autofree char *path = g_strdup_printf("/proc/%d/schedstat", (int)pid);
    g_autofree char *text = NULL;
    guint64 ran = 0;
    guint64 waited = 0;
    if (!g_file_get_contents(path, &text, NULL, NULL) ||
        sscanf(text, "%" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT, &ran, &waited) != 2) {
        return 0;
    }
    return waited;
}

/* ---- moving ---- */

/* The first thread is the vCPU, and takes along what it runs. */
static void go_to(DinvUmlPlacement *placement, guint cpu) {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    if (sched_setaffinity(placement->pid, sizeof one, &one) == 0) {
        placement->cpu = cpu;
    }
}

static gboolean placement_on_look(gpointer user) {
    DinvUmlPlacement *placement = user;
    GArray *times = read_times(placement);
    guint64 waited_ns = read_waited(placement->pid);
    gint64 now_us = g_get_monotonic_time();
    if (placement->times != NULL && waited_ns >= placement->waited_ns &&
        now_us > placement->look_us) {
        double waited = (double)(waited_ns - placement->waited_ns) / 1000.0 /
                        (double)(now_us - placement->look_us);
        guint cpu = dinv_uml_placement_choose(placement->cpu, waited, placement->times, times);
        if (cpu != placement->cpu) {
            g_debug("machine: waited %.0f %% of the time for CPU %u, going to CPU %u",
                    waited * 100.0, placement->cpu, cpu);
            go_to(placement, cpu);
        }
    }
    g_clear_pointer(&placement->times, g_array_unref);
    placement->times = times;
    placement->waited_ns = waited_ns;
    placement->look_us = now_us;
    return G_SOURCE_CONTINUE;
}

/* ---- life ---- */

/* The CPUs that are allowed, from a chosen one on, and round. */
static void bind_from(DinvUmlPlacement *placement, const GArray *cpus, guint first) {
    GString *pins = g_string_new(NULL);
    for (guint i = 0; i < placement->vcpus; i++) {
        guint cpu = g_array_index(cpus, guint, (first + i) % cpus->len);
        g_string_append_printf(pins, "%s%u", i > 0 ? "," : "", cpu);
    }
    placement->cpu = g_array_index(cpus, guint, first);
    placement->pins = g_string_free(pins, FALSE);
}

DinvUmlPlacement *dinv_uml_placement_new(guint vcpus) {
    DinvUmlPlacement *placement = g_new0(DinvUmlPlacement, 1);
    g_autoptr(GArray) cpus = g_array_new(FALSE, FALSE, sizeof(guint));
    int here = sched_getcpu();
    guint first = 0;
    placement->vcpus = vcpus;
    (void)sched_getaffinity(0, sizeof placement->allowed, &placement->allowed);
    for (guint cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, &placement->allowed)) {
            first = (int)cpu == here ? cpus->len : first;
            g_array_append_val(cpus, cpu);
        }
    }
    /* Not where this process is just now: the two work hand in hand at the start. Which of the
     * others is a matter of chance, so that machines that start together do not all choose one. */
    if (cpus->len > 1) {
        first = (first + (guint)g_random_int_range(1, (gint32)cpus->len)) % cpus->len;
    }
    if (vcpus <= cpus->len) {
        bind_from(placement, cpus, first);
    }
    return placement;
}

const char *dinv_uml_placement_get_pins(const DinvUmlPlacement *placement) {
    return placement->pins;
}

void dinv_uml_placement_watch(DinvUmlPlacement *placement, GPid pid) {
    placement->pid = pid;
    if (placement->pins != NULL && placement->vcpus == 1 && CPU_COUNT(&placement->allowed) > 1) {
        (void)placement_on_look(placement);
        placement->source = g_timeout_add_seconds(LOOK_SECONDS, placement_on_look, placement);
    }
}

void dinv_uml_placement_free(DinvUmlPlacement *placement) {
    if (placement == NULL) {
        return;
    }
    g_clear_handle_id(&placement->source, g_source_remove);
    g_clear_pointer(&placement->times, g_array_unref);
    g_free(placement->pins);
    g_free(placement);
}
