/* SPDX-License-Identifier: MIT */
/* What is taken for daemon.json, what is taken out of it, and what a refusal says. */
#include "launcher/engine/daemon-json.h"

#include <string.h>

static DinvEngineDaemonJson *parse(const char *text) {
    g_autoptr(GError) error = NULL;
    DinvEngineDaemonJson *file = dinv_engine_daemon_json_parse(text, strlen(text), &error);
    g_assert_no_error(error);
    return file;
}

static void assert_refused(const char *text, const char *message) {
    g_autoptr(GError) error = NULL;
    g_autoptr(DinvEngineDaemonJson) file =
        dinv_engine_daemon_json_parse(text, strlen(text), &error);
    g_assert_null(file);
    g_assert_nonnull(error);
    g_assert_cmpstr(error->message, ==, message);
}

static void assert_passed_on(const DinvEngineDaemonJson *file, const char *text) {
    g_assert_cmpstr(json_object_to_json_string_ext(
                        file->object, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE),
                    ==, text);
}

static void test_plain(void) {
    g_autoptr(DinvEngineDaemonJson) file =
        parse("{\n  \"debug\": true, \"mtu\": 1400,\n"
              "  \"registry-mirrors\": [\"https://m.example\"]\n}\n");
    assert_passed_on(file,
                     "{\"debug\":true,\"mtu\":1400,\"registry-mirrors\":[\"https://m.example\"]}");
    g_assert_cmpuint(file->warnings->len, ==, 0);
    g_assert_cmpuint(file->bip.prefix, ==, 0);
    g_assert_true(dinv_engine_daemon_json_has(file, "debug"));
    g_assert_false(dinv_engine_daemon_json_has(file, "bip"));
    g_assert_false(dinv_engine_daemon_json_has(NULL, "debug"));
}

/* dockerd takes these for {} as well. */
static void test_empty(void) {
    static const char *const texts[] = {"", " \n\t", "{}", "\xef\xbb\xbf{}", "\xef\xbb\xbf"};
    for (guint i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autoptr(DinvEngineDaemonJson) file = parse(texts[i]);
        assert_passed_on(file, "{}");
    }
}

static void test_syntax(void) {
    assert_refused("{\"debug\": true", "is not JSON (line 1, column 15: it ends too early)");
    assert_refused("{\n \"debug\": maybe}",
                   "is not JSON (line 2, column 11: unexpected character)");
    assert_refused("{} {}", "is not JSON (line 1, column 4: unexpected character)");
    assert_refused("[\"debug\"]", "holds array, not a JSON object ({…})");
    assert_refused("true", "holds boolean, not a JSON object ({…})");
    assert_refused("12", "holds int, not a JSON object ({…})");
    g_autofree char *deep = g_strnfill(200, '[');
    g_autofree char *deep_object = g_strconcat("{\"a\":", deep, NULL);
    g_autoptr(GError) error = NULL;
    g_assert_null(dinv_engine_daemon_json_parse(deep_object, strlen(deep_object), &error));
    g_assert_error(error, DINV_ENGINE_DAEMON_JSON_ERROR, DINV_ENGINE_DAEMON_JSON_ERROR_SYNTAX);
    g_clear_error(&error);
    static const char with_nul[] = "{}\0{}";
    g_assert_null(dinv_engine_daemon_json_parse(with_nul, sizeof with_nul - 1, &error));
    g_assert_error(error, DINV_ENGINE_DAEMON_JSON_ERROR, DINV_ENGINE_DAEMON_JSON_ERROR_SYNTAX);
}

/* What json-c takes but JSON does not have, and dockerd refuses: all of it is refused here. */
static void test_extensions_of_json_c(void) {
    assert_refused("{'debug': true}", "is not JSON (line 1, column 2: single quote)");
    assert_refused("{\"name\": 'x'}", "is not JSON (line 1, column 10: unexpected character)");
    assert_refused("{\n\"a\": NaN}", "is not JSON (line 2, column 6: NaN or Infinity)");
    assert_refused("{\"a\": [1, -Infinity]}", "is not JSON (line 1, column 12: NaN or Infinity)");
    assert_refused("{\"mtu\": 1.}", "is not JSON (line 1, column 10: no digit after the point)");
    assert_refused("{\"a\": \"b\nc\"}",
                   "is not JSON (line 1, column 9: control character in a string)");
    assert_refused("{\"a\": 1,}", "is not JSON (line 1, column 9: unexpected character)");
    assert_refused("{\"a\": 1 // one\n}",
                   "is not JSON (line 1, column 9: object value separator ',' expected)");
    assert_refused("{\"a\": True}", "is not JSON (line 1, column 7: boolean expected)");
    g_autoptr(DinvEngineDaemonJson) file =
        parse("{\"it's\": \"NaN.\\\"Infinity'\\\\\", \"b\": [1.5, -2.5e3, \"\\u00e9\", null]}\r\n");
    assert_passed_on(file,
                     "{\"it's\":\"NaN.\\\"Infinity'\\\\\",\"b\":[1.5,-2.5e3,\"\xc3\xa9\",null]}");
}

