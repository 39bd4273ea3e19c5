/* SPDX-License-Identifier: MIT */
/* What this process may do of what is root's (capabilities(7)). */
#pragma once

#include <glib.h>

/* Whether all `count` of `capabilities` (CAP_… of linux/capability.h) are in this process's
 * effective set, by <root>/proc/self/status; `root` is "" but in tests. FALSE where that cannot be
 * read. Does not block. */
gboolean dinv_host_has_capabilities(const char *root, const int *capabilities, gsize count);
