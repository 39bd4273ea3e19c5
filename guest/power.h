/* SPDX-License-Identifier: MIT */
/*
 * power: the power button, and the switch.
 */
#pragma once

#include "guest/loop.h"

typedef struct DinvPowerButton DinvPowerButton;
typedef void (*DinvPowerButtonCallback)(void *user);

/* Watches every input device that has a power key (ACPI's, on the microVM). NULL if there is none.
 */
DinvPowerButton *dinv_power_button_new(DinvLoop *loop, DinvPowerButtonCallback callback,
                                       void *user);
void dinv_power_button_free(DinvPowerButton *button);

/* Switches the machine off, without a flush; resets it if it cannot be switched off. */
_Noreturn void dinv_power_off(void);
