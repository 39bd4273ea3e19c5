/* SPDX-License-Identifier: MIT */
/*
 * The table of states × events, tested against two things that know nothing of it: the tables of
 * docs/relay-protocol.md, and a mux that is led into every state and shown every event.
 */
#include <errno.h>
#include <glib.h>
#include <string.h>

#include "relay/mux-internal.h"
#include "relay/state.h"
#include "tests/unit/lib/relay-pair.h"

/* The names that the documentation uses. */
static const char *state_name(guint state) {
    static const char *const names[DINV_RELAY_STATES] = {
        [DINV_RELAY_STATE_OPENING] = "opening",
        [DINV_RELAY_STATE_OPENING_FINISHED] = "opening-finished",
        [DINV_RELAY_STATE_OFFERED] = "offered",
        [DINV_RELAY_STATE_OFFERED_FINISHED] = "offered-finished",
        [DINV_RELAY_STATE_OPEN] = "open",
        [DINV_RELAY_STATE_FINISHED_LOCAL] = "finished-local",
        [DINV_RELAY_STATE_FINISHED_PEER] = "finished-peer",
        [DINV_RELAY_STATE_FINISHED_BOTH] = "finished-both",
        [DINV_RELAY_STATE_UNREAD] = "unread",
        [DINV_RELAY_STATE_BROKEN] = "broken",
        [DINV_RELAY_STATE_LINGERING] = "lingering",
        [DINV_RELAY_STATE_LEAVING] = "leaving",
        [DINV_RELAY_STATE_GONE] = "gone",
    };
    return names[state];
}

static const char *event_name(guint event) {
    static const char *const names[DINV_RELAY_EVENTS] = {
        [DINV_RELAY_EVENT_ACCEPT] = "accept",      [DINV_RELAY_EVENT_REFUSE] = "refuse",
        [DINV_RELAY_EVENT_FINISH] = "finish",      [DINV_RELAY_EVENT_CLOSE] = "close",
        [DINV_RELAY_EVENT_PEER_ACCEPT] = "ACCEPT", [DINV_RELAY_EVENT_PEER_REFUSED] = "REFUSED",
        [DINV_RELAY_EVENT_PEER_DATA] = "DATA",     [DINV_RELAY_EVENT_PEER_CREDIT] = "CREDIT",
        [DINV_RELAY_EVENT_PEER_FIN] = "FIN",       [DINV_RELAY_EVENT_PEER_RESET] = "RESET",
        [DINV_RELAY_EVENT_FAILED] = "failed",      [DINV_RELAY_EVENT_LOST] = "lost",
        [DINV_RELAY_EVENT_FLUSHED] = "flushed",
    };
    return names[event];
}

static const char *notify_name(guint notify) {
    static const char *const names[] = {
        [DINV_RELAY_NOTIFY_NOTHING] = "",          [DINV_RELAY_NOTIFY_OPENED] = "opened",
        [DINV_RELAY_NOTIFY_REFUSED] = "refused",   [DINV_RELAY_NOTIFY_READABLE] = "readable",
        [DINV_RELAY_NOTIFY_WRITABLE] = "writable", [DINV_RELAY_NOTIFY_RESET] = "reset",
    };
    return names[notify];
}

static void test_complete(void) {
    for (guint state = 0; state < DINV_RELAY_STATES; state++) {
        for (guint event = 0; event < DINV_RELAY_EVENTS; event++) {
            const DinvRelayTransition *cell = dinv_relay_transition(state, event);
            g_assert_cmpuint(cell->verdict, !=, DINV_RELAY_VERDICT_NONE);
            g_assert_cmpuint(cell->verdict, <=, DINV_RELAY_VERDICT_VIOLATION);
            g_assert_cmpuint(cell->next, <, DINV_RELAY_STATES);
        }
    }
}

