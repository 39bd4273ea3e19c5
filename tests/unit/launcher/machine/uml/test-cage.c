/* SPDX-License-Identifier: MIT */
/*
 * What a kernel that a guest has taken over can still do: each attempt is made by a child in the
 * cage that the launcher puts the kernel in.
 */
#include "launcher/machine/uml/cage.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { STATUS_NO_FILTER = 255 };

static pid_t launcher;

static int code_of(gboolean failed) {
    return failed ? errno : 0;
}

/* Each returns 0 if it worked, the errno otherwise. */
static int try_open(void) {
    return code_of(open("/dev/null", O_RDONLY) < 0);
}

static int try_reopen(void) {
    return code_of(open("/proc/self/fd/0", O_RDONLY) < 0);
}

static int try_create(void) {
    return code_of(open("/tmp/dinv-cage-test", O_CREAT | O_WRONLY, 0600) < 0);
}

static int try_unlink(void) {
    return code_of(unlink("/nonexistent/file") < 0);
}

static int try_chmod(void) {
    return code_of(fchmod(0, 04777) < 0);
}

static int try_inet(void) {
    return code_of(socket(AF_INET, SOCK_STREAM, 0) < 0);
}

static int try_unix(void) {
    return code_of(socket(AF_UNIX, SOCK_STREAM, 0) < 0);
}

static int try_packet(void) {
    return code_of(socket(AF_PACKET, SOCK_RAW, 0) < 0);
}

static int try_vsock(void) {
    return code_of(socket(AF_VSOCK, SOCK_STREAM, 0) < 0);
}

static int try_connect(void) {
    const struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "/run/docker.sock"};
    return code_of(connect(0, (const struct sockaddr *)&address, sizeof address) < 0);
}

static int try_exec(void) {
    char *argv[] = {"true", NULL};
    return code_of(execv("/bin/true", argv) < 0);
}

static int try_exec_at(void) {
    char *argv[] = {"true", NULL};
    return code_of(syscall(SYS_execveat, AT_FDCWD, "/bin/true", argv, NULL, 0) < 0);
}

static int try_signal(void) {
    return code_of(kill(launcher, 0) < 0);
}

static int try_signal_all(void) {
    return code_of(kill(-1, 0) < 0);
}

static int try_signal_thread(void) {
    return code_of(syscall(SYS_tgkill, launcher, launcher, 0) < 0);
}

static int try_queue(void) {
    siginfo_t info = {.si_code = SI_QUEUE};
    return code_of(syscall(SYS_rt_sigqueueinfo, launcher, SIGUSR1, &info) < 0);
}

static int try_pidfd(void) {
    return code_of(syscall(SYS_pidfd_open, launcher, 0) < 0);
}

static int try_owner(void) {
    return code_of(fcntl(0, F_SETOWN, launcher) < 0);
}

static int try_owner_group(void) {
    const struct f_owner_ex owner = {F_OWNER_PGRP, launcher};
    return code_of(fcntl(0, F_SETOWN_EX, &owner) < 0);
}

static int try_sigkill_owner(void) {
    return code_of(fcntl(0, F_SETSIG, SIGKILL) < 0);
}

static int try_attach(void) {
    return code_of(ptrace(PTRACE_ATTACH, launcher, NULL, NULL) < 0);
}

static int try_seize(void) {
    return code_of(ptrace(PTRACE_SEIZE, launcher, NULL, NULL) < 0);
}

static int try_read_memory(void) {
    char byte;
    struct iovec iov = {&byte, 1};
    return code_of(process_vm_readv(launcher, &iov, 1, &iov, 1, 0) < 0);
}

static int try_limits(void) {
    const struct rlimit none = {0, 0};
    return code_of(prlimit(launcher, RLIMIT_NOFILE, &none, NULL) < 0);
}

static int try_affinity(void) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(0, &set);
    return code_of(sched_setaffinity(launcher, sizeof set, &set) < 0);
}

static int try_priority(void) {
    return code_of(setpriority(PRIO_PROCESS, (id_t)launcher, 19) < 0);
}

static int try_core(void) {
    const struct rlimit some = {1, 1};
    return code_of(setrlimit(RLIMIT_CORE, &some) < 0);
}

static int try_namespace(void) {
    return code_of(unshare(CLONE_NEWUSER) < 0);
}

static int try_namespace_child(void) {
    long pid = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
    if (pid == 0) {
        syscall(SYS_exit_group, 0);
    }
    return code_of(pid < 0);
}

static int try_mount(void) {
    return code_of(mount("none", "/tmp", "tmpfs", 0, NULL) < 0);
}

static int try_chroot(void) {
    return code_of(chroot("/") < 0);
}

static int try_terminal(void) {
    char letter = 'x';
    return code_of(ioctl(0, TIOCSTI, &letter) < 0);
}

