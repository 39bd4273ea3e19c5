/* SPDX-License-Identifier: MIT */
/* Looks at the number of inodes now and then, and has a worker drop the caches when it is high. */
#include "guest/mounts/inodes.h"

#include <stdlib.h>

#include "guest/base/files.h"
#include "guest/base/log.h"
#include "guest/base/process.h"

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

static void inodes_dropped(void *user, pid_t pid, int wait_status) {
    DinvMountsInodes *inodes = user;
    (void)pid;
    inodes->child = 0;
    if (wait_status != 0) {
        dinv_log_warning("cannot drop the caches of files, ignoring");
    }
    inodes->threshold = next_threshold(inodes);
    look_again(inodes);
}

/* In a worker. Pages are dropped, too: an inode that has some is not dropped without them. */
static int inodes_drop(void *user) {
    const DinvMountsInodes *inodes = user;
    return dinv_file_write(inodes->options.drop_path, "3") == 0 ? 0 : 1;
}

/* The kernel walks all of its caches for it, which takes long. */
static int start_dropping(DinvMountsInodes *inodes) {
    pid_t pid = 0;
    int result = dinv_process_fork_worker(inodes_drop, inodes, NULL, 0, &pid);
    if (result == 0) {
        result = dinv_loop_watch_child(inodes->loop, pid, inodes_dropped, inodes);
    }
    if (result == 0) {
        inodes->child = pid;
    }
    return result;
}

static void inodes_look(void *user) {
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
    inodes->timer = dinv_timer_new(loop, inodes_look, inodes);
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
