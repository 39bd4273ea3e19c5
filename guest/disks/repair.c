/* SPDX-License-Identifier: MIT */
/* Runs e2fsck as a watched child, and judges its exit status and its output. */
#include "guest/disks/repair.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest/base/log.h"
#include "guest/base/process.h"
#include "guest/disks/superblock.h"

/* Of e2fsck(8), EXIT CODE: a sum of these. */
enum {
    E2FSCK_REPAIRED = 1,
    E2FSCK_REBOOT = 2, /* only for the root file system */
    E2FSCK_NOT_REPAIRED = 4,
    OUTPUT_MAX = 8192,
    LINES_MAX = 20, /* that go into the log */
};

bool dinv_disk_needs_repair(const char *device) {
    DinvDiskSuperblock super;
    int fd = open(device, O_RDONLY | O_CLOEXEC);
    bool needed = fd >= 0 && dinv_disk_superblock_read(fd, &super) == 0 &&
                  (!super.was_unmounted || super.has_errors || super.needs_replay);
    if (fd >= 0) {
        close(fd);
    }
    return needed;
}

int dinv_disk_judge_e2fsck(int wait_status) {
    if (!WIFEXITED(wait_status)) {
        return -EIO;
    }
    int status = WEXITSTATUS(wait_status);
    if ((status & ~(E2FSCK_REPAIRED | E2FSCK_REBOOT)) == 0) {
        return 0;
    }
    return (status & E2FSCK_NOT_REPAIRED) != 0 ? -EUCLEAN : -EIO;
}

/* A check that runs. */
typedef struct {
    DinvLoop *loop;
    DinvDiskRepairEnded ended;
    void *user;
    int output_fd;
    size_t len;
    char text[OUTPUT_MAX]; /* the beginning of the output */
} Repair;

static void repair_free(Repair *repair) {
    if (repair->output_fd >= 0) {
        dinv_loop_unwatch(repair->loop, repair->output_fd);
        close(repair->output_fd);
    }
    free(repair);
}

/* Takes all of the output that has come, so that e2fsck need not wait for room. */
static void read_output(Repair *repair) {
    char rest[512];
    for (;;) {
        size_t room = sizeof repair->text - 1 - repair->len;
        ssize_t got = room > 0 ? read(repair->output_fd, repair->text + repair->len, room)
                               : read(repair->output_fd, rest, sizeof rest);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got == 0) { /* or it would be ready for ever */
            dinv_loop_unwatch(repair->loop, repair->output_fd);
        }
        if (got <= 0) {
            return;
        }
        repair->len += room > 0 ? (size_t)got : 0;
    }
}

static void repair_output_ready(void *user, int fd, short revents) {
    (void)fd;
    (void)revents;
    read_output(user);
}

/* A line without the name of the disk in front, which is its label or its device. */
static const char *skip_name(const char *line) {
    size_t name = strcspn(line, " :");
    const char *rest = line + name;
    return rest[0] == ':' && rest[1] == ' ' ? rest + 1 + strspn(rest + 1, " ") : line;
}

/* Each line to the log, and the one that says most to `said`: what e2fsck gives up about comes
 * before "UNEXPECTED INCONSISTENCY". */
static void report(char *text, bool good, char *said, size_t size) {
    int count = 0;
    bool gave_up = false;
    char *state = NULL;
    for (char *line = strtok_r(text, "\n", &state); line != NULL && count < LINES_MAX;
         line = strtok_r(NULL, "\n", &state)) {
        const char *words = skip_name(line + strspn(line, " \t"));
        if (words[0] == '\0') {
            continue;
        }
        count++;
        gave_up = gave_up || strstr(words, "UNEXPECTED INCONSISTENCY") != NULL;
        if (!gave_up) {
            (void)snprintf(said, size, "%s", words);
        }
        if (good) {
            dinv_log_info("e2fsck: %s", words);
        } else {
            dinv_log_warning("e2fsck: %s", words);
        }
    }
}

static void repair_ended(void *user, pid_t pid, int wait_status) {
    Repair *repair = user;
    char said[256] = "nothing";
    (void)pid;
    read_output(repair);
    repair->text[repair->len] = '\0';
    int result = dinv_disk_judge_e2fsck(wait_status);
    report(repair->text, result == 0, said, sizeof said);
    DinvDiskRepairEnded ended = repair->ended;
    void *ended_user = repair->user;
    repair_free(repair);
    ended(ended_user, result, said);
}

static int start_e2fsck(const DinvDiskRepairPlan *plan, int output_fd, pid_t *pid) {
    char *const argv[] = {(char *)plan->program, "-p", (char *)plan->device,
                          plan->thorough ? "-f" : NULL, NULL};
    char *const environment[] = {DINV_DEFAULT_PATH, "LC_ALL=C", NULL};
    const DinvProcessOptions options = {
        .argv = argv,
        .environment = environment,
        .stdin_fd = -1,
        .stdout_fd = output_fd,
        .stderr_fd = output_fd,
    };
    return dinv_process_start(&options, pid);
}

/* Makes the pipe that e2fsck writes into, and watches our end of it. */
static int make_output(Repair *repair, int *write_fd) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0) {
        return -errno;
    }
    repair->output_fd = ends[0];
    *write_fd = ends[1];
    int result = fcntl(ends[0], F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
    if (result == 0) {
        result = dinv_loop_watch(repair->loop, ends[0], POLLIN, repair_output_ready, repair);
    }
    if (result < 0) {
        close(ends[1]);
    }
    return result;
}

int dinv_disk_repair(DinvLoop *loop, const DinvDiskRepairPlan *plan, DinvDiskRepairEnded ended,
                     void *user) {
    Repair *repair = calloc(1, sizeof *repair);
    if (repair == NULL) {
        return -ENOMEM;
    }
    repair->loop = loop;
    repair->ended = ended;
    repair->user = user;
    repair->output_fd = -1;
    int write_fd = -1;
    int result = make_output(repair, &write_fd);
    if (result == 0) {
        pid_t pid = 0;
        result = start_e2fsck(plan, write_fd, &pid);
        close(write_fd);
        if (result == 0) {
            result = dinv_loop_watch_child(loop, pid, repair_ended, repair);
            if (result < 0) {
                (void)kill(pid, SIGTERM); /* nobody would hear of its end */
            }
        }
    }
    if (result < 0) {
        repair_free(repair);
    }
    return result;
}
