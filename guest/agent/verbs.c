/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "guest/agent/internal.h"
#include "guest/base/log.h"
#include "guest/disks/disk.h"
#include "guest/network/network.h"
#include "guest/system/system.h"

static void handle_shutdown(DinvAgent *agent, const DinvMessage *message) {
    struct json_object *value;
    if (!json_object_object_get_ex(message->body, "deadline_ms", &value) ||
        !json_object_is_type(value, json_type_int) || json_object_get_int64(value) < 0 ||
        json_object_get_int64(value) > 86400000) {
        dinv_channel_control_reply_error(agent->control, message->id,
                                         "deadline_ms: milliseconds up to a day are expected");
        return;
    }
    dinv_channel_control_reply(agent->control, message->id, NULL);
    struct json_object *abandon = NULL;
    if (json_object_object_get_ex(message->body, "abandon_shares", &abandon) &&
        json_object_get_boolean(abandon)) {
        agent->shares_abandoned = true;
        dinv_mounts_inodes_set_max(agent->inodes, 0); /* dropping would wait for them, too */
    }
    dinv_agent_shutdown_begin(agent->shutdown, (uint64_t)json_object_get_int64(value));
}

static void handle_settime(DinvAgent *agent, const DinvMessage *message) {
    struct json_object *value = NULL;
    struct timespec time;
    (void)json_object_object_get_ex(message->body, "time", &value);
    if (!dinv_configuration_parse_time(value, &time)) {
        dinv_channel_control_reply_error(
            agent->control, message->id,
            "time: {\"sec\": seconds since 1970, \"nsec\": …} is expected");
        return;
    }
    int result = dinv_system_correct_time(&time);
    if (result < 0) {
        dinv_channel_control_reply_error(agent->control, message->id, strerror(-result));
    } else {
        dinv_channel_control_reply(agent->control, message->id, NULL);
    }
}

/* The order of the disks in `configure`. */
enum { DATA_DISK, VOLUME_DISK };

/* Where the disk is; NULL if there is none (yet). */
static const char *disk_target(const DinvAgent *agent, size_t disk) {
    return agent->configuration != NULL && agent->configuration->disk_count > disk
               ? agent->configuration->disks[disk].target
               : NULL;
}

static void handle_resolver(DinvAgent *agent, const DinvMessage *message) {
    char reason[256] = "the machine has not been configured";
    int result = agent->configuration == NULL
                     ? -ENOTCONN
                     : dinv_configuration_set_resolver(agent->configuration, message->body, reason,
                                                       sizeof reason);
    if (result == 0) {
        result = dinv_network_write_resolv_conf("/etc", &agent->configuration->network);
        (void)snprintf(reason, sizeof reason, "cannot write /etc/resolv.conf: %s",
                       strerror(-result));
    }
    if (result < 0) {
        dinv_channel_control_reply_error(agent->control, message->id, reason);
    } else {
        dinv_channel_control_reply(agent->control, message->id, NULL);
    }
}

static void add_disk(struct json_object *results, const char *name, const char *target) {
    DinvDiskUsage usage = {0};
    char key[32];
    if (target != NULL) {
        (void)dinv_disk_usage(target, &usage);
    }
    (void)snprintf(key, sizeof key, "%s_total", name);
    json_object_object_add(results, key, json_object_new_int64((int64_t)usage.total));
    (void)snprintf(key, sizeof key, "%s_used", name);
    json_object_object_add(results, key, json_object_new_int64((int64_t)usage.used));
    (void)snprintf(key, sizeof key, "%s_free", name);
    json_object_object_add(results, key, json_object_new_int64((int64_t)usage.available));
}

static void handle_stats(DinvAgent *agent, const DinvMessage *message) {
    struct json_object *results = json_object_new_object();
    dinv_system_add_stats(results);
    add_disk(results, "disk", disk_target(agent, DATA_DISK));
    if (disk_target(agent, VOLUME_DISK) != NULL) {
        add_disk(results, "volume", disk_target(agent, VOLUME_DISK));
    }
    DinvRelayStats relay = {0};
    if (agent->relay != NULL) {
        dinv_service_relay_get_stats(agent->relay, &relay);
    }
    json_object_object_add(results, "relay_memory", json_object_new_int64((int64_t)relay.memory));
    json_object_object_add(results, "relay_streams", json_object_new_int64(relay.streams));
    dinv_channel_control_reply(agent->control, message->id, results);
}

typedef struct {
    int error;
    uint64_t bytes;
} TrimResult;

static void trim_ended(void *user, pid_t pid, int wait_status) {
    (void)pid;
    (void)wait_status;
    DinvAgent *agent = user;
    TrimResult result = {.error = -EIO};
    ssize_t len = read(agent->trim_fd, &result, sizeof result);
    close(agent->trim_fd);
    agent->trim_fd = -1;
    if (len == (ssize_t)sizeof result && result.error == 0) {
        struct json_object *results = json_object_new_object();
        json_object_object_add(results, "bytes", json_object_new_int64((int64_t)result.bytes));
        dinv_channel_control_reply(agent->control, agent->trim_id, results);
    } else {
        dinv_channel_control_reply_error(agent->control, agent->trim_id, strerror(-result.error));
    }
    agent->trim_id = 0;
}

/* FITRIM walks the whole disk: in a child, as nothing may block here. */
static int start_trim(DinvAgent *agent, const char *target) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0) {
        return -errno;
    }
    pid_t pid = fork();
    if (pid == 0) {
        TrimResult result = {0};
        result.error = dinv_disk_trim(target, &result.bytes);
        _exit(write(ends[1], &result, sizeof result) == (ssize_t)sizeof result ? 0 : 1);
    }
    int result = pid < 0 ? -errno : dinv_loop_watch_child(agent->loop, pid, trim_ended, agent);
    close(ends[1]);
    if (result < 0) {
        close(ends[0]);
        return result;
    }
    agent->trim_fd = ends[0];
    return 0;
}

static void handle_trim(DinvAgent *agent, const DinvMessage *message) {
    const char *target = disk_target(agent, DATA_DISK);
    int result = target == NULL        ? -ENODEV
                 : agent->trim_id != 0 ? -EALREADY
                                       : start_trim(agent, target);
    if (result < 0) {
        char text[128];
        (void)snprintf(text, sizeof text, "cannot trim the data disk: %s", strerror(-result));
        dinv_channel_control_reply_error(agent->control, message->id, text);
    } else {
        agent->trim_id = message->id;
    }
}

void dinv_agent_handle_request(DinvAgent *agent, const DinvMessage *message) {
    static const struct {
        const char *verb;
        void (*handle)(DinvAgent *agent, const DinvMessage *message);
    } verbs[] = {
        {"configure", dinv_agent_configure},
        {"shutdown", handle_shutdown},
        {"settime", handle_settime},
        {"resolver", handle_resolver},
        {"stats", handle_stats},
        {"trim", handle_trim},
    };
    for (size_t index = 0; index < sizeof verbs / sizeof verbs[0]; index++) {
        if (strcmp(verbs[index].verb, message->verb) == 0) {
            if (dinv_agent_shutdown_has_begun(agent->shutdown) &&
                verbs[index].handle == dinv_agent_configure) {
                dinv_channel_control_reply_error(agent->control, message->id,
                                                 "the machine is shutting down");
            } else {
                verbs[index].handle(agent, message);
            }
            return;
        }
    }
    dinv_channel_control_reply_error(agent->control, message->id, "unknown verb");
}
