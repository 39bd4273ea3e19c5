/* SPDX-License-Identifier: MIT */
/*
 * How many descriptors this process may have (RLIMIT_NOFILE): as many as it is allowed to, for its
 * clients; the programs that it starts for the user get what it was given itself.
 */
#pragma once

#include <sys/resource.h>

/* Sets the soft limit to the hard one. Once, before any of the following is called. */
void dinv_files_limit_raise(void);

/* As it was given to this process. */
struct rlimit dinv_files_limit_get_given(void);

/* Sets it to that again. May be called between fork and exec. */
void dinv_files_limit_restore(void);
