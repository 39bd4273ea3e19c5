/* SPDX-License-Identifier: MIT */
/* User-Mode Linux as a kind of machine, for DinvMachinePlan.ops. */
#pragma once

#include "launcher/machine/machine.h"

extern const DinvMachineOps dinv_machine_uml;
