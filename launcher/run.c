/* SPDX-License-Identifier: MIT */
/*
 * The verb `run`: preflight, disk, machine, and then one loop until all is over.
 *
 * A signal to stop goes to the user's command first, if one runs, and to the VM when it has ended;
 * without a command it goes to the VM at once. What ends first decides the exit status: the
 * command's own, or 125 when the VM failed under it.
 */
#include <glib-unix.h>
#include <signal.h>
#include <stdlib.h>

#include "launcher/admin.h"
#include "launcher/cli.h"
#include "launcher/disk.h"
#include "launcher/job.h"
#include "launcher/log.h"
#include "launcher/preflight.h"
#include "launcher/vm.h"

typedef struct {
    const DinvConfig *config;
    char **command;
    GMainLoop *loop;
    DinvVm *vm;
    DinvJob *job;
    guint kill_job_source;
    int status;
} Run;

static gboolean on_job_deadline(gpointer user) {
    Run *run = user;
    run->kill_job_source = 0;
    dinv_log(DINV_LOG_WARNING, "the command did not end after SIGTERM, killing it");
    dinv_job_signal(run->job, SIGKILL);
    return G_SOURCE_REMOVE;
}

static gboolean on_signal(Run *run, int signal_number) {
    if (run->job != NULL) {
        dinv_job_signal(run->job, signal_number);
        /* Half of the time is for the command, so that the engine can still stop in order. */
        if (signal_number == SIGTERM && run->kill_job_source == 0) {
            run->kill_job_source =
                g_timeout_add(run->config->shutdown_timeout_ms / 2, on_job_deadline, run);
        }
        return G_SOURCE_CONTINUE;
    }
    if (run->command[0] != NULL && dinv_vm_get_state(run->vm) < DINV_VM_STOPPING) {
        run->status = 128 + signal_number;
    }
    dinv_vm_stop(run->vm);
    return G_SOURCE_CONTINUE;
}

static gboolean on_sigterm(gpointer user) {
    return on_signal(user, SIGTERM);
}

static gboolean on_sigint(gpointer user) {
    return on_signal(user, SIGINT);
}

static gboolean on_sighup(gpointer user) {
    return on_signal(user, SIGHUP);
}

static void end_job(Run *run) {
    g_clear_handle_id(&run->kill_job_source, g_source_remove);
    g_clear_pointer(&run->job, dinv_job_free);
}

static void on_job_ended(int status, gpointer user) {
    Run *run = user;
    run->status = status;
    end_job(run);
    dinv_vm_stop(run->vm);
}

static void on_ready(DinvVm *vm, gpointer user) {
    Run *run = user;
    if (run->command[0] == NULL) {
        return;
    }
    run->job =
        dinv_job_start(run->command, run->config->socket_path, on_job_ended, run, &run->status);
    if (run->job == NULL) {
        dinv_vm_stop(vm);
    }
}

static void on_stopped(DinvVm *vm, gboolean failed, gpointer user) {
    Run *run = user;
    (void)vm;
    if (failed) {
        run->status = DINV_EXIT_FAILED;
    }
    g_main_loop_quit(run->loop);
}

/* Runs the machine of `plan` to its end. */
static int serve(const DinvMachinePlan *plan, const DinvNetworkPlan *network, char **command) {
    static const DinvVmCallbacks callbacks = {.ready = on_ready, .stopped = on_stopped};
    g_autoptr(GError) error = NULL;
    g_autoptr(GMainLoop) loop = g_main_loop_new(NULL, FALSE);
    Run run = {.config = plan->config, .command = command, .loop = loop};
    /* Freed after the vm, whose last answers end the clients that wait for one. */
    g_autoptr(DinvAdmin) admin = NULL;
    g_autoptr(DinvVm) vm = dinv_vm_new(plan, network, &callbacks, &run);
    run.vm = vm;
    admin = dinv_admin_new(plan->config->state_dir, vm, &error);
    guint sources[] = {g_unix_signal_add(SIGTERM, on_sigterm, &run),
                       g_unix_signal_add(SIGINT, on_sigint, &run),
                       g_unix_signal_add(SIGHUP, on_sighup, &run)};
    if (admin == NULL || !dinv_vm_start(vm, &error)) {
        dinv_log(DINV_LOG_ERROR, "%s", error->message);
        run.status = DINV_EXIT_FAILED;
    } else {
        g_main_loop_run(loop);
    }
    end_job(&run);
    for (guint i = 0; i < G_N_ELEMENTS(sources); i++) {
        g_source_remove(sources[i]);
    }
    return run.status;
}

static void log_warnings(GPtrArray *warnings) {
    for (guint i = 0; i < warnings->len; i++) {
        dinv_log(DINV_LOG_WARNING, "%s", (const char *)g_ptr_array_index(warnings, i));
    }
    g_ptr_array_set_size(warnings, 0);
}

/* What preflight found doubtful, with its remedy. */
static void log_doubts(const DinvPreflight *preflight) {
    for (guint i = 0; i < preflight->checks->len; i++) {
        const DinvCheck *check = g_ptr_array_index(preflight->checks, i);
        if (check->status == DINV_CHECK_WARNING) {
            dinv_log(DINV_LOG_WARNING, "%s%s%s", check->text, check->remedy != NULL ? "; " : "",
                     check->remedy != NULL ? check->remedy : "");
        }
    }
}

int dinv_cli_run(const DinvConfig *config, char **command) {
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    dinv_log_start(config->log_level);
    DinvPreflight preflight = {0};
    gboolean can_start = dinv_preflight(config, &preflight, &error);
    log_doubts(&preflight);
    gboolean use_kvm = preflight.use_kvm;
    guint tsc_khz = preflight.tsc_khz;
    dinv_preflight_clear(&preflight);
    if (!can_start) {
        dinv_log(DINV_LOG_ERROR, "%s", error->message);
        return DINV_EXIT_FAILED;
    }
    g_autoptr(DinvDisk) disk = dinv_disk_open(config, warnings, &error);
    log_warnings(warnings);
    if (disk == NULL) {
        dinv_log(DINV_LOG_ERROR, "%s", error->message);
        return DINV_EXIT_FAILED;
    }
    g_autofree char *routes = NULL;
    (void)g_file_get_contents("/proc/net/route", &routes, NULL, NULL);
    g_autoptr(GArray) outer = dinv_network_list_outer(routes);
    g_autoptr(DinvNetworkPlan) network = dinv_network_plan_new(outer);
    g_autofree char *slirp = dinv_network_to_string(&network->slirp);
    DinvMachinePlan plan = {
        .config = config,
        .use_kvm = use_kvm,
        .data_image = dinv_disk_get_data_image(disk),
        .tsc_khz = tsc_khz,
        .slirp_net = slirp,
    };
    return serve(&plan, network, command);
}