/* The cell in the words of the documentation. */
static char *describe(const DinvRelayTransition *cell) {
    const char *notify = notify_name(cell->notify);
    g_autofree char *suffix = *notify != '\0' ? g_strdup_printf(" (%s)", notify) : g_strdup("");
    switch ((DinvRelayVerdict)cell->verdict) {
    case DINV_RELAY_VERDICT_GO:
        return g_strdup_printf("→ %s%s", state_name(cell->next), suffix);
    case DINV_RELAY_VERDICT_TAKE:
        return g_strdup_printf("take%s", suffix);
    case DINV_RELAY_VERDICT_IGNORE:
        return g_strdup("·");
    case DINV_RELAY_VERDICT_VIOLATION:
        return g_strdup("violation");
    case DINV_RELAY_VERDICT_NONE:
        break;
    }
    return g_strdup("?");
}

static gint find_name(const char *name, guint count, const char *(*name_of)(guint)) {
    for (guint i = 0; i < count; i++) {
        if (strcmp(name, name_of(i)) == 0) {
            return (gint)i;
        }
    }
    return -1;
}

/* The cells of a line "| a | b |", or NULL. */
static char **split_row(const char *line) {
    if (!g_str_has_prefix(line, "| ") || !g_str_has_suffix(line, " |")) {
        return NULL;
    }
    g_autofree char *inner = g_strndup(line + 2, strlen(line) - 4);
    return g_strsplit(inner, " | ", -1);
}

static void test_documented(void) {
    g_autofree char *path =
        g_build_filename(g_getenv("DINV_SOURCE_ROOT"), "docs", "relay-protocol.md", NULL);
    g_autofree char *text = NULL;
    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    g_auto(GStrv) head = NULL;
    guint seen = 0;
    for (guint i = 0; lines[i] != NULL; i++) {
        g_auto(GStrv) cells = split_row(lines[i]);
        if (cells == NULL) {
            continue;
        }
        if (strcmp(cells[0], "state") == 0) {
            g_strfreev(g_steal_pointer(&head));
            head = g_steal_pointer(&cells);
            continue;
        }
        gint state = find_name(cells[0], DINV_RELAY_STATES, state_name);
        for (guint column = 1; state >= 0 && head != NULL && cells[column] != NULL; column++) {
            gint event = find_name(head[column], DINV_RELAY_EVENTS, event_name);
            g_assert_cmpint(event, >=, 0);
            g_autofree char *expected = describe(dinv_relay_transition((guint)state, (guint)event));
            g_test_message("%s, %s", cells[0], head[column]);
            g_assert_cmpstr(cells[column], ==, expected);
            seen++;
        }
    }
    g_assert_cmpuint(seen, ==, (gsize)DINV_RELAY_STATES * DINV_RELAY_EVENTS);
}

/* --- A mux in every state, and every event --- */

/* The guest's side is played by hand: its frames are made here. */
typedef struct {
    RelaySide side; /* the launcher, whose stream is watched */
    DinvRelayStream *stream;
    uint32_t id;
} Scene;

static void feed_frame(Scene *scene, DinvRelayFrameType type, uint32_t stream,
                       const uint8_t *payload, uint32_t len, int expected) {
    uint8_t frame[256];
    dinv_relay_header_encode(frame, type, len, stream);
    if (len > 0) {
        memcpy(frame + DINV_RELAY_HEADER_SIZE, payload, len);
    }
    g_assert_cmpint(dinv_relay_mux_feed(scene->side.mux, frame, DINV_RELAY_HEADER_SIZE + len), ==,
                    expected);
}

static void feed_hello(Scene *scene, uint64_t epoch) {
    uint8_t frame[DINV_RELAY_HELLO_SIZE];
    const DinvRelayHello hello = {.version = DINV_RELAY_VERSION,
                                  .role = DINV_RELAY_GUEST,
                                  .answering = true,
                                  .window = 1000,
                                  .epoch = epoch,
                                  .answers = 0x1111};
    dinv_relay_hello_encode(frame, &hello);
    g_assert_cmpint(dinv_relay_mux_feed(scene->side.mux, frame, sizeof(frame)), ==, 0);
}

static void pull_all(Scene *scene) {
    uint8_t buffer[4096];
    while (relay_pull(scene->side.mux, buffer, sizeof(buffer)) > 0) {
    }
}

