/* SPDX-License-Identifier: MIT */
/* What dockerd's options for where it answers make of dinv's settings. */
#include "launcher/engine/serving.h"

#include <grp.h>
#include <string.h>

#include "launcher/engine/host-address.h"
#include "tests/unit/lib/scratch.h"
#include "tests/unit/lib/settings-load.h"

typedef struct {
    Scratch scratch;
    Load *load;
    DinvConfig *config; /* of `load` */
    GPtrArray *warnings;
    GError *error;
} Fixture;

static void set_up(Fixture *fixture, gconstpointer data) {
    (void)data;
    scratch_make(&fixture->scratch);
}

static void forget(Fixture *fixture) {
    g_clear_pointer(&fixture->load, load_free);
    g_clear_pointer(&fixture->warnings, g_ptr_array_unref);
    g_clear_error(&fixture->error);
}

static void tear_down(Fixture *fixture, gconstpointer data) {
    (void)data;
    forget(fixture);
    scratch_remove(&fixture->scratch);
}

/* `environment` is separated by bars, `words` by spaces. */
static gboolean settle(Fixture *fixture, const char *environment, const char *words) {
    g_auto(GStrv) arguments = g_strsplit(words, " ", -1);
    char *const variables[] = {(char *)"HOME=/home/me", NULL};
    int count = words[0] == '\0' ? 0 : (int)g_strv_length(arguments);
    forget(fixture);
    fixture->warnings = g_ptr_array_new_with_free_func(g_free);
    g_autofree char *directory = scratch_path(&fixture->scratch, "docker");
    g_autofree char *all = g_strdup_printf("DINV_CONFIG_DIR=%s|%s", directory, environment);
    fixture->load = load_good(all, "");
    fixture->config = fixture->load->config;
    g_assert_true(dinv_settings_add_dockerd_arguments(fixture->config, arguments, count, NULL));
    gboolean good =
        dinv_engine_serving_settle(fixture->config, variables, fixture->warnings, &fixture->error);
    g_assert_true(good == (fixture->error == NULL));
    return good;
}

/* Where the engine answers: paths first, then ports, with "+tls" behind those with TLS. */
static void assert_places(const Fixture *fixture, const char *expected) {
    const DinvConfig *config = fixture->config;
    g_autoptr(GString) text = g_string_new(config->socket_path);
    g_autoptr(GArray) ports = dinv_config_list_ports(config);
    g_assert_no_error(fixture->error);
    for (guint i = 0; config->more_sockets != NULL && i < config->more_sockets->len; i++) {
        g_string_append_printf(text, " %s", (const char *)config->more_sockets->pdata[i]);
    }
    for (guint i = 0; i < ports->len; i++) {
        const DinvConfigPort *port = &g_array_index(ports, DinvConfigPort, i);
        g_autofree char *address = dinv_tcp_address_to_string(&port->address);
        g_string_append_printf(text, " %s%s", address, port->tls ? "+tls" : "");
    }
    g_assert_cmpstr(text->str, ==, expected);
}

static void assert_refusal(Fixture *fixture, const char *environment, const char *words,
                           const char *message) {
    g_assert_false(settle(fixture, environment, words));
    g_assert_cmpstr(fixture->error->message, ==, message);
}

#define USUAL "/var/run/docker.sock"

