/* SPDX-License-Identifier: MIT */
/*
 * The room guest/system: what the machine is as a whole, from its kernel's settings to the power
 * switch. Nothing here knows of the engine, the launcher or a configuration.
 *
 * system: settings of the kernel that a container host has, clock, entropy, and figures. Nothing
 * blocks.
 */
#pragma once

#include <json-c/json.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

/* Sets the kernel's switches of a container host. What the kernel lacks is left out. */
void dinv_system_set_sysctls(void);
/* Has the kernel read `kibibytes` at a time ahead on the disk of the file system of `file`.
 * `devices` is "/sys/class/bdi", or stands for it. 0 or -errno: -ENOENT if no disk is behind it. */
int dinv_system_set_read_ahead(const char *devices, const char *file, unsigned kibibytes);
/* 0 or -errno. */
int dinv_system_set_hostname(const char *hostname);
/* Sets CLOCK_REALTIME. 0 or -errno. */
int dinv_system_set_time(const struct timespec *time);
/* Sets CLOCK_REALTIME if it is off by half a second or more. With less it is left alone: programs
 * mind a step more than that, and the message took its time, too. 0 or -errno. */
int dinv_system_correct_time(const struct timespec *time);
/* Mixes the bytes into the kernel's pool and credits them. 0 or -errno. */
int dinv_system_add_entropy(const uint8_t *bytes, size_t len);

/* Adds memory_total, memory_available, load1, processes and uptime_us to an object. */
void dinv_system_add_stats(struct json_object *to);
