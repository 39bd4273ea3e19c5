/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation. `configure` is parsed as a whole first, then carried out step by step. The
 * steps block for as long as the mounts need, as nothing else is to be done meanwhile; but for the
 * check of a disk, which may take minutes: it runs in a child, other requests are answered, and the
 * next step comes from the loop when it has ended. The steps leave alone what an earlier
 * `configure` has done. A failure of the first `configure` is the end of the machine; a wrong later
 * one is only answered, a machine that works goes on.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest/agent/events.h"
#include "guest/agent/internal.h"
#include "guest/base/files.h"
#include "guest/base/log.h"
#include "guest/disks/disk.h"
#include "guest/network/network.h"
#include "guest/system/system.h"
#include "wire/verbs.h"

#define SHUTTING_DOWN "the machine is shutting down"

typedef struct {
    const char *what; /* of the event `failed` */
    char text[512];
} Failure;

/* A `configure` that is being carried out. */
struct DinvAgentConfigure {
    DinvAgent *agent;
    int64_t id; /* of the request; 0: whoever sent it has gone */
    DinvConfiguration *configuration;
    size_t disk; /* the index of the one to be mounted next */
    Failure failure;
    DinvMessage next; /* a later one, to be carried out after it; `body` NULL: none */
};

/* For `docker run -v /etc/localtime:/etc/localtime:ro`: files where users look for them. */
static void write_zone(const DinvZoneConfiguration *zone) {
    char name[128];
    if (zone->name == NULL || zone->length == 0) {
        return;
    }
    (void)snprintf(name, sizeof name, "%s\n", zone->name);
    int result = dinv_file_replace_bytes("/etc/localtime", zone->rules, zone->length, 0644);
    result = result == 0 ? dinv_file_replace("/etc/timezone", name) : result;
    if (result < 0) {
        dinv_log_warning("cannot write the time zone: %s, ignoring", strerror(-result));
    }
}

static int set_identity(const DinvConfiguration *configuration, Failure *failure) {
    int result = 0;
    if (configuration->time.tv_sec > 0) {
        result = dinv_system_set_time(&configuration->time);
        if (result < 0) {
            dinv_log_warning("cannot set the clock: %s, ignoring", strerror(-result));
        }
    }
    if (configuration->entropy_len > 0) {
        result = dinv_system_add_entropy(configuration->entropy, configuration->entropy_len);
        if (result < 0) {
            dinv_log_warning("cannot add entropy: %s, ignoring", strerror(-result));
        }
    }
    write_zone(&configuration->zone);
    if (configuration->hostname != NULL) {
        result = dinv_system_set_hostname(configuration->hostname);
        if (result < 0) {
            failure->what = "configure";
            (void)snprintf(failure->text, sizeof failure->text, "cannot set the hostname to %s: %s",
                           configuration->hostname, strerror(-result));
            return result;
        }
    }
    result = dinv_network_write_files("/etc", &configuration->network, configuration->hostname);
    if (result < 0) {
        failure->what = "configure";
        (void)snprintf(failure->text, sizeof failure->text, "cannot write files in /etc: %s",
                       strerror(-result));
    }
    return result;
}

static void checking_disk(void *user, const DinvDiskConfiguration *disk) {
    DinvAgentConfigure *configure = user;
    dinv_log_info("checking disk %s", disk->serial);
    dinv_agent_event_phase(configure->agent->channels, DINV_WIRE_PHASE_CHECKING_DISK);
}

static bool disk_checked(void *user, const DinvDiskConfiguration *disk) {
    DinvAgentConfigure *configure = user;
    (void)disk;
    dinv_agent_event_phase(configure->agent->channels, DINV_WIRE_PHASE_DISK_CHECKED);
    return !dinv_agent_shutdown_has_begun(configure->agent->shutdown);
}

static void disk_damaged(void *user, const DinvDiskConfiguration *disk, const char *said) {
    DinvAgentConfigure *configure = user;
    dinv_agent_event_damaged(configure->agent->channels, disk->serial);
    (void)snprintf(configure->failure.text, sizeof configure->failure.text,
                   "disk %s is damaged, and e2fsck cannot repair it without losing something: %s",
                   disk->serial, said);
}

static void fail_disk(DinvAgentConfigure *configure, int result) {
    const DinvDiskConfiguration *disk = &configure->configuration->disks[configure->disk];
    Failure *failure = &configure->failure;
    failure->what = "disk";
    if (result == -ECANCELED) {
        (void)snprintf(failure->text, sizeof failure->text, "%s", SHUTTING_DOWN);
    } else if (failure->text[0] == '\0') { /* else disk_damaged() has said it */
        (void)snprintf(failure->text, sizeof failure->text, "cannot mount disk %s on %s: %s",
                       disk->serial, disk->target,
                       result == -ENODEV ? "there is no disk of that serial number"
                                         : strerror(-result));
    }
}

static void disk_mounted(void *user, int result);

