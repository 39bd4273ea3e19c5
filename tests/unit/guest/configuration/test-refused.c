/* SPDX-License-Identifier: MIT */
/* What `configure` refuses, field by field, and that the complaint names the field. */
#include "guest/configuration/configuration.h"

#include <errno.h>
#include <glib.h>
#include <string.h>

#include "guest/base/message.h"

typedef struct {
    const char *fields;    /* members of the JSON object beside `protocol` */
    const char *complaint; /* the text begins so */
} Case;

static const Case identity_cases[] = {
    {"\"hostname\": 1", "hostname: "},
    {"\"hostname\": \"a b\"", "hostname: "},
    {"\"hostname\": \"\"", "hostname: "},
    {"\"hostname\": \"a\\nb\"", "hostname: "},
    {"\"hostname\": \"a\\u0000b\"", "hostname: "},
    {"\"hostname\": \"0123456789012345678901234567890123456789012345678901234567890123456\"",
     "hostname: "},
    {"\"time\": 1", "time: "},
    {"\"time\": {\"sec\": \"1\"}", "time: "},
    {"\"time\": {\"sec\": 0}", "time: "},
    {"\"time\": {\"sec\": 1, \"nsec\": 1000000000}", "time: "},
    {"\"time\": {\"sec\": 9223372036854775807}", "time: "},
    {"\"entropy\": \"%\"", "entropy: "},
    {"\"entropy\": []", "entropy: "},
    {NULL, NULL},
};

static const Case network_cases[] = {
    {"\"network\": []", "network: "},
    {"\"network\": {}", "network.address: "},
    {"\"network\": {\"address\": \"10.0.2\", \"prefix\": 24}", "network.address: "},
    {"\"network\": {\"address\": \"10.0.2.15\", \"prefix\": 0}", "network.prefix: "},
    {"\"network\": {\"address\": \"10.0.2.15\", \"prefix\": 33}", "network.prefix: "},
    {"\"network\": {\"address\": \"10.0.2.15\"}", "network.prefix: "},
    {"\"network\": {\"address\": \"10.0.2.15\", \"prefix\": 24, \"mtu\": 70000}", "network.mtu: "},
    {"\"network\": {\"address\": \"10.0.2.15\", \"prefix\": 24, \"gateway\": \"x\"}",
     "network.gateway: "},
    {"\"network\": {\"address\": \"10.0.2.15\", \"prefix\": 24, \"dns\": [\"1.2.3.4\\nx\"]}",
     "network.dns: "},
    {"\"network\": {\"address\": \"10.0.2.15\", \"prefix\": 24, \"search\": [\"a b\"]}",
     "network.search: "},
    {"\"network\": {\"address\": \"10.0.2.15\", \"prefix\": 24, \"hosts\": [1]}",
     "network.hosts: "},
    {"\"network\": {\"address\": \"10.0.2.15\", \"prefix\": 24, "
     "\"hosts\": [{\"name\": \"a\"}]}",
     "network.hosts.address: "},
    {NULL, NULL},
};

static const Case resolver_cases[] = {
    {"\"network\": {\"address\": \"10.0.2.15\", \"prefix\": 24, \"resolver\": 53}",
     "network.resolver: "},
    {"\"network\": {\"address\": \"10.0.2.15\", \"prefix\": 24, \"resolver\": {\"port\": 53}}",
     "network.resolver.address: "},
    {"\"network\": {\"address\": \"10.0.2.15\", \"prefix\": 24, "
     "\"resolver\": {\"address\": \"::1\", \"port\": 53}}",
     "network.resolver.address: "},
    {"\"network\": {\"address\": \"10.0.2.15\", \"prefix\": 24, "
     "\"resolver\": {\"address\": \"10.0.2.2\", \"port\": 65536}}",
     "network.resolver.port: "},
    {NULL, NULL},
};

static const Case disks_cases[] = {
    {"\"disks\": {}", "disks: "},
    {"\"disks\": [{\"serial\": \"a\"}]", "disks.target: "},
    {"\"disks\": [{\"target\": \"/a\"}]", "disks.serial: "},
    {"\"disks\": [{\"serial\": \"a\", \"target\": \"a\"}]", "disks.target: "},
    {"\"disks\": [{\"serial\": \"a\", \"target\": \"/\"}]", "disks.target: "},
    {"\"disks\": [{\"serial\": \"a\", \"target\": \"/a\", \"uid\": -1}]", "disks.uid: "},
    {"\"disks\": [{\"serial\": \"a\", \"target\": \"/a\", \"gid\": \"0\"}]", "disks.gid: "},
    {"\"disks\": [{\"serial\": \"a\", \"target\": \"/a/../b\"}]", "disks.target: "},
    {"\"disks\": [{\"serial\": \"a\", \"target\": \"/a/..\"}]", "disks.target: "},
    {NULL, NULL},
};

