/* SPDX-License-Identifier: MIT */
/* QEMU as a kind of machine, for DinvMachinePlan.ops. */
#pragma once

#include "launcher/machine/machine.h"

extern const DinvMachineOps dinv_machine_qemu;
