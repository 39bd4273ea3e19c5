/* SPDX-License-Identifier: MIT */
/* The shared object in a memfd. */
#include "launcher/machine/qemu/preload.h"

#include <sys/mman.h>
#include <unistd.h>

#include "launcher/machine/qemu/listen-backlog-object.h"

int dinv_qemu_preload_open(void) {
#ifdef __SANITIZE_ADDRESS__
    return -1; /* the tests are QEMU then, and the sanitizer's library has to be their first */
#else
    int fd = memfd_create("dinv-listen-backlog", MFD_CLOEXEC);
    if (fd >= 0 && write(fd, listen_backlog_object, sizeof listen_backlog_object) !=
                       (ssize_t)sizeof listen_backlog_object) {
        (void)close(fd);
        return -1;
    }
    return fd;
#endif
}
