/* SPDX-License-Identifier: MIT */
/* Records of the exec service, whole and in pieces, right and wrong. */
#include <errno.h>
#include <glib.h>
#include <string.h>

#include "relay/exec.h"

/* Pieces of one data record are joined: "o:hello ", a control record is "w:0018 ". */
typedef struct {
    GString *log;
    GString *joined; /* of the data record under way */
} Reader;

static void on_data(void *user, DinvExecType type, const uint8_t *bytes, size_t len) {
    Reader *reader = user;
    g_string_append_printf(reader->log, "%c:%.*s ", type, (int)len, (const char *)bytes);
    g_string_append_len(reader->joined, (const char *)bytes, (gssize)len);
}

static void on_control(void *user, DinvExecType type, const uint8_t *bytes, size_t len) {
    Reader *reader = user;
    g_string_append_printf(reader->log, "%c=", type);
    for (gsize i = 0; i < len; i++) {
        g_string_append_printf(reader->log, "%02x", bytes[i]);
    }
    g_string_append_c(reader->log, ' ');
}

static const DinvExecCallbacks callbacks = {.data = on_data, .control = on_control};

static void reader_init(Reader *reader) {
    *reader = (Reader){.log = g_string_new(NULL), .joined = g_string_new(NULL)};
}

static void reader_clear(Reader *reader) {
    g_string_free(reader->log, TRUE);
    g_string_free(reader->joined, TRUE);
}

static void put(GByteArray *bytes, DinvExecType type, const void *payload, guint len) {
    uint8_t header[DINV_EXEC_HEADER];
    dinv_exec_header(header, type, len);
    g_byte_array_append(bytes, header, sizeof(header));
    g_byte_array_append(bytes, payload, len);
}

static GByteArray *example(void) {
    GByteArray *bytes = g_byte_array_new();
    put(bytes, DINV_EXEC_STDIN, "in", 2);
    put(bytes, DINV_EXEC_RESIZE, "\0\x18\0\x50", 4);
    put(bytes, DINV_EXEC_STDIN, "", 0);
    put(bytes, DINV_EXEC_SIGNAL, "\x0f", 1);
    put(bytes, DINV_EXEC_STDOUT, "out", 3);
    put(bytes, DINV_EXEC_STDERR, "err", 3);
    put(bytes, DINV_EXEC_EXIT, "\0\0\0\0\x2a", 5);
    return bytes;
}

static void test_header(void) {
    uint8_t header[DINV_EXEC_HEADER];
    dinv_exec_header(header, DINV_EXEC_STDOUT, 0x01020304);
    g_assert_cmpint(memcmp(header, "o\1\2\3\4", 5), ==, 0);
}

static void test_records(void) {
    g_autoptr(GByteArray) bytes = example();
    Reader reader;
    DinvExecParser parser = {0};
    reader_init(&reader);
    g_assert_cmpint(dinv_exec_parse(&parser, bytes->data, bytes->len, &callbacks, &reader), ==, 0);
    g_assert_cmpstr(reader.log->str, ==, "i:in w=00180050 i: s=0f o:out e:err x=000000002a ");
    reader_clear(&reader);
}

/* Any two cuts give the same bytes and the same control records. */
static void test_splits(void) {
    g_autoptr(GByteArray) bytes = example();
    for (guint first = 0; first <= bytes->len; first++) {
        for (guint second = first; second <= bytes->len; second++) {
            Reader reader;
            DinvExecParser parser = {0};
            reader_init(&reader);
            const guint cuts[] = {0, first, second, bytes->len};
            for (guint i = 0; i < 3; i++) {
                g_assert_cmpint(dinv_exec_parse(&parser, bytes->data + cuts[i],
                                                cuts[i + 1] - cuts[i], &callbacks, &reader),
                                ==, 0);
            }
            g_assert_cmpstr(reader.joined->str, ==, "inouterr");
            g_assert_nonnull(strstr(reader.log->str, "w=00180050 i: s=0f "));
            g_assert_true(g_str_has_suffix(reader.log->str, "x=000000002a "));
            reader_clear(&reader);
        }
    }
}

static void test_largest(void) {
    static const uint8_t payload[DINV_EXEC_PAYLOAD_MAX];
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    put(bytes, DINV_EXEC_STDERR, payload, DINV_EXEC_PAYLOAD_MAX);
    Reader reader;
    DinvExecParser parser = {0};
    reader_init(&reader);
    g_assert_cmpint(dinv_exec_parse(&parser, bytes->data, bytes->len, &callbacks, &reader), ==, 0);
    g_assert_cmpuint(reader.joined->len, ==, DINV_EXEC_PAYLOAD_MAX);
    reader_clear(&reader);
}

static void test_refused(void) {
    static const struct {
        char type;
        uint32_t len;
    } cases[] = {
        {'q', 0},          {0, 0},   {'i', 32769}, {'o', 32769}, {'o', 0}, {'e', 0},
        {'w', 3},          {'w', 5}, {'s', 0},     {'s', 2},     {'x', 4}, {'x', UINT32_MAX},
        {'e', UINT32_MAX},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        for (guint split = 0; split < DINV_EXEC_HEADER; split++) {
            Reader reader;
            DinvExecParser parser = {0};
            uint8_t header[DINV_EXEC_HEADER];
            reader_init(&reader);
            dinv_exec_header(header, (DinvExecType)cases[i].type, cases[i].len);
            g_assert_cmpint(dinv_exec_parse(&parser, header, split, &callbacks, &reader), ==, 0);
            g_assert_cmpint(dinv_exec_parse(&parser, header + split, sizeof(header) - split,
                                            &callbacks, &reader),
                            ==, -EPROTO);
            /* And so it stays. */
            g_assert_cmpint(dinv_exec_parse(&parser, (const uint8_t *)"i", 1, &callbacks, &reader),
                            ==, -EPROTO);
            g_assert_cmpstr(reader.log->str, ==, "");
            reader_clear(&reader);
        }
    }
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/relay/exec/header", test_header);
    g_test_add_func("/relay/exec/records", test_records);
    g_test_add_func("/relay/exec/splits", test_splits);
    g_test_add_func("/relay/exec/largest", test_largest);
    g_test_add_func("/relay/exec/refused", test_refused);
    return g_test_run();
}
