/* SPDX-License-Identifier: MIT */
/* The word of the kernel's command line, and a terminal in raw mode. */
#include "guest/channels/tty.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "guest/base/files.h"

/* With 64 mounts the command line is 3 KB. */
#define COMMAND_LINE_MAX 8192u

/* "ttyS0": a name of a terminal, not a path. */
static bool is_terminal_name(const char *text) {
    static const char digits[] = "0123456789";
    size_t prefix = sizeof "ttyS" - 1;
    return strncmp(text, "ttyS", prefix) == 0 && text[prefix] != '\0' &&
           text[prefix + strspn(text + prefix, digits)] == '\0';
}

/* The value of the last parameter `name`, in `line`, which is taken apart for it; NULL if there is
 * none. */
static const char *find_parameter(char *line, const char *name) {
    size_t length = strlen(name);
    const char *value = NULL;
    char *rest = NULL;
    for (char *word = strtok_r(line, " \n", &rest); word != NULL;
         word = strtok_r(NULL, " \n", &rest)) {
        if (strncmp(word, name, length) == 0 && word[length] == '=') {
            value = word + length + 1;
        }
    }
    return value;
}

static int open_raw(const char *path) {
    int fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) {
        return -errno;
    }
    struct termios terminal;
    int result = tcgetattr(fd, &terminal) < 0 ? -errno : 0;
    if (result == 0) {
        cfmakeraw(&terminal);
        result = tcsetattr(fd, TCSANOW, &terminal) < 0 ? -errno : 0;
    }
    if (result < 0) {
        close(fd);
        return result;
    }
    return fd;
}

int dinv_channel_tty_open(const char *command_line, const char *device_directory,
                          const char *name) {
    char *line = NULL;
    ssize_t length = dinv_file_read_all(command_line, &line, COMMAND_LINE_MAX);
    if (length < 0) {
        return (int)length;
    }
    const char *terminal = find_parameter(line, name);
    char path[256];
    int result = -ENOENT;
    if (terminal != NULL) {
        result = !is_terminal_name(terminal) ||
                         snprintf(path, sizeof path, "%s/%s", device_directory, terminal) >=
                             (int)sizeof path
                     ? -EINVAL
                     : open_raw(path);
    }
    free(line);
    return result;
}
