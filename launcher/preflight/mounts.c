/* SPDX-License-Identifier: MIT */
/*
 * Looks at what may be shown in the guest: what DINV_MOUNTS names, and with "auto" what somebody
 * has mounted into the outer container. launcher/plan/mounts.h judges each.
 */
#include "launcher/plan/mounts.h"

#include "launcher/base/directories.h"
#include "launcher/machine/virtiofsd.h"
#include "launcher/mounts/auto.h"
#include "launcher/preflight/checks.h"
#include "launcher/preflight/look.h"

#define NAME "mount"

/* --- Looking --- */

/* `mount` is NULL for one that was named. */
static void add_finding(const DinvMountSpec *spec, const DinvMount *mount, gint64 until_us,
                        DinvPlanFindings *findings) {
    DinvPlanMountFinding *found = g_new0(DinvPlanMountFinding, 1);
    found->is_named = mount == NULL;
    found->is_memory = mount != NULL && dinv_mount_is_memory(mount);
    found->is_scratch = mount != NULL && dinv_mount_is_scratch(mount);
    dinv_preflight_look(spec, until_us, found);
    g_ptr_array_add(findings->mounts, found);
}

/* Of the outer container's table of mounts: where the kernel's file systems are, and with "auto"
 * what somebody gave the container. A table that cannot be read counts as empty. */
static void look_at_table(const char *root, gboolean is_auto, gint64 until_us,
                          DinvPlanFindings *findings) {
    g_autofree char *path = g_strconcat(root, "/proc/self/mountinfo", NULL);
    g_autofree char *text = NULL;
    gsize length = 0;
    DinvMountTable table = {0};
    if (g_file_get_contents(path, &text, &length, NULL) &&
        dinv_mountinfo_parse(text, length, &table) == 0) {
        for (gsize i = 0; i < table.count; i++) {
            if (dinv_mount_is_of_kernel(&table.mounts[i])) {
                g_ptr_array_add(findings->kernel_directories, g_strdup(table.mounts[i].target));
            }
        }
    }
    if (is_auto) {
        g_autoptr(GPtrArray) found = dinv_mount_auto_list(&table, findings->state_dir);
        for (guint i = 0; i < found->len; i++) {
            const DinvMountSpec *spec = found->pdata[i];
            add_finding(spec, dinv_mountinfo_find(&table, spec->source), until_us, findings);
        }
    }
    dinv_mountinfo_clear(&table);
}

void dinv_preflight_look_at_mounts(const DinvPreflightHost *host, const DinvConfig *config,
                                   DinvPreflight *result) {
    DinvPlanFindings *findings = &result->findings;
    static const char *const of_kernel[] = {"/proc", "/sys", "/dev"};
    gint64 until_us = g_get_monotonic_time() + (gint64)DINV_PREFLIGHT_LOOK_MS * 1000;
    findings->state_dir = dinv_directory_resolve(config->state_dir);
    findings->socket_path = dinv_directory_resolve(config->socket_path);
    for (guint i = 0; i < G_N_ELEMENTS(of_kernel); i++) {
        g_ptr_array_add(findings->kernel_directories, g_strdup(of_kernel[i]));
    }
    for (guint i = 0; i < config->mounts->len; i++) {
        add_finding(config->mounts->pdata[i], NULL, until_us, findings);
    }
    look_at_table(host->root, config->mounts_auto, until_us, findings);
    findings->virtiofsd_is_usable = dinv_machine_virtiofsd_find(
        config->virtiofsd, &findings->virtiofsd, &findings->virtiofsd_reason);
}

/* --- Telling --- */

static void report_mount(const DinvPlanMount *mount, DinvPreflightReport *report) {
    g_autofree char *source = dinv_path_to_text(mount->spec->source);
    g_autofree char *target = dinv_path_to_text(mount->spec->target);
    switch (mount->verdict) {
    case DINV_PLAN_MOUNT_SHOWN:
        dinv_preflight_report_add(report, NAME, DINV_PREFLIGHT_OK,
                                  g_strdup_printf("%s on %s%s", source, target,
                                                  mount->spec->readonly ? ", read-only" : ""),
                                  NULL);
        break;
    case DINV_PLAN_MOUNT_SHOWN_READONLY:
        dinv_preflight_report_add(
            report, NAME, DINV_PREFLIGHT_WARNING,
            g_strdup_printf("%s is a file: the guest has a copy that follows it, read-only",
                            source),
            g_strdup("mount its directory where the guest is to write to it"));
        break;
    case DINV_PLAN_MOUNT_COVERED:
        break;
    case DINV_PLAN_MOUNT_OWN:
        dinv_preflight_report_add(
            report, NAME, DINV_PREFLIGHT_NOTE,
            g_strdup_printf("%s is not shown in the guest: it %s", source, mount->problem), NULL);
        break;
    case DINV_PLAN_MOUNT_LEFT_OUT:
        dinv_preflight_report_add(
            report, NAME, DINV_PREFLIGHT_WARNING,
            g_strdup_printf("%s is not shown in the guest: it %s", source, mount->problem), NULL);
        break;
    case DINV_PLAN_MOUNT_REFUSED:
        dinv_preflight_report_add(
            report, NAME, DINV_PREFLIGHT_FAILED,
            g_strdup_printf("DINV_MOUNTS: \"%s\" %s", source, mount->problem),
            g_strdup("name a directory or a file of the container (docker run -v SOURCE:TARGET "
                     "gives it one)"));
        break;
    }
}

static void report_server(DinvPlanServer server, const DinvPlanFindings *findings,
                          DinvPreflightReport *report) {
    switch (server) {
    case DINV_PLAN_SERVER_NONE:
    case DINV_PLAN_SERVER_9P:
        break;
    case DINV_PLAN_SERVER_9P_FALLBACK:
        dinv_preflight_report_add(report, NAME, DINV_PREFLIGHT_OK,
                                  g_strdup_printf("served over 9p: %s", findings->virtiofsd_reason),
                                  NULL);
        break;
    case DINV_PLAN_SERVER_VIRTIOFSD:
        dinv_preflight_report_add(report, NAME, DINV_PREFLIGHT_OK,
                                  g_strdup_printf("served by %s", findings->virtiofsd.program),
                                  NULL);
        break;
    case DINV_PLAN_SERVER_MISSING:
        dinv_preflight_report_add(
            report, NAME, DINV_PREFLIGHT_FAILED,
            g_strdup_printf("DINV_MOUNT_DRIVER is virtiofs, but %s", findings->virtiofsd_reason),
            g_strdup("use DINV_MOUNT_DRIVER=auto or 9p"));
        break;
    }
}

void dinv_preflight_check_mounts(const DinvConfig *config, DinvPreflight *result) {
    g_autoptr(GPtrArray) mounts = dinv_plan_mounts(config, &result->findings);
    for (guint i = 0; i < mounts->len; i++) {
        report_mount(mounts->pdata[i], result->report);
    }
    report_server(dinv_plan_mount_server(config, &result->findings, mounts), &result->findings,
                  result->report);
}
