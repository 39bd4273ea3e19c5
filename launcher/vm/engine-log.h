/* SPDX-License-Identifier: MIT */
/*
 * A file of the outer container that gets dockerd's log as well (DINV_DOCKERD_LOG). It begins anew
 * with every start, and holds all from dockerd's own start on.
 */
#pragma once

#include "launcher/vm/relay.h"

typedef struct DinvVmEngineLog DinvVmEngineLog;

/* Makes or empties the file; a named pipe need not have a reader yet. NULL if it cannot be written;
 * the message names it. */
DinvVmEngineLog *dinv_vm_engine_log_new(const char *path, GError **error);
void dinv_vm_engine_log_free(DinvVmEngineLog *file);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DinvVmEngineLog, dinv_vm_engine_log_free)

/* From now on writes what the guest's log service says (untrusted, and written as it came), from
 * the default GMainContext, until the stream ends. To be called once. A failure is logged and ends
 * it. Does not wait for the reader of a pipe. */
void dinv_vm_engine_log_follow(DinvVmEngineLog *file, DinvVmRelay *relay);
