/* SPDX-License-Identifier: MIT */
/* What is collected from environment and flags, and which of it wins. */
#include <string.h>

#include "tests/unit/lib/settings-load.h"

static void test_defaults(void) {
    g_autoptr(Load) load = load_good("", "");
    const DinvConfig *config = load->config;
    g_assert_cmpint(config->accel, ==, DINV_ACCEL_AUTO);
    g_assert_cmpuint(config->cpus, ==, 4);
    g_assert_cmpuint(config->memory_bytes, ==, 8 * GIBI);
    g_assert_cmpuint(config->disk_bytes, ==, 64 * GIBI);
    g_assert_cmpstr(config->state_dir, ==, "/var/lib/dinv");
    g_assert_cmpstr(config->socket_path, ==, "/var/run/docker.sock");
    g_assert_true(config->socket_uid == (uid_t)-1 && config->socket_gid == (gid_t)-1);
    g_assert_cmpuint(config->socket_mode, ==, 0660);
    g_assert_cmpuint(config->ports->len, ==, 0);
    g_assert_cmpuint(config->mounts->len, ==, 0);
    g_assert_cmpuint(g_strv_length(config->dockerd_args), ==, 0);
    g_assert_cmpuint(config->shutdown_timeout_ms, ==, 8000);
    g_assert_cmpuint(config->boot_timeout_ms, ==, 180000);
    g_assert_cmpstr(config->kernel, ==, "/usr/lib/dinv/vmlinux");
    g_assert_null(config->initrd);
    g_assert_cmpstr(config->rootfs, ==, "/usr/lib/dinv/rootfs.ext4");
    g_assert_cmpstr(config->qemu, ==, "qemu-system-x86_64");
    g_assert_cmpint(config->log_level, ==, DINV_LOG_INFO);
    g_assert_cmpuint(load->warnings->len, ==, 0);
}

static void test_all_given(void) {
    g_autoptr(Load) load = load_good(
        "DINV_ACCEL=tcg|DINV_CPUS=2|DINV_MEMORY=1.5G|DINV_DISK_SIZE=10G|DINV_STATE_DIR=/s/../t|"
        "DINV_SOCKET=/x/d.sock|DINV_SOCKET_UID=0|DINV_SOCKET_GID=994|DINV_SOCKET_MODE=600|"
        "DINV_DOCKERD_ARGS=--label 'a b' --debug|DINV_SHUTDOWN_TIMEOUT=1.5|DINV_BOOT_TIMEOUT=2m|"
        "DINV_KERNEL=/k|DINV_INITRD=/i|DINV_ROOTFS=/r|DINV_QEMU=/usr/bin/../bin/q|"
        "DINV_LOG_LEVEL=debug|PATH=/bin|NONSENSE",
        "");
    const DinvConfig *config = load->config;
    const char *const words[] = {"--label", "a b", "--debug", NULL};
    g_assert_cmpint(config->accel, ==, DINV_ACCEL_TCG);
    g_assert_cmpuint(config->cpus, ==, 2);
    g_assert_cmpuint(config->memory_bytes, ==, 1536 * MEBI);
    g_assert_cmpuint(config->disk_bytes, ==, 10 * GIBI);
    g_assert_cmpstr(config->state_dir, ==, "/t");
    g_assert_cmpstr(config->socket_path, ==, "/x/d.sock");
    g_assert_cmpuint(config->socket_uid, ==, 0);
    g_assert_cmpuint(config->socket_gid, ==, 994);
    g_assert_cmpuint(config->socket_mode, ==, 0600);
    g_assert_cmpstrv(config->dockerd_args, words);
    g_assert_cmpuint(config->shutdown_timeout_ms, ==, 1500);
    g_assert_cmpuint(config->boot_timeout_ms, ==, 120000);
    g_assert_cmpstr(config->kernel, ==, "/k");
    g_assert_cmpstr(config->initrd, ==, "/i");
    g_assert_cmpstr(config->rootfs, ==, "/r");
    g_assert_cmpstr(config->qemu, ==, "/usr/bin/q");
    g_assert_cmpint(config->log_level, ==, DINV_LOG_DEBUG);
}

