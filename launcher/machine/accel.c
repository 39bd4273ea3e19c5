/* SPDX-License-Identifier: MIT */
/* The names of what runs the guest's instructions. */
#include "launcher/machine/machine.h"

const char *dinv_machine_accel_name(DinvMachineAccel accel) {
    static const char *const names[] = {
        [DINV_MACHINE_KVM] = "kvm", [DINV_MACHINE_TCG] = "tcg", [DINV_MACHINE_UML] = "uml"};
    return names[accel];
}

const char *dinv_machine_accel_text(DinvMachineAccel accel) {
    static const char *const texts[] = {[DINV_MACHINE_KVM] = "KVM",
                                        [DINV_MACHINE_TCG] = "TCG (emulated, slow)",
                                        [DINV_MACHINE_UML] = "User-Mode Linux"};
    return texts[accel];
}
