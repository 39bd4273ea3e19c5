/* SPDX-License-Identifier: MIT */
/* The log on a terminal and in a file, and untrusted text made printable. */
#include "launcher/base/log.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define ERASE "\r\033[K"

/* --- The waiting line --- */

typedef struct {
    int screen; /* the terminal's other side */
    int real_log;
} Fixture;

/* Docker gives a terminal a size when somebody attaches to it. */
static void set_rows(const Fixture *fixture, unsigned short rows) {
    const struct winsize size = {.ws_row = rows, .ws_col = rows > 0 ? 80 : 0};
    g_assert_cmpint(ioctl(fixture->screen, TIOCSWINSZ, &size), ==, 0);
}

static void set_up(Fixture *fixture, gconstpointer data) {
    (void)data;
    fixture->screen = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
    g_assert_cmpint(fixture->screen, >=, 0);
    g_assert_cmpint(grantpt(fixture->screen), ==, 0);
    g_assert_cmpint(unlockpt(fixture->screen), ==, 0);
    int terminal = open(ptsname(fixture->screen), O_RDWR | O_NOCTTY | O_CLOEXEC);
    g_assert_cmpint(terminal, >=, 0);
    fixture->real_log = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    g_assert_cmpint(dup2(terminal, STDERR_FILENO), ==, STDERR_FILENO);
    close(terminal);
    set_rows(fixture, 24);
    dinv_log_start(DINV_LOG_INFO);
}

static void tear_down(Fixture *fixture, gconstpointer data) {
    (void)data;
    dinv_log_waiting_for(NULL);
    g_assert_cmpint(dup2(fixture->real_log, STDERR_FILENO), ==, STDERR_FILENO);
    close(fixture->real_log);
    close(fixture->screen);
    dinv_log_start(DINV_LOG_INFO);
}

/*
 * What was written to the terminal since the last call. The kernel hands it to the other side in a
 * work queue of its own, so a mark is written behind it and waited for.
 */
static char *take_screen(const Fixture *fixture) {
    static const char mark = '\x01';
    g_assert_cmpint(write(STDERR_FILENO, &mark, 1), ==, 1);
    g_autoptr(GString) text = g_string_new(NULL);
    while (text->len == 0 || text->str[text->len - 1] != mark) {
        struct pollfd screen = {.fd = fixture->screen, .events = POLLIN};
        g_assert_cmpint(poll(&screen, 1, 10000), ==, 1);
        char part[4096];
        ssize_t got = read(fixture->screen, part, sizeof part);
        g_assert_cmpint(got, >, 0);
        g_string_append_len(text, part, got);
    }
    g_string_truncate(text, text->len - 1);
    return g_string_free(g_steal_pointer(&text), FALSE);
}

static guint count(const char *text, const char *part) {
    guint found = 0;
    for (const char *p = text; (p = strstr(p, part)) != NULL; p += strlen(part)) {
        found++;
    }
    return found;
}

/* Waits for `what` and returns the timer that draws it: ids of sources count up. */
static GSource *wait_for(const char *what) {
    guint last_id = g_idle_add(G_SOURCE_FUNC(abort), NULL);
    g_source_remove(last_id);
    dinv_log_waiting_for(what);
    return g_main_context_find_source_by_id(NULL, last_id + 1);
}

/* The timer comes due now and not when its time has come: one turn of the loop. */
static void make_due(GSource *timer) {
    g_source_set_ready_time(timer, 0);
    g_main_context_iteration(NULL, FALSE);
}

/* A turn of the spinner is due half a second after it was asked for, and after the one before. */
static void test_twice_a_second(Fixture *fixture, gconstpointer data) {
    (void)data;
    gint64 before_us = g_get_monotonic_time();
    GSource *timer = wait_for("the kernel");
    g_assert_nonnull(timer);
    g_assert_cmpint(g_source_get_ready_time(timer) - before_us, >=, G_GINT64_CONSTANT(500000));
    g_autofree char *nothing = take_screen(fixture);
    g_assert_cmpstr(nothing, ==, "");
    for (guint i = 0; i < 3; i++) {
        before_us = g_get_monotonic_time();
        make_due(timer);
        g_assert_cmpint(g_source_get_ready_time(timer) - before_us, >=, G_GINT64_CONSTANT(500000));
        g_autofree char *frame = take_screen(fixture);
        g_assert_cmpuint(count(frame, ERASE "dinv: ["), ==, 1);
        g_assert_cmpuint(count(frame, " the kernel"), ==, 1);
        g_assert_cmpuint(strlen(frame), <, 64);
        /* Nothing is drawn between two turns. */
        g_main_context_iteration(NULL, FALSE);
        g_autofree char *between = take_screen(fixture);
        g_assert_cmpstr(between, ==, "");
    }
}

