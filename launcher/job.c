/* SPDX-License-Identifier: MIT */
#include "launcher/job.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launcher/cli.h"
#include "launcher/log.h"

struct DinvJob {
    GPid pid; /* 0 when it ended */
    guint watch;
    void (*ended)(int status, gpointer user);
    gpointer user;
};

static void on_child(GPid pid, gint wait_status, gpointer user) {
    DinvJob *job = user;
    (void)pid;
    job->pid = 0;
    job->watch = 0;
    job->ended(WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status),
               job->user);
}

DinvJob *dinv_job_start(char **command, const char *socket_path,
                        void (*ended)(int status, gpointer user), gpointer user, int *status) {
    g_autofree char *host = g_strconcat("unix://", socket_path, NULL);
    g_auto(GStrv) environment = g_environ_setenv(g_get_environ(), "DOCKER_HOST", host, TRUE);
    g_autoptr(GError) error = NULL;
    GPid pid = 0;
    if (!g_spawn_async(NULL, command, environment,
                       G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_CHILD_INHERITS_STDIN |
                           G_SPAWN_SEARCH_PATH,
                       NULL, NULL, &pid, &error)) {
        *status = g_error_matches(error, G_SPAWN_ERROR, G_SPAWN_ERROR_NOENT)
                      ? DINV_EXIT_NOT_FOUND
                      : DINV_EXIT_NOT_EXECUTABLE;
        dinv_log(DINV_LOG_ERROR, "cannot run \"%s\": %s", command[0], error->message);
        return NULL;
    }
    DinvJob *job = g_new0(DinvJob, 1);
    job->pid = pid;
    job->ended = ended;
    job->user = user;
    job->watch = g_child_watch_add(pid, on_child, job);
    return job;
}

void dinv_job_signal(DinvJob *job, int signal_number) {
    gboolean from_terminal = signal_number == SIGINT && tcgetpgrp(STDIN_FILENO) == getpgrp();
    if (job->pid != 0 && !from_terminal) {
        (void)kill(job->pid, signal_number);
    }
}

void dinv_job_free(DinvJob *job) {
    if (job == NULL) {
        return;
    }
    if (job->pid != 0) {
        g_clear_handle_id(&job->watch, g_source_remove);
        (void)kill(job->pid, SIGKILL);
        while (waitpid(job->pid, NULL, 0) < 0 && errno == EINTR) {
        }
    }
    g_free(job);
}
