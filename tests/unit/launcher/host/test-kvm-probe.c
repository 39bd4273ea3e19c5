/* SPDX-License-Identifier: MIT */
/* What the self-test of KVM concludes, and that it comes back from devices of all kinds. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "launcher/host/kvm-probe.h"
#include "launcher/host/tsc.h"
#include "tests/unit/lib/scratch.h"

/* One observation and what is to be concluded; `text` and `remedy` are parts that must be there. */
typedef struct {
    const char *name;
    DinvHostKvmObservation seen;
    DinvHostKvmKind kind;
    const char *text;
    const char *remedy; /* NULL: none at all */
} Case;

static const Case cases[] = {
    {"ok",
     {.stage = DINV_HOST_KVM_STAGE_DONE,
      .exited = TRUE,
      .exit_reason = 5,
      .step = 5,
      .tsc_khz = 3000},
     DINV_HOST_KVM_OK,
     "/dev/kvm works",
     NULL},
    {"missing",
     {.stage = DINV_HOST_KVM_STAGE_OPEN, .error = ENOENT},
     DINV_HOST_KVM_MISSING,
     "is not there",
     "--device /dev/kvm"},
    {"no-module",
     {.stage = DINV_HOST_KVM_STAGE_OPEN, .error = ENODEV},
     DINV_HOST_KVM_MISSING,
     "no KVM behind it",
     "kvm_intel"},
    {"no-driver",
     {.stage = DINV_HOST_KVM_STAGE_OPEN, .error = ENXIO},
     DINV_HOST_KVM_MISSING,
     "no KVM behind it",
     "kvm_intel"},
    {"device-cgroup",
     {.stage = DINV_HOST_KVM_STAGE_OPEN, .error = EPERM, .node_mode = 020666},
     DINV_HOST_KVM_PERMISSION,
     "was not given the device",
     "--device /dev/kvm"},
    {"group",
     {.stage = DINV_HOST_KVM_STAGE_OPEN, .error = EACCES, .node_mode = 020660, .node_gid = 993},
     DINV_HOST_KVM_PERMISSION,
     "mode 0660, group 993",
     "--group-add 993"},
    {"root-only",
     {.stage = DINV_HOST_KVM_STAGE_OPEN, .error = EACCES, .node_mode = 020600},
     DINV_HOST_KVM_PERMISSION,
     "mode 0600",
     "chmod"},
    {"open-busy",
     {.stage = DINV_HOST_KVM_STAGE_OPEN, .error = EBUSY},
     DINV_HOST_KVM_BUSY,
     "cannot be opened",
     NULL},
    {"open-other",
     {.stage = DINV_HOST_KVM_STAGE_OPEN, .error = EMFILE},
     DINV_HOST_KVM_BROKEN,
     "cannot be opened: Too many open files",
     "DINV_ACCEL=auto"},
    {"version",
     {.stage = DINV_HOST_KVM_STAGE_VERSION, .version = 11},
     DINV_HOST_KVM_BROKEN,
     "API version 11, not 12",
     "DINV_ACCEL=auto"},
    {"not-kvm",
     {.stage = DINV_HOST_KVM_STAGE_VERSION, .version = -1, .error = ENOTTY},
     DINV_HOST_KVM_BROKEN,
     "asking for its version: Inappropriate ioctl",
     "DINV_ACCEL=auto"},
    {"other-hypervisor",
     {.stage = DINV_HOST_KVM_STAGE_CREATE_VM, .error = EBUSY},
     DINV_HOST_KVM_BUSY,
     "another hypervisor",
     "stop the other hypervisor"},
    {"no-machine",
     {.stage = DINV_HOST_KVM_STAGE_CREATE_VM, .error = ENOMEM},
     DINV_HOST_KVM_BROKEN,
     "making a virtual machine: Cannot allocate",
     "DINV_ACCEL=auto"},
    {"no-memory",
     {.stage = DINV_HOST_KVM_STAGE_MEMORY, .error = EINVAL},
     DINV_HOST_KVM_BROKEN,
     "giving a machine memory: Invalid",
     "DINV_ACCEL=auto"},
    {"no-vcpu",
     {.stage = DINV_HOST_KVM_STAGE_CREATE_VCPU, .error = EIO},
     DINV_HOST_KVM_BROKEN,
     "making a virtual CPU",
     "DINV_ACCEL=auto"},
    {"no-registers",
     {.stage = DINV_HOST_KVM_STAGE_REGISTERS, .error = EINVAL},
     DINV_HOST_KVM_BROKEN,
     "setting a CPU's registers",
     "DINV_ACCEL=auto"},
    {"run-error",
     {.stage = DINV_HOST_KVM_STAGE_RUN, .error = EFAULT},
     DINV_HOST_KVM_BROKEN,
     "running a CPU: Bad address",
     "DINV_ACCEL=auto"},
    {"hang-in-run",
     {.stage = DINV_HOST_KVM_STAGE_RUN, .timed_out = TRUE, .killed_by = SIGKILL, .step = 2},
     DINV_HOST_KVM_BROKEN,
     "idiv hangs",
     "DINV_ACCEL=auto"},
    {"hang-in-setup",
     {.stage = DINV_HOST_KVM_STAGE_CREATE_VM, .timed_out = TRUE, .killed_by = SIGKILL},
     DINV_HOST_KVM_BROKEN,
     "hangs when making a virtual machine",
     "DINV_ACCEL=auto"},
    {"hang-in-open",
     {.stage = DINV_HOST_KVM_STAGE_OPEN, .timed_out = TRUE},
     DINV_HOST_KVM_BROKEN,
     "hangs when opening it",
     "DINV_ACCEL=auto"},
    {"hang-in-version",
     {.stage = DINV_HOST_KVM_STAGE_VERSION, .timed_out = TRUE},
     DINV_HOST_KVM_BROKEN,
     "hangs when asking",
     "DINV_ACCEL=auto"},
    {"killed",
     {.stage = DINV_HOST_KVM_STAGE_RUN, .killed_by = SIGSEGV},
     DINV_HOST_KVM_BROKEN,
     "signal 11",
     "DINV_ACCEL=auto"},
    {"internal-error",
     {.stage = DINV_HOST_KVM_STAGE_RUN,
      .exited = TRUE,
      .exit_reason = 17,
      .exit_detail = 1,
      .step = 1},
     DINV_HOST_KVM_BROKEN,
     "at lock cmpxchg16b KVM could not go on (internal error, suberror 1: an "
     "instruction it cannot emulate)",
     "DINV_ACCEL=auto"},
    {"internal-error-other",
     {.stage = DINV_HOST_KVM_STAGE_RUN,
      .exited = TRUE,
      .exit_reason = 17,
      .exit_detail = 3,
      .step = 3},
     DINV_HOST_KVM_BROKEN,
     "at xsave/xrstor KVM could not go on (internal error, suberror 3)",
     "DINV_ACCEL=auto"},
    {"triple-fault",
     {.stage = DINV_HOST_KVM_STAGE_RUN, .exited = TRUE, .exit_reason = 8, .step = 4},
     DINV_HOST_KVM_BROKEN,
     "at int3 the CPU shut down",
     "DINV_ACCEL=auto"},
    {"failed-entry",
     {.stage = DINV_HOST_KVM_STAGE_RUN, .exited = TRUE, .exit_reason = 9, .exit_detail = 0x21},
     DINV_HOST_KVM_BROKEN,
     "at its first instruction KVM could not enter the guest (hardware reason 0x21)",
     "DINV_ACCEL=auto"},
    {"odd-exit",
     {.stage = DINV_HOST_KVM_STAGE_RUN, .exited = TRUE, .exit_reason = 6, .step = 4},
     DINV_HOST_KVM_BROKEN,
     "exit reason 6",
     "DINV_ACCEL=auto"},
    {"exception",
     {.stage = DINV_HOST_KVM_STAGE_RESULT,
      .exited = TRUE,
      .exit_reason = 5,
      .step = 3,
      .fault = TRUE},
     DINV_HOST_KVM_BROKEN,
     "xsave/xrstor raises an exception",
     "DINV_ACCEL=auto"},
    {"wrong-result",
     {.stage = DINV_HOST_KVM_STAGE_RESULT, .exited = TRUE, .exit_reason = 5, .step = 2},
     DINV_HOST_KVM_BROKEN,
     "idiv gives a wrong result",
     "DINV_ACCEL=auto"},
    {"wild-step",
     {.stage = DINV_HOST_KVM_STAGE_RESULT, .exited = TRUE, .exit_reason = 5, .step = -7},
     DINV_HOST_KVM_BROKEN,
     "its first instruction gives a wrong result",
     "DINV_ACCEL=auto"},
    {"done-too-early",
     {.stage = DINV_HOST_KVM_STAGE_DONE, .exited = TRUE, .exit_reason = 5, .step = 1},
     DINV_HOST_KVM_BROKEN,
     "ends its user",
     "DINV_ACCEL=auto"},
    {"silent-end",
     {.stage = DINV_HOST_KVM_STAGE_RUN},
     DINV_HOST_KVM_BROKEN,
     "ends its user",
     "DINV_ACCEL=auto"},
};