static int try_uring(void) {
    return code_of(syscall(SYS_io_uring_setup, 1, NULL) < 0);
}

static int try_bpf(void) {
    return code_of(syscall(SYS_bpf, 0, NULL, 0) < 0);
}

static int try_keys(void) {
    return code_of(syscall(SYS_keyctl, 0, -3, 0) < 0);
}

static int try_semaphores(void) {
    return code_of(semget(IPC_PRIVATE, 1, 0600) < 0);
}

/* ---- what it needs ---- */

static int try_pair(void) {
    int pair[2];
    return code_of(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0);
}

static int try_code(void) {
    return code_of(mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS,
                        -1, 0) == MAP_FAILED);
}

/* Makes a process, has it wait, ends it. */
static int try_child(void) {
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        for (;;) {
            (void)pause();
            struct timespec second = {.tv_sec = 1};
            (void)nanosleep(&second, NULL);
        }
    }
    return code_of(pid < 0 || kill(pid, SIGKILL) < 0 || waitpid(pid, &status, 0) != pid);
}

/* A program without a name, which is what a stub is: this one is nothing that can run. */
static int try_stub(void) {
    char *argv[] = {"stub", NULL};
    int fd = memfd_create("stub", MFD_CLOEXEC);
    if (fd < 0 || write(fd, "stub", 4) != 4) {
        return EBADF;
    }
    (void)syscall(SYS_execveat, fd, "", argv, NULL, AT_EMPTY_PATH);
    return errno == ENOEXEC || errno == EACCES ? 0 : errno;
}

static int try_filter(void) {
    struct sock_filter code = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    const struct sock_fprog program = {1, &code};
    return code_of(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0);
}

/* A child that asks for it is traced to its end. */
static int try_trace(void) {
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0) {
            _exit(errno);
        }
        (void)kill(getpid(), SIGSTOP);
        _exit(0);
    }
    if (pid < 0 || waitpid(pid, &status, WUNTRACED) != pid) {
        return errno;
    }
    if (WIFEXITED(status)) {
        return WEXITSTATUS(status);
    }
    return code_of(ptrace(PTRACE_CONT, pid, NULL, NULL) < 0 || waitpid(pid, &status, 0) != pid);
}

typedef enum { NEVER, ALWAYS, SECCOMP_ONLY, PTRACE_ONLY } Works;

static const struct {
    const char *name;
    int (*attempt)(void);
    Works works;
} attempts[] = {
    {"open a file", try_open, NEVER},
    {"open a descriptor anew", try_reopen, NEVER},
    {"make a file", try_create, NEVER},
    {"remove a file", try_unlink, NEVER},
    {"change the mode of a disk", try_chmod, NEVER},
    {"make a socket of TCP", try_inet, NEVER},
    {"make a local socket", try_unix, NEVER},
    {"make a packet socket", try_packet, NEVER},
    {"make a socket of the host's", try_vsock, NEVER},
    {"connect to the engine's socket", try_connect, NEVER},
    {"start a program", try_exec, NEVER},
    {"start a program by execveat", try_exec_at, NEVER},
    {"signal the launcher", try_signal, NEVER},
    {"signal all", try_signal_all, NEVER},
    {"signal a thread of the launcher", try_signal_thread, NEVER},
    {"queue a signal for the launcher", try_queue, NEVER},
    {"get a pidfd of the launcher", try_pidfd, NEVER},
    {"have a descriptor signal the launcher", try_owner, NEVER},
    {"have a descriptor signal a group", try_owner_group, NEVER},
    {"have a descriptor send SIGKILL", try_sigkill_owner, NEVER},
    {"attach to the launcher", try_attach, NEVER},
    {"seize the launcher", try_seize, NEVER},
    {"read the launcher's memory", try_read_memory, NEVER},
    {"limit the launcher", try_limits, NEVER},
    {"move the launcher to a CPU", try_affinity, NEVER},
    {"slow the launcher down", try_priority, NEVER},
    {"allow core dumps", try_core, NEVER},
    {"make a namespace", try_namespace, NEVER},
    {"make a child in a namespace", try_namespace_child, NEVER},
    {"mount", try_mount, NEVER},
    {"change the root", try_chroot, NEVER},
    {"type into a terminal", try_terminal, NEVER},
    {"make a ring", try_uring, NEVER},
    {"load a program into the kernel", try_bpf, NEVER},
    {"use keys", try_keys, NEVER},
    {"make semaphores", try_semaphores, NEVER},
    {"make a pair of sockets", try_pair, ALWAYS},
    {"map executable memory", try_code, ALWAYS},
    {"make a child and kill it", try_child, ALWAYS},
    {"start a file without a name", try_stub, ALWAYS},
    {"give a stub its filter", try_filter, SECCOMP_ONLY},
    {"trace a child", try_trace, PTRACE_ONLY},
};