static const Case mounts_cases[] = {
    {"\"mounts\": [{\"driver\": \"nfs\", \"tag\": \"a\", \"target\": \"/a\"}]", "mounts.driver: "},
    {"\"mounts\": [{\"driver\": \"9p\", \"tag\": \"a\", \"target\": \"/a\", "
     "\"fallback_options\": 1}]",
     "mounts.fallback_options: "},
    {"\"mounts\": [{\"driver\": \"9p\", \"tag\": \"a\", \"target\": \"/a\", \"readonly\": 1}]",
     "mounts.readonly: "},
    {"\"mounts\": [{\"driver\": \"9p\", \"tag\": \"a\", \"target\": \"/./a\"}]", "mounts.target: "},
    {"\"inodes_max\": 0", "inodes_max: "},
    {NULL, NULL},
};

static const Case files_cases[] = {
    {"\"files\": {}", "files: "},
    {"\"files\": [1]", "files: "},
    {"\"files\": [{\"text\": \"x\", \"mode\": 420}]", "files.path: "},
    {"\"files\": [{\"path\": \"/a/../b\", \"text\": \"x\", \"mode\": 420}]", "files.path: "},
    {"\"files\": [{\"path\": \"/a\", \"mode\": 420}]", "files.text: "},
    {"\"files\": [{\"path\": \"/a\", \"text\": \"a\\u0000b\", \"mode\": 420}]", "files.text: "},
    {"\"files\": [{\"path\": \"/a\", \"text\": \"x\", \"mode\": 2541}]", "files.mode: "},
    {"\"files\": [{\"path\": \"/a\", \"text\": \"x\"}]", "files.mode: "},
    {NULL, NULL},
};

static const Case programs_cases[] = {
    {"\"dockerd\": 1", "dockerd: "},
    {"\"dockerd\": {\"args\": \"--x\"}", "dockerd.args: "},
    {"\"dockerd\": {\"args\": [1]}", "dockerd.args: "},
    {"\"dockerd\": {\"deadline_ms\": 0}", "dockerd.deadline_ms: "},
    {"\"containerd\": []", "containerd: "},
    {"\"environment\": []", "environment: "},
    {"\"environment\": {\"A=B\": \"x\"}", "environment: "},
    {"\"environment\": {\"\": \"x\"}", "environment: "},
    {"\"environment\": {\"A\": 1}", "environment: "},
    {"\"environment\": {\"A\": \"x\\ny\"}", "environment: "},
    {NULL, NULL},
};

/* A table ends in an entry without fields. */
static void test_refused(gconstpointer data) {
    for (const Case *test = data; test->fields != NULL; test++) {
        g_autofree char *text = g_strdup_printf("{\"protocol\": 1, %s}", test->fields);
        struct json_object *body = dinv_json_parse_object(text, strlen(text));
        g_assert_nonnull(body);
        DinvConfiguration *configuration = NULL;
        char reason[256] = "";
        g_test_message("%s", text);
        g_assert_cmpint(dinv_configuration_parse(body, &configuration, reason, sizeof reason), ==,
                        -EBADMSG);
        json_object_put(body);
        g_assert_null(configuration);
        g_test_message("  %s", reason);
        g_assert_true(g_str_has_prefix(reason, test->complaint));
    }
}

/* A value that is quoted is cut between two characters. */
static void test_quoted_value(void) {
    g_autoptr(GString) name = g_string_new("x");
    while (name->len < 200) {
        g_string_append(name, "\xc3\xbc");
    }
    g_autofree char *text = g_strdup_printf("{\"protocol\": 1, \"hostname\": \"%s\"}", name->str);
    struct json_object *body = dinv_json_parse_object(text, strlen(text));
    DinvConfiguration *configuration = NULL;
    char reason[256] = "";
    g_assert_cmpint(dinv_configuration_parse(body, &configuration, reason, sizeof reason), ==,
                    -EBADMSG);
    json_object_put(body);
    g_string_truncate(name, 99);
    g_autofree char *expected =
        g_strdup_printf("hostname: \"%s\" is longer than 64 characters", name->str);
    g_assert_cmpstr(reason, ==, expected);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/guest/configuration/bad/identity", identity_cases, test_refused);
    g_test_add_data_func("/guest/configuration/bad/network", network_cases, test_refused);
    g_test_add_data_func("/guest/configuration/bad/resolver", resolver_cases, test_refused);
    g_test_add_data_func("/guest/configuration/bad/disks", disks_cases, test_refused);
    g_test_add_data_func("/guest/configuration/bad/mounts", mounts_cases, test_refused);
    g_test_add_data_func("/guest/configuration/bad/files", files_cases, test_refused);
    g_test_add_data_func("/guest/configuration/bad/programs", programs_cases, test_refused);
    g_test_add_func("/guest/configuration/bad/quoted-value", test_quoted_value);
    return g_test_run();
}
