/* SPDX-License-Identifier: MIT */
/*
 * power: the power button, and the switch.
 */
#pragma once

#include "guest/base/loop.h"

typedef void (*DinvSystemPowerButtonCallback)(void *user);

/* Calls back whenever the power key of any input device is pressed (ACPI's, on the microVM), for as
 * long as the machine lives. A machine without one, or without the memory, has to do without. */
void dinv_system_power_button_watch(DinvLoop *loop, DinvSystemPowerButtonCallback callback,
                                    void *user);

/* Switches the machine off, without a flush; resets it if it cannot be switched off. */
_Noreturn void dinv_system_power_off(void);
