/* SPDX-License-Identifier: MIT */
/* Files that begin with "TZif". */
#include "launcher/engine/zone.h"

#include <string.h>

#include "launcher/base/input-file.h"

#define ZONES        "/usr/share/zoneinfo/"
#define NAME_MAX_LEN 64u

/* UTC: version 2, one type of local time, no transitions (RFC 8536, appendix B). */
static const guint8 utc[] =
    "TZif2\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1"
    "\0\0\0\4\0\0\0\0\0\0UTC\0"
    "TZif2\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1"
    "\0\0\0\4\0\0\0\0\0\0UTC\0"
    "\nUTC0\n";

/* As in the data base of zones: "America/Argentina/Buenos_Aires", "Etc/GMT+5". */
static gboolean is_name(const char *text) {
    gsize length = strlen(text);
    return length > 0 && length <= NAME_MAX_LEN && text[0] != '/' && strstr(text, "..") == NULL &&
           strspn(text, G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "/_+-") == length;
}

/* Takes `name` if the file holds rules. */
static gboolean take_rules(const char *path, const char *name, DinvEngineZone *zone) {
    gsize length = 0;
    g_autofree char *bytes = dinv_input_file_read(path, DINV_ENGINE_ZONE_MAX_BYTES, &length, NULL);
    if (bytes == NULL || length < strlen("TZif") || memcmp(bytes, "TZif", strlen("TZif")) != 0) {
        return FALSE;
    }
    zone->name = g_strdup(name);
    zone->rules = (guint8 *)g_steal_pointer(&bytes);
    zone->length = length;
    return TRUE;
}

static gboolean take_named(const char *root, const char *tz, DinvEngineZone *zone) {
    const char *name = tz != NULL && tz[0] == ':' ? tz + 1 : tz;
    if (name == NULL || !is_name(name)) {
        return FALSE;
    }
    g_autofree char *path = g_strconcat(root, ZONES, name, NULL);
    return take_rules(path, name, zone);
}

/* What /etc/timezone says, or what /etc/localtime is a link to. Transfer full; NULL: neither. */
static char *find_name(const char *root, const char *localtime) {
    g_autofree char *path = g_strconcat(root, "/etc/timezone", NULL);
    g_autofree char *text =
        dinv_input_file_read(path, DINV_ENGINE_ZONE_MAX_BYTES, &(gsize){0}, NULL);
    if (text != NULL && is_name(g_strstrip(text))) {
        return g_steal_pointer(&text);
    }
    g_autofree char *link = g_file_read_link(localtime, NULL);
    const char *zone = link != NULL ? strstr(link, ZONES) : NULL;
    return zone != NULL && is_name(zone + strlen(ZONES)) ? g_strdup(zone + strlen(ZONES)) : NULL;
}

void dinv_engine_zone_read(const char *root, const char *tz, DinvEngineZone *zone) {
    *zone = (DinvEngineZone){0};
    if (take_named(root, tz, zone)) {
        return;
    }
    g_autofree char *path = g_strconcat(root, "/etc/localtime", NULL);
    g_autofree char *name = find_name(root, path);
    if (take_rules(path, name != NULL ? name : "Etc/UTC", zone)) {
        return;
    }
    zone->name = g_strdup("Etc/UTC");
    zone->rules = g_memdup2(utc, sizeof utc - 1);
    zone->length = sizeof utc - 1;
}

void dinv_engine_zone_clear(DinvEngineZone *zone) {
    g_clear_pointer(&zone->name, g_free);
    g_clear_pointer(&zone->rules, g_free);
}
