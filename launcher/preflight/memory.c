/* SPDX-License-Identifier: MIT */
/* The guest's memory, and its processes, against what there is. */
#include "launcher/host/limits.h"
#include "launcher/plan/acceleration.h"
#include "launcher/preflight/checks.h"
#include "launcher/settings/types.h"

#define NAME           "memory"
#define NAME_PROCESSES "processes"

/* What an engine with a dozen containers of some processes each comes to. */
#define PIDS_WANTED 512u

void dinv_preflight_check_memory(const DinvPreflightHost *host, const DinvConfig *config,
                                 DinvPreflight *result) {
    DinvPreflightReport *report = result->report;
    DinvHostLimits *limits = &result->findings.limits;
    dinv_host_limits_read(host->root, limits);
    gboolean is_limited = limits->memory_limit != 0;
    guint64 bound = is_limited ? limits->memory_limit : limits->memory_total;
    guint64 headroom = is_limited ? dinv_host_limits_headroom(limits->memory_limit) : 0;
    g_autofree char *wanted = dinv_settings_format_size(config->memory_bytes);
    if (is_limited && limits->memory_limit < DINV_MEMORY_MINIMUM) {
        dinv_preflight_report_add(report, NAME, DINV_PREFLIGHT_FAILED,
                                  g_strdup_printf("the container's memory limit is "
                                                  "%" G_GUINT64_FORMAT
                                                  " MiB, too small for any guest",
                                                  bound >> 20),
                                  g_strdup("give the container 512 MiB or more (docker run "
                                           "--memory)"));
    } else if (bound != 0 && config->memory_bytes + headroom > bound) {
        dinv_preflight_report_add(
            report, NAME, DINV_PREFLIGHT_WARNING,
            g_strdup_printf("the guest may take %s, but %s is %" G_GUINT64_FORMAT
                            " MiB; a guest that uses all will be killed",
                            wanted,
                            is_limited ? "the container's memory limit" : "the machine's memory",
                            bound >> 20),
            g_strdup("set DINV_MEMORY lower, or give the container more (docker run --memory)"));
    } else if (limits->memory_available != 0 && config->memory_bytes > limits->memory_available) {
        dinv_preflight_report_add(report, NAME, DINV_PREFLIGHT_WARNING,
                                  g_strdup_printf("the guest may take %s, but only "
                                                  "%" G_GUINT64_FORMAT " MiB are available now",
                                                  wanted, limits->memory_available >> 20),
                                  g_strdup("set DINV_MEMORY lower, or stop something else"));
    } else {
        dinv_preflight_report_add(report, NAME, DINV_PREFLIGHT_OK,
                                  g_strdup_printf("%s for the guest, %u CPUs", wanted,
                                                  dinv_plan_cpus(config, &result->findings)),
                                  NULL);
    }
}

void dinv_preflight_check_processes(const DinvConfig *config, DinvPreflight *result) {
    guint64 limit = result->findings.limits.pids_limit;
    if (!dinv_plan_accel_is_uml(dinv_plan_accel(config, &result->findings))) {
        return;
    }
    if (limit == 0) {
        dinv_preflight_report_add(result->report, NAME_PROCESSES, DINV_PREFLIGHT_OK,
                                  g_strdup("no limit here; each of the guest's is one of ours"),
                                  NULL);
        return;
    }
    dinv_preflight_report_add(
        result->report, NAME_PROCESSES,
        limit < PIDS_WANTED ? DINV_PREFLIGHT_WARNING : DINV_PREFLIGHT_OK,
        g_strdup_printf("the container may have %" G_GUINT64_FORMAT
                        " processes, and each of the guest's is one of them",
                        limit),
        limit < PIDS_WANTED ? g_strdup("give it more (docker run --pids-limit 4096)") : NULL);
}
