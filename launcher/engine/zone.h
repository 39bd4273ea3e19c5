/* SPDX-License-Identifier: MIT */
/* The time zone of the outer container, which those inside are to find where they look for it. */
#pragma once

#include <glib.h>

/* A file of rules has a few KiB. */
#define DINV_ENGINE_ZONE_MAX_BYTES (64u << 10)

typedef struct {
    char *name;    /* "Europe/Berlin" */
    guint8 *rules; /* what /etc/localtime holds (tzfile(5)) */
    gsize length;
} DinvEngineZone;

/* That of `tz` (TZ, or NULL) if <root>/usr/share/zoneinfo has it, else that of <root>/etc/localtime
 * and <root>/etc/timezone, else UTC. `root` is "" but in tests. Blocks for as long as the disk
 * takes. To be cleared. */
void dinv_engine_zone_read(const char *root, const char *tz, DinvEngineZone *zone);
void dinv_engine_zone_clear(DinvEngineZone *zone);
