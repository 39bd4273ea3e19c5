/* SPDX-License-Identifier: MIT */
/*
 * What the tests of the QMP client share: a client on a socket pair, what it has been told, and the
 * peer at the other end, which the test plays. Included once per test program.
 */
#pragma once

#include <errno.h>
#include <glib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "qmp/client.h"
#include "tests/unit/lib/wait-until.h"

#define GREETING "{\"QMP\": {\"version\": {}, \"capabilities\": [\"oob\"]}}\r\n"
#define FAR_MS   60000u /* a deadline that a passing test never reaches */

typedef struct {
    DinvQmpClient *client;
    int peer; /* blocking */
    GString *events;
    guint replies;
    char *result;   /* JSON text of the last result */
    GError *error;  /* of the last reply that failed */
    GString *order; /* one character per thing that happened */
    GError *end;    /* what `disconnected` said */
    guint disconnects;
    gboolean free_in_callback;
    gboolean call_in_callback;
} Fixture;

static inline void on_reply(struct json_object *result, const GError *error, gpointer user) {
    Fixture *fixture = user;
    g_assert_true((result == NULL) != (error == NULL));
    fixture->replies++;
    g_clear_error(&fixture->error);
    g_clear_pointer(&fixture->result, g_free);
    if (error != NULL) {
        fixture->error = g_error_copy(error);
    } else {
        fixture->result = g_strdup(json_object_to_json_string_ext(result, JSON_C_TO_STRING_PLAIN));
    }
    g_string_append_c(fixture->order, 'r');
    if (fixture->call_in_callback) {
        fixture->call_in_callback = FALSE;
        dinv_qmp_client_call(fixture->client, "again", NULL, FAR_MS, on_reply, fixture);
    }
    if (fixture->free_in_callback && fixture->client != NULL) {
        /* As a user would: nothing refers to the client from here on. */
        dinv_qmp_client_free(g_steal_pointer(&fixture->client));
    }
}

static inline void on_event(DinvQmpClient *client G_GNUC_UNUSED, const char *name,
                            struct json_object *data, gpointer user) {
    Fixture *fixture = user;
    g_string_append_printf(
        fixture->events, "%s%s;", name,
        data == NULL ? "" : json_object_to_json_string_ext(data, JSON_C_TO_STRING_PLAIN));
    g_string_append_c(fixture->order, 'e');
    if (fixture->free_in_callback) {
        dinv_qmp_client_free(g_steal_pointer(&fixture->client));
    }
}

static inline void on_disconnected(DinvQmpClient *client G_GNUC_UNUSED, const GError *error,
                                   gpointer user) {
    Fixture *fixture = user;
    fixture->disconnects++;
    g_clear_error(&fixture->end);
    fixture->end = g_error_copy(error);
    g_string_append_c(fixture->order, 'd');
    if (fixture->free_in_callback) {
        dinv_qmp_client_free(g_steal_pointer(&fixture->client));
    }
}

static const DinvQmpCallbacks callbacks = {.event = on_event, .disconnected = on_disconnected};

static inline void set_up_with(Fixture *fixture, guint handshake_ms) {
    int fds[2];
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), ==, 0);
    fixture->peer = fds[1];
    fixture->events = g_string_new(NULL);
    fixture->order = g_string_new(NULL);
    fixture->client = dinv_qmp_client_new(fds[0], handshake_ms, &callbacks, fixture);
}

static inline void set_up(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    set_up_with(fixture, FAR_MS);
}

static inline void tear_down(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    dinv_qmp_client_free(fixture->client);
    if (fixture->peer >= 0) {
        (void)close(fixture->peer);
    }
    g_string_free(fixture->events, TRUE);
    g_string_free(fixture->order, TRUE);
    g_free(fixture->result);
    g_clear_error(&fixture->error);
    g_clear_error(&fixture->end);
    /* Nothing of the client may be left in the main context. */
    while (g_main_context_iteration(NULL, FALSE)) {
    }
}

/* ---- the peer ---- */

/* The loop runs while the socket is full. */
static inline void say_bytes(Fixture *fixture, const char *bytes, gsize len) {
    while (len > 0) {
        gssize n = send(fixture->peer, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n >= 0) {
            bytes += n;
            len -= (gsize)n;
        } else {
            g_assert_cmpint(errno, ==, EAGAIN);
            g_main_context_iteration(NULL, FALSE);
        }
    }
}

static inline void say(Fixture *fixture, const char *text) {
    say_bytes(fixture, text, strlen(text));
}

/* The next line that the client sends; runs the loop so that it does. */
static inline char *hear(Fixture *fixture) {
    GString *line = g_string_new(NULL);
    guint guard = g_timeout_add(FAR_MS, on_wait_guard, NULL);
    char c = '\0';

    while (c != '\n') {
        gssize n = recv(fixture->peer, &c, 1, MSG_DONTWAIT);
        if (n == 1) {
            g_string_append_c(line, c);
        } else {
            g_assert_cmpint(n, ==, -1);
            g_assert_cmpint(errno, ==, EAGAIN);
            g_main_context_iteration(NULL, TRUE);
        }
    }
    g_source_remove(guard);
    g_string_truncate(line, line->len - 1);
    return g_string_free(line, FALSE);
}

static inline void expect(Fixture *fixture, const char *line) {
    g_autofree char *heard = hear(fixture);
    g_assert_cmpstr(heard, ==, line);
}

/* Greeting and qmp_capabilities. With no call before, the handshake has id 1. */
static inline void shake_hands(Fixture *fixture) {
    say(fixture, GREETING);
    expect(fixture, "{\"execute\":\"qmp_capabilities\",\"id\":1}");
    say(fixture, "{\"return\": {}, \"id\": 1}\r\n{\"event\": \"UP\"}");
    wait_until(fixture->events->len > 0); /* so the reply before it was read, too */
    g_string_truncate(fixture->events, 0);
    g_string_truncate(fixture->order, 0);
}

static inline void call(Fixture *fixture, const char *command) {
    dinv_qmp_client_call(fixture->client, command, NULL, FAR_MS, on_reply, fixture);
}

typedef struct {
    const char *path;
    void (*test)(Fixture *fixture);
} Case;

static inline void run_case(Fixture *fixture, gconstpointer data) {
    const Case *one = data;
    one->test(fixture);
}

/* Adds the tests of a table; each gets a fixture of its own. */
static inline void add_cases(const Case *cases, gsize count) {
    for (gsize i = 0; i < count; i++) {
        g_test_add(cases[i].path, Fixture, &cases[i], set_up, run_case, tear_down);
    }
}
