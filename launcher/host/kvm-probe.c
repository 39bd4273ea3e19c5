/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation. The test runs in a forked process, because KVM_RUN may never come back.
 * Guest memory and the observation are shared with it, so that we know how far it came when we have
 * to kill it. The end of a pipe whose only writer it is tells that it has ended, without SIGCHLD.
 * Two waits bound the whole: SETUP_MS until the machine runs, RUN_MS from then on.
 */
#include "launcher/host/kvm-probe.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launcher/host/kvm-probe-vm.h"

#define SETUP_MS 500
#define RUN_MS   300
#define KILL_MS  200
#define SLICE_MS 20

#define KVM_VERSION_WANTED 12 /* the only one since Linux 2.6.22 */

/* Shared between the two processes. The guest memory is page-aligned as the first member. */
typedef struct {
    guint8 guest_memory[DINV_HOST_KVM_GUEST_MEMORY];
    volatile DinvHostKvmObservation seen;
} Shared;

void dinv_host_kvm_verdict_clear(DinvHostKvmVerdict *verdict) {
    g_clear_pointer(&verdict->text, g_free);
    g_clear_pointer(&verdict->remedy, g_free);
}

static const char *step_name(gint32 step) {
    switch (step) {
    case DINV_HOST_KVM_STEP_CMPXCHG16B:
        return "lock cmpxchg16b";
    case DINV_HOST_KVM_STEP_IDIV:
        return "idiv";
    case DINV_HOST_KVM_STEP_XSAVE:
        return "xsave/xrstor";
    case DINV_HOST_KVM_STEP_INT3:
        return "int3";
    case DINV_HOST_KVM_STEP_END:
        return "hlt";
    default:
        return "its first instruction";
    }
}

static const char *stage_name(DinvHostKvmStage stage) {
    switch (stage) {
    case DINV_HOST_KVM_STAGE_OPEN:
        return "opening it";
    case DINV_HOST_KVM_STAGE_VERSION:
        return "asking for its version";
    case DINV_HOST_KVM_STAGE_CREATE_VM:
        return "making a virtual machine";
    case DINV_HOST_KVM_STAGE_MEMORY:
        return "giving a machine memory";
    case DINV_HOST_KVM_STAGE_CREATE_VCPU:
        return "making a virtual CPU";
    case DINV_HOST_KVM_STAGE_REGISTERS:
        return "setting a CPU's registers";
    case DINV_HOST_KVM_STAGE_RUN:
        return "running a CPU";
    case DINV_HOST_KVM_STAGE_RESULT:
        return "reading a CPU's registers";
    case DINV_HOST_KVM_STAGE_DONE:
        return "the end";
    }
    g_assert_not_reached();
}

/* include/uapi/linux/kvm.h */
static char *describe_exit(guint32 reason, guint32 detail) {
    switch (reason) {
    case 8:
        return g_strdup("the CPU shut down (triple fault)");
    case 9:
        return g_strdup_printf("KVM could not enter the guest (hardware reason 0x%x)", detail);
    case 17:
        return g_strdup_printf("KVM could not go on (internal error, suberror %u%s)", detail,
                               detail == 1 ? ": an instruction it cannot emulate" : "");
    default:
        return g_strdup_printf("KVM stopped it with exit reason %u", reason);
    }
}

