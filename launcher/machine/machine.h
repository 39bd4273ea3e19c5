/* SPDX-License-Identifier: MIT */
/*
 * The room launcher/machine: the seam between the launcher and what runs the guest. This header
 * says what every machine does; each folder below has one kind of it (qemu/, uml/), and beside them
 * stands what kinds share (implementation.h), child processes and virtiofsd. What the guest says
 * over the channels may not enter, nor what the engine is told; and nothing outside knows how a
 * machine works, except preflight, which looks for its programs, and the plan, which takes one.
 *
 * Everything runs in the caller's GMainContext (the default one); nothing here blocks but free.
 */
#pragma once

#include <gio/gio.h>

#include "launcher/settings/config.h"

typedef struct DinvMachine DinvMachine;
typedef struct DinvMachineOps DinvMachineOps; /* one kind of machine; for the plan alone */

/* What runs the guest's instructions. */
typedef enum { DINV_MACHINE_KVM, DINV_MACHINE_TCG, DINV_MACHINE_UML } DinvMachineAccel;

/* As in the settings, "kvm"; and for people, "KVM". Static. */
const char *dinv_machine_accel_name(DinvMachineAccel accel);
const char *dinv_machine_accel_text(DinvMachineAccel accel);

/* The program that serves mounts over virtio-fs. */
typedef struct {
    const char *program;
    gboolean is_of_qemu; /* QEMU 7.2's own, in C, with options of its own */
    gboolean squashes;   /* run by an ordinary user: whoever makes a file in the guest, it is his */
    guint32 uid, gid;    /* then: that user's */
} DinvMachineVirtiofsd;

/* What only QEMU needs to know. */
typedef struct {
    guint tsc_khz;            /* the host's TSC rate; 0 if unknown */
    gboolean icount;          /* the guest's clock counts instructions: the host's CPU is emulated
                                 itself */
    guint64 tcg_buffer_bytes; /* for translated code, a multiple of 1 MiB; 0: QEMU's default */
} DinvMachineQemuPlan;

/* What only User-Mode Linux needs to know. */
typedef struct {
    gboolean use_ptrace;  /* not seccomp */
    gboolean opens_files; /* the kernel has no patch to take descriptors: uml/cage.h */
} DinvMachineUmlPlan;

/* Everything decided before the machine starts; const from then on. Borrowed for the machine's
 * whole life. */
typedef struct {
    const DinvMachineOps *ops; /* the kind of machine, which `accel` belongs to */
    DinvMachineAccel accel;
    const char *program; /* the file that is started, for people */
    guint cpus;          /* of the guest */
    const DinvConfig *config;
    const char *data_image;   /* path of data.img */
    const char *volume_image; /* path of volume.img, the private volume; NULL: none */
    const GPtrArray *mounts;  /* of DinvMountSpec*, in the order of mounting */
    const char *files_dir;    /* with the copies of those that are files; NULL: there are none */
    const DinvMachineVirtiofsd *virtiofsd; /* serves the directories of `mounts`; NULL: 9p does */
    DinvMachineQemuPlan qemu;
    DinvMachineUmlPlan uml;
} DinvMachinePlan;

typedef enum {
    DINV_MACHINE_EXIT_POWEROFF, /* the guest powered off */
    DINV_MACHINE_EXIT_RESET,    /* the guest reset: a panic, or its reboot */
    DINV_MACHINE_EXIT_QUIT,     /* we asked (dinv_machine_quit) */
    DINV_MACHINE_EXIT_DIED,     /* exited or was killed without any of those */
} DinvMachineExitKind;

typedef struct {
    DinvMachineExitKind kind;
    int wait_status;     /* of waitpid(2) */
    const char *message; /* what the machine said on stderr, last lines; "" if nothing. Borrowed. */
} DinvMachineExit;

typedef struct {
    /* The machine process is gone; the last callback. Channel fds then give EOF. */
    void (*exited)(DinvMachine *machine, const DinvMachineExit *exit, gpointer user);
    /* The machine lost something that it cannot do without, but goes on for now: it is to be
     * stopped in order. `text` says what, for a person; borrowed. At most once. */
    void (*lost)(DinvMachine *machine, const char *text, gpointer user);
    /* vCPUs were paused for a reason of the machine's own (e.g. ENOSPC under data.img), or go on
     * with `reason` "". Borrowed. */
    void (*paused)(DinvMachine *machine, gboolean paused, const char *reason, gpointer user);
} DinvMachineCallbacks;

/* How many shares virtiofsd serves, if it does: one for each directory, and, where the machine has
 * no 9p for them, one for all files. */
guint dinv_machine_count_shares(const DinvMachinePlan *plan);
/* Whether single files come over virtio-fs, too. */
gboolean dinv_machine_shares_files(const DinvMachinePlan *plan);

/* `plan` is borrowed, `callbacks` copied. Starts nothing yet. */
DinvMachine *dinv_machine_new(const DinvMachinePlan *plan, const DinvMachineCallbacks *callbacks,
                              gpointer user);
/* Spawns the machine and returns when the process runs; vCPUs go at once. `network_fd` is the
 * guest's end of its network, a datagram socket with one Ethernet frame a message; borrowed, and
 * not used any more after the return. FALSE, with a message fit to show to a person, when it cannot
 * be started; then nothing is left behind. */
gboolean dinv_machine_start(DinvMachine *machine, int network_fd,
                            GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Connected stream sockets, nonblocking and close-on-exec: the guest's ports of wire/channels.h,
 * and its console. The caller's from then on; each may be taken once, after start, and is -1
 * otherwise. */
int dinv_machine_take_control_fd(DinvMachine *machine);
int dinv_machine_take_relay_fd(DinvMachine *machine);
int dinv_machine_take_console_fd(DinvMachine *machine);

/* Asks the machine to end now without the guest's help, but with everything in the images that the
 * guest had written; SIGKILL follows two seconds later if it has not gone. `exited` follows. Of no
 * effect before start, after the exit, and the second time. */
void dinv_machine_quit(DinvMachine *machine);

/* pid of the process, 0 before start and after exit. */
GPid dinv_machine_get_pid(const DinvMachine *machine);

/* What confines the process, a comma list, or "none"; NULL for a kind of machine that looks after
 * that itself, and before start. Borrowed. */
const char *dinv_machine_get_confinement(const DinvMachine *machine);

/* What the machine itself says of KVM, not what was planned: QEMU's answer to query-kvm. Unknown
 * until it has answered, soon after the start, and of a machine that has no such answer. */
typedef enum {
    DINV_MACHINE_KVM_UNKNOWN,
    DINV_MACHINE_KVM_DISABLED,
    DINV_MACHINE_KVM_ENABLED
} DinvMachineKvmState;
DinvMachineKvmState dinv_machine_get_kvm_state(const DinvMachine *machine);

/* Kills the process if it still runs and waits for it (this alone may block, for as long as the
 * kernel needs to end a killed process). */
void dinv_machine_free(DinvMachine *machine);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DinvMachine, dinv_machine_free)