static void test_flags_win(void) {
    g_autoptr(Load) load = load_good("DINV_CPUS=2|DINV_MEMORY=1G|DINV_DISK_SIZE=broken",
                                     "--cpus|3|--memory=2G|--disk-size|20G|echo|--cpus|1");
    g_assert_cmpuint(load->config->cpus, ==, 3);
    g_assert_cmpuint(load->config->memory_bytes, ==, 2 * GIBI);
    g_assert_cmpuint(load->config->disk_bytes, ==, 20 * GIBI);
    g_assert_cmpint(load->rest_count, ==, 3);
    g_assert_cmpstr(load->rest[0], ==, "echo");
}

static void test_flags_end(void) {
    g_autoptr(Load) dashes = load_good("", "--cpus=1|--|--memory|x");
    g_autoptr(Load) verb = load_good("", "--cpus=1|--json|-f");
    g_autoptr(Load) single = load_good("", "-");
    g_assert_cmpint(dashes->rest_count, ==, 2);
    g_assert_cmpstr(dashes->rest[0], ==, "--memory");
    g_assert_cmpint(verb->rest_count, ==, 2);
    g_assert_cmpstr(verb->rest[0], ==, "--json");
    g_assert_cmpint(single->rest_count, ==, 1);
}

static void test_flags_wrong(void) {
    assert_refused("", "--memroy|2G", DINV_SETTINGS_ERROR_FLAG,
                   "--memroy: no such flag; did you mean --memory?");
    assert_refused("", "--cpus=2|--memory", DINV_SETTINGS_ERROR_FLAG,
                   "--memory: needs a value (SIZE)");
    assert_refused("", "--cpus=x", DINV_SETTINGS_ERROR_INVALID,
                   "--cpus: \"x\" is not a number (1-64)");
    assert_refused("", "--help", DINV_SETTINGS_ERROR_HELP, "help was asked for");
    assert_refused("", "-h", DINV_SETTINGS_ERROR_HELP, "help was asked for");
    assert_refused("", "-x\x1b", DINV_SETTINGS_ERROR_FLAG,
                   "-x\\033: no such flag; did you mean --uml?");
}

static void test_empty_is_default(void) {
    g_autoptr(Load) load = load_good(
        "DINV_CPUS=|DINV_TCP_PORTS=80|DINV_DISK_SIZE=|DINV_DOCKER_SIZE=5G", "--tcp-ports=");
    g_assert_cmpuint(load->config->cpus, ==, 4);
    g_assert_cmpuint(load->config->ports->len, ==, 0);
    g_assert_cmpuint(load->config->disk_bytes, ==, 5 * GIBI);
    g_assert_cmpuint(load->warnings->len, ==, 0);
}

static void test_aliases(void) {
    g_autoptr(Load) old = load_good("DINV_DOCKER_SIZE=10G|DOCKER_DAEMON_ARGS=-D|"
                                    "DINV_DOCKER_SOCK_UID=5|DINV_DOCKER_SOCK_GID=6",
                                    "");
    g_autoptr(Load) first = load_good("DINV_DOCKER_SIZE=10G|DINV_DISK_SIZE=20G", "");
    g_autoptr(Load) last = load_good("DINV_DISK_SIZE=20G|DINV_DOCKER_SIZE=10G", "");
    g_assert_cmpuint(old->config->disk_bytes, ==, 10 * GIBI);
    g_assert_cmpstr(old->config->dockerd_args[0], ==, "-D");
    g_assert_cmpuint(old->config->socket_uid, ==, 5);
    g_assert_cmpuint(old->config->socket_gid, ==, 6);
    g_assert_cmpuint(first->config->disk_bytes, ==, 20 * GIBI);
    g_assert_cmpuint(last->config->disk_bytes, ==, 20 * GIBI);
    g_assert_cmpuint(first->warnings->len, ==, 1);
    g_assert_cmpstr(first->warnings->pdata[0], ==,
                    "DINV_DISK_SIZE is set too, ignoring DINV_DOCKER_SIZE");
    g_assert_cmpuint(last->warnings->len, ==, 1);
    assert_invalid("DINV_DOCKER_SIZE=x",
                   "DINV_DOCKER_SIZE: \"x\" is not a size (such as 512M, 1.5G or 2T)");
}

