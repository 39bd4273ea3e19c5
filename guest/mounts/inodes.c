/* SPDX-License-Identifier: MIT */
#include "guest/mounts/inodes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guest/base/files.h"
#include "guest/base/log.h"

/* The kernel tells nobody, so somebody has to look. */
#define INTERVAL_MS 1000u

struct DinvMountsInodes {
    DinvLoop *loop;
    DinvTimer *timer;
    DinvMountsInodesOptions options;
    uint64_t max;
    uint64_t threshold; /* `max`, or more where dropping does not help */
    pid_t child;        /* that drops; 0: none */
};

/* proc(5), /proc/sys/fs/inode-nr: those in memory, and how many of them are free. */
static uint64_t count_inodes(const DinvMountsInodes *inodes) {
    char text[64];
    return dinv_file_read(inodes->options.count_path, text, sizeof text) > 0
               ? strtoull(text, NULL, 10)
               : 0;
}

static void look_again(DinvMountsInodes *inodes) {
    if (inodes->max > 0) {
        dinv_timer_set(inodes->timer, inodes->options.interval_ms);
    }
}

static uint64_t next_threshold(const DinvMountsInodes *inodes) {
    uint64_t next = count_inodes(inodes) + inodes->max / 2;
    return next > inodes->max ? next : inodes->max;
}

static void dropped(void *user, pid_t pid, int wait_status) {
    DinvMountsInodes *inodes = user;
    (void)pid;
    inodes->child = 0;
    if (wait_status != 0) {
        dinv_log_warning("cannot drop the caches of files, ignoring");
    }
    inodes->threshold = next_threshold(inodes);
    look_again(inodes);
}

/* Pages, too: an inode that has some is not dropped. It walks all of the caches: in a child, as
 * nothing may block here. */
static int start_dropping(DinvMountsInodes *inodes) {
    pid_t pid = fork();
    if (pid == 0) {
        _exit(dinv_file_write(inodes->options.drop_path, "3") == 0 ? 0 : 1);
    }
    int result = pid < 0 ? -errno : dinv_loop_watch_child(inodes->loop, pid, dropped, inodes);
    if (result == 0) {
        inodes->child = pid;
    }
    return result;
}

static void look(void *user) {
    DinvMountsInodes *inodes = user;
    if (count_inodes(inodes) > inodes->threshold && start_dropping(inodes) == 0) {
        return;
    }
    uint64_t next = next_threshold(inodes);
    if (next < inodes->threshold) { /* what was in use is so no longer */
        inodes->threshold = next;
    }
    look_again(inodes);
}

DinvMountsInodes *dinv_mounts_inodes_new(DinvLoop *loop, const DinvMountsInodesOptions *options) {
    DinvMountsInodes *inodes = calloc(1, sizeof *inodes);
    if (inodes == NULL) {
        return NULL;
    }
    inodes->loop = loop;
    inodes->options = *options;
    if (options->count_path == NULL) {
        inodes->options.count_path = "/proc/sys/fs/inode-nr";
        inodes->options.drop_path = "/proc/sys/vm/drop_caches";
    }
    if (options->interval_ms == 0) {
        inodes->options.interval_ms = INTERVAL_MS;
    }
    inodes->timer = dinv_timer_new(loop, look, inodes);
    if (inodes->timer == NULL) {
        free(inodes);
        return NULL;
    }
    return inodes;
}

void dinv_mounts_inodes_free(DinvMountsInodes *inodes) {
    if (inodes == NULL) {
        return;
    }
    if (inodes->child != 0) {
        dinv_loop_unwatch_child(inodes->loop, inodes->child);
    }
    dinv_timer_free(inodes->timer);
    free(inodes);
}

void dinv_mounts_inodes_set_max(DinvMountsInodes *inodes, uint64_t max) {
    inodes->max = max;
    inodes->threshold = max;
    if (max == 0) {
        dinv_timer_cancel(inodes->timer);
    } else if (inodes->child == 0) {
        dinv_timer_set(inodes->timer, 0);
    }
}
