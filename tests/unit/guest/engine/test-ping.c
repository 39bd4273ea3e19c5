/* SPDX-License-Identifier: MIT */
/* Replies to a ping of the engine, in pieces of every size. */
#include "guest/engine/ping.h"

#include <errno.h>
#include <glib.h>
#include <string.h>

static int ping_in_pieces(const char *reply, size_t piece, char version[static 64]) {
    DinvEnginePingReply *parser = g_new0(DinvEnginePingReply, 1);
    int result = 0;
    for (size_t at = 0; at < strlen(reply) && result == 0; at += piece) {
        result = dinv_engine_ping_reply_add(parser, reply + at, MIN(piece, strlen(reply) - at),
                                            false, version);
    }
    if (result == 0) {
        result = dinv_engine_ping_reply_add(parser, "", 0, true, version);
    }
    g_free(parser);
    return result;
}

static void test_ping_reply(void) {
    static const struct {
        const char *reply;
        int result;
        const char *version;
    } cases[] = {
        {"HTTP/1.0 200 OK\r\nApi-Version: 1.45\r\nServer: Docker/26.1.5+dfsg1 (linux)\r\n\r\nOK", 1,
         "26.1.5+dfsg1"},
        {"HTTP/1.1 200 OK\r\nserver:Docker/28.2.2\r\n\r\nOK", 1, "28.2.2"},
        {"HTTP/1.1 200 OK\r\n\r\nOK", 1, ""},
        {"HTTP/1.1 200 OK\r\nServer: podman\r\n\r\nOK", 1, ""},
        {"HTTP/1.1 200 OK\r\nServer: Docker/\"x\r\n\r\nOK", 1, ""},
        {"HTTP/1.1 200 OK\r\nX-Server: Docker/1\r\n\r\nOK", 1, ""},
        {"HTTP/1.1 503 No\r\n\r\nnot yet", -EAGAIN, NULL},
        {"HTTP/1.1 200 OK\r\n\r\nNO", -EPROTO, NULL},
        {"HTTP/1.1 200 OK\r\n\r\nO", -EPROTO, NULL},
        {"HTTP/1.1 200 OK\r\n", -EPROTO, NULL},
        {"", -EPROTO, NULL},
        {"SSH-2.0-OpenSSH\r\n", -EPROTO, NULL},
        {"HTTP/1.1200 OK\r\n\r\nOK", -EPROTO, NULL},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        for (size_t piece = 1; piece < 100; piece++) {
            char version[DINV_PING_VERSION_MAX] = "unset";
            int result = ping_in_pieces(cases[i].reply, piece, version);
            g_assert_cmpint(result, ==, cases[i].result);
            if (result == 1) {
                g_assert_cmpstr(version, ==, cases[i].version);
            }
        }
    }
    g_autofree char *endless = g_strnfill((gsize)2 * DINV_PING_REPLY_MAX, 'x');
    static const char beginning[] = "HTTP/1.1 200 OK\r\n";
    memcpy(endless, beginning, sizeof beginning - 1);
    char version[DINV_PING_VERSION_MAX];
    g_assert_cmpint(ping_in_pieces(endless, 1000, version), ==, -EPROTO);
    g_autofree char *long_version =
        g_strdup_printf("HTTP/1.1 200 OK\r\nServer: Docker/%.500s\r\n\r\nOK", endless + 100);
    g_assert_cmpint(ping_in_pieces(long_version, 1000, version), ==, 1);
    g_assert_cmpuint(strlen(version), ==, DINV_PING_VERSION_MAX - 1);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/guest/ping/reply", test_ping_reply);
    return g_test_run();
}
