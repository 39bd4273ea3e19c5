/* SPDX-License-Identifier: MIT */
/* A GLib child watch, a pipe for stderr, and what the child sets up between fork and exec. */
#include "launcher/machine/process.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <glib-unix.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define READ_CHUNK 4096u
/* What is read after the child's death: as much as a pipe can hold, so that a process that it has
 * left behind, with the other end, cannot keep this one reading. */
#define DRAIN_MAX 65536u

struct DinvMachineProcess {
    GPid pid;
    int stderr_fd;
    guint stderr_source;
    guint child_source;
    GString *stderr_text;
    GString *line; /* the one that has not ended, if lines are told */
    DinvMachineProcessLine told;
    DinvMachineProcessGone gone;
    gpointer user;
};

/* ---- the child ---- */

/* What a child tells its parent before it starts a program, in memory that they share. */
typedef struct {
    DinvConfinement in_force;
    int error; /* the errno, if the program cannot be started */
} Report;

typedef struct {
    pid_t parent;
    const DinvMachineProcessCage *cage; /* NULL: none */
    Report *report;                     /* with a cage */
    char **argv;
} Child;

/* Into the cage, and from there into the program: by its descriptor, as no path is left. */
static _Noreturn void start_caged(const Child *child) {
    int program = DINV_MACHINE_PROCESS_FIRST_FD + (int)child->cage->program;
    (void)fcntl(program, F_SETFD, FD_CLOEXEC);
    child->report->in_force = dinv_confine(child->cage->plan);
    (void)syscall(SYS_execveat, program, "", child->argv, environ, AT_EMPTY_PATH);
    child->report->error = errno;
    _exit(127);
}

/* Between fork and exec: async-signal-safe calls only. */
static void set_up_child(gpointer user) {
    const Child *child = user;
    const struct rlimit no_core = {.rlim_cur = 0, .rlim_max = 0};
    struct sigaction action = {.sa_handler = SIG_DFL};
    for (int number = 1; number < NSIG; number++) {
        (void)sigaction(number, &action, NULL); /* fails for SIGKILL and the like: no matter */
    }
    sigset_t none;
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)setpgid(0, 0);
    (void)setrlimit(RLIMIT_CORE, &no_core);
    /* dinv-usernet has a descriptor for each connection, virtiofsd one for each inode. The soft
     * limit is low only for programs that use select(), which these do not. */
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    /* The parent may have gone before the line above. */
    if (getppid() != child->parent) {
        _exit(127);
    }
    if (child->cage != NULL) {
        start_caged(child);
    }
}

/* ---- stderr ---- */

/* Appends to what was said on stderr, and forgets the oldest lines of it. */
static void keep_stderr(DinvMachineProcess *process, const char *bytes, gsize len) {
    GString *text = process->stderr_text;
    g_string_append_len(text, bytes, (gssize)len);
    if (text->len > DINV_MACHINE_PROCESS_STDERR_MAX) {
        gsize excess = text->len - DINV_MACHINE_PROCESS_STDERR_MAX;
        const char *newline =
            memchr(text->str + excess - 1, '\n', DINV_MACHINE_PROCESS_STDERR_MAX + 1);
        if (newline != NULL && newline[1] != '\0') {
            excess = (gsize)(newline + 1 - text->str);
        }
        g_string_erase(text, 0, (gssize)excess);
    }
}

/* Tells the lines that have ended. */
static void tell_lines(DinvMachineProcess *process, const char *bytes, gsize len) {
    for (gsize i = 0; i < len; i++) {
        if (bytes[i] == '\n') {
            process->told(process->line->str, process->user);
            g_string_truncate(process->line, 0);
        } else if (process->line->len < DINV_MACHINE_PROCESS_LINE_MAX) {
            g_string_append_c(process->line, bytes[i]);
        }
    }
}

/* Reads once and keeps it; returns what read(2) does. */
static gssize read_stderr(DinvMachineProcess *process) {
    char bytes[READ_CHUNK];
    gssize n = read(process->stderr_fd, bytes, sizeof(bytes));
    if (n > 0) {
        keep_stderr(process, bytes, (gsize)n);
        if (process->told != NULL) {
            tell_lines(process, bytes, (gsize)n);
        }
    }
    return n;
}

static gboolean process_on_stderr(int fd G_GNUC_UNUSED, GIOCondition condition G_GNUC_UNUSED,
                                  gpointer user) {
    DinvMachineProcess *process = user;
    gssize n = read_stderr(process);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
        process->stderr_source = 0;
        return G_SOURCE_REMOVE;
    }
    return G_SOURCE_CONTINUE;
}

const char *dinv_machine_process_get_stderr(DinvMachineProcess *process) {
    GString *text = process->stderr_text;
    g_autofree char *valid = g_utf8_make_valid(text->str, (gssize)text->len);
    for (char *c = valid; *c != '\0'; c++) {
        if (g_ascii_iscntrl(*c) && *c != '\n') {
            *c = ' ';
        }
    }
    g_string_assign(text, g_strchomp(valid));
    return text->str;
}

