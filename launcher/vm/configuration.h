/* SPDX-License-Identifier: MIT */
/*
 * The body of the control channel's `configure` request (docs/control-protocol.md), built from the
 * configuration, what the user has for dockerd, and the plans.
 */
#pragma once

#include <json-c/json.h>

#include "launcher/dns/resolver-files.h"
#include "launcher/engine/network-plan.h"

/* What comes over virtio-fs, and not over 9p. */
typedef enum {
    DINV_VM_SHARES_9P,           /* nothing */
    DINV_VM_SHARES_VIRTIOFS,     /* directories */
    DINV_VM_SHARES_VIRTIOFS_ALL, /* directories and single files */
} DinvVmShares;

/* `mounts` are the machine plan's. `files` are the
 * outer container's, for search domains and options; `resolver_port` is that of the DNS forwarder
 * on the gateway (0: none, SLIRP's resolver serves). Time and entropy are taken anew at every call.
 * Transfer full. */
struct json_object *
dinv_vm_configuration_new(const DinvConfig *config, const DinvEngineConfig *engine,
                          const DinvEngineNetworkPlan *network, const GPtrArray *mounts,
                          DinvVmShares shares, const char *hostname,
                          const DinvDnsResolverFiles *files, guint16 resolver_port);

/* Adds the time of now, which `configure` and `settime` have. */
void dinv_vm_configuration_add_time(struct json_object *object);

/* Adds the fields that `configure` and `resolver` share: search domains and options. */
void dinv_vm_configuration_add_resolver(struct json_object *object,
                                        const DinvDnsResolverFiles *files);
