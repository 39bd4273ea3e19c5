/* SPDX-License-Identifier: MIT */
#include "guest/agent/agent.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest/agent/internal.h"
#include "guest/base/files.h"
#include "guest/base/log.h"
#include "guest/base/process.h"
#include "guest/channels/port.h"
#include "guest/mounts/mounts.h"
#include "wire/channels.h"
#include "wire/control.h"

enum {
    FIND_PORTS_AGAIN_MS = 10,
    FIND_PORTS_MS = 30000,
    STOP_DEADLINE_MS = 10000, /* when a signal or the power button asks for the end */
    FAIL_DEADLINE_MS = 5000,
    FAIL_LOG_LINES = 40,
    FAIL_LOG_SIZE = 16 * 1024,
};

/* --- events ----------------------------------------------------------------------------------- */

static struct json_object *with_uptime(void) {
    struct json_object *fields = json_object_new_object();
    json_object_object_add(fields, "uptime_us", json_object_new_int64((int64_t)dinv_boottime_us()));
    return fields;
}

static void send_event(DinvAgent *agent, const char *name, struct json_object *fields) {
    if (agent->control != NULL) {
        dinv_channel_control_send_event(agent->control, name, fields);
    } else {
        json_object_put(fields);
    }
}

void dinv_agent_send_phase(DinvAgent *agent, const char *name) {
    struct json_object *fields = with_uptime();
    json_object_object_add(fields, "name", json_object_new_string(name));
    send_event(agent, "phase", fields);
}

void dinv_agent_send_damaged(DinvAgent *agent, const char *serial) {
    struct json_object *fields = with_uptime();
    json_object_object_add(fields, "disk", json_object_new_string(serial));
    send_event(agent, "damaged", fields);
}

void dinv_agent_send_ready(DinvAgent *agent) {
    struct json_object *fields = with_uptime();
    json_object_object_add(fields, "engine", json_object_new_string(agent->engine_version));
    send_event(agent, "ready", fields);
}

static void send_hello(DinvAgent *agent) {
    struct utsname names = {0};
    (void)uname(&names);
    struct json_object *fields = json_object_new_object();
    json_object_object_add(fields, "protocol", json_object_new_int(DINV_WIRE_CONTROL_VERSION));
    json_object_object_add(fields, "version", json_object_new_string(DINV_VERSION));
    json_object_object_add(fields, "kernel", json_object_new_string(names.release));
    json_object_object_add(fields, "uptime_us", json_object_new_int64((int64_t)agent->start_us));
    send_event(agent, "hello", fields);
}

static void log_to_launcher(void *user, DinvGuestLogLevel level, const char *text) {
    DinvAgent *agent = user;
    struct json_object *fields = json_object_new_object();
    json_object_object_add(fields, "level",
                           json_object_new_string(dinv_guest_log_level_name(level)));
    json_object_object_add(fields, "text", json_object_new_string(text));
    send_event(agent, "log", fields);
}

void dinv_agent_fail(DinvAgent *agent, const char *what, const char *text, bool with_log) {
    if (dinv_agent_shutdown_has_begun(agent->shutdown)) {
        return;
    }
    /* On the console only: the launcher gets the event. */
    dinv_guest_log_set_sink(NULL, NULL);
    dinv_log_error("%s: %s", what, text);
    dinv_guest_log_set_sink(log_to_launcher, agent);
    struct json_object *fields = json_object_new_object();
    json_object_object_add(fields, "what", json_object_new_string(what));
    json_object_object_add(fields, "text", json_object_new_string(text));
    char *tail = with_log && agent->engine_log != NULL
                     ? dinv_engine_log_get_tail(agent->engine_log, FAIL_LOG_LINES, FAIL_LOG_SIZE)
                     : NULL;
    if (tail != NULL) {
        json_object_object_add(fields, "log", json_object_new_string(tail));
        free(tail);
    }
    send_event(agent, "failed", fields);
    dinv_agent_shutdown_begin(agent->shutdown, FAIL_DEADLINE_MS);
}

/* --- the end ---------------------------------------------------------------------------------- */

static bool engine_is_running(void *user) {
    DinvAgent *agent = user;
    return agent->engine != NULL && dinv_engine_is_running(agent->engine);
}

