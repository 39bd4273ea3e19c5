/* SPDX-License-Identifier: MIT */
/*
 * The body of the control channel's `configure` request (docs/control-protocol.md), built from the
 * configuration and the network plan.
 */
#pragma once

#include <json-c/json.h>

#include "launcher/config.h"
#include "launcher/network-plan.h"

/* `resolv_conf` is the outer container's file (NULL: none), for its search domains and
 * options. Time and entropy are taken anew at every call. Transfer full. */
struct json_object *dinv_guest_config_new(const DinvConfig *config, const DinvNetworkPlan *network,
                                          const char *hostname, const char *resolv_conf);