static void test_hosts(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    static const struct {
        const char *environment;
        const char *words;
        const char *places;
    } cases[] = {
        {"", "", USUAL},
        {"", "--debug", USUAL},
        {"", "--host=unix:///var/run/docker.sock --group=0", USUAL},
        {"", "-H unix:///run/a.sock -Hunix:///run/b.sock -H=unix:///run/a.sock",
         "/run/a.sock /run/b.sock"},
        {"DINV_SOCKET=/s", "--host unix:///run/a.sock", "/s /run/a.sock"},
        {"", "--host=tcp://127.0.0.1:2375", USUAL " tcp://127.0.0.1:2375"},
        {"", "-H tcp://0.0.0.0", USUAL " tcp://0.0.0.0:2375"},
        {"", "-H tcp://127.0.0.1:1 -H tcp://0.0.0.0:1 -H 127.0.0.2:1", USUAL " tcp://0.0.0.0:1"},
        {"", "-H tcp://[::1]:1 -H tcp://0.0.0.0:1", USUAL " tcp://[::1]:1 tcp://0.0.0.0:1"},
        /* The default of an empty directory gives way, a setting does not. */
        {"DOCKER_TLS_CERTDIR=", "", USUAL " tcp://*:2375"},
        {"DOCKER_TLS_CERTDIR=", "-H tcp://127.0.0.1:2375", USUAL " tcp://127.0.0.1:2375"},
        {"DOCKER_TLS_CERTDIR=", "-H unix:///x", "/x tcp://*:2375"},
        {"DOCKER_TLS_CERTDIR=", "--tlsverify", USUAL " tcp://*:2375+tls"},
        {"DINV_PLAINTEXT_PORT=2375", "-H tcp://127.0.0.1:2375", USUAL " tcp://*:2375"},
        {"DINV_PLAINTEXT_PORT=1", "-H tcp://127.0.0.1:2375",
         USUAL " tcp://*:1 tcp://127.0.0.1:2375"},
        {"DOCKER_TLS_CERTDIR=/c", "-H tcp://0.0.0.0:2376 --tlsverify", USUAL " tcp://*:2376+tls"},
        {"DOCKER_TLS_CERTDIR=/c", "-H tcp://0.0.0.0:2375",
         USUAL " tcp://*:2376+tls tcp://0.0.0.0:2375"},
        {"", "--tlsverify -H tcp://0.0.0.0", USUAL " tcp://0.0.0.0:2376+tls"},
        {"", "--tls=false -H tcp://0.0.0.0", USUAL " tcp://0.0.0.0:2375"},
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        (void)settle(fixture, cases[i].environment, cases[i].words);
        assert_places(fixture, cases[i].places);
        g_assert_cmpuint(fixture->warnings->len, ==, 0);
    }
}

static void test_refused(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    assert_refusal(fixture, "", "--host fd://",
                   "--host: \"fd://\" asks for a socket of systemd, which there is none of; name "
                   "unix://PATH or tcp://ADDRESS:PORT");
    assert_refusal(fixture, "", "--host npipe://x",
                   "--host: \"npipe://x\" is neither unix://PATH nor tcp://ADDRESS:PORT");
    assert_refusal(fixture, "", "--host tcp://1.2.3.4:70000",
                   "--host: \"tcp://1.2.3.4:70000\" is not an address, such as "
                   "tcp://127.0.0.1:2375 or tcp://[::1]:2375");
    assert_refusal(fixture, "", "--host tcp://127.0.0.1:1/v1",
                   "--host: \"tcp://127.0.0.1:1/v1\" has a path behind the port, which dinv does "
                   "not serve");
    assert_refusal(fixture, "", "--tls=maybe", "--tls: \"maybe\" is neither true nor false");
    assert_refusal(fixture, "DOCKER_TLS_CERTDIR=/c", "--host tcp://0.0.0.0:2376",
                   "--host: \"tcp://0.0.0.0:2376\" is to be without TLS, and the same port by "
                   "DINV_TLS_PORT with; add --tlsverify, or take one of them away");
    assert_refusal(fixture, "DINV_PLAINTEXT_PORT=1", "--tlsverify --host tcp://0.0.0.0:1",
                   "--host: \"tcp://0.0.0.0:1\" is to be with TLS, and the same port by "
                   "DINV_PLAINTEXT_PORT without; take one of them away");
    assert_refusal(fixture, "DINV_TCP_PORTS=2375", "--host tcp://127.0.0.1:2375",
                   "DINV_TCP_PORTS: port 2375 is where the engine answers (--host)");
    g_autofree char *name = g_strnfill(120, 'x');
    g_autofree char *words = g_strdup_printf("--host unix:///%s", name);
    g_assert_false(settle(fixture, "", words));
    g_assert_nonnull(strstr(fixture->error->message, "longer than the path of a socket"));
}

