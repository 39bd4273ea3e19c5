/* SPDX-License-Identifier: MIT */
/* Its configuration file, and the question whether it answers: a connection, tried again. */
#include "guest/engine/containerd.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "guest/base/files.h"
#include "guest/base/unix-socket.h"
#include "guest/engine/daemon.h"
#include "wire/paths.h"

enum { CONNECT_AGAIN_MS = 20 };

struct DinvEngineContainerd {
    DinvEngineDaemon *daemon;
    DinvEngineContainerdPlan plan;
    DinvEngineContainerdCallbacks callbacks;
    void *user;
    DinvTimer *connect;
    bool answers;
};

/* `root` is where dockerd's own containerd had it, as disks of earlier versions do. What is
 * disabled cannot work here (other file systems, Kubernetes) and takes a while to find that out.
 * The timeouts are two to five seconds by default, too few on a machine that is slow or has too
 * much to do. */
static const char config_format[] =
    "version = 2\n"
    "root = \"" DINV_WIRE_DATA_ROOT "/containerd/daemon\"\n"
    "state = \"/run/containerd/daemon\"\n"
    "disabled_plugins = [\"io.containerd.grpc.v1.cri\", \"io.containerd.snapshotter.v1.aufs\",\n"
    "  \"io.containerd.snapshotter.v1.blockfile\", \"io.containerd.snapshotter.v1.btrfs\",\n"
    "  \"io.containerd.snapshotter.v1.devmapper\", \"io.containerd.snapshotter.v1.zfs\"]\n"
    "[grpc]\n"
    "  address = \"%s\"\n"
    "[debug]\n"
    "  level = \"%s\"\n"
    "  format = \"%s\"\n"
    "[timeouts]\n"
    "  \"io.containerd.timeout.metrics.shimstats\" = \"30s\"\n"
    "  \"io.containerd.timeout.shim.cleanup\" = \"60s\"\n"
    "  \"io.containerd.timeout.shim.load\" = \"60s\"\n"
    "  \"io.containerd.timeout.shim.shutdown\" = \"30s\"\n"
    "  \"io.containerd.timeout.task.state\" = \"30s\"\n";

static void try_containerd(void *user) {
    DinvEngineContainerd *containerd = user;
    int fd = dinv_unix_socket_connect(containerd->plan.socket_path);
    if (fd < 0 && fd != -EAGAIN) {
        dinv_timer_set(containerd->connect, CONNECT_AGAIN_MS);
        return;
    }
    if (fd >= 0) {
        close(fd);
    }
    containerd->answers = true;
    containerd->callbacks.answers(containerd->user);
}

static void containerd_ended(void *user, pid_t pid, const char *text) {
    (void)pid;
    DinvEngineContainerd *containerd = user;
    containerd->answers = false;
    dinv_timer_cancel(containerd->connect);
    containerd->callbacks.failed(containerd->user, text);
}

DinvEngineContainerd *dinv_engine_containerd_new(DinvLoop *loop, DinvEngineLog *log,
                                                 const DinvEngineContainerdPlan *plan,
                                                 const DinvEngineContainerdCallbacks *callbacks,
                                                 void *user) {
    DinvEngineContainerd *containerd = calloc(1, sizeof *containerd);
    if (containerd == NULL) {
        return NULL;
    }
    containerd->plan = *plan;
    containerd->callbacks = *callbacks;
    containerd->user = user;
    containerd->daemon =
        dinv_engine_daemon_new(loop, log, "containerd", plan->cgroup, containerd_ended, containerd);
    containerd->connect = dinv_timer_new(loop, try_containerd, containerd);
    if (containerd->daemon == NULL || containerd->connect == NULL) {
        dinv_engine_containerd_free(containerd);
        return NULL;
    }
    return containerd;
}

void dinv_engine_containerd_free(DinvEngineContainerd *containerd) {
    if (containerd != NULL) {
        dinv_timer_free(containerd->connect);
        dinv_engine_daemon_free(containerd->daemon);
        free(containerd);
    }
}

static int write_config(const DinvEngineContainerd *containerd,
                        const DinvContainerdConfiguration *logging) {
    char text[2048];
    int len =
        snprintf(text, sizeof text, config_format, containerd->plan.socket_path,
                 logging->level != NULL ? logging->level : "", logging->json ? "json" : "text");
    return len < (int)sizeof text
               ? dinv_file_replace_with_mode(containerd->plan.config_path, text, 0600)
               : -ENAMETOOLONG;
}

int dinv_engine_containerd_start(DinvEngineContainerd *containerd, char *const *environment,
                                 const DinvContainerdConfiguration *logging) {
    static char *const no_arguments[] = {NULL};
    int result = write_config(containerd, logging);
    result = result == 0 ? dinv_engine_daemon_start(containerd->daemon, containerd->plan.command,
                                                    no_arguments, environment)
                         : result;
    if (result < 0) {
        return result;
    }
    containerd->answers = false;
    dinv_timer_set(containerd->connect, CONNECT_AGAIN_MS);
    return 0;
}

bool dinv_engine_containerd_answers(const DinvEngineContainerd *containerd) {
    return containerd->answers;
}
