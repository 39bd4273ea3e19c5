/* SPDX-License-Identifier: MIT */
/*
 * power: the power button, and the switch.
 */
#pragma once

#include "guest/base/loop.h"

typedef struct DinvSystemPowerButton DinvSystemPowerButton;
typedef void (*DinvSystemPowerButtonCallback)(void *user);

/* Watches every input device that has a power key (ACPI's, on the microVM). NULL if there is none.
 */
DinvSystemPowerButton *
dinv_system_power_button_new(DinvLoop *loop, DinvSystemPowerButtonCallback callback, void *user);
void dinv_system_power_button_free(DinvSystemPowerButton *button);

/* Switches the machine off, without a flush; resets it if it cannot be switched off. */
_Noreturn void dinv_system_power_off(void);
