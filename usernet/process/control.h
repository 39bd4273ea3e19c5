/* SPDX-License-Identifier: MIT */
/* control: the launcher's requests, carried out and answered, one after the other. */
#pragma once

#include <stdbool.h>

#include "usernet/process/network.h"

typedef struct DinvUsernetControl DinvUsernetControl;

/* Borrows everything, and says `ready` with the confinement that is in force (a comma list, or
 * "none"). NULL, with errno, on failure. */
DinvUsernetControl *dinv_usernet_control_new(DinvUsernetLoop *loop, int fd,
                                             DinvUsernetNetwork *network, const char *features);
void dinv_usernet_control_free(DinvUsernetControl *control);

/* `stop` was asked for and answered, or the launcher is gone. */
bool dinv_usernet_control_is_over(const DinvUsernetControl *control);
