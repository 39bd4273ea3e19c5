/* SPDX-License-Identifier: MIT */
/*
 * What the outer container was given for the Docker engine beside dinv's settings: daemon.json and
 * certs.d in DINV_CONFIG_DIR, certificate authorities, proxies, and the arguments for dockerd. Read
 * once, before the machine starts; the guest gets it in `configure`.
 *
 * The room launcher/engine: what dockerd is told, be it by the user or by dinv: its files, options,
 * proxies, certificates and networks. It reads and decides before the start and knows of no machine
 * and no guest that runs; what is sent to the guest, and how, is launcher/vm's.
 */
#pragma once

#include "launcher/engine/daemon-json.h"
#include "launcher/engine/zone.h"
#include "launcher/settings/config.h"

/* All of it has to fit into one line of the control channel, 1 MiB, whatever JSON makes of it. */
#define DINV_ENGINE_ARGUMENTS_MAX_BYTES (32u << 10)
/* Files of certs.d, together. */
#define DINV_REGISTRY_FILES_MAX       256u
#define DINV_REGISTRY_FILES_MAX_BYTES (128u << 10)

/* A file to be made in the guest. */
typedef struct {
    char *path;
    char *text;
    guint mode;
} DinvEngineFile;

typedef struct {
    DinvEngineDaemonJson *daemon_json; /* NULL: there is none */
    GPtrArray *files;                  /* of DinvEngineFile * */
    char **arguments;                  /* the user's for dockerd, less what is dinv's own */
    DinvIpv4Network bip;               /* docker0's address, from either; prefix 0: not wanted */
    GArray *pools;  /* of DinvIpv4Network: for inner networks; NULL: not wanted */
    char **proxies; /* NAME=value, as they are outside */
    DinvEngineZone zone;
    GPtrArray *warnings; /* sentences (char *) */
    char *text;          /* for people: "daemon.json, 2 files of certs.d, …" */
} DinvEngineConfig;

#define DINV_ENGINE_CONFIG_ERROR (dinv_engine_config_error_quark())
GQuark dinv_engine_config_error_quark(void);
typedef enum {
    DINV_ENGINE_CONFIG_ERROR_FILE, /* one cannot be read, is not understood, or is too large */
} DinvEngineConfigError;

/* Reads all of it, and blocks for as long as the disk takes. `root` is put before the paths that no
 * setting names ("": nothing). NULL on failure: the message names the file and what is wrong with
 * it. Transfer full. */
DinvEngineConfig *dinv_engine_config_read(const DinvConfig *config, const char *root,
                                          char *const *environment, GError **error);

/* Whether the user told dockerd an option: as a flag ("--bip") or in daemon.json ("bip"; NULL: it
 * cannot stand there). */
gboolean dinv_engine_config_has(const DinvEngineConfig *engine, const char *flag, const char *key);

void dinv_engine_config_free(DinvEngineConfig *engine);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DinvEngineConfig, dinv_engine_config_free)
