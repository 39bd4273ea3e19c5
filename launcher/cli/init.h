/* SPDX-License-Identifier: MIT */
/*
 * The duties of a container's PID 1, apart from the launcher's work: the launcher runs as its
 * child, signals from outside are passed on, every orphan is reaped. And what every program should
 * find at its start.
 */
#pragma once

/* Opens /dev/null for each of stdin, stdout and stderr that we were started without: or a socket
 * would get its number, and our messages for people. Call first. */
void dinv_cli_init_descriptors(void);

/* As PID 1: forks; returns in the child, and ends the parent with the child's status when the
 * child ends. Otherwise does nothing. Call before any thread or GLib source exists. */
void dinv_cli_init_split(void);