/* Opening failed. */
static void interpret_open(const char *device, const DinvHostKvmObservation *seen,
                           DinvHostKvmVerdict *verdict) {
    switch (seen->error) {
    case ENOENT:
    case ENOTDIR:
        verdict->kind = DINV_HOST_KVM_MISSING;
        verdict->text = g_strdup_printf("%s is not there", device);
        verdict->remedy = g_strdup("start the container with --device /dev/kvm; if the host has no "
                                   "/dev/kvm, load kvm_intel or kvm_amd there");
        return;
    case ENXIO:
    case ENODEV:
        verdict->kind = DINV_HOST_KVM_MISSING;
        verdict->text = g_strdup_printf("%s is there, but the kernel has no KVM behind it", device);
        verdict->remedy =
            g_strdup("load kvm_intel or kvm_amd on the host, and switch virtualization "
                     "on in its firmware");
        return;
    case EPERM: /* the device cgroup */
        verdict->kind = DINV_HOST_KVM_PERMISSION;
        verdict->text =
            g_strdup_printf("%s may not be opened: the container was not given the device", device);
        verdict->remedy =
            g_strdup("start the container with --device /dev/kvm (a bind mount of the "
                     "node is not enough)");
        return;
    case EACCES: /* the file's mode */
        verdict->kind = DINV_HOST_KVM_PERMISSION;
        verdict->text =
            g_strdup_printf("%s may not be opened by user %u (mode 0%o, group %u)", device,
                            (guint)geteuid(), seen->node_mode & 0777, seen->node_gid);
        if ((seen->node_mode & 0060) == 0060) {
            verdict->remedy =
                g_strdup_printf("start the container with --group-add %u", seen->node_gid);
        } else {
            verdict->remedy =
                g_strdup("on the host: chmod 0666 /dev/kvm, or run the container as root");
        }
        return;
    case EBUSY:
        verdict->kind = DINV_HOST_KVM_BUSY;
        break;
    default:
        verdict->kind = DINV_HOST_KVM_BROKEN;
        break;
    }
    verdict->text = g_strdup_printf("%s cannot be opened: %s", device, g_strerror(seen->error));
}

/* An ioctl failed. */
static void interpret_error(const char *device, const DinvHostKvmObservation *seen,
                            DinvHostKvmVerdict *verdict) {
    if (seen->stage == DINV_HOST_KVM_STAGE_CREATE_VM && seen->error == EBUSY) {
        verdict->kind = DINV_HOST_KVM_BUSY;
        verdict->text = g_strdup_printf("%s is taken: another hypervisor uses the CPU", device);
        verdict->remedy = g_strdup("stop the other hypervisor (VirtualBox, VMware) on the host");
        return;
    }
    verdict->kind = DINV_HOST_KVM_BROKEN;
    verdict->text = g_strdup_printf("%s does not work: %s: %s", device, stage_name(seen->stage),
                                    g_strerror(seen->error));
}

/* The machine ran, or should have, and did not do what a CPU does. */
static char *describe_run(const DinvHostKvmObservation *seen) {
    if (seen->timed_out && seen->stage < DINV_HOST_KVM_STAGE_RUN) {
        return g_strdup_printf("hangs when %s", stage_name(seen->stage));
    }
    if (seen->killed_by != 0 && !seen->timed_out) {
        return g_strdup_printf("kills who uses it with signal %d when %s", seen->killed_by,
                               stage_name(seen->stage));
    }
    if (seen->timed_out) {
        return g_strdup_printf("cannot run a kernel: %s hangs", step_name(seen->step));
    }
    if (seen->fault) {
        return g_strdup_printf("cannot run a kernel: %s raises an exception",
                               step_name(seen->step));
    }
    if (seen->stage == DINV_HOST_KVM_STAGE_RUN && seen->exited) {
        g_autofree char *exit_text = describe_exit(seen->exit_reason, seen->exit_detail);
        return g_strdup_printf("cannot run a kernel: at %s %s", step_name(seen->step), exit_text);
    }
    if (seen->stage == DINV_HOST_KVM_STAGE_RESULT) {
        return g_strdup_printf("cannot run a kernel: %s gives a wrong result",
                               step_name(seen->step));
    }
    return g_strdup_printf("ends its user without a word when %s", stage_name(seen->stage));
}