/* The variables of docker-in-docker images, which have values of their own kind. */
/* CI systems hand a job's PORT to its services. */
static void test_port_in_ci(void) {
    static const struct {
        const char *environment;
        guint16 port;
        guint warnings;
    } cases[] = {
        {"PORT=5000", 5000, 0},
        {"PORT=5000|CI=true", 0, 1},
        {"CI=1|PORT=not-even-a-port", 0, 1},
        {"PORT=5000|CI=", 5000, 0},
        {"PORT=5000|CI=false", 5000, 0},
        {"PORT=|CI=true", 0, 0},
        {"PORT=5000|CI=true|DINV_PLAINTEXT_PORT=6000", 6000, 1},
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(Load) load = load_good(cases[i].environment, "");
        g_assert_cmpuint(load->config->plaintext.port, ==, cases[i].port);
        g_assert_cmpuint(load->warnings->len, ==, cases[i].warnings);
    }
    g_autoptr(Load) load = load_good("PORT=5000|CI=true", "");
    g_assert_cmpstr(load->warnings->pdata[0], ==,
                    "PORT is ignored where CI is set, as it may be a job's own; set "
                    "DINV_PLAINTEXT_PORT if it is meant for dinv");
}

static void test_docker_in_docker(void) {
    static const struct {
        const char *environment;
        guint64 disk_bytes;
        const char *log;
    } cases[] = {
        {"VAR_LIB_DOCKER_SIZE=7|LOG=file", 7 * GIBI, "/var/log/docker.log"},
        {"VAR_LIB_DOCKER_SIZE=7G|LOG=debug", 7 * GIBI, NULL},
        {"VAR_LIB_DOCKER_SIZE=7|DINV_DISK_SIZE=9G", 9 * GIBI, NULL},
        {"DINV_DOCKER_SIZE=8G|VAR_LIB_DOCKER_SIZE=7", 8 * GIBI, NULL},
        {"VAR_LIB_DOCKER_SIZE=|LOG=", 64 * GIBI, NULL},
        {"LOG=file|DINV_DOCKERD_LOG=/x", 64 * GIBI, "/x"},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(Load) load = load_good(cases[i].environment, "");
        g_assert_cmpuint(load->config->disk_bytes, ==, cases[i].disk_bytes);
        g_assert_cmpstr(load->config->dockerd_log, ==, cases[i].log);
        g_assert_cmpuint(load->warnings->len, ==, 0);
    }
    assert_invalid("VAR_LIB_DOCKER_SIZE=much",
                   "VAR_LIB_DOCKER_SIZE: \"much\" is not a size (such as 512M, 1.5G or 2T)");
}

/* What comes behind dinv's own flags. */
static void test_dockerd_words(void) {
    g_autoptr(Load) load = load_good("DINV_DOCKERD_ARGS=--label a", "");
    g_autoptr(GError) error = NULL;
    char *words[] = {(char *)"--debug", (char *)"-l", (char *)"warn", NULL};
    char *bad[] = {(char *)"--label\n", NULL};
    g_assert_true(dinv_settings_add_dockerd_arguments(load->config, words, 2, &error));
    g_assert_no_error(error);
    g_autofree char *all = g_strjoinv(" ", load->config->dockerd_args);
    g_assert_cmpstr(all, ==, "--label a --debug -l");
    g_assert_false(dinv_settings_add_dockerd_arguments(load->config, bad, 1, &error));
    g_assert_cmpstr(
        error->message, ==,
        "the argument \"--label\\n\" for dockerd is not UTF-8 or has control characters in it");
    g_assert_cmpuint(g_strv_length(load->config->dockerd_args), ==, 4);
}

