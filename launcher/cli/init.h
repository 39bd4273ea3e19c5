/* SPDX-License-Identifier: MIT */
/*
 * What is done before anything else: the standard descriptors are there, and a container's PID 1 is
 * a process of its own, whose child is the launcher. It passes signals on and reaps every orphan.
 */
#pragma once

/* Opens /dev/null for each of stdin, stdout and stderr that we were started without; otherwise a
 * socket would get its number, and with it our messages for people. Call first. */
void dinv_cli_init_descriptors(void);

/* As PID 1: forks; returns in the child, and ends the parent with the child's status when the
 * child ends. Otherwise does nothing. Call before any thread or GLib source exists. */
void dinv_cli_init_split(void);