/* ---- life ---- */

static void process_on_exit(GPid pid, int wait_status, gpointer user) {
    DinvMachineProcess *process = user;
    g_spawn_close_pid(pid);
    process->pid = 0;
    process->child_source = 0;
    /* What the dead have written is in the pipe already. */
    for (gsize drained = 0; drained < DRAIN_MAX;) {
        gssize n = read_stderr(process);
        if (n <= 0) {
            break;
        }
        drained += (gsize)n;
    }
    g_clear_handle_id(&process->stderr_source, g_source_remove);
    process->gone(process, wait_status, process->user);
}

/* The child, and the other end of its stderr. */
static gboolean start_child(Child *child, const int *fds, gsize fd_count, GPid *pid, int *stderr_fd,
                            GError **error) {
    g_autofree int *targets = g_new(int, fd_count);
    for (gsize i = 0; i < fd_count; i++) {
        targets[i] = DINV_MACHINE_PROCESS_FIRST_FD + (int)i;
    }
    return g_spawn_async_with_pipes_and_fds(NULL, (const char *const *)child->argv, NULL,
                                            G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_SEARCH_PATH |
                                                G_SPAWN_STDOUT_TO_DEV_NULL | G_SPAWN_CLOEXEC_PIPES,
                                            set_up_child, child, -1, -1, -1, fds, targets, fd_count,
                                            pid, NULL, NULL, stderr_fd, error);
}

static DinvMachineProcess *watch_child(GPid pid, int stderr_fd, DinvMachineProcessGone gone,
                                       gpointer user) {
    (void)g_unix_set_fd_nonblocking(stderr_fd, TRUE, NULL);
    DinvMachineProcess *process = g_new0(DinvMachineProcess, 1);
    process->pid = pid;
    process->stderr_fd = stderr_fd;
    process->stderr_text = g_string_new(NULL);
    process->line = g_string_new(NULL);
    process->gone = gone;
    process->user = user;
    process->stderr_source =
        g_unix_fd_add(stderr_fd, G_IO_IN | G_IO_HUP | G_IO_ERR, process_on_stderr, process);
    process->child_source = g_child_watch_add(pid, process_on_exit, process);
    return process;
}

DinvMachineProcess *dinv_machine_process_spawn(char **argv, const int *fds, gsize fd_count,
                                               DinvMachineProcessGone gone, gpointer user,
                                               GError **error) {
    Child child = {.parent = getpid(), .argv = argv};
    GPid pid = 0;
    int stderr_fd = -1;
    if (!start_child(&child, fds, fd_count, &pid, &stderr_fd, error)) {
        return NULL;
    }
    return watch_child(pid, stderr_fd, gone, user);
}

static void set_error(GError **error, const char *what, int number) {
    g_set_error(error, G_IO_ERROR, (int)g_io_error_from_errno(number), "%s: %s", what,
                g_strerror(number));
}

DinvMachineProcess *dinv_machine_process_spawn_caged(const DinvMachineProcessCage *cage,
                                                     char **argv, const int *fds, gsize fd_count,
                                                     DinvMachineProcessGone gone, gpointer user,
                                                     GError **error) {
    Report *report =
        mmap(NULL, sizeof *report, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (report == MAP_FAILED) {
        set_error(error, "no memory to share with a child", errno);
        return NULL;
    }
    Child child = {.parent = getpid(), .cage = cage, .report = report, .argv = argv};
    DinvMachineProcess *process = NULL;
    GPid pid = 0;
    int stderr_fd = -1;
    /* GLib returns when the child has started the program, or has ended. */
    if (start_child(&child, fds, fd_count, &pid, &stderr_fd, error)) {
        process = watch_child(pid, stderr_fd, gone, user);
        *cage->in_force = report->in_force;
        if (report->error != 0) {
            set_error(error, "cannot be started", report->error);
            g_clear_pointer(&process, dinv_machine_process_free);
        }
    }
    (void)munmap(report, sizeof *report);
    return process;
}

void dinv_machine_process_tell_lines(DinvMachineProcess *process, DinvMachineProcessLine told) {
    process->told = told;
}

GPid dinv_machine_process_get_pid(const DinvMachineProcess *process) {
    return process->pid;
}

void dinv_machine_process_kill(DinvMachineProcess *process) {
    if (process->pid > 0) {
        (void)kill(process->pid, SIGKILL);
    }
}

void dinv_machine_process_free(DinvMachineProcess *process) {
    if (process == NULL) {
        return;
    }
    g_clear_handle_id(&process->child_source, g_source_remove);
    g_clear_handle_id(&process->stderr_source, g_source_remove);
    if (process->pid > 0) {
        dinv_machine_process_kill(process);
        /* ECHILD: GLib's watch had just reaped it. */
        while (waitpid(process->pid, NULL, 0) < 0 && errno == EINTR) {
        }
    }
    (void)close(process->stderr_fd);
    g_string_free(process->stderr_text, TRUE);
    g_string_free(process->line, TRUE);
    g_free(process);
}
