/* SPDX-License-Identifier: MIT */
/* The control channel: lines in pieces, lines that are too long, a reader that stalls. */
#include "tests/unit/lib/guest-harness.h"

#include "guest/channels/control.h"
#include "wire/control.h"

typedef struct {
    Harness harness;
    DinvChannelControl *control;
    int fd; /* the launcher's end */
    GString *received;
    GString *verbs; /* of the requests that came through */
    guint connected;
    guint lines_wanted;
} Channel;

static void channel_connected(void *user) {
    Channel *channel = user;
    channel->connected++;
}

static void channel_request(void *user, const DinvMessage *message) {
    Channel *channel = user;
    g_string_append_printf(channel->verbs, "%s ", message->verb);
    struct json_object *results = json_object_new_object();
    json_object_object_add(results, "path", json_object_new_string("/a"));
    dinv_channel_control_reply(channel->control, message->id, results);
}

static void channel_readable(void *user, int fd, short revents) {
    (void)revents;
    Channel *channel = user;
    char bytes[4096];
    ssize_t len = read(fd, bytes, sizeof bytes);
    g_assert_cmpint(len, >, 0);
    g_string_append_len(channel->received, bytes, len);
}

static bool channel_has_lines(void *user) {
    Channel *channel = user;
    guint lines = 0;
    for (gsize i = 0; i < channel->received->len; i++) {
        lines += channel->received->str[i] == '\n' ? 1 : 0;
    }
    return lines >= channel->lines_wanted;
}

static bool channel_is_connected(void *user) {
    return ((Channel *)user)->connected > 0;
}

static void channel_set_up(Channel *channel, gconstpointer data) {
    (void)data;
    static const DinvChannelControlCallbacks callbacks = {channel_connected, channel_request};
    harness_init(&channel->harness);
    int ends[2];
    harness_socketpair(ends);
    channel->fd = ends[1];
    channel->received = g_string_new(NULL);
    channel->verbs = g_string_new(NULL);
    channel->control =
        dinv_channel_control_new(channel->harness.loop, ends[0], &callbacks, channel);
    g_assert_nonnull(channel->control);
    g_assert_cmpint(
        dinv_loop_watch(channel->harness.loop, channel->fd, POLLIN, channel_readable, channel), ==,
        0);
    harness_run_until(&channel->harness, channel_is_connected, channel);
}

static void channel_tear_down(Channel *channel, gconstpointer data) {
    (void)data;
    dinv_channel_control_free(channel->control);
    dinv_loop_unwatch(channel->harness.loop, channel->fd);
    close(channel->fd);
    g_string_free(channel->received, TRUE);
    g_string_free(channel->verbs, TRUE);
    harness_clear(&channel->harness);
}

/* Writes all of it, running the loop whenever the socket is full. */
static void channel_write(Channel *channel, const char *bytes, gsize len) {
    while (len > 0) {
        ssize_t written = write(channel->fd, bytes, len);
        if (written < 0) {
            g_assert_cmpint(errno, ==, EAGAIN);
            g_assert_cmpint(dinv_loop_iterate(channel->harness.loop, 100), ==, 0);
            continue;
        }
        bytes += written;
        len -= (gsize)written;
    }
}

static void test_control_split_lines(Channel *channel, gconstpointer data) {
    (void)data;
    static const char text[] = "{\"id\":1,\"verb\":\"a\"}\n\n{\"id\":2,\"verb\":\"b\"}\nnonsense\n"
                               "{\"id\":3}\n{\"id\":4,\"verb\":\"c\"}\n";
    for (gsize i = 0; i < strlen(text); i++) {
        channel_write(channel, text + i, 1);
        g_assert_cmpint(dinv_loop_iterate(channel->harness.loop, 0), ==, 0);
    }
    channel->lines_wanted = 4;
    harness_run_until(&channel->harness, channel_has_lines, channel);
    g_assert_cmpstr(channel->verbs->str, ==, "a b c ");
    g_assert_cmpstr(channel->received->str, ==,
                    "{\"reply\":1,\"ok\":true,\"path\":\"/a\"}\n"
                    "{\"reply\":2,\"ok\":true,\"path\":\"/a\"}\n"
                    "{\"reply\":3,\"error\":\"the request has no \\\"verb\\\" that is a string\"}\n"
                    "{\"reply\":4,\"ok\":true,\"path\":\"/a\"}\n");
}