static void peer_event(Scene *scene, DinvRelayEvent event, int expected) {
    static const struct {
        DinvRelayFrameType type;
        uint8_t payload[4];
        uint32_t len;
    } frames[DINV_RELAY_EVENTS] = {
        [DINV_RELAY_EVENT_PEER_ACCEPT] = {DINV_RELAY_FRAME_ACCEPT, {0}, 0},
        [DINV_RELAY_EVENT_PEER_REFUSED] = {DINV_RELAY_FRAME_REFUSED, {0, 0, 0, 2}, 4},
        [DINV_RELAY_EVENT_PEER_DATA] = {DINV_RELAY_FRAME_DATA, {'d', 'a', 't', 'a'}, 4},
        [DINV_RELAY_EVENT_PEER_CREDIT] = {DINV_RELAY_FRAME_CREDIT, {0, 0, 0, 1}, 4},
        [DINV_RELAY_EVENT_PEER_FIN] = {DINV_RELAY_FRAME_FIN, {0}, 0},
        [DINV_RELAY_EVENT_PEER_RESET] = {DINV_RELAY_FRAME_RESET, {0, 0, 0, 5}, 4},
    };
    feed_frame(scene, frames[event].type, scene->id, frames[event].payload, frames[event].len,
               expected);
}

static void scene_begin(Scene *scene, gboolean ours) {
    relay_side_init(&scene->side, DINV_RELAY_LAUNCHER, 0x1111, NULL);
    scene->side.accept = FALSE;
    scene->side.consume = FALSE;
    feed_hello(scene, 0x2222);
    if (ours) {
        scene->stream = relay_open(&scene->side, "service");
        pull_all(scene);
        scene->id = 2;
    } else {
        feed_frame(scene, DINV_RELAY_FRAME_OPEN, 1, (const uint8_t *)"\1s", 2, 0);
        scene->stream = relay_side_stream(&scene->side, 0);
        pull_all(scene);
        scene->id = 1;
    }
}

/* The stream accepted, one byte sent (so that a credit of one is in order). */
static void scene_open(Scene *scene) {
    scene_begin(scene, TRUE);
    peer_event(scene, DINV_RELAY_EVENT_PEER_ACCEPT, 0);
    g_assert_cmpint(dinv_relay_stream_write(scene->stream, "x", 1), ==, 1);
    pull_all(scene);
}

/* False for a state in which there is no stream any more. */
static gboolean scene_enter(Scene *scene, DinvRelayState state) {
    switch (state) {
    case DINV_RELAY_STATE_OPENING:
    case DINV_RELAY_STATE_OPENING_FINISHED:
        scene_begin(scene, TRUE);
        break;
    case DINV_RELAY_STATE_OFFERED:
    case DINV_RELAY_STATE_OFFERED_FINISHED:
        scene_begin(scene, FALSE);
        break;
    case DINV_RELAY_STATE_OPEN:
    case DINV_RELAY_STATE_FINISHED_LOCAL:
        scene_open(scene);
        break;
    case DINV_RELAY_STATE_FINISHED_PEER:
    case DINV_RELAY_STATE_FINISHED_BOTH:
        scene_open(scene);
        peer_event(scene, DINV_RELAY_EVENT_PEER_FIN, 0);
        break;
    case DINV_RELAY_STATE_UNREAD:
        scene_open(scene);
        peer_event(scene, DINV_RELAY_EVENT_PEER_FIN, 0);
        peer_event(scene, DINV_RELAY_EVENT_PEER_RESET, 0);
        break;
    case DINV_RELAY_STATE_BROKEN:
        scene_open(scene);
        peer_event(scene, DINV_RELAY_EVENT_PEER_RESET, 0);
        break;
    case DINV_RELAY_STATE_LINGERING:
        scene_open(scene);
        peer_event(scene, DINV_RELAY_EVENT_PEER_FIN, 0);
        g_assert_cmpint(dinv_relay_stream_write(scene->stream, "more", 4), ==, 4);
        dinv_relay_stream_finish(scene->stream);
        dinv_relay_stream_close(scene->stream, 0);
        break;
    case DINV_RELAY_STATE_LEAVING:
        scene_open(scene);
        dinv_relay_stream_close(scene->stream, 0);
        break;
    case DINV_RELAY_STATE_GONE:
        return FALSE;
    }
    if (state == DINV_RELAY_STATE_OPENING_FINISHED || state == DINV_RELAY_STATE_OFFERED_FINISHED ||
        state == DINV_RELAY_STATE_FINISHED_LOCAL || state == DINV_RELAY_STATE_FINISHED_BOTH) {
        dinv_relay_stream_finish(scene->stream);
    }
    g_assert_cmpstr(state_name(scene->stream->state), ==, state_name(state));
    g_string_truncate(scene->side.log, 0);
    return TRUE;
}

