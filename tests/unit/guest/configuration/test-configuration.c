/* SPDX-License-Identifier: MIT */
/* What is taken of `configure` and `resolver`. */
#include "guest/configuration/configuration.h"

#include <arpa/inet.h>
#include <errno.h>
#include <glib.h>
#include <string.h>

#include "guest/base/message.h"

static int parse(const char *text, DinvConfiguration **configuration, char reason[static 256]) {
    struct json_object *body = dinv_json_parse_object(text, strlen(text));
    g_assert_nonnull(body);
    int result = dinv_configuration_parse(body, configuration, reason, 256);
    json_object_put(body);
    return result;
}

/* The example of docs/control-protocol.md. */
static void test_configure_example(void) {
    static const char text[] =
        "{\"id\": 1, \"verb\": \"configure\", \"protocol\": 1, \"hostname\": \"dinv\","
        "\"time\": {\"sec\": 1760000000, \"nsec\": 5}, \"entropy\": \"Zm9vYmFy\","
        "\"network\": {\"address\": \"10.0.2.15\", \"prefix\": 24, \"gateway\": \"10.0.2.2\","
        "\"mtu\": 1500, \"dns\": [\"10.0.2.3\"], \"search\": [\"example.org\"],"
        "\"options\": [\"ndots:1\"], \"resolver\": {\"address\": \"10.0.2.2\", \"port\": 61001},"
        "\"hosts\": [{\"name\": \"host.docker.internal\", \"address\": \"10.0.2.2\"}]},"
        "\"disks\": [{\"serial\": \"dinv-data\", \"target\": \"/var/lib/docker\"},"
        "{\"serial\": \"dinv-volume\", \"target\": \"/v\", \"uid\": 4294967294, \"gid\": 0}],"
        "\"mounts\": [{\"driver\": \"9p\", \"tag\": \"dinv0\", \"target\": \"/a b\","
        "\"options\": \"msize=512000\", \"fallback_options\": \"directio\", \"readonly\": true}],"
        "\"inodes_max\": 262144,"
        "\"dockerd\": {\"args\": [\"--bip=172.30.0.1/16\"], \"deadline_ms\": 90000},"
        "\"containerd\": {\"log_level\": \"warn\", \"log_format\": \"json\"},"
        "\"files\": [{\"path\": \"/etc/docker/daemon.json\", \"text\": \"{\\n}\", \"mode\": "
        "420}],"
        "\"environment\": {\"NO_PROXY\": \"a b\"}, \"unknown\": {\"x\": 1}}";
    DinvConfiguration *configuration = NULL;
    char reason[256];
    g_assert_cmpint(parse(text, &configuration, reason), ==, 0);
    g_assert_cmpstr(configuration->hostname, ==, "dinv");
    g_assert_cmpint(configuration->time.tv_sec, ==, 1760000000);
    g_assert_cmpint(configuration->time.tv_nsec, ==, 5);
    g_assert_cmpuint(configuration->entropy_len, ==, 6);
    g_assert_true(configuration->network.present);
    g_assert_cmphex(configuration->network.address.s_addr, ==, htonl(0x0a00020f));
    g_assert_cmphex(configuration->network.gateway.s_addr, ==, htonl(0x0a000202));
    g_assert_cmpuint(configuration->network.prefix, ==, 24);
    g_assert_cmpuint(configuration->network.mtu, ==, 1500);
    g_assert_cmpstr(configuration->network.dns[0], ==, "10.0.2.3");
    g_assert_null(configuration->network.dns[1]);
    g_assert_cmpuint(configuration->network.host_count, ==, 1);
    g_assert_cmphex(configuration->network.resolver.s_addr, ==, htonl(0x0a000202));
    g_assert_cmpuint(configuration->network.resolver_port, ==, 61001);
    g_assert_cmpstr(configuration->network.hosts[0].name, ==, "host.docker.internal");
    g_assert_cmpuint(configuration->disk_count, ==, 2);
    g_assert_cmpstr(configuration->disks[0].serial, ==, "dinv-data");
    g_assert_cmpuint(configuration->disks[0].uid, ==, (uid_t)-1);
    g_assert_cmpuint(configuration->disks[0].gid, ==, (gid_t)-1);
    g_assert_cmpstr(configuration->disks[1].target, ==, "/v");
    g_assert_cmpuint(configuration->disks[1].uid, ==, 4294967294);
    g_assert_cmpuint(configuration->disks[1].gid, ==, 0);
    g_assert_cmpuint(configuration->mount_count, ==, 1);
    g_assert_cmpstr(configuration->mounts[0].target, ==, "/a b");
    g_assert_true(configuration->mounts[0].readonly);
    g_assert_cmpstr(configuration->dockerd_args[0], ==, "--bip=172.30.0.1/16");
    g_assert_cmpuint(configuration->dockerd_deadline_ms, ==, 90000);
    g_assert_cmpstr(configuration->containerd_logging.level, ==, "warn");
    g_assert_true(configuration->containerd_logging.json);
    g_assert_cmpuint(configuration->inodes_max, ==, 262144);
    g_assert_cmpuint(configuration->file_count, ==, 1);
    g_assert_cmpstr(configuration->files[0].path, ==, "/etc/docker/daemon.json");
    g_assert_cmpstr(configuration->files[0].text, ==, "{\n}");
    g_assert_cmpuint(configuration->files[0].mode, ==, 0644);
    g_assert_cmpstr(configuration->environment[0], ==, "NO_PROXY=a b");
    g_assert_null(configuration->environment[1]);
    dinv_configuration_free(configuration);
}

