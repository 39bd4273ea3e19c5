/* SPDX-License-Identifier: MIT */
/* link(2) after unlink(2): dockerd makes its socket anew at each start. */
#include "guest/engine/socket-names.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest/base/files.h"
#include "guest/base/log.h"

/* 0 or -errno. */
static int make_name(const char *socket, const char *name) {
    struct stat mine;
    struct stat there;
    int result = dinv_make_parents(name);
    if (result < 0) {
        return result;
    }
    if (stat(socket, &mine) < 0) {
        return -errno;
    }
    if (lstat(name, &there) == 0) {
        if (there.st_dev == mine.st_dev && there.st_ino == mine.st_ino) {
            return 0;
        }
        if (!S_ISSOCK(there.st_mode)) {
            return -EEXIST;
        }
        (void)unlink(name);
    }
    return link(socket, name) == 0 ? 0 : -errno;
}

void dinv_engine_name_socket(const char *socket, char *const *names) {
    for (size_t i = 0; names[i] != NULL; i++) {
        int result = make_name(socket, names[i]);
        if (result < 0) {
            dinv_log_warning("containers do not find the engine's socket at %s: %s, ignoring",
                             names[i], strerror(-result));
        }
    }
}
