/* SPDX-License-Identifier: MIT */
/* The body of `configure`, field by field. */
#include "launcher/vm/configuration.h"

#include <string.h>
#include <sys/resource.h>

#include "tests/unit/lib/scratch.h"

#define OPTIONS_9P                                                                                 \
    "\"options\":\"msize=512000,cache=revalidate,access=client\","                                 \
    "\"fallback_options\":\"msize=512000,cache=mmap,directio,access=client\""

typedef struct {
    DinvConfig config;
    DinvEngineConfig *engine;
    DinvEngineNetworkPlan *network;
    GPtrArray *mounts;
} Fixture;

/* With what `variables` says besides. */
static void read_engine(Fixture *fixture, char *const *variables) {
    g_autoptr(GError) error = NULL;
    dinv_engine_config_free(fixture->engine);
    fixture->engine = dinv_engine_config_read(&fixture->config, "/nowhere", variables, &error);
    g_assert_no_error(error);
}

static void set_up(Fixture *fixture, gconstpointer data) {
    g_autoptr(GArray) outer = g_array_new(FALSE, FALSE, sizeof(DinvHostNetwork));
    (void)data;
    fixture->config = (DinvConfig){
        .ports = g_array_new(FALSE, FALSE, sizeof(DinvPortForward)),
        .mtu = 65520,
        .dockerd_args = g_new0(char *, 1),
        .config_dir = (char *)"/nowhere",
        .boot_timeout_ms = 1234,
    };
    char *const no_variables[] = {NULL};
    read_engine(fixture, no_variables);
    fixture->network = dinv_engine_network_plan_for(&fixture->config, fixture->engine, outer);
    fixture->mounts = g_ptr_array_new();
}

static void tear_down(Fixture *fixture, gconstpointer data) {
    (void)data;
    dinv_engine_network_plan_free(fixture->network);
    dinv_engine_config_free(fixture->engine);
    g_array_unref(fixture->config.ports);
    g_ptr_array_unref(fixture->mounts);
    g_strfreev(fixture->config.dockerd_args);
}

static struct json_object *make(Fixture *fixture, const char *resolv_conf) {
    g_autoptr(DinvDnsResolverFiles) files =
        dinv_dns_resolver_files_parse(resolv_conf, NULL, DINV_DNS_PORT);
    return dinv_vm_configuration_new(&fixture->config, fixture->engine, fixture->network,
                                     fixture->mounts, DINV_VM_SHARES_9P, "outer", files, 61001);
}