static void test_case(gconstpointer data) {
    const Case *one = data;
    DinvHostKvmVerdict verdict = {0};
    dinv_host_kvm_interpret("/dev/kvm", &one->seen, &verdict);
    g_test_message("%s", verdict.text);
    g_assert_cmpint(verdict.kind, ==, one->kind);
    g_assert_nonnull(strstr(verdict.text, one->text));
    g_assert_true(g_str_has_prefix(verdict.text, "/dev/kvm "));
    if (one->remedy == NULL) {
        g_assert_null(verdict.remedy);
    } else {
        g_assert_nonnull(strstr(verdict.remedy, one->remedy));
    }
    g_assert_cmpuint(verdict.tsc_khz, ==, one->seen.tsc_khz);
    dinv_host_kvm_verdict_clear(&verdict);
    g_assert_null(verdict.text);
}

/* Nothing of the probe may be left over. */
static void assert_no_children(void) {
    g_assert_cmpint(waitpid(-1, NULL, WNOHANG), ==, -1);
    g_assert_cmpint(errno, ==, ECHILD);
}

/* The machine that this runs on may have any kind of KVM; what holds for all of them. */
static void test_this_machine(void) {
    for (int i = 0; i < 3; i++) {
        DinvHostKvmVerdict verdict = {0};
        dinv_host_kvm_probe("/dev/kvm", &verdict);
        g_test_message("%d: %s; %s", verdict.kind, verdict.text, verdict.remedy);
        g_assert_nonnull(verdict.text);
        g_assert_true(g_str_has_prefix(verdict.text, "/dev/kvm "));
        g_assert_true((verdict.kind == DINV_HOST_KVM_OK) ==
                      (strcmp(verdict.text, "/dev/kvm works") == 0));
        g_assert_true(verdict.kind == DINV_HOST_KVM_OK || verdict.tsc_khz == 0);
        g_assert_true(verdict.kind == DINV_HOST_KVM_OK || verdict.kind == DINV_HOST_KVM_BUSY ||
                      verdict.remedy != NULL);
        dinv_host_kvm_verdict_clear(&verdict);
        assert_no_children();
    }
}