static void test_group(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    const struct group *first = getgrgid(0);
    g_autofree char *named = g_strdup_printf("-G %s", first->gr_name);
    g_assert_true(settle(fixture, "", "--group=123"));
    g_assert_cmpuint(fixture->config->socket_gid, ==, 123);
    g_assert_true(settle(fixture, "", named));
    g_assert_cmpuint(fixture->config->socket_gid, ==, 0);
    g_assert_true(settle(fixture, "DINV_SOCKET_GID=7", "--group=123"));
    g_assert_cmpuint(fixture->config->socket_gid, ==, 7);
    g_assert_true(settle(fixture, "", "--group="));
    g_assert_true(fixture->config->socket_gid == (gid_t)-1);
    assert_refusal(fixture, "", "--group no-such-group",
                   "--group: there is no group \"no-such-group\" here; give its number, or name "
                   "one of /etc/group");
    assert_refusal(fixture, "", "--group 4294967295",
                   "--group: there is no group \"4294967295\" here; give its number, or name one "
                   "of /etc/group");
}

static void assert_files(const Fixture *fixture, const char *ca, const char *certificate,
                         const char *key) {
    g_auto(DinvTlsFiles) files = dinv_engine_serving_get_files(fixture->config);
    g_assert_no_error(fixture->error);
    g_assert_cmpstr(files.ca, ==, ca);
    g_assert_cmpstr(files.certificate, ==, certificate);
    g_assert_cmpstr(files.key, ==, key);
}

static void test_tls(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    (void)settle(fixture, "",
                 "-H tcp://0.0.0.0 --tlsverify --tlscacert=/a --tlscert /b --tlskey c/../d");
    g_autofree char *relative = g_canonicalize_filename("d", NULL);
    assert_files(fixture, "/a", "/b", relative);
    (void)settle(fixture, "", "-H tcp://0.0.0.0 --tlsverify --tlskey=/k");
    assert_files(fixture, "/home/me/.docker/ca.pem", "/home/me/.docker/cert.pem", "/k");
    (void)settle(fixture, "", "-H tcp://0.0.0.0 --tls");
    assert_files(fixture, NULL, "/home/me/.docker/cert.pem", "/home/me/.docker/key.pem");
    (void)settle(fixture, "", "-H tcp://0.0.0.0 --tlsverify=false");
    assert_files(fixture, NULL, "/home/me/.docker/cert.pem", "/home/me/.docker/key.pem");
    /* As docker:dind's own start script calls dockerd: the certificates are those that are made. */
    (void)settle(fixture, "DOCKER_TLS_CERTDIR=/c",
                 "-H tcp://0.0.0.0:2376 --tlsverify --tlscacert /c/server/ca.pem --tlscert "
                 "/c/server/cert.pem --tlskey /c/server/key.pem");
    g_assert_cmpstr(fixture->config->tls_directory, ==, "/c");
    assert_files(fixture, "/c/server/ca.pem", "/c/server/cert.pem", "/c/server/key.pem");
    (void)settle(fixture, "DOCKER_TLS_CERTDIR=/c", "--tlscacert /mine.pem");
    g_assert_null(fixture->config->tls_directory);
    assert_places(fixture, USUAL " tcp://*:2376+tls");
    assert_files(fixture, "/mine.pem", "/c/server/cert.pem", "/c/server/key.pem");
    (void)settle(fixture, "DOCKER_TLS_CERTDIR=/c", "--tls");
    assert_files(fixture, "/c/server/ca.pem", "/c/server/cert.pem", "/c/server/key.pem");
}

