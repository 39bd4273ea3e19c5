/* SPDX-License-Identifier: MIT */
/*
 * port: one byte stream to the launcher, which comes and goes. In the microVM it is a virtio-serial
 * port (found by its name below /sys/class/virtio-ports); any nonblocking stream descriptor does.
 *
 * A virtio-serial port outlives the launcher's end: as long as nobody is connected outside, poll()
 * says POLLHUP, read() says 0 and write() EAGAIN. poll() cannot wait for the end of that (POLLHUP
 * is always reported), so while hung up the port is not watched but looked at by a timer.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "guest/base/loop.h"

typedef struct DinvChannelPort DinvChannelPort;

typedef struct {
    /* Somebody is connected at the other end: the first time, and again after `disconnected`. */
    void (*connected)(void *user);
    void (*disconnected)(void *user);
    void (*received)(void *user, const uint8_t *bytes, size_t len);
    /* A write that gave -EAGAIN can be tried again. */
    void (*writable)(void *user);
} DinvChannelPortCallbacks;

/* Opens the virtio-serial port called `name`. The descriptor, nonblocking and close-on-exec, or
 * -ENOENT (no such port, yet), -EBUSY (opened already). `class_directory` is
 * "/sys/class/virtio-ports", `device_directory` "/dev", except in tests. */
int dinv_channel_port_find(const char *class_directory, const char *device_directory,
                           const char *name);

/* Takes over `fd`. The callbacks (copied) run only from the loop. NULL if out of memory: then `fd`
 * is the caller's. */
DinvChannelPort *dinv_channel_port_new(DinvLoop *loop, int fd,
                                       const DinvChannelPortCallbacks *callbacks, void *user);
void dinv_channel_port_free(DinvChannelPort *port);

bool dinv_channel_port_is_connected(const DinvChannelPort *port);
/* How many bytes were taken (> 0), -EAGAIN (`writable` follows, or `disconnected`), -ENOTCONN. */
ssize_t dinv_channel_port_write(DinvChannelPort *port, const void *bytes, size_t len);
