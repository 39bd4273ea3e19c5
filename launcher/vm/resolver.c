/* SPDX-License-Identifier: MIT */
/*
 * The DNS forwarder as a part of a vm: it answers the guest with what the outer container knows,
 * and the guest is told when the outer container's search domains or options change.
 */
#include "launcher/base/log.h"
#include "launcher/vm/configuration.h"
#include "launcher/vm/internal.h"
#include "wire/verbs.h"

#define TIMEOUT_MS 60000u

static void resolver_on_told(struct json_object *reply, const GError *error, gpointer user) {
    (void)reply;
    (void)user;
    if (error != NULL &&
        !g_error_matches(error, DINV_VM_CONTROL_ERROR, DINV_VM_CONTROL_ERROR_CLOSED)) {
        g_autofree char *printable = dinv_log_printable_line(error->message);
        dinv_log(DINV_LOG_WARNING, "the guest does not know the new search domains: %s, ignoring",
                 printable);
    }
}

/* The guest takes it also while it carries out `configure`. */
static void resolver_on_changed(const DinvDnsResolverFiles *files, gpointer user) {
    DinvVm *vm = user;
    if (vm->state >= DINV_VM_CONFIGURING && vm->state <= DINV_VM_READY && !vm->exited) {
        struct json_object *fields = json_object_new_object();
        dinv_vm_configuration_add_resolver(fields, files);
        dinv_vm_control_request(vm->control, DINV_WIRE_VERB_RESOLVER, fields, TIMEOUT_MS,
                                resolver_on_told, vm);
    }
}

void dinv_vm_start_resolver(DinvVm *vm) {
    g_autoptr(GError) error = NULL;
    g_autofree char *gateway = dinv_ipv4_network_host_to_string(&vm->network->slirp, 2);
    const DinvDnsForwarderOptions options = {.resolv_conf = DINV_VM_RESOLV_CONF,
                                             .hosts = DINV_VM_HOSTS,
                                             .gateway = gateway,
                                             .changed = resolver_on_changed,
                                             .user = vm};
    vm->resolver = dinv_dns_forwarder_new(&options, &error);
    if (vm->resolver == NULL) {
        dinv_log(DINV_LOG_WARNING,
                 "%s: of the outer resolvers only the first is asked, and the names in %s are not "
                 "known inside, ignoring",
                 error->message, DINV_VM_HOSTS);
    }
}
