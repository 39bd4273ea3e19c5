/* SPDX-License-Identifier: MIT */
/*
 * A seccomp filter from tables. A system call that no table has fails with EPERM, so that what a
 * library only tries out does no harm; one of another architecture does, too.
 *
 * A table has calls that are left as they are, and rules for calls of which only some are. Several
 * rules for one call are alternatives; all checks of a rule have to hold. The filter is a binary
 * tree over the numbers, so that it costs little where every call of a guest goes through it.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* What an argument is compared with, in its lower 32 bits, which is all that the kernel takes of
 * these arguments. */
typedef enum {
    DINV_CONFINE_ONE_OF,     /* (argument & mask) is one of `values` */
    DINV_CONFINE_SELF,       /* it is the pid of the process that is confined */
    DINV_CONFINE_NOT_PARENT, /* it is not the pid of its parent */
} DinvConfineKind;

#define DINV_CONFINE_VALUES_MAX 12
#define DINV_CONFINE_CHECKS_MAX 3

typedef struct {
    DinvConfineKind kind;
    unsigned argument; /* 0 to 5 */
    uint32_t mask;
    int count;
    uint32_t values[DINV_CONFINE_VALUES_MAX];
} DinvConfineCheck;

typedef struct {
    int call;
    int error; /* what the call fails with otherwise; 0: EPERM. Its last rule decides. */
    int count; /* 0: it always fails */
    DinvConfineCheck checks[DINV_CONFINE_CHECKS_MAX];
} DinvConfineRule;

typedef struct {
    const int *calls;
    size_t call_count;
    const DinvConfineRule *rules; /* those of one call beside one another */
    size_t rule_count;
} DinvConfineTable;

/* Puts the filter before the calling thread, for good; with no_new_privs only. No call may be both
 * among the calls of a table and in a rule. 0, or a negative errno: -E2BIG if the tables are too
 * large, -ENOSYS for an architecture that is not known here. */
int dinv_confine_filter(const DinvConfineTable *const *tables, size_t count);