/* Where nobody looks it is said once, in a line; and drawn as soon as somebody does. */
static void test_unwatched(Fixture *fixture, gconstpointer data) {
    (void)data;
    set_rows(fixture, 0);
    GSource *timer = wait_for("the kernel");
    for (guint i = 0; i < 300; i++) {
        make_due(timer);
    }
    g_autofree char *log = take_screen(fixture);
    g_assert_cmpuint(count(log, "waiting for the kernel\r\n"), ==, 1);
    g_assert_cmpuint(count(log, "\n"), ==, 1);
    g_assert_cmpuint(count(log, ERASE), ==, 0);
    set_rows(fixture, 24);
    timer = wait_for("the engine");
    make_due(timer);
    g_autofree char *frame = take_screen(fixture);
    g_assert_cmpuint(count(frame, ERASE "dinv: ["), ==, 1);
}

/* Two minutes and a half do not fill a log. */
static void test_long_wait(Fixture *fixture, gconstpointer data) {
    (void)data;
    GSource *timer = wait_for("the kernel");
    for (guint i = 0; i < 300; i++) {
        make_due(timer);
    }
    g_autofree char *frames = take_screen(fixture);
    g_assert_cmpuint(count(frames, ERASE "dinv: ["), ==, 48);
}

/* Only a line that stands there is erased, and none is drawn anew before its time. */
static void test_messages_between(Fixture *fixture, gconstpointer data) {
    (void)data;
    GSource *timer = wait_for("the kernel");
    dinv_log(DINV_LOG_INFO, "one");
    g_autofree char *before = take_screen(fixture);
    g_assert_cmpuint(count(before, ERASE), ==, 0);
    make_due(timer);
    g_free(take_screen(fixture)); /* the frame that was due */
    dinv_log(DINV_LOG_INFO, "two");
    dinv_log(DINV_LOG_INFO, "three");
    g_autofree char *after = take_screen(fixture);
    g_assert_true(g_str_has_prefix(after, ERASE "dinv: ["));
    g_assert_cmpuint(count(after, ERASE), ==, 1);
    g_assert_cmpuint(count(after, "the kernel"), ==, 0);
    g_assert_cmpuint(count(after, "] two\r\n"), ==, 1);
    g_assert_cmpuint(count(after, "] three\r\n"), ==, 1);
}

/* --- Untrusted text --- */

static void test_printable(void) {
    g_autofree char *text = dinv_log_printable("a\tb\r\n\033[2J\x7f\xff\xc3\xa4");
    g_assert_cmpstr(text, ==, "a\tb\n\\x1b[2J\\x7f\xef\xbf\xbd\xc3\xa4");
    /* CSI as one character, right-to-left override, line separator. */
    const gunichar invisible[] = {0x9b, '1', 'm', 0x202e, 0x2028};
    g_autofree char *hostile = g_ucs4_to_utf8(invisible, G_N_ELEMENTS(invisible), NULL, NULL, NULL);
    g_autofree char *marks = dinv_log_printable(hostile);
    g_assert_cmpstr(marks, ==, "\\x9b1m\\u{202e}\\u{2028}");
}

static void test_printable_line(void) {
    g_autofree char *line = dinv_log_printable_line("a\r\n\nb\033\n");
    g_assert_cmpstr(line, ==, "a  b\\x1b");
    g_autofree char *filler = g_strnfill(1u << 20, 'x');
    g_autofree char *cut = dinv_log_printable_line(filler);
    g_assert_cmpuint(strlen(cut), <=, 1024);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
#define ADD(name, function)                                                                        \
    g_test_add("/launcher/log/" name, Fixture, NULL, set_up, function, tear_down)
    ADD("twice-a-second", test_twice_a_second);
    ADD("unwatched", test_unwatched);
    ADD("long-wait", test_long_wait);
    ADD("messages-between", test_messages_between);
    g_test_add_func("/launcher/log/printable", test_printable);
    g_test_add_func("/launcher/log/printable-line", test_printable_line);
    return g_test_run();
}
