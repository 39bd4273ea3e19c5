/* SPDX-License-Identifier: MIT */
/*
 * A file of the outer container that gets dockerd's log as well (DINV_DOCKERD_LOG). It begins anew
 * with every start, and holds all from dockerd's own start on.
 */
#pragma once

#include "launcher/relay-host.h"

typedef struct DinvEngineLogFile DinvEngineLogFile;

/* Makes or empties the file. NULL if it cannot be written; the message names it. */
DinvEngineLogFile *dinv_engine_log_file_new(const char *path, GError **error);
void dinv_engine_log_file_free(DinvEngineLogFile *file);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DinvEngineLogFile, dinv_engine_log_file_free)

/* From now on writes what the guest's log service says, from the default GMainContext, until the
 * stream ends. Once. A failure is logged and ends it. */
void dinv_engine_log_file_follow(DinvEngineLogFile *file, DinvRelayHost *relay);
