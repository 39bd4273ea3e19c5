/* SPDX-License-Identifier: MIT */
/* The requests of the launcher, but for what `configure` does (configure.c). */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "guest/agent/internal.h"
#include "guest/disks/disk.h"
#include "guest/network/network.h"
#include "guest/system/system.h"
#include "wire/verbs.h"

static void handle_shutdown(DinvAgent *agent, const DinvMessage *message) {
    struct json_object *value;
    if (!json_object_object_get_ex(message->body, "deadline_ms", &value) ||
        !json_object_is_type(value, json_type_int) || json_object_get_int64(value) < 0 ||
        json_object_get_int64(value) > 86400000) {
        dinv_agent_channels_reply_error(agent->channels, message->id,
                                        "deadline_ms: milliseconds up to a day are expected");
        return;
    }
    dinv_agent_channels_reply(agent->channels, message->id, NULL);
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
        dinv_agent_channels_reply_error(
            agent->channels, message->id,
            "time: {\"sec\": seconds since 1970, \"nsec\": …} is expected");
        return;
    }
    int result = dinv_system_correct_time(&time);
    if (result < 0) {
        dinv_agent_channels_reply_error(agent->channels, message->id, strerror(-result));
    } else {
        dinv_agent_channels_reply(agent->channels, message->id, NULL);
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

/* While a configuration is being carried out, its names have been written already. */
static void handle_resolver(DinvAgent *agent, const DinvMessage *message) {
    DinvConfiguration *configuration = dinv_agent_configure_get_pending(agent);
    configuration = configuration != NULL ? configuration : agent->configuration;
    char reason[256] = "the machine has not been configured";
    int result =
        configuration == NULL
            ? -ENOTCONN
            : dinv_configuration_set_resolver(configuration, message->body, reason, sizeof reason);
    if (result == 0) {
        result = dinv_network_write_resolv_conf("/etc", &configuration->network);
        (void)snprintf(reason, sizeof reason, "cannot write /etc/resolv.conf: %s",
                       strerror(-result));
    }
    if (result < 0) {
        dinv_agent_channels_reply_error(agent->channels, message->id, reason);
    } else {
        dinv_agent_channels_reply(agent->channels, message->id, NULL);
    }
}

static void add_disk_usage(struct json_object *results, const char *name, const char *target) {
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
    add_disk_usage(results, "disk", disk_target(agent, DATA_DISK));
    if (disk_target(agent, VOLUME_DISK) != NULL) {
        add_disk_usage(results, "volume", disk_target(agent, VOLUME_DISK));
    }
    DinvRelayStats relay;
    dinv_agent_channels_get_relay_stats(agent->channels, &relay);
    json_object_object_add(results, "relay_memory", json_object_new_int64((int64_t)relay.memory));
    json_object_object_add(results, "relay_streams", json_object_new_int64(relay.streams));
    json_object_object_add(
        results, "mounts_fallback",
        json_object_new_int64((int64_t)dinv_mounts_shares_count_fallbacks(agent->shares)));
    dinv_agent_channels_reply(agent->channels, message->id, results);
}

void dinv_agent_handle_request(DinvAgent *agent, const DinvMessage *message) {
    static const struct {
        const char *verb;
        void (*handle)(DinvAgent *agent, const DinvMessage *message);
    } verbs[] = {
        {DINV_WIRE_VERB_CONFIGURE, dinv_agent_configure},
        {DINV_WIRE_VERB_SHUTDOWN, handle_shutdown},
        {DINV_WIRE_VERB_SETTIME, handle_settime},
        {DINV_WIRE_VERB_RESOLVER, handle_resolver},
        {DINV_WIRE_VERB_STATS, handle_stats},
    };
    for (size_t index = 0; index < sizeof verbs / sizeof verbs[0]; index++) {
        if (strcmp(verbs[index].verb, message->verb) == 0) {
            verbs[index].handle(agent, message);
            return;
        }
    }
    dinv_agent_channels_reply_error(agent->channels, message->id, "unknown verb");
}
