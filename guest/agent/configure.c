/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation. `configure` is parsed as a whole first, then carried out step by step, in
 * the loop, as nothing else is to be done meanwhile: it blocks for as long as the mounts need. The
 * steps leave alone what an earlier `configure` has done. A failure of the first `configure` is the
 * end of the machine; a wrong later one is only answered, a machine that works goes on.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "guest/agent/internal.h"
#include "guest/base/files.h"
#include "guest/base/log.h"
#include "guest/disks/disk.h"
#include "guest/mounts/mounts.h"
#include "guest/mounts/shares.h"
#include "guest/network/network.h"
#include "guest/system/system.h"

typedef struct {
    const char *what; /* of the event `failed` */
    char text[512];
} Failure;

typedef struct {
    DinvAgent *agent;
    Failure *failure;
} MountingDisk;

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
    MountingDisk *mounting = user;
    dinv_log_info("checking disk %s", disk->serial);
    dinv_agent_send_phase(mounting->agent, "checking-disk");
}

static void disk_checked(void *user, const DinvDiskConfiguration *disk) {
    MountingDisk *mounting = user;
    (void)disk;
    dinv_agent_send_phase(mounting->agent, "disk-checked");
}

static void disk_damaged(void *user, const DinvDiskConfiguration *disk, const char *said) {
    MountingDisk *mounting = user;
    dinv_agent_send_damaged(mounting->agent, disk->serial);
    (void)snprintf(mounting->failure->text, sizeof mounting->failure->text,
                   "disk %s is damaged, and e2fsck cannot repair it without losing something: %s",
                   disk->serial, said);
}

static int mount_disks(DinvAgent *agent, const DinvConfiguration *configuration, Failure *failure) {
    MountingDisk mounting = {agent, failure};
    const DinvDiskObserver observer = {checking_disk, disk_checked, disk_damaged, &mounting};
    for (size_t index = 0; index < configuration->disk_count; index++) {
        const DinvDiskConfiguration *disk = &configuration->disks[index];
        int result = dinv_disk_mount(disk, &observer);
        if (result < 0) {
            failure->what = "disk";
            if (failure->text[0] != '\0') {
                return result; /* disk_damaged() has said it */
            }
            (void)snprintf(failure->text, sizeof failure->text, "cannot mount disk %s on %s: %s",
                           disk->serial, disk->target,
                           result == -ENODEV ? "there is no disk of that serial number"
                                             : strerror(-result));
            return result;
        }
    }
    return 0;
}

static int mount_shares(const DinvConfiguration *configuration, Failure *failure) {
    for (size_t index = 0; index < configuration->mount_count; index++) {
        const DinvMountConfiguration *share = &configuration->mounts[index];
        int result = dinv_mount_share(share);
        if (result < 0) {
            failure->what = "mount";
            (void)snprintf(failure->text, sizeof failure->text, "cannot mount %s %s on %s: %s",
                           share->driver, share->tag, share->target, strerror(-result));
            return result;
        }
    }
    return 0;
}

/* The directories of a file are made too; one that is there already is replaced as a whole. */
static int write_file(const DinvFileConfiguration *file) {
    char directory[4096];
    (void)snprintf(directory, sizeof directory, "%s", file->path);
    char *slash = strrchr(directory, '/');
    *slash = '\0';
    int result = slash > directory ? dinv_make_directories(directory) : 0;
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
    if (agent->engine_started) {
        return 0;
    }
    const char *program = NULL;
    int result = dinv_agent_start_engine(agent, configuration, &program);
    if (result < 0) {
        failure->what = "dockerd";
        (void)snprintf(failure->text, sizeof failure->text, "cannot start %s: %s", program,
                       result == -ENOENT ? "there is no such program in the image"
                                         : strerror(-result));
        return result;
    }
    agent->engine_started = true;
    (void)dinv_agent_life_set(&agent->life, DINV_AGENT_LIFE_STARTING);
    dinv_agent_send_phase(agent, "dockerd-started");
    return 0;
}

static int carry_out(DinvAgent *agent, const DinvConfiguration *configuration, Failure *failure) {
    int result = set_identity(configuration, failure);
    if (result < 0) {
        return result;
    }
    dinv_system_set_sysctls();
    dinv_agent_send_phase(agent, "configured");
    result = mount_disks(agent, configuration, failure);
    result = result == 0 ? write_files(configuration, failure) : result;
    result = result == 0 ? mount_shares(configuration, failure) : result;
    if (result < 0) {
        return result;
    }
    dinv_mounts_inodes_set_max(agent->inodes, configuration->inodes_max);
    dinv_agent_send_phase(agent, "data-mounted");
    result = set_network(configuration, failure);
    if (result < 0) {
        return result;
    }
    redirect_names(agent, configuration);
    dinv_agent_send_phase(agent, "network-up");
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
static void reject(DinvAgent *agent, const DinvMessage *message, const Failure *failure) {
    dinv_channel_control_reply_error(agent->control, message->id, failure->text);
    if (agent->configuration == NULL) {
        dinv_agent_fail(agent, failure->what, failure->text, false);
    } else {
        dinv_log_warning("a later configure failed: %s, ignoring", failure->text);
    }
}

void dinv_agent_configure(DinvAgent *agent, const DinvMessage *message) {
    Failure failure = {.what = "configure"};
    DinvConfiguration *configuration = NULL;
    int result = 0;
    if (agent->mount_error < 0) {
        result = agent->mount_error;
        failure.what = "mount";
        (void)snprintf(failure.text, sizeof failure.text, "cannot mount %s: %s",
                       agent->mount_error_what, strerror(-result));
    } else {
        result = dinv_configuration_parse(message->body, &configuration, failure.text,
                                          sizeof failure.text);
    }
    if (result == 0) {
        result = carry_out(agent, configuration, &failure);
    }
    if (result < 0) {
        reject(agent, message, &failure);
        dinv_configuration_free(configuration);
        return;
    }
    if (agent->configuration != NULL) {
        warn_about_late_changes(agent->configuration, configuration);
        dinv_configuration_free(agent->configuration);
    }
    agent->configuration = configuration;
    dinv_channel_control_reply(agent->control, message->id, NULL);
    if (agent->life.state == DINV_AGENT_LIFE_READY) {
        dinv_agent_send_ready(agent); /* to a launcher that came later */
    }
}
