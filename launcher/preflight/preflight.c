/* SPDX-License-Identifier: MIT */
/* The order of the checks, and what they come to. */
#include "launcher/preflight/preflight.h"

#include <string.h>

#include "launcher/host/cpu.h"
#include "launcher/host/network.h"
#include "launcher/plan/acceleration.h"
#include "launcher/preflight/checks.h"

G_DEFINE_QUARK(dinv - preflight - error - quark, dinv_preflight_error)

void dinv_preflight_clear(DinvPreflight *result) {
    g_clear_pointer(&result->report, dinv_preflight_report_free);
    dinv_plan_findings_clear(&result->findings);
}

static gboolean preflight_refuse(const DinvPreflightLine *line, DinvPreflightError code,
                                 GError **error) {
    g_set_error(error, DINV_PREFLIGHT_ERROR, (int)code, "%s%s%s", line->text,
                line->remedy == NULL ? "" : "; ", line->remedy == NULL ? "" : line->remedy);
    return FALSE;
}

/* The first failed line becomes the error; that of a damaged disk only if it is the only one. */
static gboolean conclude(const DinvPreflight *result, GError **error) {
    const DinvPreflightLine *disk = NULL;
    for (guint i = 0; i < result->report->lines->len; i++) {
        const DinvPreflightLine *line = result->report->lines->pdata[i];
        if (line->status != DINV_PREFLIGHT_FAILED) {
            continue;
        }
        if (result->disk_is_damaged && strcmp(line->name, DINV_PREFLIGHT_STATE_DIRECTORY) == 0) {
            disk = line;
            continue;
        }
        return preflight_refuse(line, DINV_PREFLIGHT_ERROR_FAILED, error);
    }
    return disk == NULL || preflight_refuse(disk, DINV_PREFLIGHT_ERROR_DISK, error);
}

gboolean dinv_preflight_on(const DinvPreflightHost *host, const DinvConfig *config,
                           DinvPreflight *result, GError **error) {
    dinv_preflight_clear(result);
    *result = (DinvPreflight){.report = dinv_preflight_report_new()};
    dinv_plan_findings_init(&result->findings);
    g_array_unref(result->findings.outer_networks);
    result->findings.outer_networks = dinv_host_network_list(NULL);
    dinv_preflight_look_at_mounts(host, config, result);
    dinv_preflight_check_acceleration(host, config, result);
    /* User-Mode Linux is the machine and the kernel in one, and its self-test was above. */
    if (!dinv_plan_accel_is_uml(dinv_plan_accel(config, &result->findings))) {
        dinv_preflight_check_qemu(config, result);
        dinv_preflight_check_kernel(config, result);
    }
    dinv_preflight_check_usernet(config, result);
    dinv_preflight_check_rootfs(config, result);
    dinv_preflight_check_memory(host, config, result);
    dinv_preflight_check_processes(config, result);
    dinv_preflight_check_mounts(config, result);
    dinv_preflight_check_ports(config, result);
    dinv_preflight_check_engine(host, config, result);
    dinv_preflight_check_network(config, result);
    dinv_preflight_check_socket(host, config, result);
    dinv_preflight_check_endpoints(host, config, result);
    dinv_preflight_check_state_dir(config, result);
    return conclude(result, error);
}

gboolean dinv_preflight(const DinvConfig *config, gboolean is_bound, DinvPreflight *result,
                        GError **error) {
    const DinvPreflightHost host = {.kvm_device = "/dev/kvm",
                                    .root = "",
                                    .is_emulated = dinv_host_cpu_is_emulated(),
                                    .is_bound = is_bound};
    return dinv_preflight_on(&host, config, result, error);
}
