/* SPDX-License-Identifier: MIT */
/*
 * Where the engine answers, as dockerd's own options say it: --host, --group and --tls… among the
 * arguments for dockerd, and their keys in daemon.json. In the guest dockerd has one socket and
 * knows of no other; the launcher serves these places, so they become settings of dinv.
 */
#pragma once

#include "launcher/settings/config.h"
#include "launcher/tls/store.h"

/* Takes them over into `config` before it is used. DINV_SOCKET, DINV_SOCKET_GID and the ports that
 * settings ask for stay beside them; what an empty directory for TLS leads to does not. A group's
 * name is looked up here, and HOME or DOCKER_CERT_PATH of `environment` says where certificates are
 * that nothing names. A daemon.json that cannot be read is left to dinv_engine_config_read(), which
 * says what is wrong with it. Appends sentences (char *) to `warnings`. FALSE, with a message that
 * names the option, if one of them cannot be carried out. Blocks for file I/O and the resolver. */
gboolean dinv_engine_serving_settle(DinvConfig *config, char *const *environment,
                                    GPtrArray *warnings, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The files of the server with TLS: those of the directory for it, or those that were named.
 * Transfer full. */
DinvTlsFiles dinv_engine_serving_get_files(const DinvConfig *config);
