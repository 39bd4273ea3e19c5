/* SPDX-License-Identifier: MIT */
/*
 * The verb `run`: preflight, disk, machine, and then one loop until all is over.
 *
 * A signal to stop goes to the user's command (or DINV_ON_READY, which runs before it) first, if
 * one runs, and to the VM when it has ended; without one it goes to the VM at once. What ends first
 * decides the exit status: the command's own, or 125 when the VM failed under it. Both ends
 * together keep within DINV_SHUTDOWN_TIMEOUT, after which the outer container is killed.
 */
#include <errno.h>
#include <glib-unix.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "launcher/base/files-limit.h"
#include "launcher/base/log.h"
#include "launcher/cli/cli.h"
#include "launcher/cli/job.h"
#include "launcher/cli/signals.h"
#include "launcher/cli/within.h"
#include "launcher/mounts/files.h"
#include "launcher/network/watch.h"
#include "launcher/plan/plan.h"
#include "launcher/preflight/preflight.h"
#include "launcher/state/directory.h"
#include "launcher/state/launcher-socket.h"
#include "launcher/tls/store.h"
#include "launcher/vm/engine-log.h"
#include "launcher/vm/launcher-socket.h"
#include "launcher/vm/refusal.h"
#include "launcher/vm/vm.h"

/* What the guest gets at least, however long the command took to end. */
#define STOP_MIN_MS 1000u

typedef struct {
    const DinvConfig *config;
    char **command;
    GMainLoop *loop;
    DinvVm *vm;
    DinvVmEngineLog *log_file; /* NULL: not asked for */
    DinvCliJob *job;           /* DINV_ON_READY, then the command */
    gboolean is_hook;          /* the job is DINV_ON_READY */
    int hook_signal;           /* that asked us to stop while it ran; 0: none */
    guint kill_job_source;
    gint64 stop_by_us; /* monotonic: DINV_SHUTDOWN_TIMEOUT after the first SIGTERM; 0: none yet */
    int status;
} Run;

/* --- Signals --- */

/* The signals that stop us, unless they are ignored. */
static const int stop_signals[] = {SIGTERM, SIGINT, SIGHUP};

static volatile sig_atomic_t runs_command;
/* What goes with us when a signal ends us on the spot. */
static char *const *volatile early_paths;

static void run_on_early_signal(int signal_number) {
    for (char *const *path = early_paths; path != NULL && *path != NULL; path++) {
        (void)unlink(*path);
    }
    _exit(runs_command ? 128 + signal_number : EXIT_SUCCESS);
}

/* As long as nothing was made but sockets, and certificates, which the next start completes, a
 * signal ends us on the spot: there is nothing else to put in order. */
static void catch_early_signals(const sigset_t *set, gboolean has_command) {
    struct sigaction action = {.sa_handler = run_on_early_signal};
    runs_command = has_command;
    for (guint i = 0; i < G_N_ELEMENTS(stop_signals); i++) {
        if (sigismember(set, stop_signals[i]) == 1) {
            (void)sigaction(stop_signals[i], &action, NULL);
        }
    }
    /* Whoever reads our log may go: that is no reason to pull the plug on the guest. */
    (void)signal(SIGPIPE, SIG_IGN);
}

static gboolean run_on_job_deadline(gpointer user) {
    Run *run = user;
    run->kill_job_source = 0;
    dinv_log(DINV_LOG_WARNING, "the command did not end after SIGTERM, killing it");
    dinv_cli_job_signal(run->job, SIGKILL);
    return G_SOURCE_REMOVE;
}

/* What is left of DINV_SHUTDOWN_TIMEOUT: a command that was asked to end has had its part. */
static void stop_vm(Run *run) {
    gint64 left_ms = run->config->shutdown_timeout_ms;
    if (run->stop_by_us != 0) {
        left_ms = (run->stop_by_us - g_get_monotonic_time()) / 1000;
    }
    dinv_vm_stop(run->vm, (guint)MAX(left_ms, STOP_MIN_MS));
}

/* What "stopped as asked" is: good without a command, and a command's end by that signal. */
static int status_of_stop(char **command, int signal_number) {
    return command[0] != NULL ? 128 + signal_number : EXIT_SUCCESS;
}

static void run_on_signal(Run *run, int signal_number, gboolean from_terminal) {
    if (run->job == NULL) {
        if (dinv_vm_get_state(run->vm) < DINV_VM_STOPPING) {
            run->status = status_of_stop(run->command, signal_number);
        }
        stop_vm(run);
        return;
    }
    /* What the terminal sends, it sends to the whole foreground: the command has it already. */
    if (!from_terminal) {
        dinv_cli_job_signal(run->job, signal_number);
    }
    if (run->is_hook) {
        run->hook_signal = signal_number;
    }
    /* Half of the time is for the command, so that the engine can still stop in order. */
    if ((signal_number == SIGTERM || run->is_hook) && run->stop_by_us == 0) {
        guint timeout_ms = run->config->shutdown_timeout_ms;
        run->stop_by_us = g_get_monotonic_time() + (gint64)timeout_ms * 1000;
        run->kill_job_source = g_timeout_add(timeout_ms / 2, run_on_job_deadline, run);
    }
}