/* Whether the user of the mux can cause the event in this state at all. */
static gboolean user_can(DinvRelayState state, DinvRelayEvent event) {
    gboolean has_handle = state != DINV_RELAY_STATE_LINGERING && state != DINV_RELAY_STATE_LEAVING;
    return has_handle && event != DINV_RELAY_EVENT_FAILED && event != DINV_RELAY_EVENT_FLUSHED;
}

static gboolean is_peer_event(DinvRelayEvent event) {
    return event >= DINV_RELAY_EVENT_PEER_ACCEPT && event <= DINV_RELAY_EVENT_PEER_RESET;
}

static void cause(Scene *scene, DinvRelayEvent event, int expected) {
    switch (event) {
    case DINV_RELAY_EVENT_ACCEPT:
        dinv_relay_stream_accept(scene->stream);
        break;
    case DINV_RELAY_EVENT_REFUSE:
        dinv_relay_stream_refuse(scene->stream, EPERM);
        break;
    case DINV_RELAY_EVENT_FINISH:
        dinv_relay_stream_finish(scene->stream);
        break;
    case DINV_RELAY_EVENT_CLOSE:
        dinv_relay_stream_close(scene->stream, 0);
        break;
    case DINV_RELAY_EVENT_PEER_ACCEPT:
    case DINV_RELAY_EVENT_PEER_REFUSED:
    case DINV_RELAY_EVENT_PEER_DATA:
    case DINV_RELAY_EVENT_PEER_CREDIT:
    case DINV_RELAY_EVENT_PEER_FIN:
    case DINV_RELAY_EVENT_PEER_RESET:
        peer_event(scene, event, expected);
        break;
    case DINV_RELAY_EVENT_LOST:
        feed_hello(scene, 0x3333);
        break;
    case DINV_RELAY_EVENT_FAILED:
        dinv_relay_stream_notify(
            scene->stream, dinv_relay_stream_event(scene->stream, event, ENOMEM)->notify, ENOMEM);
        break;
    case DINV_RELAY_EVENT_FLUSHED:
        pull_all(scene);
        break;
    }
}

/* The log that the callback of the cell leaves. */
static char *expected_log(const DinvRelayTransition *cell, DinvRelayEvent event) {
    int error = event == DINV_RELAY_EVENT_LOST     ? ECONNRESET
                : event == DINV_RELAY_EVENT_FAILED ? ENOMEM
                                                   : 5;
    switch ((DinvRelayNotify)cell->notify) {
    case DINV_RELAY_NOTIFY_REFUSED:
        return g_strdup("refused:2 ");
    case DINV_RELAY_NOTIFY_RESET:
        return g_strdup_printf("reset:%d ", error);
    case DINV_RELAY_NOTIFY_OPENED:
    case DINV_RELAY_NOTIFY_READABLE:
    case DINV_RELAY_NOTIFY_WRITABLE:
        return g_strdup_printf("%s ", notify_name(cell->notify));
    case DINV_RELAY_NOTIFY_NOTHING:
        break;
    }
    return g_strdup("");
}

static gboolean state_has_handle(DinvRelayState state) {
    return state != DINV_RELAY_STATE_LINGERING && state != DINV_RELAY_STATE_LEAVING &&
           state != DINV_RELAY_STATE_GONE;
}

