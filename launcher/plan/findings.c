/* SPDX-License-Identifier: MIT */
/* Making and freeing of findings. */
#include "launcher/plan/findings.h"

#include "launcher/host/network.h"

void dinv_plan_mount_finding_free(gpointer finding) {
    DinvPlanMountFinding *mount = finding;
    dinv_mount_spec_free(mount->spec);
    g_free(mount->resolved);
    g_free(mount);
}

void dinv_plan_findings_init(DinvPlanFindings *findings) {
    *findings = (DinvPlanFindings){
        .mounts = g_ptr_array_new_with_free_func(dinv_plan_mount_finding_free),
        .kernel_directories = g_ptr_array_new_with_free_func(g_free),
        .outer_networks = g_array_new(FALSE, FALSE, sizeof(DinvHostNetwork)),
    };
}

void dinv_plan_findings_clear(DinvPlanFindings *findings) {
    dinv_host_kvm_verdict_clear(&findings->kvm);
    dinv_uml_verdict_clear(&findings->uml);
    g_clear_pointer(&findings->mounts, g_ptr_array_unref);
    g_clear_pointer(&findings->kernel_directories, g_ptr_array_unref);
    g_clear_pointer(&findings->state_dir, g_free);
    g_clear_pointer(&findings->socket_path, g_free);
    g_clear_pointer(&findings->virtiofsd_reason, g_free);
    g_clear_pointer(&findings->usernet_features, g_free);
    g_clear_pointer(&findings->outer_networks, g_array_unref);
    g_clear_pointer(&findings->engine, dinv_engine_config_free);
}
