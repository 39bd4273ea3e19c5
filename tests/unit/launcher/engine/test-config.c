/* SPDX-License-Identifier: MIT */
/* What a directory of files, an environment and arguments for dockerd become. */
#include "launcher/engine/config.h"

#include <string.h>
#include <sys/stat.h>

#include "launcher/engine/options.h"
#include "launcher/engine/reason.h"
#include "tests/unit/lib/scratch.h"

typedef struct {
    Scratch scratch;
    DinvConfig config;
    DinvEngineConfig *engine;
    GError *error;
} Fixture;

static void set_up(Fixture *fixture, gconstpointer data) {
    (void)data;
    scratch_make(&fixture->scratch);
    fixture->config.config_dir = scratch_path(&fixture->scratch, "docker");
    fixture->config.dockerd_args = g_new0(char *, 1);
}

static void tear_down(Fixture *fixture, gconstpointer data) {
    (void)data;
    dinv_engine_config_free(fixture->engine);
    g_clear_error(&fixture->error);
    g_free(fixture->config.config_dir);
    g_strfreev(fixture->config.dockerd_args);
    scratch_remove(&fixture->scratch);
}

static gboolean read_config(Fixture *fixture, const char *words) {
    char *const environment[] = {(char *)"NO_PROXY=x", NULL};
    g_strfreev(fixture->config.dockerd_args);
    fixture->config.dockerd_args = g_strsplit(words, " ", -1);
    if (words[0] == '\0') {
        g_clear_pointer(&fixture->config.dockerd_args, g_strfreev);
        fixture->config.dockerd_args = g_new0(char *, 1);
    }
    g_clear_error(&fixture->error);
    g_clear_pointer(&fixture->engine, dinv_engine_config_free);
    fixture->engine = dinv_engine_config_read(&fixture->config, fixture->scratch.path, environment,
                                              &fixture->error);
    g_assert_true((fixture->engine == NULL) == (fixture->error != NULL));
    return fixture->engine != NULL;
}

static const DinvEngineFile *find_file(const Fixture *fixture, const char *path) {
    for (guint i = 0; i < fixture->engine->files->len; i++) {
        const DinvEngineFile *file = fixture->engine->files->pdata[i];
        if (strcmp(file->path, path) == 0) {
            return file;
        }
    }
    return NULL;
}

static void test_nothing(Fixture *fixture, gconstpointer data) {
    (void)data;
    g_assert_true(read_config(fixture, ""));
    g_assert_cmpuint(fixture->engine->files->len, ==, 0);
    g_assert_cmpuint(fixture->engine->warnings->len, ==, 0);
    g_assert_cmpuint(fixture->engine->bip.prefix, ==, 0);
    g_assert_null(fixture->engine->pools);
    g_assert_cmpstr(fixture->engine->text, ==, "NO_PROXY");
}