static void test_configure_least(void) {
    static const char *const texts[] = {
        "{\"protocol\": 1}",
        ("{\"protocol\": 1, \"network\": null, \"hostname\": null, \"time\": null, \"disks\": null,"
         "\"dockerd\": null, \"environment\": null, \"entropy\": null}"),
        "{\"protocol\": 1, \"dockerd\": {}, \"environment\": {}, \"mounts\": []}",
        ("{\"protocol\": 1, \"containerd\": {\"log_level\": \"nonsense\\n\", \"log_format\": 1}}"),
    };
    for (gsize i = 0; i < G_N_ELEMENTS(texts); i++) {
        DinvConfiguration *configuration = NULL;
        char reason[256] = "";
        g_assert_cmpint(parse(texts[i], &configuration, reason), ==, 0);
        g_assert_false(configuration->network.present);
        g_assert_null(configuration->network.dns[0]);
        g_assert_null(configuration->dockerd_args[0]);
        g_assert_null(configuration->environment[0]);
        g_assert_cmpuint(configuration->dockerd_deadline_ms, >, 0);
        g_assert_null(configuration->containerd_logging.level);
        g_assert_false(configuration->containerd_logging.json);
        g_assert_cmpuint(configuration->disk_count + configuration->mount_count, ==, 0);
        dinv_configuration_free(configuration);
    }
}

/* The text goes into a file of containerd's: only a level that it knows is taken. */
static void test_containerd_levels(void) {
    static const struct {
        const char *given;
        const char *taken;
    } cases[] = {{"warn", "warn"}, {"", NULL}, {"warn\\\"\\n", NULL}};
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *text = g_strdup_printf(
            "{\"protocol\": 1, \"containerd\": {\"log_level\": \"%s\"}}", cases[i].given);
        DinvConfiguration *configuration = NULL;
        char reason[256] = "";
        g_assert_cmpint(parse(text, &configuration, reason), ==, 0);
        g_assert_cmpstr(configuration->containerd_logging.level, ==, cases[i].taken);
        dinv_configuration_free(configuration);
    }
}

static void test_zone_and_sockets(void) {
    static const char text[] =
        "{\"protocol\": 1, \"zone\": {\"name\": \"Etc/UTC\", \"rules\": \"VFppZgA=\"},"
        "\"dockerd\": {\"sockets\": [\"/run/a\", \"/run/b\\\\040c\"]}}";
    DinvConfiguration *configuration = NULL;
    char reason[256];
    g_assert_cmpint(parse(text, &configuration, reason), ==, 0);
    g_assert_cmpstr(configuration->zone.name, ==, "Etc/UTC");
    g_assert_cmpuint(configuration->zone.length, ==, 5);
    g_assert_cmpint(memcmp(configuration->zone.rules, "TZif", 5), ==, 0);
    g_assert_cmpstr(configuration->dockerd_sockets[0], ==, "/run/a");
    g_assert_cmpstr(configuration->dockerd_sockets[1], ==, "/run/b c");
    g_assert_null(configuration->dockerd_sockets[2]);
    dinv_configuration_free(configuration);
}