/* Plays one cell. What is left of the stream afterwards is cleared away. */
static void play(DinvRelayState state, DinvRelayEvent event) {
    const DinvRelayTransition *cell = dinv_relay_transition(state, event);
    Scene scene;
    if (!scene_enter(&scene, state)) {
        return;
    }
    gboolean violation = cell->verdict == DINV_RELAY_VERDICT_VIOLATION;
    gboolean handle = state_has_handle(state) && event != DINV_RELAY_EVENT_CLOSE;
    gboolean applicable = user_can(state, event) || is_peer_event(event) ||
                          event == DINV_RELAY_EVENT_LOST || event == DINV_RELAY_EVENT_FLUSHED ||
                          (event == DINV_RELAY_EVENT_FAILED && state_has_handle(state));
    g_test_message("%s, %s", state_name(state), event_name(event));
    if (applicable) {
        cause(&scene, event, violation ? -EPROTO : 0);
        if (violation) { /* which breaks every stream whose user still has it */
            g_assert_cmpstr(scene.side.log->str, ==, handle ? "reset:71 " : "");
        } else if (handle && event != DINV_RELAY_EVENT_FLUSHED) {
            g_autofree char *log = expected_log(cell, event);
            g_assert_cmpstr(scene.side.log->str, ==, log);
            DinvRelayState next =
                cell->verdict == DINV_RELAY_VERDICT_GO ? (DinvRelayState)cell->next : state;
            g_assert_cmpstr(state_name(scene.stream->state), ==, state_name(next));
        }
    }
    if (handle) {
        dinv_relay_stream_close(scene.stream, 0);
    }
    if (!violation) {
        pull_all(&scene);
    }
    /* Nothing of it stays, in whatever state it was. */
    g_assert_cmpuint(scene.side.mux->stream_count, ==, 0);
    relay_side_clear(&scene.side);
}

static void test_every_cell(void) {
    for (guint state = 0; state < DINV_RELAY_STATES; state++) {
        for (guint event = 0; event < DINV_RELAY_EVENTS; event++) {
            play(state, event);
        }
    }
}

/* What read and write answer in each state. */
static void test_answers(void) {
    static const struct {
        DinvRelayState state;
        int write, peek;
    } answers[] = {
        {DINV_RELAY_STATE_OPENING, 0, -EAGAIN},
        {DINV_RELAY_STATE_OPENING_FINISHED, -EPIPE, -EAGAIN},
        {DINV_RELAY_STATE_OFFERED, 0, -EAGAIN},
        {DINV_RELAY_STATE_OFFERED_FINISHED, -EPIPE, -EAGAIN},
        {DINV_RELAY_STATE_OPEN, 0, -EAGAIN},
        {DINV_RELAY_STATE_FINISHED_LOCAL, -EPIPE, -EAGAIN},
        {DINV_RELAY_STATE_FINISHED_PEER, 0, 0},
        {DINV_RELAY_STATE_FINISHED_BOTH, -EPIPE, 0},
        {DINV_RELAY_STATE_UNREAD, -EPIPE, 0},
        {DINV_RELAY_STATE_BROKEN, -ECONNRESET, -ECONNRESET},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(answers); i++) {
        Scene scene;
        g_assert_true(scene_enter(&scene, answers[i].state));
        const uint8_t *bytes;
        g_assert_cmpint(dinv_relay_stream_write(scene.stream, NULL, 0), ==, answers[i].write);
        g_assert_cmpuint(dinv_relay_stream_writable_bytes(scene.stream), ==,
                         answers[i].write == 0 ? 2 * DINV_RELAY_CHUNK_SIZE : 0);
        g_assert_cmpint(dinv_relay_stream_peek(scene.stream, &bytes), ==, answers[i].peek);
        dinv_relay_stream_close(scene.stream, 0);
        relay_side_clear(&scene.side);
    }
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/relay/state/complete", test_complete);
    g_test_add_func("/relay/state/table-is-documented", test_documented);
    g_test_add_func("/relay/state/every-cell", test_every_cell);
    g_test_add_func("/relay/state/answers", test_answers);
    return g_test_run();
}