static void test_daemon_json(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    scratch_write(&fixture->scratch, "docker/daemon.json",
                  "{\"hosts\": [\"unix:///f.sock\", \"tcp://127.0.0.1\"], \"group\": \"9\", "
                  "\"tlsverify\": true, \"tlscert\": \"/b\"}");
    (void)settle(fixture, "", "");
    assert_places(fixture, "/f.sock tcp://127.0.0.1:2376+tls");
    assert_files(fixture, "/home/me/.docker/ca.pem", "/b", "/home/me/.docker/key.pem");
    g_assert_cmpuint(fixture->config->socket_gid, ==, 9);
    g_assert_cmpuint(fixture->warnings->len, ==, 0);
    (void)settle(fixture, "", "--host unix:///g.sock --group=8");
    assert_places(fixture, "/g.sock");
    g_assert_cmpuint(fixture->config->socket_gid, ==, 8);
    g_assert_cmpuint(fixture->warnings->len, ==, 2);
    g_assert_nonnull(
        strstr(fixture->warnings->pdata[0], "--host is given too, ignoring \"hosts\""));
    scratch_write(&fixture->scratch, "docker/daemon.json", "{\"group\": \"nobody-of-this-name\"}");
    g_assert_false(settle(fixture, "", ""));
    g_assert_nonnull(
        strstr(fixture->error->message, "/docker/daemon.json\": \"group\": there is no group"));
    scratch_write(&fixture->scratch, "docker/daemon.json", "{");
    g_assert_true(settle(fixture, "", "")); /* whoever reads all of it says what is wrong */
}

static void test_addresses(void) {
    static const struct {
        const char *text;
        const char *shown;
    } cases[] = {
        {"tcp://", "tcp://127.0.0.1:2375"},          {"tcp://:5", "tcp://127.0.0.1:5"},
        {"tcp://localhost", "tcp://127.0.0.1:2375"}, {"10.0.0.1", "tcp://10.0.0.1:2375"},
        {"10.0.0.1:", "tcp://10.0.0.1:2375"},        {":7", "tcp://127.0.0.1:7"},
        {"tcp://[::]", "tcp://[::]:2375"},           {"tcp://[fe80::1]:9/", "tcp://[fe80::1]:9"},
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_auto(DinvEngineHostAddress) address = {0};
        g_autoptr(GError) error = NULL;
        (void)dinv_engine_host_address_parse(cases[i].text, FALSE, &address, &error);
        g_assert_no_error(error);
        g_autofree char *shown = dinv_tcp_address_to_string(&address.tcp);
        g_assert_cmpstr(shown, ==, cases[i].shown);
    }
    static const char *const paths[] = {"", "unix://", "unix:////var/run//x/../docker.sock"};
    for (guint i = 0; i < G_N_ELEMENTS(paths); i++) {
        g_auto(DinvEngineHostAddress) address = {0};
        g_assert_true(dinv_engine_host_address_parse(paths[i], TRUE, &address, NULL));
        g_assert_cmpstr(address.path, ==, USUAL);
    }
    static const char *const bad[] = {"tcp://[::1", "tcp://::1:5", "tcp://[x]:1"};
    for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_auto(DinvEngineHostAddress) address = {0};
        g_autoptr(GError) error = NULL;
        g_assert_false(dinv_engine_host_address_parse(bad[i], TRUE, &address, &error));
        g_assert_true(strstr(error->message, bad[i]) != NULL);
    }
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
#define ADD(name, function)                                                                        \
    g_test_add("/launcher/engine-serving/" name, Fixture, NULL, set_up, function, tear_down)
    ADD("hosts", test_hosts);
    ADD("refused", test_refused);
    ADD("group", test_group);
    ADD("tls", test_tls);
    ADD("daemon-json", test_daemon_json);
    g_test_add_func("/launcher/engine-serving/addresses", test_addresses);
    return g_test_run();
}