/* Those that are left. 0, -EINPROGRESS while one is checked, or -errno. */
static int mount_disks(DinvAgentConfigure *configure) {
    static const DinvDiskCallbacks callbacks = {
        .checking = checking_disk,
        .checked = disk_checked,
        .damaged = disk_damaged,
        .mounted = disk_mounted,
    };
    const DinvConfiguration *configuration = configure->configuration;
    for (; configure->disk < configuration->disk_count; configure->disk++) {
        int result = dinv_disk_mount(configure->agent->loop, &configuration->disks[configure->disk],
                                     &callbacks, configure);
        if (result < 0) {
            if (result != -EINPROGRESS) {
                fail_disk(configure, result);
            }
            return result;
        }
    }
    return 0;
}

static int mount_shares(DinvAgent *agent, const DinvConfiguration *configuration,
                        Failure *failure) {
    size_t failed = 0;
    int result = dinv_mounts_shares_mount(agent->shares, configuration->mounts,
                                          configuration->mount_count, &failed);
    if (result < 0) {
        const DinvMountConfiguration *share = &configuration->mounts[failed];
        failure->what = "mount";
        (void)snprintf(failure->text, sizeof failure->text, "cannot mount %s %s on %s: %s",
                       share->driver, share->tag, share->target, strerror(-result));
    }
    return result;
}

/* The directories of a file are made too; one that is there already is replaced as a whole. */
static int write_file(const DinvFileConfiguration *file) {
    int result = dinv_make_parents(file->path);
    return result < 0 ? result : dinv_file_replace_with_mode(file->path, file->text, file->mode);
}

static int write_files(const DinvConfiguration *configuration, Failure *failure) {
    for (size_t index = 0; index < configuration->file_count; index++) {
        int result = write_file(&configuration->files[index]);
        if (result < 0) {
            failure->what = "configure";
            (void)snprintf(failure->text, sizeof failure->text, "cannot write %s: %s",
                           configuration->files[index].path, strerror(-result));
            return result;
        }
    }
    return 0;
}

static int set_network(const DinvConfiguration *configuration, Failure *failure) {
    int result = dinv_network_configure(&configuration->network);
    if (result < 0) {
        failure->what = "network";
        (void)snprintf(failure->text, sizeof failure->text,
                       "cannot configure the network: %s (the guest's log has the step)",
                       strerror(-result));
    }
    return result;
}

/* In the background, as dockerd needs longer for its start; the machine can do without. */
static void redirect_names(DinvAgent *agent, const DinvConfiguration *configuration) {
    int result = dinv_network_names_redirect(agent->names, &configuration->network);
    if (result < 0) {
        dinv_log_warning("names are not asked of the launcher: %s, ignoring", strerror(-result));
    }
}

static int start_engine(DinvAgent *agent, const DinvConfiguration *configuration,
                        Failure *failure) {
    if (dinv_agent_engine_was_started(agent->engine)) {
        return 0;
    }
    const char *program = NULL;
    int result = dinv_agent_engine_start(agent->engine, configuration, &program);
    if (result < 0) {
        failure->what = "dockerd";
        (void)snprintf(failure->text, sizeof failure->text, "cannot start %s: %s", program,
                       result == -ENOENT ? "there is no such program in the image"
                                         : strerror(-result));
        return result;
    }
    (void)dinv_agent_life_set(&agent->life, DINV_AGENT_LIFE_STARTING);
    dinv_agent_event_phase(agent->channels, DINV_WIRE_PHASE_DOCKERD_STARTED);
    return 0;
}

/* What comes before the disks. */
static int begin_configure(DinvAgentConfigure *configure) {
    int result = set_identity(configure->configuration, &configure->failure);
    if (result == 0) {
        dinv_system_set_sysctls();
        dinv_agent_event_phase(configure->agent->channels, DINV_WIRE_PHASE_CONFIGURED);
    }
    return result;
}

/* What comes after them. */
static int complete_configure(DinvAgentConfigure *configure) {
    DinvAgent *agent = configure->agent;
    const DinvConfiguration *configuration = configure->configuration;
    Failure *failure = &configure->failure;
    int result = write_files(configuration, failure);
    result = result == 0 ? mount_shares(agent, configuration, failure) : result;
    if (result < 0) {
        return result;
    }
    dinv_mounts_inodes_set_max(agent->inodes, configuration->inodes_max);
    dinv_agent_event_phase(agent->channels, DINV_WIRE_PHASE_DATA_MOUNTED);
    result = set_network(configuration, failure);
    if (result < 0) {
        return result;
    }
    redirect_names(agent, configuration);
    dinv_network_loopback_configure(agent->loopback, &configuration->network);
    dinv_agent_event_phase(agent->channels, DINV_WIRE_PHASE_NETWORK_UP);
    return start_engine(agent, configuration, failure);
}

static bool lists_are_equal(char *const *left, char *const *right) {
    while (*left != NULL && *right != NULL && strcmp(*left, *right) == 0) {
        left++;
        right++;
    }
    return *left == NULL && *right == NULL;
}

