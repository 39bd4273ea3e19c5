/* SPDX-License-Identifier: MIT */
/* What a mount's place in the tree and its type say about how it ends. */
#include "guest/base/mountinfo.h"

#include <stdlib.h>
#include <string.h>

#include "guest/base/files.h"
#include "wire/mounts.h"

enum { FILE_MAX_SIZE = 16 * 1024 * 1024 };

int dinv_mountinfo_load(DinvMountTable *table) {
    char *text;
    ssize_t len = dinv_file_read_all("/proc/self/mountinfo", &text, FILE_MAX_SIZE);
    if (len < 0) {
        return (int)len;
    }
    int result = dinv_mountinfo_parse(text, (size_t)len, table);
    free(text);
    return result;
}

static const DinvMount *find_id(const DinvMountTable *table, int id) {
    for (size_t index = 0; index < table->count; index++) {
        if (table->mounts[index].id == id) {
            return &table->mounts[index];
        }
    }
    return NULL;
}

/* How many mounts it stands upon; bounded, as a broken text might make a circle. */
static size_t depth(const DinvMountTable *table, const DinvMount *mount) {
    size_t depth = 0;
    while (depth < table->count && (mount = find_id(table, mount->parent)) != NULL) {
        depth++;
    }
    return depth;
}

typedef struct {
    DinvMount mount;
    size_t depth;
    size_t index;
} Ranked;

static int compare_ranked(const void *left_pointer, const void *right_pointer) {
    const Ranked *left = left_pointer;
    const Ranked *right = right_pointer;
    if (left->depth != right->depth) {
        return left->depth > right->depth ? -1 : 1;
    }
    return left->index > right->index ? -1 : 1;
}

void dinv_mountinfo_sort_for_unmount(DinvMountTable *table) {
    Ranked *ranked = table->count > 0 ? calloc(table->count, sizeof *ranked) : NULL;
    if (ranked == NULL) {
        return; /* Unsorted is only slower: who unmounts tries again while it makes progress. */
    }
    for (size_t index = 0; index < table->count; index++) {
        ranked[index] = (Ranked){table->mounts[index], depth(table, &table->mounts[index]), index};
    }
    qsort(ranked, table->count, sizeof *ranked, compare_ranked);
    for (size_t index = 0; index < table->count; index++) {
        table->mounts[index] = ranked[index].mount;
    }
    free(ranked);
}

/* Whether `path` is `directory` or below it. */
static bool is_at_or_below(const char *path, const char *directory) {
    size_t len = strlen(directory);
    return strncmp(path, directory, len) == 0 && (path[len] == '\0' || path[len] == '/');
}

bool dinv_mount_is_to_unmount(const DinvMount *mount) {
    return strcmp(mount->target, "/") != 0 && strcmp(mount->target, "/run") != 0 &&
           !is_at_or_below(mount->target, "/proc") && !is_at_or_below(mount->target, "/sys") &&
           !is_at_or_below(mount->target, "/dev");
}

bool dinv_mount_holds_data(const DinvMount *mount) {
    return !mount->super_readonly && strcmp(mount->type, "devtmpfs") != 0 &&
           (strncmp(mount->source, "/dev/", 5) == 0 ||
            strcmp(mount->type, DINV_WIRE_MOUNT_DRIVER_9P) == 0 ||
            strcmp(mount->type, DINV_WIRE_MOUNT_DRIVER_VIRTIOFS) == 0 ||
            strncmp(mount->type, "fuse", 4) == 0);
}
