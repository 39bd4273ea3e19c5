/* SPDX-License-Identifier: MIT */
/* The operations of the shutdown, on the parts of the agent. */
#include "guest/agent/shutdown-steps.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "guest/agent/events.h"
#include "guest/agent/internal.h"
#include "guest/base/files.h"
#include "guest/base/log.h"
#include "guest/engine/deaf.h"
#include "guest/mounts/unmount.h"
#include "guest/system/power.h"

static bool engine_is_running(void *user) {
    const DinvAgent *agent = user;
    return agent->engine != NULL && dinv_agent_engine_is_running(agent->engine);
}

static void signal_engine(void *user, int number) {
    DinvAgent *agent = user;
    dinv_agent_engine_signal(agent->engine, number);
}

static bool checks_disk(void *user) {
    const DinvAgent *agent = user;
    return agent->configure != NULL;
}

static void kill_deaf(void *user) {
    (void)user;
    unsigned count = dinv_engine_kill_deaf("/proc", kill);
    if (count > 0) {
        dinv_log_info("killed %u container%s without a handler for any signal that stops", count,
                      count == 1 ? "" : "s");
    }
}

/* All cgroups that dockerd made, whatever --cgroup-parent it was given. */
static void kill_containers(void *user) {
    (void)user;
    dinv_log_warning("containers take too long to stop, killing them");
    DIR *directory = opendir(DINV_AGENT_CGROUP_ROOT);
    if (directory == NULL) {
        return;
    }
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        if (entry->d_type == DT_DIR && entry->d_name[0] != '.' &&
            strcmp(entry->d_name, DINV_AGENT_ENGINE_CGROUP) != 0) {
            char path[512];
            (void)snprintf(path, sizeof path, DINV_AGENT_CGROUP_ROOT "/%s/cgroup.kill",
                           entry->d_name);
            (void)dinv_file_write(path, "1");
        }
    }
    closedir(directory);
}

static void signal_everything(void *user, int number) {
    (void)user;
    (void)kill(-1, number);
}

/* Every process is our child, by birth or by the death of its parents, or the child of one. */
static bool has_processes(void *user) {
    (void)user;
    siginfo_t info;
    return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

static bool unmount_machine(void *user) {
    DinvAgent *agent = user;
    dinv_agent_channels_close_relay(agent->channels);
    return agent->shares_abandoned ? dinv_mounts_make_disks_readonly() : dinv_mounts_unmount_all();
}

static void send_exit(void *user, bool clean) {
    const DinvAgent *agent = user;
    dinv_agent_event_exit(agent->channels, clean);
}

static bool exit_has_left(void *user) {
    const DinvAgent *agent = user;
    return dinv_agent_channels_is_drained(agent->channels);
}

static void power_off_machine(void *user) {
    (void)user;
    dinv_system_power_off();
}

const DinvAgentShutdownOperations dinv_agent_shutdown_steps = {
    .engine_is_running = engine_is_running,
    .signal_engine = signal_engine,
    .checks_disk = checks_disk,
    .kill_deaf = kill_deaf,
    .kill_containers = kill_containers,
    .signal_everything = signal_everything,
    .has_processes = has_processes,
    .unmount = unmount_machine,
    .send_exit = send_exit,
    .is_drained = exit_has_left,
    .power_off = power_off_machine,
};