void dinv_host_kvm_interpret(const char *device, const DinvHostKvmObservation *seen,
                             DinvHostKvmVerdict *verdict) {
    *verdict = (DinvHostKvmVerdict){.kind = DINV_HOST_KVM_BROKEN, .tsc_khz = seen->tsc_khz};
    if (seen->error != 0 && seen->stage == DINV_HOST_KVM_STAGE_OPEN) {
        interpret_open(device, seen, verdict);
    } else if (seen->error != 0) {
        interpret_error(device, seen, verdict);
    } else if (seen->stage == DINV_HOST_KVM_STAGE_VERSION && !seen->timed_out &&
               seen->killed_by == 0) {
        verdict->text = g_strdup_printf("%s has API version %d, not %d", device, seen->version,
                                        KVM_VERSION_WANTED);
    } else if (seen->stage == DINV_HOST_KVM_STAGE_DONE && seen->step == DINV_HOST_KVM_STEP_END &&
               !seen->fault) {
        verdict->kind = DINV_HOST_KVM_OK;
        verdict->text = g_strdup_printf("%s works", device);
    } else {
        g_autofree char *what = describe_run(seen);
        verdict->text = g_strdup_printf("%s %s", device, what);
    }
    if (verdict->kind == DINV_HOST_KVM_BROKEN && verdict->remedy == NULL) {
        verdict->remedy =
            g_strdup("use a host whose KVM works (on a rented virtual machine: one with "
                     "nested virtualization), or DINV_ACCEL=auto");
    }
    if (verdict->kind != DINV_HOST_KVM_OK) {
        verdict->tsc_khz = 0;
    }
}

/* Waits until the writing end of the pipe is closed; FALSE if it is not within `milliseconds`. */
static gboolean kvm_wait_for_end(int fd, int milliseconds) {
    gint64 deadline = g_get_monotonic_time() + (gint64)milliseconds * 1000;
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    for (;;) {
        gint64 left = (deadline - g_get_monotonic_time()) / 1000;
        int ready = poll(&poll_fd, 1, (int)MAX(left, 0));
        if (ready > 0) {
            return TRUE;
        }
        if (ready == 0 || errno != EINTR) {
            return FALSE;
        }
    }
}

/* Waits for the end of the testing process as long as each part of it may take. */
static gboolean wait_for_test(int fd, const Shared *shared) {
    for (int waited = 0; waited < SETUP_MS; waited += SLICE_MS) {
        if (kvm_wait_for_end(fd, SLICE_MS)) {
            return TRUE;
        }
        if (shared->seen.stage >= DINV_HOST_KVM_STAGE_RUN) {
            return kvm_wait_for_end(fd, RUN_MS);
        }
    }
    return FALSE;
}

/* Ends `child` if it has not ended, and collects it. A process that hangs in the kernel may not
 * even die; then it is left to whoever reaps later. */
static void collect_child(pid_t child, int fd, gboolean ended, DinvHostKvmObservation *seen) {
    if (!ended) {
        seen->timed_out = TRUE;
        kill(child, SIGKILL);
        if (!kvm_wait_for_end(fd, KILL_MS)) {
            return;
        }
    }
    int status = 0;
    while (waitpid(child, &status, 0) < 0) { /* its descriptors are closed: it is about to end */
        if (errno != EINTR) {
            return;
        }
    }
    if (WIFSIGNALED(status)) {
        seen->killed_by = WTERMSIG(status);
    }
}

static void probe_with(const char *device, Shared *shared, DinvHostKvmObservation *seen) {
    int ends[2];
    pid_t parent = getpid();
    if (pipe2(ends, O_CLOEXEC) < 0) {
        seen->error = errno;
        return;
    }
    pid_t child = fork();
    if (child == 0) { /* async-signal-safe calls only from here on */
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent) {
            _exit(1);
        }
        dinv_host_kvm_run_test(device, shared->guest_memory, &shared->seen);
        _exit(0);
    }
    if (child < 0) {
        seen->error = errno;
    }
    close(ends[1]);
    if (child > 0) {
        gboolean ended = wait_for_test(ends[0], shared);
        *seen = shared->seen;
        collect_child(child, ends[0], ended, seen);
        dinv_host_kvm_read_marks(shared->guest_memory, seen);
    }
    close(ends[0]);
}

void dinv_host_kvm_probe(const char *device, DinvHostKvmVerdict *verdict) {
    DinvHostKvmObservation seen = {.stage = DINV_HOST_KVM_STAGE_OPEN};
    Shared *shared =
        mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) {
        seen.error = errno;
    } else {
        probe_with(device, shared, &seen);
        munmap(shared, sizeof *shared);
    }
    struct stat node;
    if (stat(device, &node) == 0) {
        seen.node_mode = node.st_mode;
        seen.node_gid = node.st_gid;
    }
    dinv_host_kvm_interpret(device, &seen, verdict);
}
