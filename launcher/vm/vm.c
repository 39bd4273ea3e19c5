/* SPDX-License-Identifier: MIT */
/* Makes, starts and frees a vm: the parts that it has, and the order in which they come and go. */
#include "launcher/base/log.h"
#include "launcher/vm/internal.h"

static gboolean start_network(DinvVm *vm, GError **error) {
    const DinvConfig *config = vm->plan->config;
    vm->usernet_net = dinv_ipv4_network_to_string(&vm->network->slirp);
    vm->usernet_plan = (DinvNetworkUsernetPlan){
        .program = config->usernet, .network = vm->usernet_net, .mtu = config->mtu};
    vm->usernet = dinv_network_usernet_new(&vm->usernet_plan, dinv_vm_on_network_lost, vm, error);
    if (vm->usernet == NULL) {
        return FALSE;
    }
    vm->publisher = dinv_network_publisher_new(vm->usernet, config, dinv_vm_on_port_failed, vm);
    return TRUE;
}

static gboolean start_parts(DinvVm *vm, GError **error) {
    const DinvConfig *config = vm->plan->config;
    if (!dinv_vm_endpoints_load_certificates(vm->endpoints, error) || !start_network(vm, error) ||
        !dinv_machine_start(vm->machine, dinv_network_usernet_get_machine_fd(vm->usernet), error)) {
        return FALSE;
    }
    g_autofree char *console_path = g_build_filename(config->state_dir, "console.log", NULL);
    vm->console =
        dinv_vm_console_new(dinv_machine_take_console_fd(vm->machine), console_path, error);
    if (vm->console == NULL) {
        g_clear_pointer(&vm->machine, dinv_machine_free);
    }
    return vm->console != NULL;
}

static void free_network(DinvVm *vm) {
    g_clear_pointer(&vm->publisher, dinv_network_publisher_free);
    g_clear_pointer(&vm->usernet, dinv_network_usernet_free);
    g_clear_pointer(&vm->usernet_net, g_free);
}

gboolean dinv_vm_start(DinvVm *vm, DinvVmEndpoints *endpoints, GError **error) {
    const DinvConfig *config = vm->plan->config;
    vm->endpoints = endpoints;
    dinv_host_limits_count_oom_kills("", &vm->oom_before);
    if (!start_parts(vm, error)) {
        free_network(vm);
        vm->endpoints = NULL;
        return FALSE;
    }
    vm->control = dinv_vm_control_new(dinv_machine_take_control_fd(vm->machine),
                                      &dinv_vm_control_callbacks, vm);
    dinv_vm_add_phase(vm, "machine-started");
    dinv_vm_set_state(vm, DINV_VM_BOOTING);
    dinv_vm_set_boot_deadline(vm, config->boot_timeout_ms);
    dinv_log(DINV_LOG_INFO, "booting: %s, %u CPU%s, %" G_GUINT64_FORMAT " MiB",
             dinv_machine_accel_text(vm->plan->accel), vm->plan->cpus,
             vm->plan->cpus == 1 ? "" : "s", config->memory_bytes >> 20);
    dinv_log_waiting_for("the guest's kernel");
    return TRUE;
}

DinvVm *dinv_vm_new(const DinvMachinePlan *plan, const DinvEngineConfig *engine,
                    const DinvEngineNetworkPlan *network, const DinvVmCallbacks *callbacks,
                    gpointer user) {
    DinvVm *vm = g_new0(DinvVm, 1);
    vm->plan = plan;
    vm->engine = engine;
    vm->network = network;
    vm->callbacks = *callbacks;
    vm->user = user;
    vm->clock_fd = -1;
    vm->phases = dinv_vm_phases_new();
    vm->machine = dinv_machine_new(plan, &dinv_vm_machine_callbacks, vm);
    return vm;
}

void dinv_vm_free(DinvVm *vm) {
    if (vm == NULL) {
        return;
    }
    g_clear_handle_id(&vm->deadline_source, g_source_remove);
    dinv_vm_stop_clock(vm);
    if (vm->endpoints != NULL) {
        dinv_vm_endpoints_stop_listening(vm->endpoints);
    }
    dinv_vm_relay_free(vm->relay);
    dinv_dns_forwarder_free(vm->resolver);
    dinv_vm_control_free(vm->control);
    dinv_machine_free(vm->machine);
    free_network(vm);
    dinv_vm_console_free(vm->console);
    g_array_unref(vm->phases);
    g_free(vm->paused);
    g_free(vm->guest_version);
    g_free(vm->guest_kernel);
    g_free(vm->engine_version);
    g_free(vm);
}

DinvVmState dinv_vm_get_state(const DinvVm *vm) {
    return vm->state;
}

void dinv_vm_set_unready(DinvVm *vm, const char *reason) {
    vm->unready = reason;
}

DinvNetworkUsernet *dinv_vm_get_usernet(DinvVm *vm) {
    return vm->state > DINV_VM_STARTING && vm->state < DINV_VM_STOPPED ? vm->usernet : NULL;
}

gboolean dinv_vm_found_damaged(const DinvVm *vm, DinvStateDisk kind) {
    return vm->damaged[kind];
}

DinvVmRelay *dinv_vm_get_relay(DinvVm *vm) {
    return vm->state == DINV_VM_READY || vm->state == DINV_VM_STOPPING ? vm->relay : NULL;
}
