/* SPDX-License-Identifier: MIT */
/* The proxies that the engine gets in `configure`: an environment that follows the network plan. */
#pragma once

#include "launcher/engine/network-plan.h"

/* The engine's environment (NAME=value) from `found` (dinv_engine_proxies_find): translated to what
 * the guest reaches, and what is to be reached without a proxy gets the inner networks of `plan` in
 * addition. Empty if there is no proxy. Transfer full. */
char **dinv_vm_proxies_for_engine(char *const *found, const DinvEngineNetworkPlan *plan);
