/* SPDX-License-Identifier: MIT */
/* What the words behind the image's name mean. */
#include "launcher/cli/entry.h"

#include <string.h>

/* The only programs that there are. */
static gboolean is_program(const char *name) {
    static const char *const programs[] = {"docker", "sh", "env", "status", NULL};
    return g_strv_contains(programs, name);
}

/* Words in; "KIND: words | -unset NAME=set dind" out. */
static void assert_entry(const char *words, const char *expected) {
    static const char *const kinds[] = {"run", "verb", "client"};
    g_auto(GStrv) argv = g_strsplit(words, " ", -1);
    g_auto(DinvCliEntry) entry = {0};
    if (words[0] == '\0') {
        g_clear_pointer(&argv[0], g_free);
    }
    dinv_cli_entry_read(argv, is_program, &entry);
    g_assert_cmpuint(entry.words->len, ==, (guint)entry.count + 1);
    g_assert_null(entry.words->pdata[entry.count]);
    g_autoptr(GString) text = g_string_new(kinds[entry.kind]);
    g_string_append_c(text, ':');
    for (int i = 0; i < entry.count; i++) {
        g_string_append_printf(text, " %s", (const char *)entry.words->pdata[i]);
    }
    for (guint i = 0; i < entry.unset->len; i++) {
        g_string_append_printf(text, " | -%s", (const char *)entry.unset->pdata[i]);
    }
    for (guint i = 0; i < entry.set->len; i++) {
        g_string_append_printf(text, " | %s", (const char *)entry.set->pdata[i]);
    }
    g_string_append(text, entry.is_dind ? " | dind" : "");
    g_assert_cmpstr(text->str, ==, expected);
}

static void test_run(void) {
    assert_entry("", "run:");
    assert_entry("run", "run:");
    assert_entry("dinv run", "run:");
    assert_entry("run dinv run run --cpus 2 true", "run: --cpus 2 true");
    assert_entry("--cpus=2 run true", "run: --cpus=2 true");
    assert_entry("docker run x", "run: docker run x");
    assert_entry("sh -c dockerd", "run: sh -c dockerd");
    assert_entry("dinv status", "run: dinv status");
    assert_entry("--debug dinv run", "run: --debug dinv run"); /* all of it is dockerd's */
    assert_entry("-- run", "run: -- run");
}

static void test_verbs(void) {
    assert_entry("doctor --bench", "verb: doctor --bench");
    assert_entry("version", "verb: version");
    assert_entry("status --json", "run: status --json"); /* there is such a program */
    assert_entry("--cpus 2 doctor", "run: --cpus 2 doctor");
}

static void test_dockerd(void) {
    assert_entry("dockerd --group=1", "run: dockerd --group=1");
    assert_entry("/usr/local/bin/dockerd -D", "run: dockerd -D");
    assert_entry("/opt/dockerd -D", "run: /opt/dockerd -D");
    assert_entry("dockerd-entrypoint.sh", "run: | dind");
    assert_entry("dockerd-entrypoint.sh --mtu=1400", "run: --mtu=1400 | dind");
    assert_entry("--cpus 2 dockerd-entrypoint.sh --mtu=1400", "run: --cpus 2 --mtu=1400 | dind");
    assert_entry("/usr/local/bin/dockerd-entrypoint.sh dockerd -H unix:///x",
                 "run: dockerd -H unix:///x");
    assert_entry("dockerd-entrypoint.sh docker ps -a", "client: docker ps -a");
    assert_entry("dockerd-entrypoint.sh sh", "client: sh");
}

static void test_env(void) {
    assert_entry("env -u DOCKER_HOST dockerd-entrypoint.sh --tls=false",
                 "run: --tls=false | -DOCKER_HOST | dind");
    assert_entry("/usr/bin/env -uA --unset=B --unset C D=e=f -- dinv run true",
                 "run: true | -A | -B | -C | D=e=f");
    assert_entry("env -u DOCKER_HOST dockerd --debug", "run: dockerd --debug | -DOCKER_HOST");
    /* These are commands. */
    assert_entry("env -u DOCKER_HOST docker ps", "run: env -u DOCKER_HOST docker ps");
    assert_entry("env -i dockerd", "run: env -i dockerd");
    assert_entry("env A=b", "run: env A=b");
    assert_entry("env -u", "run: env -u");
    assert_entry("env", "run: env");
}

static void test_apply(void) {
    char *words[] = {(char *)"env",
                     (char *)"-u",
                     (char *)"ENTRY_TEST",
                     (char *)"ENTRY_OTHER=a=b",
                     (char *)"dockerd-entrypoint.sh",
                     NULL};
    g_auto(DinvCliEntry) entry = {0};
    g_setenv("ENTRY_TEST", "x", TRUE);
    g_setenv("DINV_TLS_CERTDIR", "", TRUE);
    g_unsetenv("DOCKER_TLS_CERTDIR");
    dinv_cli_entry_read(words, is_program, &entry);
    dinv_cli_entry_apply(&entry);
    g_assert_null(g_getenv("ENTRY_TEST"));
    g_assert_cmpstr(g_getenv("ENTRY_OTHER"), ==, "a=b");
    g_assert_null(g_getenv("DOCKER_TLS_CERTDIR"));
    g_unsetenv("DINV_TLS_CERTDIR");
    dinv_cli_entry_apply(&entry);
    g_assert_cmpstr(g_getenv("DOCKER_TLS_CERTDIR"), ==, "/certs");
    g_setenv("DOCKER_TLS_CERTDIR", "", TRUE); /* an empty one says something, too */
    dinv_cli_entry_apply(&entry);
    g_assert_cmpstr(g_getenv("DOCKER_TLS_CERTDIR"), ==, "");
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/launcher/entry/run", test_run);
    g_test_add_func("/launcher/entry/verbs", test_verbs);
    g_test_add_func("/launcher/entry/dockerd", test_dockerd);
    g_test_add_func("/launcher/entry/env", test_env);
    g_test_add_func("/launcher/entry/apply", test_apply);
    return g_test_run();
}
