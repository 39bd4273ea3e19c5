/* SPDX-License-Identifier: MIT */
/* The tables of system calls, and the files that a kernel may open. */
#include "launcher/machine/uml/cage.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CPUINFO "/proc/cpuinfo"

/* ---- system calls ---- */

/* Of the kernel, and of its stubs until they have a filter of their own. None of them names a
 * path, a program or another process. */
static const int calls[] = {
    SYS_read,
    SYS_write,
    SYS_readv,
    SYS_writev,
    SYS_pread64,
    SYS_pwrite64,
    SYS_lseek,
    SYS_close,
    SYS_close_range,
    SYS_dup,
    SYS_dup3,
    SYS_fstat,
    SYS_ftruncate,
    SYS_fallocate,
    SYS_fdatasync,
    SYS_fsync,
    SYS_sendto,
    SYS_sendmsg,
    SYS_sendmmsg,
    SYS_recvfrom,
    SYS_recvmsg,
    SYS_recvmmsg,
    SYS_shutdown,
    SYS_getpeername,
    SYS_eventfd2,
    SYS_epoll_create1,
    SYS_epoll_ctl,
    SYS_epoll_pwait,
    SYS_ppoll,
    SYS_signalfd4,
    SYS_memfd_create,
    SYS_brk,
    SYS_mmap,
    SYS_mprotect,
    SYS_mremap,
    SYS_munmap,
    SYS_madvise,
    SYS_futex,
    SYS_getrandom,
    SYS_exit,
    SYS_exit_group,
    SYS_wait4,
    SYS_rt_sigaction,
    SYS_rt_sigprocmask,
    SYS_rt_sigreturn,
    SYS_rt_sigpending,
    SYS_rt_sigsuspend,
    SYS_rt_sigtimedwait,
    SYS_sigaltstack,
    SYS_clock_gettime,
    SYS_clock_getres,
    SYS_clock_nanosleep,
    SYS_nanosleep,
    SYS_gettimeofday,
    SYS_timer_create,
    SYS_timer_settime,
    SYS_timer_gettime,
    SYS_timer_delete,
    SYS_getpid,
    SYS_getppid,
    SYS_gettid,
    SYS_getpgid,
    SYS_getuid,
    SYS_geteuid,
    SYS_getgid,
    SYS_getegid,
    SYS_uname,
    SYS_sched_yield,
    SYS_sched_getaffinity,
    SYS_getrlimit,
    SYS_setrlimit,
    SYS_set_robust_list,
    SYS_set_tid_address,
    SYS_rseq,
    SYS_restart_syscall,
#ifdef __x86_64__
    SYS_dup2,
    SYS_epoll_create,
    SYS_epoll_wait,
    SYS_poll,
    SYS_getpgrp,
    SYS_time,
    SYS_arch_prctl,
#endif
};

/* Nothing that makes a namespace, and no child that is not its maker's. */
#define CLONE_REFUSED                                                                              \
    (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID |  \
     CLONE_NEWNET | CLONE_PARENT)