static void signal_engine(void *user, int number) {
    DinvAgent *agent = user;
    dinv_engine_signal(agent->engine, number);
}

/* All cgroups that dockerd made, whatever --cgroup-parent it was given. */
static void kill_containers(void *user) {
    (void)user;
    dinv_log_warning("containers take too long to stop, killing them");
    DIR *directory = opendir(DINV_CGROUP_ROOT);
    if (directory == NULL) {
        return;
    }
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        if (entry->d_type == DT_DIR && entry->d_name[0] != '.' &&
            strcmp(entry->d_name, DINV_ENGINE_CGROUP) != 0) {
            char path[512];
            (void)snprintf(path, sizeof path, DINV_CGROUP_ROOT "/%s/cgroup.kill", entry->d_name);
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

static bool unmount(void *user) {
    DinvAgent *agent = user;
    dinv_service_relay_free(agent->relay);
    agent->relay = NULL;
    return agent->shares_abandoned ? dinv_mounts_make_disks_readonly() : dinv_mounts_unmount_all();
}

static void send_exit(void *user, bool clean) {
    DinvAgent *agent = user;
    struct json_object *fields = json_object_new_object();
    json_object_object_add(fields, "clean", json_object_new_boolean(clean));
    send_event(agent, "exit", fields);
}

static bool is_drained(void *user) {
    DinvAgent *agent = user;
    return agent->control == NULL || dinv_channel_control_is_drained(agent->control);
}

static void power_off(void *user) {
    (void)user;
    dinv_system_power_off();
}

static int make_shutdown(DinvAgent *agent) {
    static const DinvAgentShutdownOperations operations = {
        .engine_is_running = engine_is_running,
        .signal_engine = signal_engine,
        .kill_containers = kill_containers,
        .signal_everything = signal_everything,
        .has_processes = has_processes,
        .unmount = unmount,
        .send_exit = send_exit,
        .is_drained = is_drained,
        .power_off = power_off,
    };
    agent->shutdown = dinv_agent_shutdown_new(agent->loop, &agent->life, &operations, agent);
    return agent->shutdown != NULL ? 0 : -ENOMEM;
}

static void power_button_pressed(void *user) {
    DinvAgent *agent = user;
    dinv_log_info("the power button was pressed");
    dinv_agent_shutdown_begin(agent->shutdown, STOP_DEADLINE_MS);
}

/* --- channels --------------------------------------------------------------------------------- */

static void control_connected(void *user) {
    DinvAgent *agent = user;
    send_hello(agent);
    if (agent->life.state == DINV_AGENT_LIFE_BOOT) {
        (void)dinv_agent_life_set(&agent->life, DINV_AGENT_LIFE_WAITING);
    }
}

static void control_request(void *user, const DinvMessage *message) {
    dinv_agent_handle_request(user, message);
}

static int open_port(const char *name) {
    return dinv_channel_port_find("/sys/class/virtio-ports", "/dev", name);
}

static void find_control(DinvAgent *agent) {
    static const DinvChannelControlCallbacks callbacks = {
        .connected = control_connected,
        .request = control_request,
    };
    int fd = open_port(DINV_WIRE_CONTROL_PORT);
    if (fd >= 0) {
        agent->control = dinv_channel_control_new(agent->loop, fd, &callbacks, agent);
        if (agent->control == NULL) {
            close(fd);
        }
    }
}

static void find_relay(DinvAgent *agent) {
    int fd = open_port(DINV_WIRE_RELAY_PORT);
    if (fd >= 0) {
        agent->relay =
            dinv_service_relay_new(agent->loop, fd, DINV_DOCKER_SOCKET, agent->engine_log);
        if (agent->relay == NULL) {
            close(fd);
        }
    }
}

/* The ports' names come with messages of the device, a moment after its driver. */
static void find_ports(void *user) {
    DinvAgent *agent = user;
    if (agent->control == NULL) {
        find_control(agent);
    }
    if (agent->relay == NULL) {
        find_relay(agent);
    }
    if (agent->control != NULL && agent->relay != NULL) {
        return;
    }
    if (dinv_now_ms() < agent->find_deadline_ms) {
        dinv_timer_set(agent->find_ports, FIND_PORTS_AGAIN_MS);
    } else {
        dinv_agent_fail(agent, "configure",
                        agent->control == NULL ? "the machine has no port " DINV_WIRE_CONTROL_PORT
                                               : "the machine has no port " DINV_WIRE_RELAY_PORT,
                        false);
    }
}

/* --- the beginning ---------------------------------------------------------------------------- */

static void handle_signal(DinvAgent *agent, const struct signalfd_siginfo *info) {
    int number = (int)info->ssi_signo;
    if (number == SIGCHLD) {
        (void)dinv_loop_reap(agent->loop);
        dinv_agent_shutdown_children_ended(agent->shutdown);
    } else if (number == SIGTERM || number == SIGINT || number == SIGPWR) {
        dinv_log_info("process %d sent signal %d", (int)info->ssi_pid, number);
        dinv_agent_shutdown_begin(agent->shutdown, STOP_DEADLINE_MS);
    }
}

static void signal_ready(void *user, int fd, short revents) {
    (void)revents;
    DinvAgent *agent = user;
    struct signalfd_siginfo infos[16];
    ssize_t len = read(fd, infos, sizeof infos);
    for (size_t index = 0; len > 0 && index < (size_t)len / sizeof infos[0]; index++) {
        handle_signal(agent, &infos[index]);
    }
}

static int watch_signals(DinvAgent *agent) {
    sigset_t signals;
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGCHLD);
    (void)sigaddset(&signals, SIGTERM);
    (void)sigaddset(&signals, SIGINT);
    (void)sigaddset(&signals, SIGPWR);
    agent->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    if (agent->signal_fd < 0) {
        return -errno;
    }
    /* Ctrl-Alt-Del as a SIGINT to us, not as a reset. */
    (void)reboot(RB_DISABLE_CAD);
    return dinv_loop_watch(agent->loop, agent->signal_fd, POLLIN, signal_ready, agent);
}

/* Every published port and every relayed stream is a descriptor here; the kernel starts process 1
 * with 1024. */
static void raise_limits(void) {
    const struct rlimit files = {.rlim_cur = DINV_FILES_HARD, .rlim_max = DINV_FILES_HARD};
    if (setrlimit(RLIMIT_NOFILE, &files) < 0) {
        dinv_log_warning("cannot have more descriptors: %s, ignoring", strerror(errno));
    }
}

/* Without any of these nothing can be said or done in an orderly way. */
static int prepare(DinvAgent *agent) {
    raise_limits();
    agent->loop = dinv_loop_new();
    if (agent->loop == NULL) {
        return -errno;
    }
    int result = watch_signals(agent);
    result = result == 0 ? make_shutdown(agent) : result;
    const DinvMountsInodesOptions inodes = {0};
    agent->inodes = dinv_mounts_inodes_new(agent->loop, &inodes);
    agent->find_ports = dinv_timer_new(agent->loop, find_ports, agent);
    if (result < 0 || agent->find_ports == NULL || agent->inodes == NULL) {
        return result < 0 ? result : -ENOMEM;
    }
    agent->mount_error = dinv_mounts_prepare(&agent->mount_error_what);
    result = dinv_agent_make_engine(agent);
    if (result < 0) {
        return result;
    }
    agent->button = dinv_system_power_button_new(agent->loop, power_button_pressed, agent);
    agent->find_deadline_ms = dinv_now_ms() + FIND_PORTS_MS;
    dinv_timer_set(agent->find_ports, 0);
    return 0;
}

void dinv_agent_run(uint64_t start_us) {
    static DinvAgent agent;
    agent.start_us = start_us;
    agent.trim_fd = -1;
    dinv_guest_log_set_sink(log_to_launcher, &agent);
    int result = prepare(&agent);
    if (result == 0) {
        result = dinv_loop_run(agent.loop);
    }
    /* The loop is never told to quit: the shutdown switches off from within it. */
    dinv_log_error("the agent cannot go on: %s", strerror(-result));
    (void)kill(-1, SIGKILL);
    (void)dinv_mounts_unmount_all();
    dinv_system_power_off();
}
