/* SPDX-License-Identifier: MIT */
/* The request `configure`: what of the vm goes into it, and what follows from the guest's reply. */
#include "launcher/base/log.h"
#include "launcher/vm/configuration.h"
#include "launcher/vm/internal.h"
#include "wire/verbs.h"

static void configure_on_reply(struct json_object *reply, const GError *error, gpointer user) {
    DinvVm *vm = user;
    (void)reply;
    /* The end of the channel is that of the machine, which is told with its cause. */
    if (vm->state != DINV_VM_CONFIGURING ||
        g_error_matches(error, DINV_VM_CONTROL_ERROR, DINV_VM_CONTROL_ERROR_CLOSED)) {
        return;
    }
    if (error != NULL) {
        dinv_log(DINV_LOG_ERROR, "the guest did not take its configuration: %s", error->message);
        if (!vm->damaged[DINV_STATE_DISK_DATA] && !vm->damaged[DINV_STATE_DISK_VOLUME]) {
            dinv_vm_log_console_tail(vm);
        }
        dinv_vm_fail(vm);
        return;
    }
    dinv_vm_set_state(vm, DINV_VM_ENGINE);
    dinv_log_waiting_for("the Docker engine");
}

static DinvVmShares choose_shares(const DinvMachinePlan *plan) {
    if (plan->accel == DINV_MACHINE_UML) {
        return DINV_VM_SHARES_VIRTIOFS_ALL;
    }
    return plan->virtiofsd != NULL ? DINV_VM_SHARES_VIRTIOFS : DINV_VM_SHARES_9P;
}

/* Without a forwarder the guest asks SLIRP's resolver, and the files are read here. Transfer
 * full. */
static struct json_object *make_configuration(const DinvVm *vm) {
    g_autoptr(DinvDnsResolverFiles) read = NULL;
    const DinvDnsResolverFiles *files = NULL;
    guint16 port = 0;
    if (vm->resolver != NULL) {
        files = dinv_dns_forwarder_get_files(vm->resolver);
        port = dinv_dns_forwarder_get_port(vm->resolver);
    } else {
        read = dinv_dns_resolver_files_read(DINV_VM_RESOLV_CONF, DINV_VM_HOSTS, DINV_DNS_PORT);
        files = read;
    }
    return dinv_vm_configuration_new(vm->plan->config, vm->engine, vm->network, vm->plan->mounts,
                                     choose_shares(vm->plan), g_get_host_name(), files, port);
}

void dinv_vm_configure(DinvVm *vm) {
    guint timeout_ms = DINV_VM_DISK_CHECK_MS + vm->plan->config->boot_timeout_ms;
    dinv_vm_control_request(vm->control, DINV_WIRE_VERB_CONFIGURE, make_configuration(vm),
                            timeout_ms, configure_on_reply, vm);
}
