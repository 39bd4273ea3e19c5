/* SPDX-License-Identifier: MIT */
/* serve: the whole life of the process after its arguments. */
#pragma once

#include "usernet/process/arguments.h"

/* Confines the process, says `ready`, and serves until `stop` or the launcher's end. What cannot
 * work is said on stderr, one line. Returns the exit status, 0 or 1. The descriptors are
 * borrowed. */
int dinv_usernet_serve(const DinvUsernetArguments *arguments);
