/* SPDX-License-Identifier: MIT */
/*
 * The table of all settings. The parser, `--help`, the man page and the README's table all come
 * from it. A new setting is one row in table.c and one field in DinvConfig; one of a new type needs
 * that type here and in values.c as well.
 */
#pragma once

#include "launcher/settings/config.h"
#include "launcher/settings/rules.h"
#include "launcher/settings/types.h"

/* What the text of a setting is, and with it what its field in DinvConfig is (values.c). */
typedef enum {
    DINV_TYPE_CHOICE,
    DINV_TYPE_NUMBER,
    DINV_TYPE_UID,
    DINV_TYPE_GID,
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
    DINV_TYPE_TLS_NAMES,
    DINV_TYPE_TCP_ADDRESS,
} DinvSettingType;

typedef enum {
    /* An empty value is one of its own, not the default. */
    DINV_SETTING_TAKES_EMPTY = 1 << 0,
    /* The older name is not read where CI is set: CI systems hand the variables of a job to its
     * services, too, and one of that name is common there and means something else. */
    DINV_SETTING_ALIAS_NOT_IN_CI = 1 << 1,
} DinvSettingFlags;

/* A variable of docker-in-docker images that says the same in its own way. It counts where neither
 * the setting's name nor its alias is set. */
typedef struct {
    const char *name;
    /* The value in the setting's own form, a new string; NULL if it asks for nothing of ours. */
    char *(*translate)(const char *value);
} DinvSettingForeign;

typedef struct {
    const char *name;  /* of the environment variable: "DINV_DISK_SIZE"; the flag follows from it */
    const char *alias; /* an older name that is also read, or NULL */
    DinvSettingForeign foreign; /* name NULL: none */
    DinvSettingType type;
    DinvSettingFlags flags;
    gsize field;                      /* its offset in DinvConfig */
    const DinvSettingChoice *choices; /* of DINV_TYPE_CHOICE; ends with name NULL */
    const char *argument;             /* how help shows the value: "SIZE"; NULL with `choices` */
    const char *fallback;       /* the default, as if it had been given; NULL if none or computed */
    const char *fallback_shown; /* how help shows the default when `fallback` is NULL */
    guint64 minimum;            /* of numbers, sizes (bytes) and durations (milliseconds) */
    guint64 maximum;
    DinvSettingRule rule; /* what its parser cannot see, or NULL */
    const char *help;     /* one line, without a full stop */
    const char *more;     /* sentences for the man page, or NULL */
} DinvSetting;

/* The table; the setting with name NULL ends it. */
const DinvSetting *dinv_settings_table(void);
