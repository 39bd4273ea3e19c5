/* SPDX-License-Identifier: MIT */
#include "launcher/preflight/preflight.h"

#include <string.h>

#include "launcher/host/cpu.h"
#include "launcher/host/kvm-probe.h"
#include "launcher/host/limits.h"
#include "launcher/host/tsc.h"
#include "launcher/preflight/checks.h"
#include "launcher/settings/types.h"
#include "launcher/state/directory.h"

#define STATE_DIRECTORY "state directory"

G_DEFINE_QUARK(dinv - preflight - error - quark, dinv_preflight_error)

static void check_free(DinvCheck *check) {
    g_free(check->text);
    g_free(check->remedy);
    g_free(check);
}

void dinv_preflight_clear(DinvPreflight *result) {
    g_clear_pointer(&result->checks, g_ptr_array_unref);
    g_clear_pointer(&result->mounts, g_ptr_array_unref);
    g_clear_pointer(&result->network, dinv_engine_network_plan_free);
    g_clear_pointer(&result->engine, dinv_engine_config_free);
}

void dinv_preflight_add(DinvPreflight *result, const char *name, DinvCheckStatus status, char *text,
                        char *remedy) {
    DinvCheck *check = g_new(DinvCheck, 1);

    *check = (DinvCheck){.name = name, .status = status, .text = text, .remedy = remedy};
    g_ptr_array_add(result->checks, check);
}

static void check_acceleration(const DinvPreflightHost *host, const DinvConfig *config,
                               DinvPreflight *result) {
    const char *name = "acceleration";
    DinvHostKvmVerdict verdict = {0};

    if (config->accel == DINV_ACCEL_TCG) {
        dinv_preflight_add(result, name, DINV_CHECK_OK,
                           g_strdup("emulation (TCG), as DINV_ACCEL says; it is slow"), NULL);
        return;
    }
    dinv_host_kvm_probe(host->kvm_device, &verdict);
    if (verdict.kind == DINV_HOST_KVM_OK) {
        result->use_kvm = TRUE;
        result->tsc_khz = verdict.tsc_khz;
        dinv_preflight_add(result, name, DINV_CHECK_OK, g_steal_pointer(&verdict.text), NULL);
    } else if (config->accel == DINV_ACCEL_KVM) {
        dinv_preflight_add(result, name, DINV_CHECK_FAILED,
                           g_strdup_printf("DINV_ACCEL is kvm, but %s", verdict.text),
                           g_steal_pointer(&verdict.remedy));
    } else {
        dinv_preflight_add(
            result, name, DINV_CHECK_WARNING,
            g_strdup_printf("%s; going on with emulation (TCG), which is slow", verdict.text),
            g_steal_pointer(&verdict.remedy));
    }
    dinv_host_kvm_verdict_clear(&verdict);
}

/* A guest at a thirtieth of the speed does nothing but serve its timer, unless its clock is slow as
 * well. */
static void check_emulation(const DinvPreflightHost *host, DinvPreflight *result) {
    if (result->use_kvm || !host->is_emulated) {
        return;
    }
    result->icount = TRUE;
    dinv_preflight_add(
        result, "acceleration", DINV_CHECK_WARNING,
        g_strdup("this machine's CPU is itself emulated by QEMU (TCG): the guest is some thirty "
                 "times slower than emulated on a real one, and between two corrections its "
                 "clock is slow, too"),
        g_strdup("give the machine that this runs in KVM, or set DINV_BOOT_TIMEOUT and "
                 "DINV_SHUTDOWN_TIMEOUT to some minutes"));
}

/* The guest's memory against what there is. */
static void check_memory(const DinvPreflightHost *host, const DinvConfig *config,
                         DinvPreflight *result) {
    g_autofree char *wanted = dinv_settings_format_size(config->memory_bytes);
    DinvHostLimits limits;
    guint64 bound;
    guint64 headroom;
    const char *what;

    dinv_host_limits_read(host->root, &limits);
    bound = limits.memory_limit != 0 ? limits.memory_limit : limits.memory_total;
    headroom = limits.memory_limit != 0 ? dinv_host_limits_headroom(limits.memory_limit) : 0;
    what = limits.memory_limit != 0 ? "the container's memory limit" : "the machine's memory";
    if (limits.memory_limit != 0 && limits.memory_limit < DINV_MEMORY_MINIMUM) {
        dinv_preflight_add(result, "memory", DINV_CHECK_FAILED,
                           g_strdup_printf("the container's memory limit is %" G_GUINT64_FORMAT
                                           " MiB, too small for any guest",
                                           bound >> 20),
                           g_strdup("give the container 512 MiB or more (docker run --memory)"));
    } else if (bound != 0 && config->memory_bytes + headroom > bound) {
        dinv_preflight_add(
            result, "memory", DINV_CHECK_WARNING,
            g_strdup_printf("the guest may take %s, but %s is %" G_GUINT64_FORMAT
                            " MiB; a guest that uses all will be killed",
                            wanted, what, bound >> 20),
            g_strdup("set DINV_MEMORY lower, or give the container more (docker run --memory)"));
    } else if (limits.memory_available != 0 && config->memory_bytes > limits.memory_available) {
        dinv_preflight_add(result, "memory", DINV_CHECK_WARNING,
                           g_strdup_printf("the guest may take %s, but only %" G_GUINT64_FORMAT
                                           " MiB are available now",
                                           wanted, limits.memory_available >> 20),
                           g_strdup("set DINV_MEMORY lower, or stop something else"));
    } else {
        dinv_preflight_add(result, "memory", DINV_CHECK_OK,
                           g_strdup_printf("%s for the guest, %u CPUs", wanted, config->cpus),
                           NULL);
    }
}