static const char *to_text(struct json_object *object) {
    return json_object_to_json_string_ext(object,
                                          JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
}

/* The text of body[first][second]; `second` may be NULL. */
static const char *text_of(struct json_object *body, const char *first, const char *second) {
    struct json_object *value = json_object_object_get(body, first);
    return to_text(second != NULL ? json_object_object_get(value, second) : value);
}

static void set_args(Fixture *fixture, const char *words) {
    g_autoptr(GArray) outer = g_array_new(FALSE, FALSE, sizeof(DinvHostNetwork));
    char *const no_variables[] = {NULL};
    g_strfreev(fixture->config.dockerd_args);
    fixture->config.dockerd_args = g_strsplit(words, " ", -1);
    read_engine(fixture, no_variables);
    dinv_engine_network_plan_free(fixture->network);
    fixture->network = dinv_engine_network_plan_for(&fixture->config, fixture->engine, outer);
}

static void test_volume(Fixture *fixture, gconstpointer data) {
    (void)data;
    fixture->config.volume_path = (char *)"/volume";
    fixture->config.volume_uid = 1000;
    fixture->config.volume_gid = (gid_t)-1;
    struct json_object *body = make(fixture, NULL);
    g_assert_cmpstr(text_of(body, "disks", NULL), ==,
                    "[{\"serial\":\"dinv-data\",\"target\":\"/var/lib/docker\"},"
                    "{\"serial\":\"dinv-volume\",\"target\":\"/volume\",\"uid\":1000}]");
    json_object_put(body);
}

static void test_plain(Fixture *fixture, gconstpointer data) {
    (void)data;
    struct json_object *body = make(fixture, NULL);
    g_assert_cmpstr(text_of(body, "protocol", NULL), ==, "1");
    g_assert_cmpstr(text_of(body, "hostname", NULL), ==, "\"outer\"");
    g_assert_cmpstr(
        text_of(body, "network", NULL), ==,
        "{\"address\":\"10.0.2.15\",\"prefix\":24,\"gateway\":\"10.0.2.2\",\"mtu\":65520,"
        "\"dns\":[\"10.0.2.3\"],\"resolver\":{\"address\":\"10.0.2.2\",\"port\":61001},"
        "\"search\":[],\"options\":[],"
        "\"hosts\":[{\"name\":\"host.docker.internal\",\"address\":\"10.0.2.2\"},"
        "{\"name\":\"gateway.docker.internal\",\"address\":\"10.0.2.2\"}]}");
    g_assert_cmpstr(text_of(body, "disks", NULL), ==,
                    "[{\"serial\":\"dinv-data\",\"target\":\"/var/lib/docker\"}]");
    g_assert_cmpstr(text_of(body, "mounts", NULL), ==, "[]");
    g_assert_cmpstr(text_of(body, "dockerd", "deadline_ms"), ==, "1234");
    g_assert_cmpstr(text_of(body, "containerd", NULL), ==, "{}");
    g_assert_cmpstr(text_of(body, "files", NULL), ==, "[]");
    g_assert_cmpstr(text_of(body, "environment", NULL), ==, "{}");
    g_assert_nonnull(strstr(text_of(body, "dockerd", "args"), "\"--bip=172.17.0.1/16\""));
    g_assert_nonnull(strstr(text_of(body, "dockerd", "args"),
                            "\"--default-address-pool=base=172.18.0.0/16,size=16\""));
    g_assert_nonnull(strstr(text_of(body, "dockerd", "args"),
                            "\"--default-address-pool=base=192.168.0.0/16,size=20\""));
    /* For networks made with --ipv6 and without a --subnet. */
    g_assert_nonnull(strstr(text_of(body, "dockerd", "args"),
                            "\"--default-address-pool=base=fd64:696e:7600:f::/64,size=64\""));
    json_object_put(body);
}

/* A guest that is configured again gets another seed, and the time of now. */
static void test_fresh(Fixture *fixture, gconstpointer data) {
    (void)data;
    struct json_object *first = make(fixture, NULL);
    struct json_object *second = make(fixture, NULL);
    gsize length = 0;
    g_free(
        g_base64_decode(json_object_get_string(json_object_object_get(first, "entropy")), &length));
    g_assert_cmpuint(length, ==, 64);
    g_assert_cmpstr(text_of(first, "entropy", NULL), !=, text_of(second, "entropy", NULL));
    struct json_object *time = json_object_object_get(second, "time");
    gint64 sec = json_object_get_int64(json_object_object_get(time, "sec"));
    gint64 nsec = json_object_get_int64(json_object_object_get(time, "nsec"));
    gint64 now = g_get_real_time() / G_USEC_PER_SEC;
    g_assert_cmpint(sec, <=, now);
    g_assert_cmpint(sec, >, 1700000000);
    g_assert_cmpint(nsec, >=, 0);
    g_assert_cmpint(nsec, <, 1000000000);
    json_object_put(first);
    json_object_put(second);
}

static void test_mounts(Fixture *fixture, gconstpointer data) {
    DinvMountSpec one = {(char *)"/a", (char *)"/inner \"x\"", FALSE, FALSE};
    DinvMountSpec two = {(char *)"/b", (char *)"/b", TRUE, FALSE};
    DinvMountSpec odd = {(char *)"/c", (char *)"/c\n\\\xff", TRUE, TRUE};
    (void)data;
    g_ptr_array_add(fixture->mounts, &one);
    g_ptr_array_add(fixture->mounts, &two);
    g_ptr_array_add(fixture->mounts, &odd);
    struct json_object *body = make(fixture, NULL);
    g_assert_cmpstr(
        text_of(body, "mounts", NULL), ==,
        "[{\"driver\":\"9p\",\"tag\":\"dinv0\",\"target\":\"/inner \\\"x\\\"\"," OPTIONS_9P
        ",\"readonly\":false},"
        "{\"driver\":\"9p\",\"tag\":\"dinv1\",\"target\":\"/b\"," OPTIONS_9P ",\"readonly\":true},"
        "{\"driver\":\"9p\",\"tag\":\"dinv-files\",\"file\":\"2\","
        "\"target\":\"/c\\\\012\\\\134\\\\377\"," OPTIONS_9P ",\"readonly\":true}]");
    json_object_put(body);
}

/* Addresses that the user gave dockerd are not given again; an option of a similar name is another.
 */
static void test_user_arguments(Fixture *fixture, gconstpointer data) {
    static const struct {
        const char *words;
        gboolean bip;
        gboolean pools;
    } cases[] = {
        {"--bip 10.9.0.1/24", FALSE, TRUE},
        {"--bip=10.9.0.1/24", FALSE, TRUE},
        {"--bip6=fd00::1/64", TRUE, TRUE},
        {"--bridge none", FALSE, TRUE},
        {"-b=br0", FALSE, TRUE},
        {"--default-address-pool base=10.8.0.0/16,size=24", TRUE, FALSE},
        {"--debug --host-gateway-ip=10.0.0.9", TRUE, TRUE},
    };
    (void)data;
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        set_args(fixture, cases[i].words);
        struct json_object *body = make(fixture, NULL);
        const char *args = text_of(body, "dockerd", "args");
        g_test_message("%s: %s", cases[i].words, args);
        g_assert_cmpint(strstr(args, "\"--bip=172.") != NULL, ==, cases[i].bip);
        g_assert_cmpint(strstr(args, "pool=base=172.") != NULL, ==, cases[i].pools);
        g_assert_cmpint(strstr(args, "\"--host-gateway-ip=10.0.2.2\"") != NULL, ==,
                        strstr(cases[i].words, "--host-gateway-ip") == NULL);
        /* The user's words come last, as they are: what comes last wins. */
        g_autofree char *last = g_strdup_printf("\"%s\"]", g_strrstr(cases[i].words, " ") != NULL
                                                               ? g_strrstr(cases[i].words, " ") + 1
                                                               : cases[i].words);
        g_assert_true(g_str_has_suffix(args, last));
        json_object_put(body);
    }
}

