/* SPDX-License-Identifier: MIT */
/*
 * The launcher room: everything of the `dinv` program. Settings become one const DinvConfig, limits
 * and preflight look at the outer container, disk makes the data disk, machine runs the guest, and
 * the cli files are the verbs. QMP text and relay frames may not enter here: they stay in their
 * rooms.
 *
 * settings.h: the one table of settings. The parser, `--help`, the man page and the README's table
 * all come from it.
 */
#pragma once

#include "launcher/host/limits.h"
#include "launcher/settings/config.h"
#include "launcher/settings/types.h"

typedef enum {
    DINV_TYPE_CHOICE,
    DINV_TYPE_NUMBER,
    DINV_TYPE_ID, /* of a user or group */
    DINV_TYPE_MODE,
    DINV_TYPE_SIZE,
    DINV_TYPE_DURATION,
    DINV_TYPE_PATH,
    DINV_TYPE_GUEST_PATH, /* where something is mounted in the guest */
    DINV_TYPE_PROGRAM,    /* a name to be found in PATH, or a path */
    DINV_TYPE_WORDS,
    DINV_TYPE_TEXT,
    DINV_TYPE_TCP_PORTS,
    DINV_TYPE_UDP_PORTS,
    DINV_TYPE_MOUNTS,
    DINV_TYPE_SUBNET,         /* an IPv4 network */
    DINV_TYPE_BRIDGE_ADDRESS, /* an IPv4 address of a host, with its network's prefix */
    DINV_TYPE_TLS_DIRECTORY,  /* a path; an empty value has a meaning of its own */
    DINV_TYPE_TLS_NAMES,
    DINV_TYPE_TCP_ADDRESS,
} DinvSettingType;

typedef struct {
    const char *name;  /* of the environment variable: "DINV_DISK_SIZE"; the flag follows from it */
    const char *alias; /* an older name that is also read, or NULL */
    DinvSettingType type;
    gsize offset;               /* of the field in DinvConfig */
    const char *argument;       /* how help shows the value: "SIZE", "auto|kvm|tcg" */
    const char *fallback;       /* the default, as if it had been given; NULL if none or computed */
    const char *fallback_shown; /* how help shows the default when `fallback` does not */
    guint64 minimum;            /* of numbers, sizes (bytes) and durations (milliseconds) */
    guint64 maximum;
    const char *help; /* one line, without a full stop */
    const char *more; /* sentences for the man page, or NULL */
} DinvSetting;

/* No table is longer than this. */
#define DINV_SETTINGS_MAX 64u

/* The table; the setting with name NULL ends it. */
const DinvSetting *dinv_settings_table(void);

/* "DINV_DISK_SIZE" -> "--disk-size". */
char *dinv_setting_flag(const DinvSetting *setting);

/* Whether "--disk-size" is the flag of a setting, and whether it is none but so near to one that it
 * must be meant. */
gboolean dinv_setting_flag_exists(const char *flag);
gboolean dinv_setting_flag_is_misspelt(const char *flag);

/* Adds words to what dockerd is started with. FALSE if one of them cannot be passed on. */
gboolean dinv_settings_add_dockerd_arguments(DinvConfig *config, char *const *words, int count,
                                             GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Whether a word that looks like a flag is somebody else's, such as a verb's own "--json": settings
 * end before it. */
typedef gboolean (*DinvSettingsIsForeign)(const char *word);

/* Reads the settings: `environment` (NULL-terminated "NAME=value") first, then flags, which win.
 * *argv points to the first word to look at (program name and verb are behind it); *argc and *argv
 * are moved on to the first word that is no setting's flag or value (what `is_foreign` is true of
 * counts as such), past a "--". An empty value means the default, but of the directory for TLS.
 * Defaults of CPUs and memory come from the limits of this process. Appends sentences (char*) about
 * what was ignored to `warnings`. NULL with a DINV_SETTINGS_ERROR on failure; *argc and *argv are
 * then unchanged. Looks at files only for the limits, never at what the settings name. */
DinvConfig *dinv_settings_load(const char *const *environment, int *argc, char ***argv,
                               DinvSettingsIsForeign is_foreign, GPtrArray *warnings,
                               GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The same with given limits. */
DinvConfig *dinv_settings_load_with_limits(const char *const *environment, int *argc, char ***argv,
                                           DinvSettingsIsForeign is_foreign,
                                           const DinvHostLimits *limits, GPtrArray *warnings,
                                           GError **error) G_GNUC_WARN_UNUSED_RESULT;
