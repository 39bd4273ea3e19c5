/* SPDX-License-Identifier: MIT */
/* Descriptions of the host and the machine. */
#include "launcher/bench/host.h"

#include <string.h>
#include <sys/utsname.h>

#include "launcher/bench/directory.h"
#include "launcher/cli/launcher-client.h"
#include "launcher/cli/output.h"
#include "launcher/plan/acceleration.h"
#include "launcher/state/launcher-socket.h"

static void add_cpu(DinvBenchTable *table, const DinvPlanFindings *findings) {
    g_autofree char *text = NULL;
    (void)g_file_get_contents("/proc/cpuinfo", &text, NULL, NULL);
    g_autofree char *model = dinv_bench_cpu_model(text != NULL ? text : "");
    g_autofree char *how = g_strdup_printf("%u for dinv%s", findings->limits.cpus_online,
                                           findings->cpu_is_emulated ? ", emulated by QEMU" : "");
    dinv_bench_table_add(table, "CPU", model, how);
}

static void add_acceleration(DinvBenchTable *table, const DinvConfig *config,
                             const DinvPlanFindings *findings) {
    DinvPlanAccel accel = dinv_plan_accel(config, findings);
    gboolean is_asked_for = accel == DINV_PLAN_ACCEL_TCG || accel == DINV_PLAN_ACCEL_UML;
    const char *text = accel == DINV_PLAN_ACCEL_KVM    ? "KVM"
                       : dinv_plan_accel_is_uml(accel) ? findings->uml.text
                                                       : "emulation (TCG)";
    dinv_bench_table_add(table, "acceleration", text,
                         is_asked_for ? "as asked for" : findings->kvm.text);
}

void dinv_bench_add_host(DinvBenchTable *table, const DinvConfig *config,
                         const DinvPlanFindings *findings, const char *directory) {
    struct utsname names = {0};
    (void)uname(&names);
    g_autofree char *kernel = g_strdup_printf("%s %s", names.sysname, names.release);
    g_autofree char *qemu = g_strdup_printf("%u.%u", findings->qemu_major, findings->qemu_minor);
    g_autofree char *file_system = dinv_bench_file_system(directory);
    g_autoptr(GDateTime) now = g_date_time_new_now_utc();
    g_autofree char *date = g_date_time_format(now, "%Y-%m-%d");
    add_cpu(table, findings);
    dinv_bench_table_add(table, "kernel", kernel, names.machine);
    add_acceleration(table, config, findings);
    if (!dinv_plan_accel_is_uml(dinv_plan_accel(config, findings))) {
        dinv_bench_table_add(table, "QEMU", qemu, NULL);
    }
    dinv_bench_table_add(table, "dinv", DINV_VERSION, NULL);
    dinv_bench_table_add(table, "file system of the disk", file_system, NULL);
    dinv_bench_table_add(table, "date", date, "UTC");
}

void dinv_bench_add_machine(DinvBenchTable *table, const DinvConfig *config) {
    static const char *const drivers[] = {
        [DINV_MOUNT_9P] = "9p",
        [DINV_MOUNT_VIRTIOFS] = "virtiofs",
        [DINV_MOUNT_AUTO] = "auto",
    };
    struct json_object *status = dinv_cli_launcher_ask(config, DINV_STATE_LAUNCHER_VERB_STATUS);
    if (status == NULL) {
        return;
    }
    const char *machine = dinv_cli_json_text(status, "machine");
    gboolean is_uml = strcmp(machine, "uml") == 0;
    g_autofree char *engine = g_strdup_printf("Docker %s", dinv_cli_json_text(status, "engine"));
    g_autofree char *how =
        g_strdup_printf("%u CPU%s, %" G_GUINT64_FORMAT " MiB, Linux %s, %s, mounts by %s",
                        config->cpus, config->cpus == 1 ? "" : "s", config->memory_bytes >> 20,
                        dinv_cli_json_text(status, "guest_kernel"), machine,
                        is_uml ? "virtiofs" : drivers[config->mount_driver]);
    dinv_bench_table_add(table, "microVM", engine, how);
    json_object_put(status);
}
