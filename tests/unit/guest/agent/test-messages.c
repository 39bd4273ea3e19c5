/* SPDX-License-Identifier: MIT */
/* What comes over the control channel: lines, `configure`, and the channel itself. */
#include "tests/unit/lib/guest-harness.h"

#include "guest/base/base64.h"
#include "guest/base/message.h"
#include "guest/channels/control.h"
#include "guest/configuration/configuration.h"
#include "wire/control.h"

/* --- lines ------------------------------------------------------------------------------------ */

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

static void test_base64(void) {
    static const struct {
        const char *text;
        const char *bytes; /* NULL: refused */
    } cases[] = {{"", ""},        {"Zg==", "f"},        {"Zm8=", "fo"},
                 {"Zm9v", "foo"}, {"Zm9vYg==", "foob"}, {"Zm9vYmFy", "foobar"},
                 {"Zg", NULL},    {"Zg=", NULL},        {"Zg=x", NULL},
                 {"====", NULL},  {"Zm9\n", NULL},      {"Zm-_", NULL},
                 {"=Zm9", NULL}};
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        uint8_t bytes[16];
        ssize_t len = dinv_base64_decode(cases[i].text, strlen(cases[i].text), bytes, sizeof bytes);
        g_test_message("%s", cases[i].text);
        if (cases[i].bytes == NULL) {
            g_assert_cmpint(len, ==, -EINVAL);
        } else {
            g_assert_cmpint(len, ==, (ssize_t)strlen(cases[i].bytes));
            g_assert_true(memcmp(bytes, cases[i].bytes, (size_t)len) == 0);
        }
    }
    uint8_t small[2];
    g_assert_cmpint(dinv_base64_decode("Zm9v", 4, small, sizeof small), ==, -ENOSPC);
}

/* --- configure -------------------------------------------------------------------------------- */

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

