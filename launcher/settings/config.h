/* SPDX-License-Identifier: MIT */
/*
 * The launcher's configuration: made once from the settings (settings.h), validated, then only ever
 * passed around as const. Each setting of the table has a field here; which one, and what it owns,
 * is in table.c.
 */
#pragma once

#include <glib.h>
#include <sys/types.h>

#include "launcher/base/ipv4-network.h"
#include "launcher/base/log.h"
#include "launcher/base/port.h"
#include "launcher/base/tcp.h"
#include "launcher/mounts/spec.h"

typedef enum { DINV_ACCEL_AUTO, DINV_ACCEL_KVM, DINV_ACCEL_UML, DINV_ACCEL_TCG } DinvAccel;
typedef enum { DINV_UML_SECCOMP, DINV_UML_PTRACE } DinvUmlMode;
typedef enum { DINV_MACHINE_TYPE_MICROVM, DINV_MACHINE_TYPE_Q35 } DinvMachineType;
typedef enum { DINV_MOUNT_9P, DINV_MOUNT_VIRTIOFS, DINV_MOUNT_AUTO } DinvMountDriver;
typedef enum {
    DINV_PUBLISH_ON,     /* what docker publishes, and what listens in the guest's own network */
    DINV_PUBLISH_DOCKER, /* what docker publishes */
    DINV_PUBLISH_OFF,
} DinvPublish;

/* Of a packet, in bytes: what IPv6 needs at least, and what a virtual network device takes. */
#define DINV_MTU_MINIMUM 1280
#define DINV_MTU_MAXIMUM 65520

/* One forwarded port: host_port of the outer container, on all its addresses, to guest_port of the
 * guest. */
typedef struct {
    DinvProtocol protocol;
    guint16 host_port;
    guint16 guest_port;
} DinvPortForward;

/* A TCP port where the engine answers. */
typedef struct {
    DinvTcpAddress address;
    gboolean tls;
    const char *setting; /* that asks for it, a static string: "DINV_TLS_PORT", "--host" */
} DinvConfigPort;

/* Zero-initialised it is empty and may be freed. */
typedef struct {
    DinvAccel accel;
    DinvUmlMode uml; /* how User-Mode Linux keeps its programs */
    DinvMachineType machine;
    guint cpus;           /* vCPUs, at least 1 */
    gboolean cpus_given;  /* by the user, and not by default */
    guint64 memory_bytes; /* guest RAM, a multiple of 1 MiB */
    guint64 disk_bytes;   /* size of data.img, a multiple of 1 MiB */
    char *state_dir;
    gboolean state_dir_given; /* by the user, and not by default */
    char *volume_path;        /* in the guest, absolute, normalised; NULL: no private volume */
    guint64 volume_bytes;     /* size of volume.img, a multiple of 1 MiB */
    uid_t volume_uid;         /* (uid_t)-1: leave as it is */
    gid_t volume_gid;         /* (gid_t)-1: leave as it is */
    char *socket_path;
    char *socket_link;       /* a path that leads to it; NULL: none */
    gboolean socket_given;   /* by the user, and not by default */
    GPtrArray *more_sockets; /* of char*: what else dockerd's --host names; NULL: nothing */
    uid_t socket_uid;        /* (uid_t)-1: leave as created */
    gid_t socket_gid;        /* (gid_t)-1: leave as created */
    mode_t socket_mode;
    char *tls_directory;           /* of the certificates; NULL: no TLS */
    char **tls_names;              /* more of the server's: "DNS:NAME", "IP:ADDRESS"; NULL: none */
    DinvTcpAddress tls;            /* where the engine answers with TLS; port 0: nowhere */
    DinvTcpAddress plaintext;      /* where it answers without TLS; port 0: nowhere */
    gboolean plaintext_by_default; /* only as the directory for TLS is set but empty */
    GArray *more_ports; /* of DinvConfigPort: what else dockerd's --host names; NULL: nothing */
    char *tls_ca;       /* the server's files, where dockerd's options name them; NULL: they are */
    char *tls_certificate; /* those of tls_directory, as with these two */
    char *tls_key;
    gboolean tls_any_client; /* clients with TLS need no certificate */
    GArray *ports;           /* of DinvPortForward */
    DinvIpv4Network subnet;  /* of the guest; prefix 0: chosen */
    DinvIpv4Network bip;     /* docker0's address, with its network's prefix; prefix 0: chosen */
    guint mtu;               /* of the guest's link and of Docker's bridges, in bytes */
    DinvPublish publish;     /* which ports that are opened inside are forwarded */
    GPtrArray *mounts;       /* of DinvMountSpec*: those named; preflight adds the others */
    gboolean mounts_auto;    /* also those of the outer container */
    DinvMountDriver mount_driver;
    char **dockerd_args;
    char *config_dir;  /* of daemon.json and certs.d */
    char *dockerd_log; /* file for dockerd's log; NULL: none */
    char *on_ready;    /* for /bin/sh -c, once the engine answers; NULL: nothing */
    guint shutdown_timeout_ms;
    guint boot_timeout_ms; /* QEMU's start to the engine's first answer */
    char *kernel;
    char *initrd;     /* NULL: none, as for our own kernel */
    char *uml_kernel; /* a linux that is a program, User-Mode Linux */
    char *rootfs;
    char *qemu;      /* program name or path */
    char *usernet;   /* of dinv-usernet, too */
    char *virtiofsd; /* a path; NULL: looked for where Debian has it */
    DinvLogLevel log_level;
    gboolean log_level_given; /* by the user, and not by default */
    GPtrArray *notes;         /* of char*: sentences for the log at a start; NULL: none */
} DinvConfig;

/* All TCP ports where the engine answers, of DinvConfigPort. Transfer full. */
GArray *dinv_config_list_ports(const DinvConfig *config);

/* NULL is allowed. */
void dinv_config_free(DinvConfig *config);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DinvConfig, dinv_config_free)
