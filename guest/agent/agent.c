/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation. The agent is one static object, made of the parts that internal.h lists;
 * here they are made and put together, and what one of them says is handed to another. They live as
 * long as the machine, so nothing of it is ever freed.
 */
#include "guest/agent/agent.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "guest/agent/events.h"
#include "guest/agent/internal.h"
#include "guest/agent/shutdown-steps.h"
#include "guest/base/log.h"
#include "guest/base/process.h"
#include "guest/mounts/mounts.h"
#include "guest/mounts/unmount.h"
#include "guest/ports/proxy.h"
#include "guest/ports/publish.h"
#include "guest/system/power.h"
#include "guest/system/system.h"
#include "wire/verbs.h"

enum {
    STOP_DEADLINE_MS = 10000, /* when a signal or the power button asks for the end */
    FAIL_DEADLINE_MS = 5000,
    FAIL_LOG_LINES = 40,
    FAIL_LOG_SIZE = 16 * 1024,
    READ_AHEAD_KIB = 512,
};

static void log_to_launcher(void *user, DinvGuestLogLevel level, const char *text) {
    const DinvAgent *agent = user;
    dinv_agent_event_log(agent->channels, level, text);
}

void dinv_agent_fail(DinvAgent *agent, const char *what, const char *text, bool with_log) {
    if (dinv_agent_shutdown_has_begun(agent->shutdown)) {
        return;
    }
    /* On the console only: the launcher gets the event. */
    dinv_guest_log_set_sink(NULL, NULL);
    dinv_log_error("%s: %s", what, text);
    dinv_guest_log_set_sink(log_to_launcher, agent);
    char *tail = with_log ? dinv_engine_log_get_tail(dinv_agent_engine_get_log(agent->engine),
                                                     FAIL_LOG_LINES, FAIL_LOG_SIZE)
                          : NULL;
    dinv_agent_event_failed(agent->channels, what, text, tail);
    free(tail);
    dinv_agent_shutdown_begin(agent->shutdown, FAIL_DEADLINE_MS);
}

/* --- what the parts say ----------------------------------------------------------------------- */

static void channels_connected(void *user) {
    DinvAgent *agent = user;
    dinv_agent_configure_forget_asker(agent);
    dinv_agent_event_hello(agent->channels, agent->start_us);
    if (agent->life.state == DINV_AGENT_LIFE_BOOT) {
        (void)dinv_agent_life_set(&agent->life, DINV_AGENT_LIFE_WAITING);
    }
}

static void channels_request(void *user, const DinvMessage *message) {
    dinv_agent_handle_request(user, message);
}

static void channels_missing(void *user, const char *text) {
    dinv_agent_fail(user, "configure", text, false);
}

static void engine_ready(void *user) {
    DinvAgent *agent = user;
    (void)dinv_agent_life_set(&agent->life, DINV_AGENT_LIFE_READY);
    dinv_agent_event_phase(agent->channels, DINV_WIRE_PHASE_ENGINE_READY);
    dinv_agent_event_ready(agent->channels, dinv_agent_engine_get_version(agent->engine));
    if (agent->configuration->publish_listeners) {
        dinv_ports_listeners_start(agent->listeners);
    }
}

static void engine_failed(void *user, const char *text) {
    dinv_agent_fail(user, "dockerd", text, true);
}

static int send_publish_request(void *user, const char *verb, struct json_object *fields,
                                DinvChannelControlAnswer answer, void *answer_user) {
    DinvAgent *agent = user;
    return dinv_agent_channels_request(agent->channels, verb, fields, answer, answer_user);
}

static void power_button_pressed(void *user) {
    DinvAgent *agent = user;
    dinv_log_info("the power button was pressed");
    dinv_agent_shutdown_begin(agent->shutdown, STOP_DEADLINE_MS);
}

/* --- signals ---------------------------------------------------------------------------------- */

static void agent_handle_signal(DinvAgent *agent, const struct signalfd_siginfo *info) {
    int number = (int)info->ssi_signo;
    if (number == SIGCHLD) {
        (void)dinv_loop_reap(agent->loop);
        dinv_agent_shutdown_children_ended(agent->shutdown);
    } else if (number == SIGTERM || number == SIGINT || number == SIGPWR) {
        dinv_log_info("process %d sent signal %d", (int)info->ssi_pid, number);
        dinv_agent_shutdown_begin(agent->shutdown, STOP_DEADLINE_MS);
    }
}

static void agent_signal_ready(void *user, int fd, short revents) {
    (void)revents;
    DinvAgent *agent = user;
    struct signalfd_siginfo infos[16];
    ssize_t len = read(fd, infos, sizeof infos);
    for (size_t index = 0; len > 0 && index < (size_t)len / sizeof infos[0]; index++) {
        agent_handle_signal(agent, &infos[index]);
    }
}

