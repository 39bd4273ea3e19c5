/* SPDX-License-Identifier: MIT */
/*
 * The server's side of launcher.sock, whose protocol is in launcher/state/launcher-socket.h. What
 * clients send is untrusted: bounded in length, in depth and in time.
 */
#pragma once

#include <gio/gio.h>

#include "launcher/vm/vm.h"

typedef struct DinvVmLauncherSocket DinvVmLauncherSocket;

/* Serves `vm` (borrowed) in the default GMainContext, without blocking. The socket is of mode 0600.
 * NULL if it cannot be made, G_IO_ERROR_ADDRESS_IN_USE if somebody serves it already. Free the vm
 * first, with no turn of the loop in between: it answers the clients that still wait for its
 * status. */
DinvVmLauncherSocket *dinv_vm_launcher_socket_new(const char *state_dir, DinvVm *vm,
                                                  GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Removes the socket and hangs up on its clients. NULL is ignored. */
void dinv_vm_launcher_socket_free(DinvVmLauncherSocket *server);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DinvVmLauncherSocket, dinv_vm_launcher_socket_free)
