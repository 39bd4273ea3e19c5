/* SPDX-License-Identifier: MIT */
/* The single checks; for preflight.c and its test alone. */
#pragma once

#include "launcher/preflight/preflight.h"

/* Adds a line; takes over `text` and `remedy` (may be NULL). */
void dinv_preflight_add(DinvPreflight *result, const char *name, DinvCheckStatus status, char *text,
                        char *remedy);

/* Each adds at least one line. */
void dinv_preflight_check_qemu(const DinvConfig *config, DinvPreflight *result);
void dinv_preflight_check_kernel(const DinvConfig *config, DinvPreflight *result);
void dinv_preflight_check_rootfs(const DinvConfig *config, DinvPreflight *result);
void dinv_preflight_check_state_dir(const DinvConfig *config, DinvPreflight *result);
void dinv_preflight_check_socket(const DinvConfig *config, DinvPreflight *result);
/* Also makes result->network. `outer` is a GArray of DinvHostNetwork. */
void dinv_preflight_check_network(const DinvConfig *config, const GArray *outer,
                                  DinvPreflight *result);

/* Also makes result->mounts. Adds a line for each mount. */
void dinv_preflight_check_mounts(const DinvPreflightHost *host, const DinvConfig *config,
                                 DinvPreflight *result);

/* Each adds a line if it is concerned at all. */
void dinv_preflight_check_endpoints(const DinvConfig *config, DinvPreflight *result);
/* Also makes result->engine. */
void dinv_preflight_check_engine(const DinvPreflightHost *host, const DinvConfig *config,
                                 DinvPreflight *result);
void dinv_preflight_check_ports(const DinvConfig *config, DinvPreflight *result);

/* "QEMU emulator version 7.2.22 (Debian …)": FALSE if `text` does not begin like that. */
gboolean dinv_preflight_parse_qemu_version(const char *text, guint *major, guint *minor);

/* What a kernel image is, from its bytes (untrusted); `length` are there of `total` in the file.
 * NULL if it can be started: an ELF x86-64 with a PVH entry, or a bzImage. Else what is wrong, a
 * static text. */
const char *dinv_preflight_judge_kernel(const guint8 *bytes, gsize length, gboolean *is_elf);
