/* SPDX-License-Identifier: MIT */
/*
 * tty: a byte stream to the launcher that is a terminal of the kernel's, on a machine without
 * virtio-serial. Which one it is the kernel's command line says, as NAME=ttyS0.
 */
#pragma once

/* Opens the terminal that the parameter `name` of `command_line` names, and takes every meaning out
 * of its bytes. The descriptor, nonblocking and close-on-exec, or -ENOENT (there is no such
 * parameter, or no such terminal), -EINVAL (it names something else), -errno. `command_line` is the
 * file "/proc/cmdline", `device_directory` "/dev", except in tests. */
int dinv_channel_tty_open(const char *command_line, const char *device_directory, const char *name);