static void test_files(Fixture *fixture, gconstpointer data) {
    (void)data;
    scratch_write(&fixture->scratch, "docker/daemon.json", "{\"debug\": true}");
    scratch_write(&fixture->scratch, "docker/certs.d/reg:5000/ca.crt", "A\nB\n");
    scratch_write(&fixture->scratch, "docker/certs.d/reg:5000/client.key", "K");
    scratch_write(&fixture->scratch, "docker/certs.d/reg:5000/client.cert", "C");
    scratch_write(&fixture->scratch, "docker/certs.d/reg:5000/notes.txt", "N");
    scratch_write(&fixture->scratch, "docker/certs.d/other/ca.crt", "\xff");
    scratch_write(&fixture->scratch, "docker/key.json", "{}");
    scratch_write(&fixture->scratch, "usr/local/share/ca-certificates/a.crt",
                  "-----BEGIN CERTIFICATE-----\nQUFB\n-----END CERTIFICATE-----\n");
    g_assert_true(read_config(fixture, "--label a=b"));
    g_assert_cmpuint(fixture->engine->files->len, ==, 5);
    g_assert_cmpstr(find_file(fixture, "/etc/docker/daemon.json")->text, ==, "{\"debug\":true}");
    g_assert_cmpstr(find_file(fixture, "/etc/docker/certs.d/reg:5000/ca.crt")->text, ==, "A\nB\n");
    g_assert_cmpuint(find_file(fixture, "/etc/docker/certs.d/reg:5000/ca.crt")->mode, ==, 0644);
    g_assert_cmpuint(find_file(fixture, "/etc/docker/certs.d/reg:5000/client.key")->mode, ==, 0600);
    g_assert_nonnull(find_file(fixture, "/etc/docker/certs.d/reg:5000/client.cert"));
    g_assert_nonnull(find_file(fixture, "/etc/ssl/certs/dinv.pem"));
    g_assert_cmpuint(fixture->engine->warnings->len, ==, 1);
    g_assert_nonnull(
        strstr(fixture->engine->warnings->pdata[0], "other/ca.crt\" is not text (PEM), ignoring"));
    g_assert_cmpstr(fixture->engine->text, ==,
                    "daemon.json, 3 files of certs.d, 1 certificate authorities, NO_PROXY, 2 "
                    "arguments for dockerd");
}

static void test_bad_daemon_json(Fixture *fixture, gconstpointer data) {
    g_autofree char *path = scratch_path(&fixture->scratch, "docker/daemon.json");
    (void)data;
    scratch_write(&fixture->scratch, "docker/daemon.json", "{");
    g_assert_false(read_config(fixture, ""));
    g_assert_nonnull(strstr(fixture->error->message, "/docker/daemon.json\" is not JSON (line 1"));
    scratch_write(&fixture->scratch, "docker/daemon.json", "{\"bip\": \"x\"}");
    g_assert_false(read_config(fixture, ""));
    g_assert_nonnull(
        strstr(fixture->error->message, "/docker/daemon.json\": \"bip\": \"x\" is not"));
    g_assert_cmpint(g_remove(path), ==, 0);
    g_assert_cmpint(g_mkdir(path, 0755), ==, 0);
    g_assert_false(read_config(fixture, ""));
    g_assert_nonnull(strstr(fixture->error->message, "/docker/daemon.json\" is a directory"));
    g_assert_cmpint(g_rmdir(path), ==, 0);
    g_assert_cmpint(mkfifo(path, 0600), ==, 0); /* nobody writes there: it must not wait */
    g_assert_false(read_config(fixture, ""));
    g_assert_nonnull(strstr(fixture->error->message, "/docker/daemon.json\" is not a file"));
}

static void test_too_large(Fixture *fixture, gconstpointer data) {
    g_autofree char *half = g_strnfill(DINV_REGISTRY_FILES_MAX_BYTES / 2 + 1, 'x');
    (void)data;
    scratch_write(&fixture->scratch, "docker/certs.d/a/ca.crt", half);
    g_assert_true(read_config(fixture, ""));
    g_assert_false(read_config(fixture, half));
    g_assert_cmpstr(fixture->error->message, ==,
                    "the arguments for dockerd (DINV_DOCKERD_ARGS) have more than 32 KiB");
    scratch_write(&fixture->scratch, "docker/certs.d/b/ca.crt", half);
    g_assert_false(read_config(fixture, ""));
    g_assert_nonnull(strstr(fixture->error->message,
                            "/b/ca.crt\": certs.d has more than 256 files or 128 KiB with it"));
}

