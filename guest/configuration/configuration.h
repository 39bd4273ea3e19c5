/* SPDX-License-Identifier: MIT */
/*
 * The room guest/configuration: what the launcher tells the guest in `configure`
 * (docs/control-protocol.md), checked completely before any of it is acted upon, then only passed
 * around as const. The rooms that carry it out include this header, and none of them may enter: no
 * I/O here, and nothing that the guest decides for itself.
 *
 * configuration.h: the result, and how to get it. The JSON is the launcher's, but parts of it are
 * settings of a user: nothing in it is trusted to have the right type, size or characters.
 */
#pragma once

#include <json-c/json.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

typedef struct {
    char *name;
    char *address; /* IPv4 or IPv6, as text */
} DinvHostEntry;

typedef struct {
    bool present; /* false: loopback only */
    struct in_addr address;
    unsigned prefix;        /* 1 to 32 */
    struct in_addr gateway; /* 0.0.0.0: none */
    unsigned mtu;           /* 0: leave */
    char **dns;             /* NULL-terminated, like the next two; never NULL */
    char **search;
    char **options;
    DinvHostEntry *hosts;
    size_t host_count;
    struct in_addr resolver; /* answers what is asked of `dns`, at this port */
    uint16_t resolver_port;  /* 0: they answer themselves */
} DinvNetworkConfiguration;

typedef struct {
    char *serial;
    char *target;
    uid_t uid; /* of the disk's top directory; -1: leave */
    gid_t gid;
} DinvDiskConfiguration;

typedef struct {
    char *driver; /* "9p" or "virtiofs" */
    char *tag;
    char *file;             /* the name of a file in the share; NULL: the share itself */
    char *target;           /* any bytes */
    char *options;          /* "" if none */
    char *fallback_options; /* for a kernel that does not know one of options; or NULL */
    bool readonly;
} DinvMountConfiguration;

typedef struct {
    char *path;
    char *text;
    mode_t mode;
} DinvFileConfiguration;

typedef struct {
    const char *level; /* one that containerd knows, static text; NULL: its default */
    bool json;
} DinvContainerdConfiguration;

typedef struct {
    char *name;     /* "Europe/Berlin"; NULL: leave */
    uint8_t *rules; /* for /etc/localtime */
    size_t length;
} DinvZoneConfiguration;

typedef struct {
    char *hostname;       /* NULL: leave */
    struct timespec time; /* tv_sec 0: leave */
    uint8_t *entropy;
    size_t entropy_len;
    DinvZoneConfiguration zone;
    DinvNetworkConfiguration network;
    bool publish_listeners; /* ask for the ports of what listens in the guest's own network */
    DinvDiskConfiguration *disks;
    size_t disk_count;
    DinvMountConfiguration *mounts;
    size_t mount_count;
    uint64_t inodes_max;          /* in the kernel's caches; 0: no limit */
    DinvFileConfiguration *files; /* to be there before dockerd starts */
    size_t file_count;
    char **dockerd_args;    /* NULL-terminated */
    char **dockerd_sockets; /* NULL-terminated: other paths at which its socket is to be found */
    uint32_t dockerd_deadline_ms;
    DinvContainerdConfiguration containerd_logging;
    char **environment; /* NULL-terminated, "NAME=value" */
} DinvConfiguration;

/* 0 with *configuration owned by the caller, or -EBADMSG with a sentence in `reason` that names the
 * field and what is wrong with it; -EPROTONOSUPPORT (and a sentence) for another version. */
int dinv_configuration_parse(struct json_object *body, DinvConfiguration **configuration,
                             char *reason, size_t reason_size);
void dinv_configuration_free(DinvConfiguration *configuration);

/* The verb `resolver`: replaces search domains and options. 0, or -EBADMSG with a sentence in
 * `reason` and nothing changed. */
int dinv_configuration_set_resolver(DinvConfiguration *configuration, struct json_object *body,
                                    char *reason, size_t reason_size);

/* The `time` field, of `configure` and of `settime` alike: {"sec": …, "nsec": …}. false if it is
 * not one. */
bool dinv_configuration_parse_time(struct json_object *value, struct timespec *time);
