/* SPDX-License-Identifier: MIT */
/*
 * exec-request: the JSON argument of the `exec` service (docs/relay-protocol.md) taken apart:
 * {"argv": […], "tty": bool, "env": {NAME: value}, "cwd": path, "rows": n, "cols": n}, all
 * optional.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

typedef struct {
    char **argv;        /* NULL-terminated, at least one */
    char **environment; /* whole: defaults, then what was given; NULL-terminated */
    char *directory;    /* NULL: / */
    char *user;         /* NULL: root */
    bool home_is_given; /* by `env`; else it is root's and may be replaced */
    bool terminal;
    unsigned short rows; /* 0: not known */
    unsigned short columns;
} DinvServiceExecRequest;

/* 0 with *request owned by the caller, -EINVAL (not such an argument) or -ENOMEM. */
int dinv_service_exec_request_parse(const char *text, size_t len, DinvServiceExecRequest **request);
void dinv_service_exec_request_free(DinvServiceExecRequest *request);
/* Replaces the HOME and USER that were not given. 0 or -ENOMEM. */
int dinv_service_exec_request_set_home(DinvServiceExecRequest *request, const char *user,
                                       const char *home);