/* What was wanted of the networks, and who is asked first. */
static void test_networks(Fixture *fixture, gconstpointer data) {
    (void)data;
    scratch_write(&fixture->scratch, "docker/daemon.json",
                  "{\"bip\": \"10.1.0.1/24\", \"default-address-pools\": [{\"base\": "
                  "\"10.2.0.0/16\", \"size\": 24}]}");
    g_assert_true(read_config(fixture, ""));
    g_assert_cmphex(fixture->engine->bip.address, ==, DINV_IPV4(10, 1, 0, 1));
    g_assert_cmpuint(fixture->engine->pools->len, ==, 1);
    g_assert_true(dinv_engine_config_has(fixture->engine, "--bip", "bip"));
    /* DINV_BIP goes before both. */
    fixture->config.bip = (DinvIpv4Network){DINV_IPV4(10, 9, 0, 1), 24};
    g_assert_true(read_config(fixture, "--bip 10.3.0.1/24 --debug"));
    g_assert_cmphex(fixture->engine->bip.address, ==, DINV_IPV4(10, 9, 0, 1));
    g_assert_false(dinv_engine_config_has(fixture->engine, "--bip", "bip"));
    g_assert_cmpuint(g_strv_length(fixture->engine->arguments), ==, 1);
    g_assert_cmpuint(fixture->engine->warnings->len, ==, 2);
    fixture->config.bip.prefix = 0;
    scratch_write(&fixture->scratch, "docker/daemon.json", "{}");
    g_assert_true(read_config(fixture, "--bip=10.3.0.1/24 --default-address-pool "
                                       "base=10.4.1.0/16,size=24 "
                                       "--default-address-pool=size=24,base=10.5.0.0/16"));
    g_assert_cmphex(fixture->engine->bip.address, ==, DINV_IPV4(10, 3, 0, 1));
    g_assert_cmpuint(fixture->engine->pools->len, ==, 2);
    g_assert_cmphex(g_array_index(fixture->engine->pools, DinvIpv4Network, 0).address, ==,
                    DINV_IPV4(10, 4, 0, 0));
}

static void test_options(Fixture *fixture, gconstpointer data) {
    static const struct {
        const char *words;
        const char *left;
        guint warnings;
    } cases[] = {
        {"--debug --label a", "--debug --label a", 0},
        {"-H tcp://0.0.0.0 --debug", "--debug", 0},
        {"-Htcp://0.0.0.0 -H=unix:///x --host=x --host y -D", "-D", 0},
        {"-G 5 --group=x --groups", "--groups", 0},
        {"--tls=false --tlsverify --tlscert /c -D", "-D", 0},
        {"--tls --debug", "--debug", 0},
        {"--data-root=/x --exec-root /y -p /z --pidfile=/z", "", 4},
        {"--host-gateway-ip 10.0.0.1 --hostile", "--host-gateway-ip 10.0.0.1 --hostile", 0},
        {"--config-file /x --userland-proxy-path", "", 2},
    };
    (void)data;
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_assert_true(read_config(fixture, cases[i].words));
        g_autofree char *left = g_strjoinv(" ", fixture->engine->arguments);
        g_assert_cmpstr(left, ==, cases[i].left);
        g_assert_cmpuint(fixture->engine->warnings->len, ==, cases[i].warnings);
    }
}

static void test_reason(void) {
    static const struct {
        const char *log;
        const char *reason;
    } cases[] = {
        {"time=\"x\" level=info msg=up\nfailed to start daemon: no room\n",
         "failed to start daemon: no room"},
        {"unknown flag: --x\nSee 'dockerd --help'.\n", "unknown flag: --x"},
        {"unable: a\x1b[2J\n\n", "unable: a\\x1b[2J"},
        {"older\ntime=\"x\" level=info msg=up\n", NULL},
        {"", NULL},
        {"\n\n", NULL},
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *reason = dinv_engine_reason(cases[i].log);
        g_assert_cmpstr(reason, ==, cases[i].reason);
    }
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
#define ADD(name, function)                                                                        \
    g_test_add("/launcher/engine-config/" name, Fixture, NULL, set_up, function, tear_down)
    ADD("nothing", test_nothing);
    ADD("files", test_files);
    ADD("bad-daemon-json", test_bad_daemon_json);
    ADD("too-large", test_too_large);
    ADD("networks", test_networks);
    ADD("options", test_options);
    g_test_add_func("/launcher/engine-reason", test_reason);
    return g_test_run();
}
