/* SPDX-License-Identifier: MIT */
/*
 * What can run the guest's instructions: KVM and User-Mode Linux by their self-tests, the CPU, its
 * time stamp counter. And how far the process of User-Mode Linux is confined here.
 */
#include "launcher/plan/acceleration.h"

#include <string.h>

#include "launcher/host/kvm-probe.h"
#include "launcher/host/tsc.h"
#include "launcher/plan/confinement.h"
#include "launcher/preflight/checks.h"

#define NAME "acceleration"

/* What comes before it in the order of "auto" is not asked for again when it works. */
static void acceleration_look(const DinvPreflightHost *host, const DinvConfig *config,
                              DinvPlanFindings *findings) {
    findings->cpu_is_emulated = host->is_emulated;
    if (config->accel == DINV_ACCEL_AUTO || config->accel == DINV_ACCEL_KVM) {
        dinv_host_kvm_probe(host->kvm_device, &findings->kvm);
        findings->kvm_is_tested = TRUE;
    }
    if (config->accel == DINV_ACCEL_UML ||
        (config->accel == DINV_ACCEL_AUTO && findings->kvm.kind != DINV_HOST_KVM_OK)) {
        dinv_uml_probe(config, &findings->uml);
        findings->uml_is_tested = TRUE;
    }
    DinvPlanAccel accel = dinv_plan_accel(config, findings);
    if (!dinv_plan_accel_is_uml(accel) && dinv_plan_tsc_khz(config, findings) == 0) {
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

/* Of the first choice that does not work, and what is done instead. */
static void report_fallback(const DinvConfig *config, const DinvPlanFindings *findings,
                            gboolean is_uml, DinvPreflightReport *report) {
    const DinvHostKvmVerdict *kvm = &findings->kvm;
    if (is_uml) {
        dinv_preflight_report_add(report, NAME, DINV_PREFLIGHT_OK,
                                  g_strdup_printf("%s, and %s", findings->uml.text, kvm->text),
                                  g_strdup(kvm->remedy));
        return;
    }
    g_autofree char *uml_remedy = NULL;
    g_autofree char *uml = dinv_plan_uml_problem(config, findings, &uml_remedy);
    dinv_preflight_report_add(
        report, NAME, DINV_PREFLIGHT_WARNING,
        g_strdup_printf("%s; %s; going on with emulation (TCG), which is slow", kvm->text, uml),
        g_strdup_printf("%s; or, for User-Mode Linux, %s", kvm->remedy, uml_remedy));
}

static void report_none(const DinvConfig *config, const DinvPlanFindings *findings,
                        DinvPreflightReport *report) {
    char *remedy = NULL;
    if (config->accel == DINV_ACCEL_UML) {
        g_autofree char *problem = dinv_plan_uml_problem(config, findings, &remedy);
        dinv_preflight_report_add(report, NAME, DINV_PREFLIGHT_FAILED,
                                  g_strdup_printf("DINV_ACCEL is uml, but %s", problem), remedy);
        return;
    }
    dinv_preflight_report_add(report, NAME, DINV_PREFLIGHT_FAILED,
                              g_strdup_printf("DINV_ACCEL is kvm, but %s", findings->kvm.text),
                              g_strdup(findings->kvm.remedy));
}

/* What a guest that takes over the kernel of User-Mode Linux is then held back by. */
static void report_cage(const DinvPlanFindings *findings, DinvPreflightReport *report) {
    g_autofree char *missing = dinv_plan_uml_missing(findings);
    gboolean is_caged = dinv_plan_uml_is_caged(findings);
    dinv_preflight_report_add(
        report, NAME, is_caged ? DINV_PREFLIGHT_OK : DINV_PREFLIGHT_WARNING,
        missing == NULL ? g_strdup("the process of User-Mode Linux is confined")
                        : g_strdup_printf("the process of User-Mode Linux is not confined by %s, "
                                          "which %s not to be had here",
                                          missing, strchr(missing, ',') != NULL ? "are" : "is"),
        is_caged ? NULL
                 : g_strdup("let the container have seccomp(2) and prctl(2), and use the kernel "
                            "that comes with dinv"));
}

void dinv_preflight_check_acceleration(const DinvPreflightHost *host, const DinvConfig *config,
                                       DinvPreflight *result) {
    DinvPreflightReport *report = result->report;
    DinvPlanFindings *findings = &result->findings;
    acceleration_look(host, config, findings);
    DinvPlanAccel accel = dinv_plan_accel(config, findings);
    switch (accel) {
    case DINV_PLAN_ACCEL_TCG:
        dinv_preflight_report_add(report, NAME, DINV_PREFLIGHT_OK,
                                  g_strdup("emulation (TCG), as DINV_ACCEL says; it is slow"),
                                  NULL);
        break;
    case DINV_PLAN_ACCEL_KVM:
        dinv_preflight_report_add(report, NAME, DINV_PREFLIGHT_OK, g_strdup(findings->kvm.text),
                                  NULL);
        break;
    case DINV_PLAN_ACCEL_UML:
        dinv_preflight_report_add(report, NAME, DINV_PREFLIGHT_OK, g_strdup(findings->uml.text),
                                  NULL);
        break;
    case DINV_PLAN_ACCEL_NONE:
        report_none(config, findings, report);
        break;
    case DINV_PLAN_ACCEL_UML_FALLBACK:
    case DINV_PLAN_ACCEL_TCG_FALLBACK:
        report_fallback(config, findings, dinv_plan_accel_is_uml(accel), report);
        break;
    }
    if (dinv_plan_accel_is_uml(accel)) {
        report_cage(findings, report);
    }
    if (dinv_plan_wants_icount(config, findings)) {
        report_emulated_cpu(report);
    }
}
