/* SPDX-License-Identifier: MIT */
/* Lines of the control channel, good and bad. */
#include "guest/base/message.h"

#include <errno.h>
#include <glib.h>
#include <string.h>

static void test_message_good(void) {
    static const char line[] = "{\"id\": 7, \"verb\": \"stats\", \"more\": [1, {\"a\": null}]} \r";
    DinvMessage message;
    const char *reason = NULL;
    g_assert_cmpint(dinv_message_parse(line, strlen(line), &message, &reason), ==, 0);
    g_assert_cmpint(message.id, ==, 7);
    g_assert_cmpstr(message.verb, ==, "stats");
    dinv_message_clear(&message);
}

static void test_message_bad(void) {
    static const struct {
        const char *line;
        int64_t id; /* it can be answered */
    } cases[] = {
        {"", 0},
        {"{", 0},
        {"[]", 0},
        {"null", 0},
        {"7", 0},
        {"{} {}", 0},
        {"{}x", 0},
        {"{\"verb\": \"stats\"}", 0},
        {"{\"id\": 0, \"verb\": \"stats\"}", 0},
        {"{\"id\": -3, \"verb\": \"stats\"}", 0},
        {"{\"id\": \"3\", \"verb\": \"stats\"}", 0},
        {"{\"id\": 3.5, \"verb\": \"stats\"}", 0},
        {"{\"id\": 3}", 3},
        {"{\"id\": 3, \"verb\": 4}", 3},
        {"{\"id\": 3, \"verb\": null}", 3},
        {"{'id': 3, 'verb': 'stats'}", 0},
        {"{\"id\": 3, \"verb\": \"\xff\"}", 0},
        {"{\"a\":[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]}", 0},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        DinvMessage message;
        const char *reason = NULL;
        g_autofree char *shown = g_strescape(cases[i].line, NULL);
        g_test_message("%s", shown);
        g_assert_cmpint(dinv_message_parse(cases[i].line, strlen(cases[i].line), &message, &reason),
                        ==, -EBADMSG);
        g_assert_cmpint(message.id, ==, cases[i].id);
        g_assert_nonnull(reason);
        dinv_message_clear(&message);
    }
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/guest/message/good", test_message_good);
    g_test_add_func("/guest/message/bad", test_message_bad);
    return g_test_run();
}
