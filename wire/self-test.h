/* SPDX-License-Identifier: MIT */
/*
 * A start of the machine that only shows that machines can be started: with this variable in its
 * environment the guest's first process makes another one and powers off. The kernel puts words of
 * its command line there that it does not know.
 */
#pragma once

#define DINV_WIRE_SELF_TEST_VARIABLE "DINV_SELF_TEST"