static void test_log_level_given(void) {
    g_autoptr(Load) none = load_good("", "");
    g_autoptr(Load) variable = load_good("DINV_LOG_LEVEL=info", "");
    g_autoptr(Load) flag = load_good("", "--log-level=info");
    g_assert_false(none->config->log_level_given);
    g_assert_true(variable->config->log_level_given);
    g_assert_true(flag->config->log_level_given);
}

static void test_unknown_variables(void) {
    g_autoptr(Load) load = load_good("DINV_MEMROY=1G|DINV_PUBLIC=1|DINV_MUST_WORK=1|DINVER=1", "");
    g_assert_cmpuint(load->warnings->len, ==, 2);
    g_assert_cmpstr(load->warnings->pdata[0], ==,
                    "DINV_MEMROY is not a setting, ignoring it; did you mean DINV_MEMORY?");
    g_assert_true(g_str_has_prefix(load->warnings->pdata[1], "DINV_PUBLIC is not a setting"));
}

static void test_paths(void) {
    g_autofree char *longest = g_strnfill(106, 'a');
    g_autofree char *good = g_strdup_printf("DINV_SOCKET=/%s", longest);
    g_autofree char *bad = g_strdup_printf("DINV_SOCKET=/%sb", longest);
    g_autofree char *message = g_strdup_printf(
        "DINV_SOCKET: \"/%sb\" is 108 bytes long, the path of a socket can have 107", longest);
    g_autoptr(Load) load = load_good(good, "");
    g_assert_cmpuint(strlen(load->config->socket_path), ==, 107);
    assert_invalid(bad, message);
    assert_invalid("DINV_KERNEL=/a\tb", "DINV_KERNEL: the path has a tab or newline in it");
    assert_invalid("DINV_KERNEL=/a\x1b[0m",
                   "DINV_KERNEL: the value is not UTF-8 or has control characters in it");
    assert_invalid("DINV_MOUNTS=/a\xff",
                   "DINV_MOUNTS: the value is not UTF-8 or has control characters in it");
}

static void test_words_wrong(void) {
    g_autoptr(Load) load = load_new("DINV_DOCKERD_ARGS=--label 'a", "");
    g_autoptr(Load) blank = load_good("DINV_DOCKERD_ARGS=  ", "");
    g_assert_error(load->error, DINV_SETTINGS_ERROR, DINV_SETTINGS_ERROR_INVALID);
    g_assert_true(g_str_has_prefix(
        load->error->message, "DINV_DOCKERD_ARGS: \"--label 'a\" does not split into words: "));
    g_assert_cmpuint(g_strv_length(blank->config->dockerd_args), ==, 0);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/settings/defaults", test_defaults);
    g_test_add_func("/settings/all-given", test_all_given);
    g_test_add_func("/settings/flags/win", test_flags_win);
    g_test_add_func("/settings/flags/end", test_flags_end);
    g_test_add_func("/settings/flags/wrong", test_flags_wrong);
    g_test_add_func("/settings/empty-is-default", test_empty_is_default);
    g_test_add_func("/settings/aliases", test_aliases);
    g_test_add_func("/settings/docker-in-docker", test_docker_in_docker);
    g_test_add_func("/settings/port-in-ci", test_port_in_ci);
    g_test_add_func("/settings/dockerd-words", test_dockerd_words);
    g_test_add_func("/settings/log-level-given", test_log_level_given);
    g_test_add_func("/settings/unknown-variables", test_unknown_variables);
    g_test_add_func("/settings/paths", test_paths);
    g_test_add_func("/settings/words-wrong", test_words_wrong);
    return g_test_run();
}