static void test_zone_that_is_none(void) {
    static const char *const texts[] = {
        "{\"protocol\": 1, \"zone\": 1}",
        "{\"protocol\": 1, \"zone\": {\"rules\": \"VFppZgA=\"}}",
        "{\"protocol\": 1, \"zone\": {\"name\": \"Etc/UTC\", \"rules\": \"?\"}}",
    };
    for (gsize i = 0; i < G_N_ELEMENTS(texts); i++) {
        DinvConfiguration *configuration = NULL;
        char reason[256] = "";
        g_assert_cmpint(parse(texts[i], &configuration, reason), ==, -EBADMSG);
        g_assert_true(g_str_has_prefix(reason, "zone"));
    }
}

static void test_configure_protocol(void) {
    DinvConfiguration *configuration = NULL;
    char reason[256];
    g_assert_cmpint(parse("{}", &configuration, reason), ==, -EBADMSG);
    g_assert_cmpint(parse("{\"protocol\": \"1\"}", &configuration, reason), ==, -EBADMSG);
    g_assert_cmpint(parse("{\"protocol\": 2}", &configuration, reason), ==, -EPROTONOSUPPORT);
    g_assert_cmpstr(reason, ==, "protocol: version 2 of the launcher is not 1 of the guest");
}

/* The verb `resolver`: all of it or nothing. */
static void test_resolver(void) {
    static const char *const bad[] = {
        "{\"search\": [\"a b\"]}",
        "{\"search\": [\"b\"], \"options\": [\"x\\ny\"]}",
        "{\"search\": \"b\"}",
        "{\"options\": [1]}",
    };
    DinvConfiguration *configuration = NULL;
    char reason[256];
    g_assert_cmpint(
        parse("{\"protocol\": 1, \"network\": {\"address\": \"10.0.2.15\", \"prefix\": 24,"
              "\"search\": [\"old.example\"], \"options\": [\"ndots:1\"]}}",
              &configuration, reason),
        ==, 0);
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        struct json_object *body = dinv_json_parse_object(bad[i], strlen(bad[i]));
        reason[0] = '\0';
        g_assert_cmpint(dinv_configuration_set_resolver(configuration, body, reason, sizeof reason),
                        ==, -EBADMSG);
        g_assert_cmpstr(reason, !=, "");
        g_assert_cmpstr(configuration->network.search[0], ==, "old.example");
        g_assert_cmpstr(configuration->network.options[0], ==, "ndots:1");
        json_object_put(body);
    }
    static const char good[] = "{\"search\": [\"a.example\", \"b.example\"]}";
    struct json_object *body = dinv_json_parse_object(good, strlen(good));
    g_assert_cmpint(dinv_configuration_set_resolver(configuration, body, reason, sizeof reason), ==,
                    0);
    g_assert_cmpstr(configuration->network.search[1], ==, "b.example");
    g_assert_null(configuration->network.search[2]);
    g_assert_null(configuration->network.options[0]);
    json_object_put(body);
    dinv_configuration_free(configuration);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/guest/configuration/example", test_configure_example);
    g_test_add_func("/guest/configuration/least", test_configure_least);
    g_test_add_func("/guest/configuration/protocol", test_configure_protocol);
    g_test_add_func("/guest/configuration/zone-and-sockets", test_zone_and_sockets);
    g_test_add_func("/guest/configuration/zone-that-is-none", test_zone_that_is_none);
    g_test_add_func("/guest/configuration/containerd-levels", test_containerd_levels);
    g_test_add_func("/guest/configuration/resolver", test_resolver);
    return g_test_run();
}
