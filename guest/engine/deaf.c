/* SPDX-License-Identifier: MIT */
/* The lines NSpid, SigBlk and SigCgt of /proc/PID/status (proc_pid_status(5)). */
#include "guest/engine/deaf.h"

#include <dirent.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest/base/files.h"

enum { STATUS_SIZE = 4096, SIGRTMIN_3 = 37 /* systemd's, which libc numbers otherwise */ };

#define BIT(number) (UINT64_C(1) << ((number)-1))
/* What images name as their STOPSIGNAL. */
#define STOPPING                                                                                   \
    (BIT(SIGTERM) | BIT(SIGINT) | BIT(SIGQUIT) | BIT(SIGHUP) | BIT(SIGUSR1) | BIT(SIGUSR2) |       \
     BIT(SIGWINCH) | BIT(SIGRTMIN_3))

/* Behind the name of a line, NULL if it is not there. */
static const char *find_line(const char *status, const char *name) {
    const char *line = strstr(status, name);
    return line != NULL ? line + strlen(name) : NULL;
}

/* Whether it is process 1 of a PID namespace that lies directly in ours. */
static bool is_first(const char *status) {
    const char *ids = find_line(status, "\nNSpid:");
    unsigned here = 0;
    unsigned inside = 0;
    unsigned deeper = 0;
    return ids != NULL && sscanf(ids, "%u%*1[\t ]%u%*1[\t ]%u", &here, &inside, &deeper) >= 2 &&
           inside == 1 && deeper == 0;
}

/* What is blocked is waited for: by tini (`docker run --init`), or with a signalfd. */
static bool is_deaf(const char *status) {
    const char *blocked = find_line(status, "\nSigBlk:");
    const char *caught = find_line(status, "\nSigCgt:");
    return blocked != NULL && caught != NULL &&
           ((strtoull(blocked, NULL, 16) | strtoull(caught, NULL, 16)) & STOPPING) == 0;
}

unsigned dinv_engine_kill_deaf(const char *proc, int (*send)(pid_t pid, int number)) {
    DIR *directory = opendir(proc);
    unsigned count = 0;
    if (directory == NULL) {
        return 0;
    }
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        char path[512];
        char status[STATUS_SIZE];
        long pid = strtol(entry->d_name, NULL, 10);
        (void)snprintf(path, sizeof path, "%s/%s/status", proc, entry->d_name);
        if (pid > 1 && dinv_file_read(path, status, sizeof status) > 0 && is_first(status) &&
            is_deaf(status) && send((pid_t)pid, SIGKILL) == 0) {
            count++;
        }
    }
    (void)closedir(directory);
    return count;
}