static int watch_signals(DinvAgent *agent) {
    sigset_t signals;
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGCHLD);
    (void)sigaddset(&signals, SIGTERM);
    (void)sigaddset(&signals, SIGINT);
    (void)sigaddset(&signals, SIGPWR);
    int fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0) {
        return -errno;
    }
    /* Ctrl-Alt-Del as a SIGINT to us, not as a reset. */
    (void)reboot(RB_DISABLE_CAD);
    return dinv_loop_watch(agent->loop, fd, POLLIN, agent_signal_ready, agent);
}

/* --- the beginning ---------------------------------------------------------------------------- */

/* Every published port and every relayed stream is a descriptor here; the kernel starts process 1
 * with 1024. */
static void raise_limits(void) {
    const struct rlimit files = {.rlim_cur = DINV_FILES_HARD, .rlim_max = DINV_FILES_HARD};
    if (setrlimit(RLIMIT_NOFILE, &files) < 0) {
        dinv_log_warning("cannot have more descriptors: %s, ignoring", strerror(errno));
    }
}

static int make_channels(DinvAgent *agent) {
    static const DinvAgentChannelsCallbacks callbacks = {
        .connected = channels_connected,
        .request = channels_request,
        .missing = channels_missing,
    };
    agent->channels = dinv_agent_channels_new(agent->loop, &callbacks, agent);
    if (agent->channels == NULL) {
        return -ENOMEM;
    }
    dinv_guest_log_set_sink(log_to_launcher, agent);
    return 0;
}

static int make_engine(DinvAgent *agent) {
    static const DinvAgentEngineCallbacks callbacks = {
        .ready = engine_ready,
        .failed = engine_failed,
    };
    int result =
        dinv_agent_engine_new(agent->loop, &agent->life, &callbacks, agent, &agent->engine);
    if (result < 0) {
        return result;
    }
    if (dinv_ports_publish_new(agent->loop, DINV_PORT_PROXY_SOCKET, send_publish_request, agent) ==
        NULL) {
        return -errno;
    }
    agent->listeners = dinv_ports_listeners_new(agent->loop, "/proc", DINV_AGENT_ENGINE_CGROUP,
                                                send_publish_request, agent);
    if (agent->listeners == NULL) {
        return -ENOMEM;
    }
    agent->names = dinv_network_names_new(agent->loop, "iptables-restore");
    agent->loopback = dinv_network_loopback_new(agent->loop, "iptables-restore", "/proc");
    if (agent->names == NULL || agent->loopback == NULL) {
        return -ENOMEM;
    }
    dinv_ports_listeners_use_loopback(agent->listeners, agent->loopback);
    return 0;
}

static int make_shutdown(DinvAgent *agent) {
    agent->shutdown =
        dinv_agent_shutdown_new(agent->loop, &agent->life, &dinv_agent_shutdown_steps, agent);
    return agent->shutdown != NULL ? 0 : -ENOMEM;
}

static int make_mount_parts(DinvAgent *agent) {
    const DinvMountsInodesOptions inodes = {0};
    const DinvMountsSharesOptions shares = {0};
    agent->inodes = dinv_mounts_inodes_new(agent->loop, &inodes);
    agent->shares = dinv_mounts_shares_new(&shares);
    return agent->inodes != NULL && agent->shares != NULL ? 0 : -ENOMEM;
}

/* A request to the disk costs the machine several exits, and its interrupt more; QEMU has the image
 * in memory. dockerd and containerd are read from it by page faults. The root is an overlay by now:
 * this program was started before, and is a file of the disk itself. */
static void read_ahead(void) {
    int result = dinv_system_set_read_ahead("/sys/class/bdi", "/proc/self/exe", READ_AHEAD_KIB);
    if (result < 0) {
        dinv_log_warning("cannot set the read-ahead of the root disk: %s, ignoring",
                         strerror(-result));
    }
}

/* Without any of these nothing can be said or done in an orderly way. */
static int prepare_agent(DinvAgent *agent) {
    raise_limits();
    agent->loop = dinv_loop_new();
    if (agent->loop == NULL) {
        return -errno;
    }
    int result = make_channels(agent);
    result = result == 0 ? watch_signals(agent) : result;
    result = result == 0 ? make_shutdown(agent) : result;
    result = result == 0 ? make_mount_parts(agent) : result;
    if (result < 0) {
        return result;
    }
    /* An error of it is told when there is a launcher to tell it to. */
    agent->mount_error = dinv_mounts_prepare(&agent->mount_error_what);
    read_ahead();
    result = make_engine(agent);
    if (result < 0) {
        return result;
    }
    dinv_system_power_button_watch(agent->loop, power_button_pressed, agent);
    dinv_agent_channels_find(agent->channels, DINV_AGENT_DOCKER_SOCKET,
                             dinv_agent_engine_get_log(agent->engine));
    return 0;
}

void dinv_agent_run(uint64_t start_us) {
    static DinvAgent agent;
    agent.start_us = start_us;
    int result = prepare_agent(&agent);
    if (result == 0) {
        result = dinv_loop_run(agent.loop);
    }
    /* The loop ends with an error only: the shutdown switches off from within it. */
    dinv_log_error("the agent cannot go on: %s", strerror(-result));
    (void)kill(-1, SIGKILL);
    (void)dinv_mounts_unmount_all();
    dinv_system_power_off();
}
