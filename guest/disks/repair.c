/* SPDX-License-Identifier: MIT */
#include "guest/disks/repair.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
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

/* Reads all that comes until the end, and keeps the beginning of it, as a string. */
static void read_all(int fd, char *text, size_t size) {
    char rest[512];
    size_t len = 0;
    for (;;) {
        bool full = len == size - 1;
        ssize_t got = full ? read(fd, rest, sizeof rest) : read(fd, text + len, size - 1 - len);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            break;
        }
        len += full ? 0 : (size_t)got;
    }
    text[len] = '\0';
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

int dinv_disk_repair(const char *device, bool thorough, char *said, size_t size) {
    char *const argv[] = {"e2fsck", "-p", (char *)device, thorough ? "-f" : NULL, NULL};
    char *const environment[] = {DINV_DEFAULT_PATH, "LC_ALL=C", NULL};
    static char text[OUTPUT_MAX];
    int ends[2];
    (void)snprintf(said, size, "%s", "nothing");
    if (pipe2(ends, O_CLOEXEC) < 0) {
        return -errno;
    }
    DinvProcessOptions options = {.argv = argv,
                                  .environment = environment,
                                  .stdin_fd = -1,
                                  .stdout_fd = ends[1],
                                  .stderr_fd = ends[1]};
    pid_t pid = 0;
    int result = dinv_process_start(&options, &pid);
    close(ends[1]);
    if (result == 0) {
        int wait_status = 0;
        read_all(ends[0], text, sizeof text);
        while (waitpid(pid, &wait_status, 0) < 0 && errno == EINTR) {
            ;
        }
        result = dinv_disk_judge_e2fsck(wait_status);
        report(text, result == 0, said, size);
    }
    close(ends[0]);
    return result;
}
