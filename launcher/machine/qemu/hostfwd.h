/* SPDX-License-Identifier: MIT */
/*
 * Port forwards in a running QEMU: hostfwd_add and hostfwd_remove of its human monitor, the one way
 * there is. Private to qemu.c.
 */
#pragma once

#include <gio/gio.h>

#include "launcher/settings/config.h"
#include "qmp/client.h"

/* Both: `task` ends with TRUE or an error that is fit to show to a person; the reference is taken
 * over. `address` is an IPv4 address, "" for any. The client may be NULL: the machine does not run.
 * When a forward cannot be added and the reason is found to be that the port is taken outside, the
 * error is G_IO_ERROR_ADDRESS_IN_USE with a message of the kind Docker's own port proxy gives. */
void dinv_qemu_hostfwd_add(DinvQmpClient *client, const DinvPortForward *forward,
                           const char *address, GTask *task);
void dinv_qemu_hostfwd_remove(DinvQmpClient *client, const DinvPortForward *forward,
                              const char *address, GTask *task);

/* `task` ends with text (char *, transfer full), a line for each rule there is, as QEMU shows it;
 * or with an error, as above. */
void dinv_qemu_hostfwd_list(DinvQmpClient *client, GTask *task);
