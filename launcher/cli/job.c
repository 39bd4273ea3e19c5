/* SPDX-License-Identifier: MIT */
/* Spawns the command, watches it, and sees to it that it does not outlive us. */
#include "launcher/cli/job.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launcher/base/files-limit.h"
#include "launcher/base/log.h"
#include "launcher/base/wait-status.h"
#include "launcher/cli/cli.h"
#include "launcher/cli/within.h"

struct DinvCliJob {
    GPid pid; /* 0 when it ended */
    guint watch;
    void (*ended)(int status, gpointer user);
    gpointer user;
};

static void job_on_child(GPid pid, gint wait_status, gpointer user) {
    DinvCliJob *job = user;
    (void)pid;
    job->pid = 0;
    job->watch = 0;
    job->ended(dinv_wait_status_to_exit_status(wait_status), job->user);
}

/* Between fork and exec. We block the signals that we read from a descriptor, and ignore SIGPIPE;
 * the command is to find what it would find without us. */
static void prepare_child(gpointer user) {
    sigset_t none;
    (void)user;
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)signal(SIGPIPE, SIG_DFL);
    dinv_files_limit_restore();
}

/* What would send the docker client elsewhere than DOCKER_HOST says, or with TLS, goes.
 * Testcontainers would look for published ports at the address of docker0, which only the guest
 * has. */
static char **make_job_environment(const char *socket_path) {
    static const char *const others[] = {"DOCKER_CONTEXT", "DOCKER_TLS", "DOCKER_TLS_VERIFY",
                                         "DOCKER_CERT_PATH"};
    g_autofree char *host = g_strconcat("unix://", socket_path, NULL);
    char **environment = g_environ_setenv(g_get_environ(), "DOCKER_HOST", host, TRUE);
    for (guint i = 0; i < G_N_ELEMENTS(others); i++) {
        environment = g_environ_unsetenv(environment, others[i]);
    }
    environment = g_environ_setenv(environment, DINV_CLI_WITHIN_VARIABLE, "1", TRUE);
    return g_environ_setenv(environment, "TESTCONTAINERS_HOST_OVERRIDE", "localhost", FALSE);
}

/* Whether a file is there that only cannot be run. */
static gboolean is_there(const char *program) {
    const char *path = g_getenv("PATH");
    g_auto(GStrv) directories = g_strsplit(path != NULL ? path : "/usr/bin:/bin", ":", -1);
    if (strchr(program, '/') != NULL) {
        return g_file_test(program, G_FILE_TEST_EXISTS);
    }
    for (guint i = 0; directories[i] != NULL; i++) {
        g_autofree char *file = g_build_filename(directories[i], program, NULL);
        if (directories[i][0] != '\0' && g_file_test(file, G_FILE_TEST_IS_REGULAR)) {
            return TRUE;
        }
    }
    return FALSE;
}

int dinv_cli_job_check(const char *program) {
    g_autofree char *found = g_find_program_in_path(program);
    if (found != NULL) {
        return 0;
    }
    if (is_there(program)) {
        dinv_log(DINV_LOG_ERROR, "cannot run \"%s\": it is no program that this user may execute",
                 program);
        return DINV_EXIT_NOT_EXECUTABLE;
    }
    dinv_log(DINV_LOG_ERROR, "cannot run \"%s\": there is no such program", program);
    return DINV_EXIT_NOT_FOUND;
}

DinvCliJob *dinv_cli_job_start(char **command, const char *socket_path, gboolean with_stdin,
                               void (*ended)(int status, gpointer user), gpointer user,
                               int *status) {
    g_auto(GStrv) environment = make_job_environment(socket_path);
    g_autoptr(GError) error = NULL;
    GSpawnFlags flags = G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_SEARCH_PATH;
    GPid pid = 0;
    if (with_stdin) {
        flags |= G_SPAWN_CHILD_INHERITS_STDIN;
    }
    if (!g_spawn_async(NULL, command, environment, flags, prepare_child, NULL, &pid, &error)) {
        *status = g_error_matches(error, G_SPAWN_ERROR, G_SPAWN_ERROR_NOENT)
                      ? DINV_EXIT_NOT_FOUND
                      : DINV_EXIT_NOT_EXECUTABLE;
        if (*status == DINV_EXIT_NOT_FOUND) {
            dinv_log(DINV_LOG_ERROR, "cannot run \"%s\": there is no such program", command[0]);
        } else {
            dinv_log(DINV_LOG_ERROR, "cannot run \"%s\": %s", command[0], error->message);
        }
        return NULL;
    }
    DinvCliJob *job = g_new0(DinvCliJob, 1);
    job->pid = pid;
    job->ended = ended;
    job->user = user;
    job->watch = g_child_watch_add(pid, job_on_child, job);
    return job;
}

void dinv_cli_job_signal(DinvCliJob *job, int signal_number) {
    if (job->pid != 0) {
        (void)kill(job->pid, signal_number);
    }
}

void dinv_cli_job_free(DinvCliJob *job) {
    if (job == NULL) {
        return;
    }
    if (job->pid != 0) {
        g_clear_handle_id(&job->watch, g_source_remove);
        /* GLib may have reaped it just now: then the pid may be another's already. */
        if (waitpid(job->pid, NULL, WNOHANG) == 0) {
            (void)kill(job->pid, SIGKILL);
            while (waitpid(job->pid, NULL, 0) < 0 && errno == EINTR) {
            }
        }
    }
    g_free(job);
}