/* In a child, as it is for good. */
static int run_caged(int (*attempt)(void), gboolean use_ptrace) {
    pid_t pid = fork();
    g_assert_cmpint(pid, >=, 0);
    if (pid == 0) {
        DinvUmlCage cage;
        if (!dinv_uml_cage_init(&cage, "/proc/self/exe", use_ptrace, FALSE, 0, NULL, 0, NULL)) {
            _exit(STATUS_NO_FILTER);
        }
        cage.files[0].fd = g_array_index(cage.fds, int, 0);
        DinvConfinement confinement = dinv_confine(&cage.plan);
        _exit(confinement.seccomp ? attempt() : STATUS_NO_FILTER);
    }
    int status;
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    g_assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void test_mode(gconstpointer data) {
    gboolean use_ptrace = GPOINTER_TO_INT(data);
    launcher = getpid();
    for (gsize i = 0; i < G_N_ELEMENTS(attempts); i++) {
        int error = run_caged(attempts[i].attempt, use_ptrace);
        g_test_message("%s: %s", attempts[i].name, g_strerror(error));
        if (error == STATUS_NO_FILTER) {
            g_test_skip("the kernel refuses a seccomp filter here");
            return;
        }
        Works works = attempts[i].works;
        if (works == ALWAYS || works == (use_ptrace ? PTRACE_ONLY : SECCOMP_ONLY)) {
            g_assert_cmpint(error, ==, 0);
        } else {
            g_assert_cmpint(error, ==, EPERM);
        }
    }
}

/* A kernel that opens by itself: what it was given, and what Landlock leaves. */
static int open_in_wide_cage(void) {
    char path[] = "/tmp/dinv-cage-XXXXXX";
    int disk = mkstemp(path);
    DinvUmlCage cage;
    if (disk < 0 || !dinv_uml_cage_init(&cage, "/proc/self/exe", FALSE, TRUE, 0, &disk, 1, NULL)) {
        return STATUS_NO_FILTER;
    }
    /* Here nobody has moved the descriptors to their numbers in a kernel. */
    cage.files[0].fd = g_array_index(cage.fds, int, 0);
    for (gsize i = 2; i < cage.plan.file_count; i++) {
        cage.files[i].fd = g_array_index(cage.fds, int, i - 1);
    }
    (void)unlink(path);
    DinvConfinement confinement = dinv_confine(&cage.plan);
    if (!confinement.seccomp || !confinement.landlock) {
        return STATUS_NO_FILTER;
    }
    g_autofree char *again = g_strdup_printf("/proc/self/fd/%d", disk);
    return open("/proc/cpuinfo", O_RDONLY) >= 0 && open(again, O_RDWR) >= 0 &&
                   open("/etc/passwd", O_RDONLY) < 0 && errno == EACCES &&
                   socket(AF_UNIX, SOCK_STREAM, 0) >= 0 && socket(AF_INET, SOCK_STREAM, 0) < 0
               ? 0
               : 1;
}

static void test_wide(void) {
    pid_t pid = fork();
    g_assert_cmpint(pid, >=, 0);
    if (pid == 0) {
        _exit(open_in_wide_cage());
    }
    int status;
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    g_assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == STATUS_NO_FILTER) {
        g_test_skip("this kernel has no Landlock");
        return;
    }
    g_assert_cmpint(WEXITSTATUS(status), ==, 0);
}

static void test_describe(void) {
    DinvConfinement confinement = {.no_new_privs = true, .seccomp = true};
    g_autofree char *narrow = dinv_uml_cage_describe(&confinement, FALSE);
    g_autofree char *wide = dinv_uml_cage_describe(&confinement, TRUE);
    confinement.seccomp = false;
    g_autofree char *without = dinv_uml_cage_describe(&confinement, FALSE);
    g_assert_cmpstr(narrow, ==, "no_new_privs,seccomp,descriptors");
    g_assert_cmpstr(wide, ==, "no_new_privs,seccomp");
    g_assert_cmpstr(without, ==, "no_new_privs");
}

static void test_no_kernel(void) {
    g_autoptr(GError) error = NULL;
    DinvUmlCage cage;
    g_assert_false(
        dinv_uml_cage_init(&cage, "/nonexistent/linux", FALSE, FALSE, 3, NULL, 0, &error));
    g_assert_nonnull(strstr(error->message, "cannot open \"/nonexistent/linux\""));
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/launcher/machine/uml/cage/seccomp", GINT_TO_POINTER(FALSE), test_mode);
    g_test_add_data_func("/launcher/machine/uml/cage/ptrace", GINT_TO_POINTER(TRUE), test_mode);
    g_test_add_func("/launcher/machine/uml/cage/wide", test_wide);
    g_test_add_func("/launcher/machine/uml/cage/describe", test_describe);
    g_test_add_func("/launcher/machine/uml/cage/no-kernel", test_no_kernel);
    return g_test_run();
}