static void test_configure_bad(void) {
    static const struct {
        const char *fields;
        const char *complaint; /* the text begins so */
    } cases[] = {
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
        {"\"network\": []", "network: "},
        {"\"network\": {}", "network.address: "},
        {"\"network\": {\"address\": \"10.0.2\", \"prefix\": 24}", "network.address: "},
        {"\"network\": {\"address\": \"10.0.2.15\", \"prefix\": 0}", "network.prefix: "},
        {"\"network\": {\"address\": \"10.0.2.15\", \"prefix\": 33}", "network.prefix: "},
        {"\"network\": {\"address\": \"10.0.2.15\"}", "network.prefix: "},
        {"\"network\": {\"address\": \"10.0.2.15\", \"prefix\": 24, \"mtu\": 70000}",
         "network.mtu: "},
        {"\"network\": {\"address\": \"10.0.2.15\", \"prefix\": 24, \"gateway\": \"x\"}",
         "network.gateway: "},
        {"\"network\": {\"address\": \"10.0.2.15\", \"prefix\": 24, \"dns\": [\"1.2.3.4\\nx\"]}",
         "network.dns: "},
        {"\"network\": {\"address\": \"10.0.2.15\", \"prefix\": 24, \"search\": [\"a b\"]}",
         "network.search: "},
        {"\"network\": {\"address\": \"10.0.2.15\", \"prefix\": 24, \"hosts\": [1]}",
         "network.hosts: "},
        {"\"network\": {\"address\": \"10.0.2.15\", \"prefix\": 24, \"hosts\": [{\"name\": "
         "\"a\"}]}",
         "network.hosts.address: "},
        {"\"network\": {\"address\": \"10.0.2.15\", \"prefix\": 24, \"resolver\": 53}",
         "network.resolver: "},
        {"\"network\": {\"address\": \"10.0.2.15\", \"prefix\": 24, \"resolver\": {\"port\": 53}}",
         "network.resolver.address: "},
        {"\"network\": {\"address\": \"10.0.2.15\", \"prefix\": 24, \"resolver\": "
         "{\"address\": \"::1\", \"port\": 53}}",
         "network.resolver.address: "},
        {"\"network\": {\"address\": \"10.0.2.15\", \"prefix\": 24, \"resolver\": "
         "{\"address\": \"10.0.2.2\", \"port\": 65536}}",
         "network.resolver.port: "},
        {"\"disks\": {}", "disks: "},
        {"\"disks\": [{\"serial\": \"a\"}]", "disks.target: "},
        {"\"disks\": [{\"target\": \"/a\"}]", "disks.serial: "},
        {"\"disks\": [{\"serial\": \"a\", \"target\": \"a\"}]", "disks.target: "},
        {"\"disks\": [{\"serial\": \"a\", \"target\": \"/\"}]", "disks.target: "},
        {"\"disks\": [{\"serial\": \"a\", \"target\": \"/a\", \"uid\": -1}]", "disks.uid: "},
        {"\"disks\": [{\"serial\": \"a\", \"target\": \"/a\", \"gid\": \"0\"}]", "disks.gid: "},
        {"\"disks\": [{\"serial\": \"a\", \"target\": \"/a/../b\"}]", "disks.target: "},
        {"\"disks\": [{\"serial\": \"a\", \"target\": \"/a/..\"}]", "disks.target: "},
        {"\"mounts\": [{\"driver\": \"nfs\", \"tag\": \"a\", \"target\": \"/a\"}]",
         "mounts.driver: "},
        {"\"mounts\": [{\"driver\": \"9p\", \"tag\": \"a\", \"target\": \"/a\", "
         "\"fallback_options\": 1}]",
         "mounts.fallback_options: "},
        {"\"mounts\": [{\"driver\": \"9p\", \"tag\": \"a\", \"target\": \"/a\", \"readonly\": 1}]",
         "mounts.readonly: "},
        {"\"mounts\": [{\"driver\": \"9p\", \"tag\": \"a\", \"target\": \"/./a\"}]",
         "mounts.target: "},
        {"\"files\": {}", "files: "},
        {"\"files\": [1]", "files: "},
        {"\"files\": [{\"text\": \"x\", \"mode\": 420}]", "files.path: "},
        {"\"files\": [{\"path\": \"/a/../b\", \"text\": \"x\", \"mode\": 420}]", "files.path: "},
        {"\"files\": [{\"path\": \"/a\", \"mode\": 420}]", "files.text: "},
        {"\"files\": [{\"path\": \"/a\", \"text\": \"a\\u0000b\", \"mode\": 420}]", "files.text: "},
        {"\"files\": [{\"path\": \"/a\", \"text\": \"x\", \"mode\": 2541}]", "files.mode: "},
        {"\"files\": [{\"path\": \"/a\", \"text\": \"x\"}]", "files.mode: "},
        {"\"dockerd\": 1", "dockerd: "},
        {"\"dockerd\": {\"args\": \"--x\"}", "dockerd.args: "},
        {"\"dockerd\": {\"args\": [1]}", "dockerd.args: "},
        {"\"dockerd\": {\"deadline_ms\": 0}", "dockerd.deadline_ms: "},
        {"\"containerd\": []", "containerd: "},
        {"\"inodes_max\": 0", "inodes_max: "},
        {"\"environment\": []", "environment: "},
        {"\"environment\": {\"A=B\": \"x\"}", "environment: "},
        {"\"environment\": {\"\": \"x\"}", "environment: "},
        {"\"environment\": {\"A\": 1}", "environment: "},
        {"\"environment\": {\"A\": \"x\\ny\"}", "environment: "},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *text = g_strdup_printf("{\"protocol\": 1, %s}", cases[i].fields);
        DinvConfiguration *configuration = NULL;
        char reason[256] = "";
        g_test_message("%s", text);
        g_assert_cmpint(parse(text, &configuration, reason), ==, -EBADMSG);
        g_assert_null(configuration);
        g_test_message("  %s", reason);
        g_assert_true(g_str_has_prefix(reason, cases[i].complaint));
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

/* --- the channel ------------------------------------------------------------------------------ */

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
    g_test_add_func("/guest/message/good", test_message_good);
    g_test_add_func("/guest/message/bad", test_message_bad);
    g_test_add_func("/guest/base64/decode", test_base64);
    g_test_add_func("/guest/configuration/example", test_configure_example);
    g_test_add_func("/guest/configuration/least", test_configure_least);
    g_test_add_func("/guest/configuration/bad", test_configure_bad);
    g_test_add_func("/guest/configuration/protocol", test_configure_protocol);
    g_test_add_func("/guest/configuration/containerd-levels", test_containerd_levels);
    g_test_add_func("/guest/configuration/resolver", test_resolver);
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
