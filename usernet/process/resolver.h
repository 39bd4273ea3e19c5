/* SPDX-License-Identifier: MIT */
/*
 * resolver: the outer resolv.conf for libslirp's resolver, host .3. libslirp looks at the file,
 * once a second and with the first question, when no file can be opened any more. So it is read
 * before, and the stat() and fopen() that libslirp calls are this program's own, as accept() is
 * (doors.h): for that path they answer from what was read, for all others as the C library does.
 */
#pragma once

/* Reads the file; one that cannot be read is as an empty one. */
void dinv_usernet_resolver_read(void);
