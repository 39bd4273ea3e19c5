/* SPDX-License-Identifier: MIT */
/* The single checks, for preflight.c and the tests alone. */
#pragma once

#include "launcher/preflight/preflight.h"

/* Notes what may be shown in the guest, without a line: before the check of the acceleration, which
 * depends on it. */
void dinv_preflight_look_at_mounts(const DinvPreflightHost *host, const DinvConfig *config,
                                   DinvPreflight *result);

/* Each looks, notes what a plan needs in result->findings, and adds at least one line. */
void dinv_preflight_check_acceleration(const DinvPreflightHost *host, const DinvConfig *config,
                                       DinvPreflight *result);
void dinv_preflight_check_qemu(const DinvConfig *config, DinvPreflight *result);
void dinv_preflight_check_usernet(const DinvConfig *config, DinvPreflight *result);
void dinv_preflight_check_kernel(const DinvConfig *config, DinvPreflight *result);
void dinv_preflight_check_rootfs(const DinvConfig *config, DinvPreflight *result);
/* Only where the guest's processes are processes here. */
void dinv_preflight_check_processes(const DinvConfig *config, DinvPreflight *result);
void dinv_preflight_check_memory(const DinvPreflightHost *host, const DinvConfig *config,
                                 DinvPreflight *result);
/* Uses what was found of the engine's configuration and of the networks outside. */
void dinv_preflight_check_network(const DinvConfig *config, DinvPreflight *result);
void dinv_preflight_check_socket(const DinvPreflightHost *host, const DinvConfig *config,
                                 DinvPreflight *result);
void dinv_preflight_check_state_dir(const DinvConfig *config, DinvPreflight *result);

/* Each adds lines for what is concerned: every mount, port and endpoint that there is to be. */
void dinv_preflight_check_mounts(const DinvConfig *config, DinvPreflight *result);
void dinv_preflight_check_ports(const DinvConfig *config, DinvPreflight *result);
void dinv_preflight_check_engine(const DinvPreflightHost *host, const DinvConfig *config,
                                 DinvPreflight *result);
void dinv_preflight_check_endpoints(const DinvPreflightHost *host, const DinvConfig *config,
                                    DinvPreflight *result);

/* The name of the state directory's lines. */
#define DINV_PREFLIGHT_STATE_DIRECTORY "state directory"

/* "QEMU emulator version 7.2.22 (Debian …)": FALSE if `text` does not begin like that. */
gboolean dinv_preflight_parse_qemu_version(const char *text, guint *major, guint *minor);

/* What a kernel image is, from all of its bytes, which are untrusted. NULL if it can be started: an
 * ELF x86-64 with a PVH entry, or a bzImage. Else what is wrong, a static text. */
const char *dinv_preflight_judge_kernel(const guint8 *bytes, gsize length, gboolean *is_elf);