static gboolean run_on_signal_fd(int fd, GIOCondition condition, gpointer user) {
    struct signalfd_siginfo info;
    (void)condition;
    if (read(fd, &info, sizeof info) == (ssize_t)sizeof info) {
        run_on_signal(user, (int)info.ssi_signo, info.ssi_code == SI_KERNEL);
    }
    return G_SOURCE_CONTINUE;
}

/* --- DINV_ON_READY, then the command --- */

static void end_job(Run *run) {
    g_clear_handle_id(&run->kill_job_source, g_source_remove);
    g_clear_pointer(&run->job, dinv_cli_job_free);
}

static void run_on_command_ended(int status, gpointer user) {
    Run *run = user;
    run->status = status;
    end_job(run);
    stop_vm(run);
}

static void start_command(Run *run) {
    if (run->command[0] == NULL) {
        return;
    }
    run->job = dinv_cli_job_start(run->command, run->config->socket_path, TRUE,
                                  run_on_command_ended, run, &run->status);
    if (run->job == NULL) {
        stop_vm(run);
    }
}

static void run_on_hook_ended(int status, gpointer user) {
    Run *run = user;
    end_job(run);
    run->is_hook = FALSE;
    dinv_vm_set_unready(run->vm, NULL);
    if (run->hook_signal != 0) {
        run->status = status_of_stop(run->command, run->hook_signal);
        stop_vm(run);
    } else if (status != 0) {
        dinv_log(DINV_LOG_ERROR, "DINV_ON_READY ended with status %d: \"%s\"", status,
                 run->config->on_ready);
        run->status = status;
        stop_vm(run);
    } else {
        dinv_log(DINV_LOG_INFO, "DINV_ON_READY is done");
        start_command(run);
    }
}

static void start_hook(Run *run) {
    char *hook[] = {(char *)"/bin/sh", (char *)"-c", run->config->on_ready, NULL};
    run->job = dinv_cli_job_start(hook, run->config->socket_path, FALSE, run_on_hook_ended, run,
                                  &run->status);
    if (run->job == NULL) {
        stop_vm(run);
        return;
    }
    run->is_hook = TRUE;
    dinv_vm_set_unready(run->vm, "DINV_ON_READY still runs");
}

static void run_on_ready(DinvVm *vm, gpointer user) {
    Run *run = user;
    if (run->log_file != NULL) {
        dinv_vm_engine_log_follow(run->log_file, dinv_vm_get_relay(vm));
    }
    if (run->config->on_ready != NULL) {
        start_hook(run);
    } else {
        start_command(run);
    }
}

static void run_on_stopped(DinvVm *vm, gboolean failed, gpointer user) {
    Run *run = user;
    (void)vm;
    if (failed) {
        run->status = DINV_EXIT_FAILED;
    }
    g_main_loop_quit(run->loop);
}

/* --- The machine, from looking to its end --- */

/* What a start has from its beginning. */
typedef struct {
    char **command;
    DinvVmEndpoints *endpoints; /* bound, and not served yet */
    int signal_fd;
} Start;

/* Gives the disks that the guest could not repair another name; the machine is gone by then. */
static void keep_damaged_disks(const DinvVm *vm, DinvState *disk) {
    for (DinvStateDisk kind = 0; kind < DINV_STATE_DISK_KINDS; kind++) {
        g_autoptr(GError) error = NULL;
        g_autofree char *kept = NULL;
        if (!dinv_vm_found_damaged(vm, kind)) {
            continue;
        }
        kept = dinv_state_keep_aside(disk, kind, &error);
        if (kept != NULL) {
            dinv_log(DINV_LOG_ERROR,
                     "the damaged disk is kept as \"%s\", and the next start makes a new one; "
                     "\"e2fsck -y\" may repair it, then give it its name again",
                     kept);
        } else {
            dinv_log(DINV_LOG_ERROR, "%s", error->message);
        }
    }
}