static void test_control_huge_line(Channel *channel, gconstpointer data) {
    (void)data;
    gsize len = DINV_WIRE_CONTROL_LINE_MAX + (gsize)100000;
    g_autofree char *huge = g_malloc(len);
    memset(huge, ' ', len);
    static const char beginning[] = "{\"id\":1,\"verb\":\"huge\"}";
    memcpy(huge, beginning, sizeof beginning - 1);
    channel_write(channel, huge, len);
    channel_write(channel, "\n{\"id\":2,\"verb\":\"after\"}\n", 25);
    channel->lines_wanted = 1;
    harness_run_until(&channel->harness, channel_has_lines, channel);
    g_assert_cmpstr(channel->verbs->str, ==, "after ");
    /* The longest line that is allowed. */
    channel_write(channel, huge, DINV_WIRE_CONTROL_LINE_MAX);
    channel_write(channel, "\n", 1);
    channel->lines_wanted = 2;
    harness_run_until(&channel->harness, channel_has_lines, channel);
    g_assert_cmpstr(channel->verbs->str, ==, "after huge ");
}

/* A launcher that does not read: memory is bounded, and later messages come through. */
static void test_control_reader_stalls(Channel *channel, gconstpointer data) {
    (void)data;
    dinv_loop_unwatch(channel->harness.loop, channel->fd);
    g_autofree char *text = g_strnfill(100000, 'x');
    for (int i = 0; i < 100; i++) {
        struct json_object *fields = json_object_new_object();
        json_object_object_add(fields, "text", json_object_new_string(text));
        dinv_channel_control_send_event(channel->control, "log", fields);
    }
    g_assert_false(dinv_channel_control_is_drained(channel->control));
    g_assert_cmpint(
        dinv_loop_watch(channel->harness.loop, channel->fd, POLLIN, channel_readable, channel), ==,
        0);
    while (!dinv_channel_control_is_drained(channel->control)) {
        g_assert_cmpint(dinv_loop_iterate(channel->harness.loop, 100), ==, 0);
    }
    dinv_channel_control_send_event(channel->control, "exit", NULL);
    while (!g_str_has_suffix(channel->received->str, "\n{\"event\":\"exit\"}\n")) {
        g_assert_cmpint(dinv_loop_iterate(channel->harness.loop, 100), ==, 0);
    }
    g_test_message("%zu bytes came through", channel->received->len);
    g_assert_cmpuint(channel->received->len, <, 6000000);
    g_assert_cmpuint(channel->received->len, >, 3000000);
}

/* Whatever bytes a message has to tell, the line is UTF-8, or the launcher would drop it. */
static void test_control_bytes_in_text(Channel *channel, gconstpointer data) {
    (void)data;
    struct json_object *fields = json_object_new_object();
    json_object_object_add(fields, "text",
                           json_object_new_string("/gr\xc3\xbc\xc3\x9f\xff\xe2\x82"));
    dinv_channel_control_send_event(channel->control, "failed", fields);
    dinv_channel_control_reply_error(channel->control, 1, "\xc0\x80\xe2\x82\xac");
    channel->lines_wanted = 2;
    harness_run_until(&channel->harness, channel_has_lines, channel);
    g_assert_cmpstr(
        channel->received->str, ==,
        "{\"event\":\"failed\",\"text\":\"/gr\xc3\xbc\xc3\x9f\xef\xbf\xbd\xef\xbf\xbd\"}\n"
        "{\"reply\":1,\"error\":\"\xef\xbf\xbd\xef\xbf\xbd\xe2\x82\xac\"}\n");
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add("/guest/control/split-lines", Channel, NULL, channel_set_up,
               test_control_split_lines, channel_tear_down);
    g_test_add("/guest/control/huge-line", Channel, NULL, channel_set_up, test_control_huge_line,
               channel_tear_down);
    g_test_add("/guest/control/reader-stalls", Channel, NULL, channel_set_up,
               test_control_reader_stalls, channel_tear_down);
    g_test_add("/guest/control/bytes-in-text", Channel, NULL, channel_set_up,
               test_control_bytes_in_text, channel_tear_down);
    return g_test_run();
}