/* The user's own size of packets is not given again: for docker0, for networks, or both. */
static void test_mtu(Fixture *fixture, gconstpointer data) {
    static const struct {
        const char *words;
        gboolean bridge;
        gboolean networks;
    } cases[] = {
        {"--label a=b", TRUE, TRUE},
        {"--mtu 1400", FALSE, TRUE},
        {"--default-network-opt=bridge=com.docker.network.driver.mtu=1400", TRUE, FALSE},
        {"--mtu=1400 --default-network-opt bridge=a=b", FALSE, FALSE},
    };
    (void)data;
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        set_args(fixture, cases[i].words);
        struct json_object *body = make(fixture, NULL);
        const char *args = text_of(body, "dockerd", "args");
        g_test_message("%s: %s", cases[i].words, args);
        g_assert_cmpint(strstr(args, "\"--mtu=65520\"") != NULL, ==, cases[i].bridge);
        g_assert_cmpint(
            strstr(args, "\"--default-network-opt=bridge=com.docker.network.driver.mtu=65520\"") !=
                NULL,
            ==, cases[i].networks);
        json_object_put(body);
    }
}

/* Containers begin with the limits that dinv itself has. */
static void test_limits(Fixture *fixture, gconstpointer data) {
    struct rlimit before;
    (void)data;
    g_assert_cmpint(getrlimit(RLIMIT_CORE, &before), ==, 0);
    const struct rlimit core = {.rlim_cur = 0, .rlim_max = before.rlim_max};
    g_assert_cmpint(setrlimit(RLIMIT_CORE, &core), ==, 0);
    struct json_object *body = make(fixture, NULL);
    const char *args = text_of(body, "dockerd", "args");
    g_autofree char *wanted =
        before.rlim_max == RLIM_INFINITY
            ? g_strdup("\"--default-ulimit=core=0:-1\"")
            : g_strdup_printf("\"--default-ulimit=core=0:%" G_GUINT64_FORMAT "\"",
                              (guint64)before.rlim_max);
    g_test_message("%s", args);
    g_assert_nonnull(strstr(args, wanted));
    g_assert_nonnull(strstr(args, "\"--default-ulimit=nofile="));
    json_object_put(body);
    g_assert_cmpint(setrlimit(RLIMIT_CORE, &before), ==, 0);
}