static void warn_about_late_changes(const DinvConfiguration *before,
                                    const DinvConfiguration *after) {
    if (!lists_are_equal(before->dockerd_args, after->dockerd_args) ||
        !lists_are_equal(before->environment, after->environment)) {
        dinv_log_warning("dockerd runs already, its other arguments or environment come too late, "
                         "ignoring");
    }
}

/* Answers with an error; ends the machine if it has never been configured. */
static void reject_configure(DinvAgent *agent, int64_t id, const Failure *failure) {
    if (id > 0) {
        dinv_agent_channels_reply_error(agent->channels, id, failure->text);
    }
    if (agent->configuration == NULL) {
        dinv_agent_fail(agent, failure->what, failure->text, false);
    } else {
        dinv_log_warning("a later configure failed: %s, ignoring", failure->text);
    }
}

static void accept_configure(DinvAgent *agent, int64_t id, DinvConfiguration *configuration) {
    if (agent->configuration != NULL) {
        warn_about_late_changes(agent->configuration, configuration);
        dinv_agent_engine_set_configuration(agent->engine, configuration);
        dinv_configuration_free(agent->configuration);
    }
    agent->configuration = configuration;
    if (id > 0) {
        dinv_agent_channels_reply(agent->channels, id, NULL);
    }
    if (agent->life.state == DINV_AGENT_LIFE_READY) {
        /* To a launcher that came later. */
        dinv_agent_event_ready(agent->channels, dinv_agent_engine_get_version(agent->engine));
    }
}

/* Answers, and goes on with the one that came meanwhile. */
static void end_configure(DinvAgentConfigure *configure, int result) {
    DinvAgent *agent = configure->agent;
    DinvMessage next = configure->next;
    agent->configure = NULL;
    if (result == 0) {
        accept_configure(agent, configure->id, configure->configuration);
    } else {
        reject_configure(agent, configure->id, &configure->failure);
        dinv_configuration_free(configure->configuration);
    }
    free(configure);
    if (next.body != NULL) {
        dinv_agent_configure(agent, &next);
        json_object_put(next.body);
    }
}

/* From the disks on, until a check or the end. */
static void advance_configure(DinvAgentConfigure *configure) {
    int result = mount_disks(configure);
    if (result == 0) {
        result = complete_configure(configure);
    }
    if (result != -EINPROGRESS) {
        end_configure(configure, result);
    }
}

static void disk_mounted(void *user, int result) {
    DinvAgentConfigure *configure = user;
    if (result < 0) {
        fail_disk(configure, result);
        end_configure(configure, result);
    } else {
        configure->disk++;
        advance_configure(configure);
    }
}

/* Only the latest of those that wait is of use. */
static void defer_configure(DinvAgentConfigure *configure, const DinvMessage *message) {
    if (configure->next.body != NULL) {
        dinv_agent_channels_reply_error(configure->agent->channels, configure->next.id,
                                        "another configure came before this one was begun");
        json_object_put(configure->next.body);
    }
    configure->next = (DinvMessage){.id = message->id, .body = json_object_get(message->body)};
}

DinvConfiguration *dinv_agent_configure_get_pending(const DinvAgent *agent) {
    return agent->configure != NULL ? agent->configure->configuration : NULL;
}

void dinv_agent_configure_forget_asker(DinvAgent *agent) {
    DinvAgentConfigure *configure = agent->configure;
    if (configure != NULL) {
        configure->id = 0;
        if (configure->next.body != NULL) {
            json_object_put(configure->next.body);
            configure->next = (DinvMessage){0};
        }
    }
}

static int parse_configure(const DinvAgent *agent, const DinvMessage *message,
                           DinvConfiguration **configuration, Failure *failure) {
    if (agent->mount_error < 0) {
        failure->what = "mount";
        (void)snprintf(failure->text, sizeof failure->text, "cannot mount %s: %s",
                       agent->mount_error_what, strerror(-agent->mount_error));
        return agent->mount_error;
    }
    failure->what = "configure";
    return dinv_configuration_parse(message->body, configuration, failure->text,
                                    sizeof failure->text);
}

void dinv_agent_configure(DinvAgent *agent, const DinvMessage *message) {
    if (dinv_agent_shutdown_has_begun(agent->shutdown)) {
        dinv_agent_channels_reply_error(agent->channels, message->id, SHUTTING_DOWN);
        return;
    }
    if (agent->configure != NULL) {
        defer_configure(agent->configure, message);
        return;
    }
    DinvAgentConfigure *configure = calloc(1, sizeof *configure);
    Failure failure = {.what = "configure", .text = "out of memory"};
    DinvConfiguration *configuration = NULL;
    int result =
        configure == NULL ? -ENOMEM : parse_configure(agent, message, &configuration, &failure);
    if (result < 0) {
        reject_configure(agent, message->id, &failure);
        free(configure);
        return;
    }
    *configure =
        (DinvAgentConfigure){.agent = agent, .id = message->id, .configuration = configuration};
    agent->configure = configure;
    result = begin_configure(configure);
    if (result < 0) {
        end_configure(configure, result);
    } else {
        advance_configure(configure);
    }
}