/* Runs the machine of `plan` to its end. */
static int serve(const DinvPlan *plan, const DinvEngineConfig *engine, DinvState *disk,
                 DinvVmEngineLog *log_file, const Start *start) {
    static const DinvVmCallbacks callbacks = {.ready = run_on_ready, .stopped = run_on_stopped};
    g_autoptr(GError) error = NULL;
    g_autoptr(GMainLoop) loop = g_main_loop_new(NULL, FALSE);
    const DinvConfig *config = plan->machine.config;
    Run run = {.config = config, .command = start->command, .loop = loop, .log_file = log_file};
    /* Freed after the vm, whose last answers end the clients that wait for one. */
    g_autoptr(DinvVmLauncherSocket) server = NULL;
    g_autoptr(DinvVm) vm = dinv_vm_new(&plan->machine, engine, plan->network, &callbacks, &run);
    g_autoptr(DinvNetworkWatch) watch = dinv_network_watch_new(plan->network, &error);
    if (watch == NULL) {
        dinv_log(DINV_LOG_WARNING, "%s, ignoring", error->message);
        g_clear_error(&error);
    }
    run.vm = vm;
    guint signal_source = g_unix_fd_add(start->signal_fd, G_IO_IN, run_on_signal_fd, &run);
    server = dinv_vm_launcher_socket_new(config->state_dir, vm, &error);
    if (server == NULL || !dinv_vm_start(vm, start->endpoints, &error)) {
        dinv_log(DINV_LOG_ERROR, "%s", error->message);
        run.status = DINV_EXIT_FAILED;
    } else {
        g_main_loop_run(loop);
        keep_damaged_disks(vm, disk);
    }
    end_job(&run);
    g_source_remove(signal_source);
    return run.status;
}

/* Logs what preflight noted, and what it found doubtful, with its remedy. */
static void log_doubts(const DinvPreflightReport *report) {
    for (guint i = 0; i < report->lines->len; i++) {
        const DinvPreflightLine *line = g_ptr_array_index(report->lines, i);
        if (line->status == DINV_PREFLIGHT_WARNING || line->status == DINV_PREFLIGHT_NOTE) {
            dinv_log(line->status == DINV_PREFLIGHT_NOTE ? DINV_LOG_INFO : DINV_LOG_WARNING,
                     "%s%s%s", line->text, line->remedy != NULL ? "; " : "",
                     line->remedy != NULL ? line->remedy : "");
        }
    }
}

/* Looks whether a start can work, and logs what is doubtful; FALSE after the reason why not. */
static gboolean look_before(const DinvConfig *config, gboolean is_bound, DinvPreflight *preflight) {
    g_autoptr(GError) error = NULL;
    gboolean can_start = dinv_state_launcher_socket_check(config->state_dir, &error) &&
                         dinv_preflight(config, is_bound, preflight, &error);
    if (preflight->report != NULL) {
        log_doubts(preflight->report);
    }
    if (g_error_matches(error, DINV_PREFLIGHT_ERROR, DINV_PREFLIGHT_ERROR_DISK)) {
        return TRUE; /* dinv_state_open() says it better: it has kept the disk aside by then */
    }
    if (!can_start) {
        dinv_log(DINV_LOG_ERROR, "%s", error->message);
    }
    return can_start;
}

/* Makes what the plan needs of files, and serves with it. */
static int make_and_serve(DinvPlan *plan, const DinvEngineConfig *engine, const Start *start) {
    g_autoptr(GError) error = NULL;
    g_autoptr(DinvVmEngineLog) log_file = NULL;
    g_autoptr(DinvState) disk = NULL;
    g_autoptr(DinvMountFiles) files = NULL;
    const DinvConfig *config = plan->machine.config;
    const char *log_path = config->dockerd_log;
    if (log_path != NULL && (log_file = dinv_vm_engine_log_new(log_path, &error)) == NULL) {
        dinv_log(DINV_LOG_ERROR, "DINV_DOCKERD_LOG: %s", error->message);
        return DINV_EXIT_FAILED;
    }
    disk = dinv_state_open(config, &error);
    if (disk == NULL) {
        dinv_log(DINV_LOG_ERROR, "%s", error->message);
        return DINV_EXIT_FAILED;
    }
    if (!dinv_mount_files_start(config->state_dir, plan->mounts, start->signal_fd, &files,
                                &error)) {
        struct signalfd_siginfo info;
        if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED) &&
            read(start->signal_fd, &info, sizeof info) == (ssize_t)sizeof info) {
            return status_of_stop(start->command, (int)info.ssi_signo);
        }
        dinv_log(DINV_LOG_ERROR, "%s", error->message);
        return DINV_EXIT_FAILED;
    }
    plan->machine.files_dir = dinv_mount_files_get_directory(files);
    plan->machine.data_image = dinv_state_get_image(disk, DINV_STATE_DISK_DATA);
    plan->machine.volume_image = dinv_state_get_image(disk, DINV_STATE_DISK_VOLUME);
    return serve(plan, engine, disk, log_file, start);
}

static void log_sentences(DinvLogLevel level, const GPtrArray *sentences) {
    for (guint i = 0; i < sentences->len; i++) {
        dinv_log(level, "TLS: %s", (const char *)sentences->pdata[i]);
    }
}