#define ARGUMENT(number, ...)                                                                      \
    {                                                                                              \
        .argument = (number), .mask = UINT32_MAX,                                                  \
        .count = sizeof((const uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t), .values = {           \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    }
#define MASKED(number, bits, value)                                                                \
    {                                                                                              \
        .argument = (number), .mask = (bits), .count = 1, .values = {(value) }                     \
    }
#define IS_SELF(number)                                                                            \
    { .kind = DINV_CONFINE_SELF, .argument = (number) }
#define NOT_PARENT(number)                                                                         \
    { .kind = DINV_CONFINE_NOT_PARENT, .argument = (number) }

static const DinvConfineRule rules[] = {
    /* By a descriptor, as far as a filter can see that. */
    {.call = SYS_newfstatat, .count = 1, .checks = {ARGUMENT(3, AT_EMPTY_PATH)}},
    {.call = SYS_execveat, .count = 1, .checks = {ARGUMENT(4, AT_EMPTY_PATH)}},
    {.call = SYS_prlimit64, .count = 1, .checks = {ARGUMENT(0, 0)}},
    {.call = SYS_prctl,
     .count = 1,
     .checks = {ARGUMENT(0, PR_SET_NAME, PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS)}},
    {.call = SYS_socketpair, .count = 1, .checks = {ARGUMENT(0, AF_UNIX)}},
    {.call = SYS_clone, .count = 1, .checks = {MASKED(0, CLONE_REFUSED, 0)}},
    /* Its flags are in memory; a C library then takes clone. */
    {.call = SYS_clone3, .error = ENOSYS},
    /* Signals of descriptors go to itself. */
    {.call = SYS_fcntl,
     .count = 1,
     .checks = {ARGUMENT(1, F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_GETLK,
                         F_SETLK, F_ADD_SEALS)}},
    {.call = SYS_fcntl, .count = 2, .checks = {ARGUMENT(1, F_SETOWN), IS_SELF(2)}},
    {.call = SYS_fcntl, .count = 2, .checks = {ARGUMENT(1, F_SETSIG), ARGUMENT(2, SIGIO)}},
    {.call = SYS_ioctl, .count = 1, .checks = {ARGUMENT(1, TCGETS, TIOCGWINSZ)}},
    /* To one process or to its own group. Which one is not told by a number: Landlock does. */
    {.call = SYS_kill, .count = 2, .checks = {MASKED(0, 0x80000000u, 0), NOT_PARENT(0)}},
    {.call = SYS_sched_setaffinity, .count = 1, .checks = {NOT_PARENT(0)}},
    {.call = SYS_tgkill, .count = 1, .checks = {IS_SELF(0)}},
    {.call = SYS_rt_tgsigqueueinfo, .count = 1, .checks = {IS_SELF(0)}},
#ifdef __x86_64__
    /* uml_dir is /proc/, and there. */
    {.call = SYS_mkdir, .error = EEXIST},
#endif
};

/* The filters of its stubs. */
static const DinvConfineRule seccomp_rules[] = {
    {.call = SYS_seccomp, .count = 1, .checks = {ARGUMENT(0, SECCOMP_SET_MODE_FILTER)}},
};

/* Children that have asked to be traced; to attach to a process is not among these. */
static const DinvConfineRule ptrace_rules[] = {
#ifdef __x86_64__ /* as is User-Mode Linux */
    {.call = SYS_ptrace,
     .count = 1,
     .checks = {ARGUMENT(0, PTRACE_TRACEME, PTRACE_PEEKUSER, PTRACE_POKEUSER, PTRACE_CONT,
                         PTRACE_KILL, PTRACE_SYSCALL, PTRACE_SYSEMU, PTRACE_SYSEMU_SINGLESTEP,
                         PTRACE_SETOPTIONS)}},
    {.call = SYS_ptrace,
     .count = 1,
     .checks = {ARGUMENT(0, PTRACE_GETREGS, PTRACE_SETREGS, PTRACE_GETFPREGS, PTRACE_SETFPREGS,
                         PTRACE_GETREGSET, PTRACE_SETREGSET, PTRACE_GETSIGINFO)}},
#else
    {.call = SYS_ptrace},
#endif
};

static const int opening_calls[] = {
    SYS_openat, SYS_connect, SYS_readlinkat, SYS_faccessat,
#ifdef __x86_64__
    SYS_open,   SYS_stat,    SYS_access,     SYS_readlink,
#endif
};
static const DinvConfineRule opening_rules[] = {
    {.call = SYS_socket, .count = 1, .checks = {ARGUMENT(0, AF_UNIX)}},
};

static const DinvConfineTable common_table = {calls, G_N_ELEMENTS(calls), rules,
                                              G_N_ELEMENTS(rules)};
static const DinvConfineTable seccomp_table = {NULL, 0, seccomp_rules, G_N_ELEMENTS(seccomp_rules)};
static const DinvConfineTable ptrace_table = {NULL, 0, ptrace_rules, G_N_ELEMENTS(ptrace_rules)};
static const DinvConfineTable opening_table = {opening_calls, G_N_ELEMENTS(opening_calls),
                                               opening_rules, G_N_ELEMENTS(opening_rules)};

/* ---- files ---- */

static void add_file(DinvUmlCage *cage, int number, gboolean write, gboolean execute) {
    g_assert(cage->plan.file_count < DINV_UML_CAGE_FILES_MAX);
    cage->files[cage->plan.file_count++] =
        (DinvConfineFile){.fd = number, .read = true, .write = write, .execute = execute};
}

/* A file that is not there is not needed. The number in the kernel, or -1. */
static int inherit(DinvUmlCage *cage, const char *path, int flags, int first) {
    int fd = open(path, flags | O_CLOEXEC);
    if (fd < 0) {
        return -1;
    }
    g_array_append_val(cage->fds, fd);
    return first + (int)cage->fds->len - 1;
}

/* For a kernel that opens by itself: it may also be one that is not static. */
static void add_opened_files(DinvUmlCage *cage, int first, const int *disks, gsize disk_count) {
    static const char *const libraries[] = {"/lib", "/lib64", "/usr/lib", "/etc/ld.so.cache"};
    for (gsize i = 0; i < disk_count; i++) {
        add_file(cage, disks[i], TRUE, FALSE);
    }
    int cpuinfo = inherit(cage, CPUINFO, O_PATH, first);
    if (cpuinfo >= 0) {
        add_file(cage, cpuinfo, FALSE, FALSE);
    }
    for (guint i = 0; i < G_N_ELEMENTS(libraries); i++) {
        int number = inherit(cage, libraries[i], O_PATH, first);
        if (number >= 0) {
            add_file(cage, number, FALSE, TRUE);
        }
    }
}

/* ---- the whole ---- */

gboolean dinv_uml_cage_init(DinvUmlCage *cage, const char *path, gboolean use_ptrace,
                            gboolean opens_files, int first, const int *disks, gsize disk_count,
                            GError **error) {
    int kernel = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (kernel < 0) {
        int number = errno;
        g_set_error(error, G_IO_ERROR, (int)g_io_error_from_errno(number), "cannot open \"%s\": %s",
                    path, g_strerror(number));
        return FALSE;
    }
    *cage = (DinvUmlCage){.cpuinfo = -1};
    cage->fds = g_array_new(FALSE, FALSE, sizeof(int));
    g_array_append_val(cage->fds, kernel);
    add_file(cage, first, FALSE, TRUE);
    cage->tables[0] = &common_table;
    cage->tables[1] = use_ptrace ? &ptrace_table : &seccomp_table;
    cage->tables[2] = &opening_table;
    if (opens_files) {
        add_opened_files(cage, first, disks, disk_count);
    } else {
        cage->cpuinfo = inherit(cage, CPUINFO, O_RDONLY, first);
    }
    cage->plan.files = cage->files;
    cage->plan.tables = cage->tables;
    cage->plan.table_count = opens_files ? 3 : 2;
    /* The images may belong to somebody else. */
    cage->plan.capabilities = opens_files ? UINT64_C(1) << CAP_DAC_OVERRIDE : 0;
    return TRUE;
}

static void cage_clear(DinvUmlCage *cage) {
    for (guint i = 0; i < cage->fds->len; i++) {
        (void)close(g_array_index(cage->fds, int, i));
    }
    g_clear_pointer(&cage->fds, g_array_unref);
}

DinvMachineProcess *dinv_uml_cage_spawn(DinvUmlCage *cage, char **argv, GArray *fds,
                                        DinvConfinement *in_force, DinvMachineProcessGone gone,
                                        gpointer user, GError **error) {
    const DinvMachineProcessCage process_cage = {
        .program = fds->len, .plan = &cage->plan, .in_force = in_force};
    g_array_append_vals(fds, cage->fds->data, cage->fds->len);
    DinvMachineProcess *process = dinv_machine_process_spawn_caged(
        &process_cage, argv, (const int *)(const void *)fds->data, fds->len, gone, user, error);
    cage_clear(cage);
    return process;
}

char *dinv_uml_cage_describe(const DinvConfinement *confinement, gboolean opens_files) {
    char text[DINV_CONFINEMENT_TEXT_MAX];
    dinv_confinement_format(confinement, text, sizeof text);
    return g_strdup_printf("%s%s", text,
                           confinement->seccomp && !opens_files ? ",descriptors" : "");
}
