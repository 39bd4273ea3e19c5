/* SPDX-License-Identifier: MIT */
/*
 * daemon.json, dockerd's configuration file, as the user gave it to the outer container: checked as
 * far as dinv is concerned. What dinv must keep to itself (where the engine listens and where it
 * keeps things) is taken out, with a warning where dinv does not do it instead; what concerns the
 * inner networks is read, so that the plan of them follows it. All else is dockerd's to judge.
 */
#pragma once

#include <json-c/json.h>

#include "launcher/settings/config.h"

#define DINV_ENGINE_DAEMON_JSON_MAX_BYTES (64u << 10)

#define DINV_ENGINE_DAEMON_JSON_ERROR (dinv_engine_daemon_json_error_quark())
GQuark dinv_engine_daemon_json_error_quark(void);
typedef enum {
    DINV_ENGINE_DAEMON_JSON_ERROR_SYNTAX, /* not JSON, or not an object */
    DINV_ENGINE_DAEMON_JSON_ERROR_VALUE,  /* one that dinv needs to understand and does not */
} DinvEngineDaemonJsonError;

typedef struct {
    struct json_object *object; /* what dockerd is to get */
    struct json_object *served; /* of what it does not get: where the engine is to answer */
    DinvIpv4Network bip;        /* docker0's address; prefix 0: not there */
    GArray *pools;              /* of DinvIpv4Network: the IPv4 ones of default-address-pools */
    GPtrArray *warnings;        /* sentences (char *) about what was taken out or has limits */
} DinvEngineDaemonJson;

/* A pure function of the file's bytes; an empty file is an empty object. NULL on failure, with a
 * message that the name of the file is to be put in front of. Transfer full. */
DinvEngineDaemonJson *dinv_engine_daemon_json_parse(const char *text, gsize length, GError **error);

/* Whether dockerd is told `key` by the file. NULL has no keys. */
gboolean dinv_engine_daemon_json_has(const DinvEngineDaemonJson *file, const char *key);

void dinv_engine_daemon_json_free(DinvEngineDaemonJson *file);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DinvEngineDaemonJson, dinv_engine_daemon_json_free)