/* Another container may be making certificates in the same volume, and is waited for: as long as a
 * signal still ends us on the spot. What that leaves is completed at the next start. */
static gboolean prepare_certificates(const DinvConfig *config) {
    if (config->tls_directory == NULL) {
        return TRUE;
    }
    g_auto(GStrv) names = dinv_tls_list_names((const char *const *)config->tls_names);
    g_autoptr(GPtrArray) notes = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GError) error = NULL;
    if (!dinv_tls_store_prepare(config->tls_directory, (const char *const *)names, notes, warnings,
                                &error)) {
        dinv_log(DINV_LOG_ERROR, "%s", error->message);
        return FALSE;
    }
    log_sentences(DINV_LOG_INFO, notes);
    log_sentences(DINV_LOG_WARNING, warnings);
    return TRUE;
}

/* From here on things are made that have to be put in order, and signals wait for the loop. */
static int run_with_signals(const DinvConfig *config, const DinvPlanFindings *findings,
                            const sigset_t *signals, Start *start) {
    g_autoptr(DinvPlan) plan = dinv_plan_new(config, findings);
    start->signal_fd = dinv_cli_signals_open(signals);
    if (start->signal_fd < 0) {
        dinv_log(DINV_LOG_ERROR, "cannot wait for signals: %s", g_strerror(errno));
        return DINV_EXIT_FAILED;
    }
    early_paths = NULL;
    int status = make_and_serve(plan, findings->engine, start);
    (void)close(start->signal_fd);
    return status;
}

/* Binds all sockets, before anything that takes time: who comes early then waits. NULL if that
 * cannot be, which preflight says better. */
static DinvVmEndpoints *bind_early(const DinvConfig *config, GError **error) {
    if (dinv_path_is_within(config->socket_path, config->state_dir)) {
        /* Made with the socket it would be open to others. dinv_state_open() says what is wrong. */
        (void)g_mkdir_with_parents(config->state_dir, 0700);
    }
    return dinv_vm_endpoints_new(config, error);
}

/* From looking to the end, with the sockets bound if that worked. */
static int look_and_run(const DinvConfig *config, const sigset_t *signals, Start *start,
                        const GError *bind_error) {
    DinvPreflight preflight = {0};
    int status = DINV_EXIT_FAILED;
    gboolean is_bound = start->endpoints != NULL;
    /* With a damaged disk nothing is started: it is only kept aside. */
    if (look_before(config, is_bound, &preflight) &&
        (preflight.disk_is_damaged || prepare_certificates(config))) {
        if (is_bound) {
            status = run_with_signals(config, &preflight.findings, signals, start);
        } else {
            dinv_log(DINV_LOG_ERROR, "%s", bind_error->message);
        }
    }
    dinv_preflight_clear(&preflight);
    return status;
}

static void log_notes(const GPtrArray *notes) {
    for (guint i = 0; notes != NULL && i < notes->len; i++) {
        dinv_log(DINV_LOG_INFO, "%s", (const char *)notes->pdata[i]);
    }
}

int dinv_cli_run(const DinvConfig *config, char **command) {
    g_autoptr(GError) error = NULL;
    g_auto(GStrv) paths = NULL;
    sigset_t signals;
    /* The output of a command is the user's: nothing of ours is in it when all goes well. */
    if (command[0] != NULL && !config->log_level_given) {
        dinv_log_start_quiet();
    } else {
        dinv_log_start(config->log_level);
    }
    if (dinv_cli_is_within(config)) {
        return dinv_cli_run_within(config, command);
    }
    /* What DINV_ON_READY may still install is looked for when it has. */
    int status = config->on_ready == NULL && command[0] != NULL ? dinv_cli_job_check(command[0])
                                                                : EXIT_SUCCESS;
    if (status != EXIT_SUCCESS) {
        return status;
    }
    dinv_files_limit_raise();
    dinv_cli_signals_pick(stop_signals, G_N_ELEMENTS(stop_signals), &signals);
    catch_early_signals(&signals, command[0] != NULL);
    g_autoptr(DinvVmEndpoints) endpoints = bind_early(config, &error);
    Start start = {.command = command, .endpoints = endpoints, .signal_fd = -1};
    if (endpoints != NULL) {
        paths = dinv_vm_endpoints_list_paths(endpoints);
        early_paths = paths;
    }
    log_notes(config->notes);
    status = look_and_run(config, &signals, &start, error);
    if (endpoints != NULL && status == DINV_EXIT_FAILED) {
        const char *reason = dinv_log_get_last_error();
        dinv_vm_refuse_clients(endpoints, reason != NULL ? reason : "it did not start");
    }
    early_paths = NULL;
    return status;
}