static void probe_path(const char *path, DinvHostKvmKind kind, const char *text) {
    DinvHostKvmVerdict verdict = {0};
    dinv_host_kvm_probe(path, &verdict);
    g_test_message("%s", verdict.text);
    g_assert_cmpint(verdict.kind, ==, kind);
    g_assert_nonnull(strstr(verdict.text, text));
    dinv_host_kvm_verdict_clear(&verdict);
    assert_no_children();
}

static void test_no_device(void) {
    probe_path("/nonexistent/kvm", DINV_HOST_KVM_MISSING, "is not there");
}

static void test_other_device(void) {
    probe_path("/dev/null", DINV_HOST_KVM_BROKEN, "asking for its version");
}

/* Opening a FIFO for reading and writing does not block, and it is no KVM. */
static void test_fifo(void) {
    Scratch scratch;
    scratch_make(&scratch);
    g_autofree char *path = scratch_path(&scratch, "kvm");
    g_assert_cmpint(mkfifo(path, 0600), ==, 0);
    probe_path(path, DINV_HOST_KVM_BROKEN, "asking for its version");
    scratch_remove(&scratch);
}

/* Opening a file that somebody holds a lease on waits for that one: a device that hangs. */
static void test_hang(void) {
    Scratch scratch;
    scratch_make(&scratch);
    scratch_write(&scratch, "kvm", "");
    g_autofree char *path = scratch_path(&scratch, "kvm");
    int fd = open(path, O_RDWR | O_CLOEXEC);
    g_assert_true(signal(SIGIO, SIG_IGN) != SIG_ERR); /* the kernel asks for the lease back by it */
    g_assert_cmpint(fcntl(fd, F_SETLEASE, F_WRLCK), ==, 0);
    probe_path(path, DINV_HOST_KVM_BROKEN, "hangs when opening it");
    close(fd);
    scratch_remove(&scratch);
}

/* Two measurements of one counter agree; which rate it has is the machine's. */
static void test_tsc(void) {
    guint first = dinv_host_tsc_measure_khz();
    guint second = dinv_host_tsc_measure_khz();
    g_test_message("%u and %u kHz", first, second);
    g_assert_cmpuint(MAX(first, second) - MIN(first, second), <=, first / 100);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *path = g_strdup_printf("/kvm-probe/interpret/%s", cases[i].name);
        g_test_add_data_func(path, &cases[i], test_case);
    }
    g_test_add_func("/kvm-probe/this-machine", test_this_machine);
    g_test_add_func("/kvm-probe/no-device", test_no_device);
    g_test_add_func("/kvm-probe/other-device", test_other_device);
    g_test_add_func("/kvm-probe/fifo", test_fifo);
    g_test_add_func("/kvm-probe/hang", test_hang);
    g_test_add_func("/kvm-probe/tsc", test_tsc);
    return g_test_run();
}
