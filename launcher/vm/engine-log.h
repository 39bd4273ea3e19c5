/* SPDX-License-Identifier: MIT */
/*
 * A file of the outer container that gets dockerd's log as well (DINV_DOCKERD_LOG). It begins anew
 * with every start, and holds all from dockerd's own start on.
 */
#pragma once

#include "launcher/vm/relay.h"

typedef struct DinvVmEngineLog DinvVmEngineLog;

/* Makes or empties the file. NULL if it cannot be written; the message names it. */
DinvVmEngineLog *dinv_vm_engine_log_new(const char *path, GError **error);
void dinv_vm_engine_log_free(DinvVmEngineLog *file);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DinvVmEngineLog, dinv_vm_engine_log_free)

/* From now on writes what the guest's log service says, from the default GMainContext, until the
 * stream ends. Once. A failure is logged and ends it. */
void dinv_vm_engine_log_follow(DinvVmEngineLog *file, DinvVmRelay *relay);
