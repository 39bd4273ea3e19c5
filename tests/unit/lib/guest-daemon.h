/* SPDX-License-Identifier: MIT */
/*
 * A program of the engine under supervision. In its place runs the test itself, called with a flag,
 * a mode and a path: what it does then is the test's `main` to say.
 */
#pragma once

#include <stdio.h>

#include "guest/engine/log.h"
#include "tests/unit/lib/guest-harness.h"
#include "tests/unit/lib/scratch.h"

typedef struct {
    Harness harness;
    Scratch scratch;
    DinvEngineLog *log;
    char *socket_path; /* where the program is to listen */
    char *mode;
    char *flag;
    char *command[5];
    char *failure;     /* what the supervision said of its end */
    bool starts_again; /* when it has failed */
} DaemonFixture;

/* What a program does that dies at once. Its exit status. */
static inline int daemon_die_at_start(void) {
    (void)fputs("cannot do it\n", stderr);
    return 3;
}

/* The command is `program` `flag` `mode`, and a path that the test adds. */
static inline void daemon_fixture_init(DaemonFixture *fixture, char *program, const char *flag,
                                       const char *mode) {
    harness_init(&fixture->harness);
    scratch_make(&fixture->scratch);
    fixture->socket_path = scratch_path(&fixture->scratch, "socket");
    g_autofree char *path = scratch_path(&fixture->scratch, "log");
    fixture->log = dinv_engine_log_new(path, 65536);
    g_assert_nonnull(fixture->log);
    fixture->flag = g_strdup(flag);
    fixture->mode = g_strdup(mode);
    fixture->command[0] = program;
    fixture->command[1] = fixture->flag;
    fixture->command[2] = fixture->mode;
}

static inline void daemon_fixture_clear(DaemonFixture *fixture) {
    dinv_engine_log_free(fixture->log);
    g_free(fixture->socket_path);
    g_free(fixture->flag);
    g_free(fixture->mode);
    g_free(fixture->failure);
    scratch_remove(&fixture->scratch);
    harness_clear(&fixture->harness);
}

static inline bool daemon_has_failed(void *user) {
    return ((DaemonFixture *)user)->failure != NULL;
}

/* Waits for a failure that is this one. */
static inline void daemon_expect_failure(DaemonFixture *fixture, const char *text) {
    harness_run_until(&fixture->harness, daemon_has_failed, fixture);
    g_assert_cmpstr(fixture->failure, ==, text);
}

/* What the log ends in. */
static inline void daemon_expect_log(const DaemonFixture *fixture, uint64_t lines,
                                     const char *expected) {
    char *text = dinv_engine_log_get_tail(fixture->log, lines, 4096);
    g_assert_cmpstr(text, ==, expected);
    free(text);
}
