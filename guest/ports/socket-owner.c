/* SPDX-License-Identifier: MIT */
/* A walk over /proc/PID/fd; processes that end meanwhile have nothing any more. */
#include "guest/ports/socket-owner.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "guest/base/files.h"

enum { CGROUP_SIZE = 4096, SHOWN_ID = 12, ID_MIN = 32 };

typedef enum { PROCESS_GUEST, PROCESS_ENGINE, PROCESS_CONTAINER } ProcessKind;

/* The cgroup of version 2, "/" or "/docker/0123…": the line "0::PATH" of /proc/PID/cgroup. False if
 * there is none, as of a process that has ended. */
static bool read_cgroup(const char *directory, char path[CGROUP_SIZE]) {
    char name[64];
    (void)snprintf(name, sizeof name, "%s/cgroup", directory);
    char text[CGROUP_SIZE];
    if (dinv_file_read(name, text, sizeof text) <= 0) {
        return false;
    }
    const char *line = strncmp(text, "0::", 3) == 0 ? text : strstr(text, "\n0::");
    if (line == NULL) {
        return false;
    }
    line += *line == '\n' ? 4 : 3;
    (void)snprintf(path, CGROUP_SIZE, "%.*s", (int)strcspn(line, "\n"), line);
    return true;
}

static bool is_dockerd(const char *directory) {
    char name[64];
    (void)snprintf(name, sizeof name, "%s/comm", directory);
    char text[32];
    return dinv_file_read(name, text, sizeof text) > 0 && strcmp(text, "dockerd\n") == 0;
}

static ProcessKind judge_process(const char *directory, const char *engine_cgroup,
                                 char cgroup[CGROUP_SIZE]) {
    if (!read_cgroup(directory, cgroup) || strcmp(cgroup, "/") == 0) {
        return PROCESS_GUEST;
    }
    size_t len = strlen(engine_cgroup);
    if (strncmp(cgroup + 1, engine_cgroup, len) != 0 ||
        (cgroup[1 + len] != '\0' && cgroup[1 + len] != '/')) {
        return PROCESS_CONTAINER;
    }
    return is_dockerd(directory) ? PROCESS_ENGINE : PROCESS_GUEST;
}

/* The first part of the path that is a container's id ("…/docker/0123…", "…/docker-0123….scope"),
 * shortened as docker ps shows it; else the path. */
static void describe_cgroup(const char *cgroup, char owner[DINV_PORTS_OWNER_SIZE]) {
    for (const char *part = cgroup; *part != '\0'; part++) {
        size_t len = strspn(part, "0123456789abcdef");
        if (len >= ID_MIN) {
            (void)snprintf(owner, DINV_PORTS_OWNER_SIZE, "container %.*s", SHOWN_ID, part);
            return;
        }
        part += len > 0 ? len - 1 : 0;
    }
    (void)snprintf(owner, DINV_PORTS_OWNER_SIZE, "cgroup %.*s", DINV_PORTS_OWNER_SIZE - 8, cgroup);
}

/* The inode of "socket:[4711]"; 0 if the descriptor is something else. */
static uint64_t read_socket(int directory, const char *name) {
    char target[64];
    ssize_t len = readlinkat(directory, name, target, sizeof target - 1);
    uint64_t inode = 0;
    if (len > 0) {
        target[len] = '\0';
        (void)sscanf(target, "socket:[%20" SCNu64 "]", &inode);
    }
    return inode;
}

static void note_owner(DinvPortsSocketOwner *sockets, size_t count, uint64_t inode,
                       ProcessKind kind, const char *cgroup) {
    for (size_t index = 0; inode != 0 && index < count; index++) {
        DinvPortsSocketOwner *socket = &sockets[index];
        if (socket->inode == inode && kind == PROCESS_ENGINE) {
            socket->engine = true;
        } else if (socket->inode == inode) {
            describe_cgroup(cgroup, socket->owner);
        }
    }
}

static void look_at_process(const char *directory, ProcessKind kind, const char *cgroup,
                            DinvPortsSocketOwner *sockets, size_t count) {
    char name[64];
    (void)snprintf(name, sizeof name, "%s/fd", directory);
    DIR *descriptors = opendir(name);
    if (descriptors == NULL) {
        return;
    }
    struct dirent *entry;
    while ((entry = readdir(descriptors)) != NULL) {
        note_owner(sockets, count, read_socket(dirfd(descriptors), entry->d_name), kind, cgroup);
    }
    (void)closedir(descriptors);
}

void dinv_ports_find_owners(const char *proc, const char *engine_cgroup,
                            DinvPortsSocketOwner *sockets, size_t count) {
    for (size_t index = 0; index < count; index++) {
        sockets[index].engine = false;
        sockets[index].owner[0] = '\0';
    }
    DIR *processes = count > 0 ? opendir(proc) : NULL;
    if (processes == NULL) {
        return;
    }
    struct dirent *entry;
    while ((entry = readdir(processes)) != NULL) {
        char directory[48];
        int len = snprintf(directory, sizeof directory, "%s/%s", proc, entry->d_name);
        char cgroup[CGROUP_SIZE];
        if (!isdigit((unsigned char)entry->d_name[0]) || len >= (int)sizeof directory) {
            continue;
        }
        ProcessKind kind = judge_process(directory, engine_cgroup, cgroup);
        if (kind != PROCESS_GUEST) {
            look_at_process(directory, kind, cgroup, sockets, count);
        }
    }
    (void)closedir(processes);
}