static void test_size(void) {
    g_autofree char *blanks = g_strnfill(DINV_ENGINE_DAEMON_JSON_MAX_BYTES + 1, ' ');
    assert_refused(blanks, "has 65537 bytes, the most is 65536");
}

static void test_kept_keys(void) {
    static const char *const keys[] = {"data-root", "graph",      "exec-root",
                                       "pidfile",   "containerd", "userland-proxy-path"};
    for (guint i = 0; i < G_N_ELEMENTS(keys); i++) {
        g_autofree char *text = g_strdup_printf("{\"%s\": \"x\", \"debug\": true}", keys[i]);
        g_autofree char *shown = g_strdup_printf("\"%s\" is not passed on to dockerd: ", keys[i]);
        g_autoptr(DinvEngineDaemonJson) file = parse(text);
        assert_passed_on(file, "{\"debug\":true}");
        g_assert_cmpuint(file->warnings->len, ==, 1);
        g_assert_true(g_str_has_prefix(file->warnings->pdata[0], shown));
    }
}

/* What dinv does in dockerd's place: it is taken out without a word, and kept. */
static void test_served_keys(void) {
    g_autoptr(DinvEngineDaemonJson) file = parse(
        "{\"hosts\": [\"tcp://127.0.0.1:2375\", \"unix://\"], \"group\": \"1\", \"tls\": false, "
        "\"tlsverify\": true, \"tlscacert\": \"/a\", \"tlscert\": \"/b\", \"tlskey\": \"/c\"}");
    assert_passed_on(file, "{}");
    g_assert_cmpuint(file->warnings->len, ==, 0);
    g_assert_cmpint(json_object_object_length(file->served), ==, 7);
    assert_refused("{\"hosts\": \"tcp://x\"}",
                   "\"hosts\": a list of addresses, such as [\"unix:///var/run/docker.sock\"], is "
                   "expected");
    assert_refused("{\"hosts\": [1]}",
                   "\"hosts\": a list of addresses, such as [\"unix:///var/run/docker.sock\"], is "
                   "expected");
    assert_refused("{\"group\": 5}", "\"group\": a text is expected");
    assert_refused("{\"group\": \"a\\u0000b\"}", "\"group\": a text is expected");
    assert_refused("{\"tls\": \"yes\"}", "\"tls\": true or false is expected");
}

static void test_networks(void) {
    g_autoptr(DinvEngineDaemonJson) file =
        parse("{\"bip\": \"10.9.0.1/24\", \"default-address-pools\": [{\"base\": \"10.8.1.0/16\", "
              "\"size\": 24}, {\"base\": \"fd00::/48\", \"size\": 64}]}");
    g_assert_cmphex(file->bip.address, ==, DINV_IPV4(10, 9, 0, 1));
    g_assert_cmpuint(file->bip.prefix, ==, 24);
    g_assert_cmpuint(file->pools->len, ==, 1);
    g_assert_cmphex(g_array_index(file->pools, DinvIpv4Network, 0).address, ==,
                    DINV_IPV4(10, 8, 0, 0));
    assert_refused("{\"bip\": \"10.9.0.0/24\"}",
                   "\"bip\": \"10.9.0.0/24\" is no address that a host can have, the first of that "
                   "network is 10.9.0.1/24");
    assert_refused("{\"default-address-pools\": [{\"base\": \"here\"}]}",
                   "\"default-address-pools\": \"here\" is not a network (such as 10.10.0.0/16)");
    assert_refused(
        "{\"default-address-pools\": [\"10.8.0.0/16\"]}",
        "\"default-address-pools\": an item is {\"base\": \"10.10.0.0/16\", \"size\": 24}");
    assert_refused("{\"default-address-pools\": {}}",
                   "\"default-address-pools\": an array of at most 256 items is expected");
}

static void test_limits(void) {
    g_autoptr(DinvEngineDaemonJson) file = parse("{\"userland-proxy\": false}");
    assert_passed_on(file, "{\"userland-proxy\":false}");
    g_assert_cmpuint(file->warnings->len, ==, 1);
    g_assert_nonnull(strstr(file->warnings->pdata[0], "DINV_TCP_PORTS"));
    g_autoptr(DinvEngineDaemonJson) other = parse("{\"userland-proxy\": true}");
    g_assert_cmpuint(other->warnings->len, ==, 0);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/launcher/daemon-json/plain", test_plain);
    g_test_add_func("/launcher/daemon-json/empty", test_empty);
    g_test_add_func("/launcher/daemon-json/syntax", test_syntax);
    g_test_add_func("/launcher/daemon-json/extensions-of-json-c", test_extensions_of_json_c);
    g_test_add_func("/launcher/daemon-json/size", test_size);
    g_test_add_func("/launcher/daemon-json/kept-keys", test_kept_keys);
    g_test_add_func("/launcher/daemon-json/served-keys", test_served_keys);
    g_test_add_func("/launcher/daemon-json/networks", test_networks);
    g_test_add_func("/launcher/daemon-json/limits", test_limits);
    return g_test_run();
}
