/* SPDX-License-Identifier: MIT */
#include "launcher/base/log.h"
#include "launcher/vm/configuration.h"
#include "launcher/vm/internal.h"

#define RESOLV_CONF "/etc/resolv.conf"
#define HOSTS       "/etc/hosts"
#define TIMEOUT_MS  60000u

static void on_told(struct json_object *reply, const GError *error, gpointer user) {
    (void)reply;
    (void)user;
    if (error != NULL &&
        !g_error_matches(error, DINV_VM_CONTROL_ERROR, DINV_VM_CONTROL_ERROR_CLOSED)) {
        g_autofree char *printable = dinv_log_printable_line(error->message);
        dinv_log(DINV_LOG_WARNING, "the guest does not know the new search domains: %s, ignoring",
                 printable);
    }
}

/* Behind `configure`, if that is still on its way. */
static void on_resolver_changed(const DinvDnsResolverFiles *files, gpointer user) {
    DinvVm *vm = user;
    if (vm->state >= DINV_VM_CONFIGURING && vm->state <= DINV_VM_READY && !vm->exited) {
        struct json_object *fields = json_object_new_object();
        dinv_vm_configuration_add_resolver(fields, files);
        dinv_vm_control_request(vm->control, "resolver", fields, TIMEOUT_MS, on_told, vm);
    }
}

/* The guest can do without: SLIRP has a resolver, too. */
static void start_resolver(DinvVm *vm) {
    g_autoptr(GError) error = NULL;
    g_autofree char *gateway = dinv_ipv4_network_host_to_string(&vm->network->slirp, 2);
    const DinvDnsForwarderOptions options = {.resolv_conf = RESOLV_CONF,
                                             .hosts = HOSTS,
                                             .gateway = gateway,
                                             .changed = on_resolver_changed,
                                             .user = vm};
    vm->resolver = dinv_dns_forwarder_new(&options, &error);
    if (vm->resolver == NULL) {
        dinv_log(DINV_LOG_WARNING,
                 "%s: of the outer resolvers only the first is asked, and the names in %s are not "
                 "known inside, ignoring",
                 error->message, HOSTS);
    }
}

struct json_object *dinv_vm_make_configuration(DinvVm *vm) {
    g_autoptr(DinvDnsResolverFiles) without = NULL;
    start_resolver(vm);
    if (vm->resolver == NULL) {
        without = dinv_dns_resolver_files_read(RESOLV_CONF, HOSTS, DINV_DNS_PORT);
    }
    return dinv_vm_configuration_new(
        vm->plan->config, vm->engine, vm->network, vm->plan->mounts, vm->plan->virtiofsd != NULL,
        g_get_host_name(), without != NULL ? without : dinv_dns_forwarder_get_files(vm->resolver),
        vm->resolver != NULL ? dinv_dns_forwarder_get_port(vm->resolver) : 0);
}