void dinv_preflight_check_state_dir(const DinvConfig *config, DinvPreflight *result) {
    const char *name = STATE_DIRECTORY;
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GError) error = NULL;
    DinvStateFindings state = {0};

    if (!dinv_state_check(config, &state, warnings, &error)) {
        char *remedy = NULL;

        if (g_error_matches(error, DINV_STATE_ERROR, DINV_STATE_ERROR_IN_USE)) {
            remedy = g_strdup("stop the other one, or set DINV_STATE_DIR to another directory");
        } else if (g_error_matches(error, DINV_STATE_ERROR, DINV_STATE_ERROR_DAMAGED)) {
            result->disk_is_damaged = TRUE;
            remedy = g_strdup("repair it with e2fsck; dinv run keeps it aside under another name");
        } else if (g_error_matches(error, DINV_STATE_ERROR, DINV_STATE_ERROR_FAILED)) {
            remedy = g_strdup("give the container a volume there (docker run -v "
                              "NAME:/var/lib/dinv), writable for the user it runs as");
        }
        dinv_preflight_add(result, name, DINV_CHECK_FAILED, g_strdup(error->message), remedy);
        return;
    }
    for (guint i = 0; i < warnings->len; i++) {
        dinv_preflight_add(result, name, DINV_CHECK_WARNING, g_strdup(warnings->pdata[i]), NULL);
    }
    if (warnings->len == 0) {
        dinv_preflight_add(
            result, name, DINV_CHECK_OK,
            g_strdup_printf("%s, %s, %" G_GUINT64_FORMAT " MiB free", config->state_dir,
                            state.image_exists ? "data disk is there" : "a data disk will be made",
                            state.free_bytes >> 20),
            NULL);
    }
}

static gboolean refuse(const DinvCheck *check, DinvPreflightError code, GError **error) {
    g_set_error(error, DINV_PREFLIGHT_ERROR, (int)code, "%s%s%s", check->text,
                check->remedy == NULL ? "" : "; ", check->remedy == NULL ? "" : check->remedy);
    return FALSE;
}

/* The first failed line becomes the error; that of a damaged disk only if it is the only one. */
static gboolean conclude(const DinvPreflight *result, GError **error) {
    const DinvCheck *disk = NULL;

    for (guint i = 0; i < result->checks->len; i++) {
        const DinvCheck *check = result->checks->pdata[i];

        if (check->status != DINV_CHECK_FAILED) {
            continue;
        }
        if (result->disk_is_damaged && strcmp(check->name, STATE_DIRECTORY) == 0) {
            disk = check;
            continue;
        }
        return refuse(check, DINV_PREFLIGHT_ERROR_FAILED, error);
    }
    return disk == NULL || refuse(disk, DINV_PREFLIGHT_ERROR_DISK, error);
}

gboolean dinv_preflight_on(const DinvPreflightHost *host, const DinvConfig *config,
                           DinvPreflight *result, GError **error) {
    g_autoptr(GArray) outer = dinv_host_network_list(NULL);

    dinv_preflight_clear(result);
    *result = (DinvPreflight){.checks = g_ptr_array_new_with_free_func((GDestroyNotify)check_free)};
    check_acceleration(host, config, result);
    check_emulation(host, result);
    dinv_preflight_check_qemu(config, result);
    dinv_preflight_check_kernel(config, result);
    dinv_preflight_check_rootfs(config, result);
    check_memory(host, config, result);
    dinv_preflight_check_mounts(host, config, result);
    dinv_preflight_check_ports(config, result);
    dinv_preflight_check_engine(host, config, result);
    dinv_preflight_check_network(config, outer, result);
    dinv_preflight_check_socket(config, result);
    dinv_preflight_check_endpoints(config, result);
    dinv_preflight_check_state_dir(config, result);
    if (result->tsc_khz == 0) {
        result->tsc_khz = dinv_host_tsc_measure_khz();
    }
    return conclude(result, error);
}

gboolean dinv_preflight(const DinvConfig *config, DinvPreflight *result, GError **error) {
    const DinvPreflightHost host = {
        .kvm_device = "/dev/kvm", .root = "", .is_emulated = dinv_host_cpu_is_emulated()};

    return dinv_preflight_on(&host, config, result, error);
}