/* Those that the guest can have, in a form that it takes. */
static void test_sockets(Fixture *fixture, gconstpointer data) {
    g_autoptr(GPtrArray) more = g_ptr_array_new();
    (void)data;
    g_ptr_array_add(more, (char *)"/run/a\\b/docker.sock");
    g_ptr_array_add(more, (char *)"/srv/docker.sock");
    fixture->config.socket_path = (char *)"/run/x/../dinv/docker.sock";
    fixture->config.socket_link = (char *)"/var/run/docker.sock";
    fixture->config.more_sockets = more;
    struct json_object *body = make(fixture, NULL);
    g_assert_cmpstr(text_of(body, "dockerd", "sockets"), ==,
                    "[\"/run/dinv/docker.sock\",\"/var/run/docker.sock\","
                    "\"/run/a\\\\134b/docker.sock\"]");
    json_object_put(body);
    fixture->config.more_sockets = NULL;
}

/* Keys of daemon.json are not given as flags: dockerd would refuse both. */
static void test_daemon_json(Fixture *fixture, gconstpointer data) {
    static const char text[] =
        "{\"bip\":\"10.9.0.1/24\",\"default-address-pools\":[{\"base\":\"10.8.0.0/"
        "16\",\"size\":24}],\"host-gateway-ip\":\"10.0.0.9\",\"debug\":true,\"mtu\":1400,"
        "\"default-network-opts\":{\"bridge\":{}},\"default-ulimits\":{}}";
    Scratch scratch;
    (void)data;
    scratch_make(&scratch);
    scratch_write(&scratch, "daemon.json", text);
    fixture->config.config_dir = scratch.path;
    set_args(fixture, "--label a=b");
    struct json_object *body = make(fixture, NULL);
    g_assert_cmpstr(text_of(body, "dockerd", "args"), ==, "[\"--label\",\"a=b\"]");
    struct json_object *content = json_object_new_string(text);
    g_autofree char *files =
        g_strdup_printf("[{\"path\":\"/etc/docker/daemon.json\",\"text\":%s,\"mode\":420}]",
                        json_object_to_json_string_ext(content, JSON_C_TO_STRING_NOSLASHESCAPE));
    g_assert_cmpstr(text_of(body, "files", NULL), ==, files);
    json_object_put(content);
    json_object_put(body);
    fixture->config.config_dir = (char *)"/nowhere";
    scratch_remove(&scratch);
}

static void test_proxies(Fixture *fixture, gconstpointer data) {
    char *const variables[] = {(char *)"HTTP_PROXY=http://127.0.0.1:3128", NULL};
    (void)data;
    read_engine(fixture, variables);
    struct json_object *body = make(fixture, NULL);
    g_assert_cmpstr(text_of(body, "environment", "HTTP_PROXY"), ==, "\"http://10.0.2.2:3128\"");
    g_assert_nonnull(strstr(text_of(body, "environment", "NO_PROXY"), ",172.17.0.0/16,"));
    json_object_put(body);
}

static void test_resolver(Fixture *fixture, gconstpointer data) {
    static const char resolv_conf[] =
        "search a.example b.example\noptions ndots:0 edns0 ndots:1 ndots:5\n";
    (void)data;
    struct json_object *body = make(fixture, resolv_conf);
    g_assert_cmpstr(text_of(body, "network", "search"), ==, "[\"a.example\",\"b.example\"]");
    g_assert_cmpstr(text_of(body, "network", "options"), ==, "[\"edns0\",\"ndots:5\"]");
    json_object_put(body);
    g_autoptr(DinvDnsResolverFiles) files =
        dinv_dns_resolver_files_parse(resolv_conf, NULL, DINV_DNS_PORT);
    /* The fields of the verb of that name. */
    body = json_object_new_object();
    dinv_vm_configuration_add_resolver(body, files);
    g_assert_cmpstr(to_text(body), ==,
                    "{\"search\":[\"a.example\",\"b.example\"],"
                    "\"options\":[\"edns0\",\"ndots:5\"]}");
    json_object_put(body);
    /* Without a forwarder. */
    body = dinv_vm_configuration_new(&fixture->config, fixture->engine, fixture->network,
                                     fixture->mounts, DINV_VM_SHARES_9P, "outer", files, 0);
    g_assert_null(json_object_object_get(json_object_object_get(body, "network"), "resolver"));
    json_object_put(body);
}

