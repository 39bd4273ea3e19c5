/* SPDX-License-Identifier: MIT */
/* What can run the guest's instructions: KVM by its self-test, the CPU, its time stamp counter. */
#include "launcher/plan/acceleration.h"

#include "launcher/host/kvm-probe.h"
#include "launcher/host/tsc.h"
#include "launcher/preflight/checks.h"

#define NAME "acceleration"

static void acceleration_look(const DinvPreflightHost *host, const DinvConfig *config,
                              DinvPlanFindings *findings) {
    findings->cpu_is_emulated = host->is_emulated;
    if (config->accel != DINV_ACCEL_TCG) {
        dinv_host_kvm_probe(host->kvm_device, &findings->kvm);
        findings->kvm_is_tested = TRUE;
    }
    if (dinv_plan_tsc_khz(config, findings) == 0) {
        findings->tsc_khz = dinv_host_tsc_measure_khz();
    }
}

static void report_emulated_cpu(DinvPreflightReport *report) {
    dinv_preflight_report_add(
        report, NAME, DINV_PREFLIGHT_WARNING,
        g_strdup("this machine's CPU is itself emulated by QEMU (TCG): the guest is some thirty "
                 "times slower than emulated on a real one, and between two corrections its "
                 "clock is slow, too"),
        g_strdup("give the machine that this runs in KVM, or set DINV_BOOT_TIMEOUT and "
                 "DINV_SHUTDOWN_TIMEOUT to some minutes"));
}

void dinv_preflight_check_acceleration(const DinvPreflightHost *host, const DinvConfig *config,
                                       DinvPreflight *result) {
    DinvPreflightReport *report = result->report;
    const DinvHostKvmVerdict *kvm = &result->findings.kvm;
    acceleration_look(host, config, &result->findings);
    switch (dinv_plan_accel(config, &result->findings)) {
    case DINV_PLAN_ACCEL_TCG:
        dinv_preflight_report_add(report, NAME, DINV_PREFLIGHT_OK,
                                  g_strdup("emulation (TCG), as DINV_ACCEL says; it is slow"),
                                  NULL);
        break;
    case DINV_PLAN_ACCEL_KVM:
        dinv_preflight_report_add(report, NAME, DINV_PREFLIGHT_OK, g_strdup(kvm->text), NULL);
        break;
    case DINV_PLAN_ACCEL_NONE:
        dinv_preflight_report_add(report, NAME, DINV_PREFLIGHT_FAILED,
                                  g_strdup_printf("DINV_ACCEL is kvm, but %s", kvm->text),
                                  g_strdup(kvm->remedy));
        break;
    case DINV_PLAN_ACCEL_TCG_FALLBACK:
        dinv_preflight_report_add(
            report, NAME, DINV_PREFLIGHT_WARNING,
            g_strdup_printf("%s; going on with emulation (TCG), which is slow", kvm->text),
            g_strdup(kvm->remedy));
        break;
    }
    if (dinv_plan_wants_icount(config, &result->findings)) {
        report_emulated_cpu(report);
    }
}
