/* SPDX-License-Identifier: MIT */
/* The reason for an end of dockerd, from its log. */
#pragma once

#include <glib.h>

/* Why dockerd did not start, in its own words, from the last lines of its log (untrusted): what it
 * prints at its end is no log line with a time. One printable line without what dinv does not use;
 * NULL if there is none. Transfer full. */
char *dinv_engine_reason(const char *log);
