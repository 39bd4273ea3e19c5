/* SPDX-License-Identifier: MIT */
/* A limit is the whole process's, and so is what is remembered of it. */
#include "launcher/base/files-limit.h"

#include <stdbool.h>

static struct rlimit given;
static bool is_raised;

struct rlimit dinv_files_limit_get_given(void) {
    struct rlimit now = given;
    if (!is_raised) {
        (void)getrlimit(RLIMIT_NOFILE, &now);
    }
    return now;
}

void dinv_files_limit_raise(void) {
    given = dinv_files_limit_get_given();
    struct rlimit most = {.rlim_cur = given.rlim_max, .rlim_max = given.rlim_max};
    is_raised = is_raised || setrlimit(RLIMIT_NOFILE, &most) == 0;
}

void dinv_files_limit_restore(void) {
    if (is_raised) {
        (void)setrlimit(RLIMIT_NOFILE, &given);
    }
}