static void test_other_networks(Fixture *fixture, gconstpointer data) {
    const DinvHostNetwork outer[] = {{{DINV_IPV4(10, 0, 2, 0), 24}, "eth0"},
                                     {{DINV_IPV4(172, 17, 0, 0), 16}, "eth1"}};
    g_autoptr(GArray) taken = g_array_new(FALSE, FALSE, sizeof(DinvHostNetwork));
    (void)data;
    g_array_append_vals(taken, outer, G_N_ELEMENTS(outer));
    dinv_engine_network_plan_free(fixture->network);
    fixture->network = dinv_engine_network_plan_for(&fixture->config, fixture->engine, taken);
    struct json_object *body = make(fixture, NULL);
    g_assert_cmpstr(text_of(body, "network", "address"), ==, "\"10.191.0.15\"");
    g_assert_nonnull(strstr(text_of(body, "dockerd", "args"), "\"--bip=172.18.0.1/16\""));
    g_assert_null(strstr(text_of(body, "dockerd", "args"), "base=172.18."));
    g_assert_nonnull(strstr(text_of(body, "dockerd", "args"), "\"--host-gateway-ip=10.191.0.2\""));
    json_object_put(body);
}

/* containerd logs as dockerd does. */
static void test_containerd(Fixture *fixture, gconstpointer data) {
    static const struct {
        const char *words;
        const char *file;
        const char *expected;
    } cases[] = {
        {"--log-level=warn", "{}", "{\"log_level\":\"warn\"}"},
        {"-l error --log-format json", "{}", "{\"log_level\":\"error\",\"log_format\":\"json\"}"},
        {"--log-level info --log-level=fatal", "{}", "{\"log_level\":\"fatal\"}"},
        {"--debug --log-level=warn", "{}", "{\"log_level\":\"debug\"}"},
        {"--debug=false", "{\"log-level\": \"warn\"}", "{\"log_level\":\"warn\"}"},
        {"-D", "{}", "{\"log_level\":\"debug\"}"},
        {"--label=a", "{\"debug\": true, \"log-format\": \"json\"}",
         "{\"log_level\":\"debug\",\"log_format\":\"json\"}"},
        {"--label=a", "{\"debug\": false}", "{}"},
    };
    (void)data;
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        Scratch scratch;
        scratch_make(&scratch);
        scratch_write(&scratch, "daemon.json", cases[i].file);
        fixture->config.config_dir = scratch.path;
        set_args(fixture, cases[i].words);
        struct json_object *body = make(fixture, NULL);
        g_assert_cmpstr(text_of(body, "containerd", NULL), ==, cases[i].expected);
        json_object_put(body);
        fixture->config.config_dir = (char *)"/nowhere";
        scratch_remove(&scratch);
    }
}

/* No more than half of what virtiofsd may open, and only where there is one. */
static void test_inodes(Fixture *fixture, gconstpointer data) {
    struct rlimit files;
    (void)data;
    g_assert_cmpint(getrlimit(RLIMIT_NOFILE, &files), ==, 0);
    struct json_object *body = make(fixture, NULL);
    g_assert_null(json_object_object_get(body, "inodes_max"));
    json_object_put(body);
    g_autoptr(DinvDnsResolverFiles) none = dinv_dns_resolver_files_parse(NULL, NULL, DINV_DNS_PORT);
    body =
        dinv_vm_configuration_new(&fixture->config, fixture->engine, fixture->network,
                                  fixture->mounts, DINV_VM_SHARES_VIRTIOFS, "outer", none, 61001);
    gint64 max = json_object_get_int64(json_object_object_get(body, "inodes_max"));
    g_assert_cmpint(max, >, 0);
    g_assert_cmpuint((rlim_t)max, <=, files.rlim_max / 2);
    g_assert_cmpint(max, <=, 500000);
    json_object_put(body);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
#define ADD(name, function)                                                                        \
    g_test_add("/launcher/guest-config/" name, Fixture, NULL, set_up, function, tear_down)
    ADD("plain", test_plain);
    ADD("volume", test_volume);
    ADD("inodes", test_inodes);
    ADD("fresh", test_fresh);
    ADD("mounts", test_mounts);
    ADD("user-arguments", test_user_arguments);
    ADD("mtu", test_mtu);
    ADD("limits", test_limits);
    ADD("sockets", test_sockets);
    ADD("resolver", test_resolver);
    ADD("daemon-json", test_daemon_json);
    ADD("proxies", test_proxies);
    ADD("other-networks", test_other_networks);
    ADD("containerd", test_containerd);
    return g_test_run();
}
