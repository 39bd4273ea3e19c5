/* SPDX-License-Identifier: MIT */
/* mountinfo: the text taken apart line by line, see mountinfo.h. It is untrusted. */
#include "mountinfo/mountinfo.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum { FIELDS_MAX = 32 };

void dinv_mountinfo_unescape(char *text) {
    char *to = text;
    for (const char *from = text; *from != '\0'; to++) {
        if (from[0] == '\\' && from[1] >= '0' && from[1] <= '3' && from[2] >= '0' &&
            from[2] <= '7' && from[3] >= '0' && from[3] <= '7' && memcmp(from + 1, "000", 3) != 0) {
            *to = (char)((from[1] - '0') << 6 | (from[2] - '0') << 3 | (from[3] - '0'));
            from += 4;
        } else {
            *to = *from++;
        }
    }
    *to = '\0';
}

static bool parse_mount_id(const char *text, int *id) {
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || value < 0 || value > INT_MAX) {
        return false;
    }
    *id = (int)value;
    return true;
}

/* Whether a comma-separated list holds an option. */
static bool has_option(const char *options, const char *option) {
    size_t length = strlen(option);
    for (const char *at = options; *at != '\0'; at += *at == ',') {
        size_t size = strcspn(at, ",");
        if (size == length && memcmp(at, option, length) == 0) {
            return true;
        }
        at += size;
    }
    return false;
}

static char *duplicate_unescaped(const char *text) {
    char *copy = strdup(text);
    if (copy != NULL) {
        dinv_mountinfo_unescape(copy);
    }
    return copy;
}

static void free_texts(DinvMount *mount) {
    free(mount->root);
    free(mount->target);
    free(mount->type);
    free(mount->source);
}

/* `line` is writable and NUL-terminated. 1 if it gave a mount, 0 if not, -ENOMEM. */
static int parse_line(char *line, DinvMount *mount) {
    char *fields[FIELDS_MAX];
    size_t count = 0;
    size_t separator = 0;
    char *rest = NULL;
    for (char *field = strtok_r(line, " ", &rest); field != NULL && count < FIELDS_MAX;
         field = strtok_r(NULL, " ", &rest)) {
        /* The optional fields end at a lone "-"; the six before them are never that. */
        if (separator == 0 && count >= 6 && strcmp(field, "-") == 0) {
            separator = count;
        }
        fields[count++] = field;
    }
    if (separator == 0 || count < separator + 4 || !parse_mount_id(fields[0], &mount->id) ||
        !parse_mount_id(fields[1], &mount->parent)) {
        return 0;
    }
    mount->root = duplicate_unescaped(fields[3]);
    mount->target = duplicate_unescaped(fields[4]);
    mount->type = duplicate_unescaped(fields[separator + 1]);
    mount->source = duplicate_unescaped(fields[separator + 2]);
    mount->readonly = has_option(fields[5], "ro");
    mount->super_readonly = has_option(fields[separator + 3], "ro");
    mount->inert = has_option(fields[5], "nosuid") && has_option(fields[5], "nodev") &&
                   has_option(fields[5], "noexec");
    if (mount->root == NULL || mount->target == NULL || mount->type == NULL ||
        mount->source == NULL) {
        free_texts(mount);
        return -ENOMEM;
    }
    return 1;
}

/* Not strndup(): the text need not end in a NUL, which ASan's strict_string_checks asks of it. */
static char *copy_line(const char *text, size_t len) {
    char *line = malloc(len + 1);
    if (line != NULL) {
        memcpy(line, text, len);
        line[len] = '\0';
    }
    return line;
}

int dinv_mountinfo_parse(const char *text, size_t len, DinvMountTable *table) {
    *table = (DinvMountTable){0};
    int result = 0;
    while (len > 0 && result >= 0) {
        const char *newline = memchr(text, '\n', len);
        size_t line_len = newline != NULL ? (size_t)(newline - text) : len;
        char *line = copy_line(text, line_len);
        DinvMount *grown = reallocarray(table->mounts, table->count + 1, sizeof *grown);
        if (grown != NULL) {
            table->mounts = grown;
        }
        result = line == NULL || grown == NULL ? -ENOMEM
                                               : parse_line(line, &table->mounts[table->count]);
        free(line);
        table->count += result > 0 ? 1 : 0;
        text += line_len + (newline != NULL ? 1 : 0);
        len -= line_len + (newline != NULL ? 1 : 0);
    }
    if (result < 0) {
        dinv_mountinfo_clear(table);
        return result;
    }
    return 0;
}

void dinv_mountinfo_clear(DinvMountTable *table) {
    for (size_t index = 0; index < table->count; index++) {
        free_texts(&table->mounts[index]);
    }
    free(table->mounts);
    *table = (DinvMountTable){0};
}

const DinvMount *dinv_mountinfo_find(const DinvMountTable *table, const char *target) {
    const DinvMount *found = NULL;
    for (size_t index = 0; index < table->count; index++) {
        if (strcmp(table->mounts[index].target, target) == 0) {
            found = &table->mounts[index];
        }
    }
    return found;
}
