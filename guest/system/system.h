/* SPDX-License-Identifier: MIT */
/*
 * system: settings of the kernel that a container host has, clock, entropy, and figures.
 */
#pragma once

#include <json-c/json.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

/* Sets the kernel's switches of a container host. What the kernel lacks is left out. */
void dinv_system_set_sysctls(void);
/* 0 or -errno. */
int dinv_system_set_hostname(const char *hostname);
int dinv_system_set_time(const struct timespec *time);
/* The same, but a clock that is off by less than half a second is left alone: programs mind a step
 * more than that, and the message took its time, too. */
int dinv_system_correct_time(const struct timespec *time);
/* Mixes the bytes into the kernel's pool and credits them. 0 or -errno. */
int dinv_system_add_entropy(const uint8_t *bytes, size_t len);

/* Adds memory_total, memory_available, load1, processes and uptime_us to an object. */
void dinv_system_add_stats(struct json_object *to);
