/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "launcher/cli/help.h"
#include "launcher/settings/names.h"
#include "launcher/settings/settings.h"
#include "wire/mounts.h"

#define MEBI (G_GUINT64_CONSTANT(1) << 20)
#define GIBI (G_GUINT64_CONSTANT(1) << 30)

static const DinvHostLimits four_cpus = {.cpus_online = 4, .memory_total = 16 * GIBI};

/* One run of the loader: what went in and came out. */
typedef struct {
    GPtrArray *environment;
    GPtrArray *words;
    GPtrArray *warnings;
    char **rest; /* within words */
    int rest_count;
    DinvConfig *config;
    GError *error;
} Load;

static void load_free(Load *load) {
    g_ptr_array_unref(load->environment);
    g_ptr_array_unref(load->words);
    g_ptr_array_unref(load->warnings);
    g_clear_pointer(&load->config, dinv_config_free);
    g_clear_error(&load->error);
    g_free(load);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Load, load_free)

/* `environment` and `words` are separated by bars. */
static Load *load_new(const char *environment, const char *words) {
    Load *load = g_new0(Load, 1);
    g_auto(GStrv) variables = g_strsplit(environment, "|", -1);
    g_auto(GStrv) arguments = g_strsplit(words, "|", -1);

    load->environment = g_ptr_array_new_with_free_func(g_free);
    load->words = g_ptr_array_new_with_free_func(g_free);
    load->warnings = g_ptr_array_new_with_free_func(g_free);
    for (gsize i = 0; variables[i] != NULL; i++) {
        g_ptr_array_add(load->environment, g_strdup(variables[i]));
    }
    g_ptr_array_add(load->environment, NULL);
    for (gsize i = 0; arguments[i] != NULL; i++) {
        g_ptr_array_add(load->words, g_strdup(arguments[i]));
    }
    load->rest_count = (int)load->words->len;
    g_ptr_array_add(load->words, NULL);
    load->rest = (char **)load->words->pdata;
    load->config = dinv_settings_load_with_limits(
        (const char *const *)load->environment->pdata, &load->rest_count, &load->rest,
        dinv_cli_verb_has_flag, &four_cpus, load->warnings, &load->error);
    return load;
}

static Load *load_good(const char *environment, const char *words) {
    Load *load = load_new(environment, words);

    g_assert_no_error(load->error);
    g_assert_nonnull(load->config);
    return load;
}

static void assert_refused(const char *environment, const char *words, DinvSettingsError code,
                           const char *message) {
    g_autoptr(Load) load = load_new(environment, words);

    g_assert_null(load->config);
    g_assert_nonnull(load->error);
    g_assert_cmpstr(load->error->message, ==, message);
    g_assert_error(load->error, DINV_SETTINGS_ERROR, (int)code);
    g_assert_true(load->rest == (char **)load->words->pdata);
}

static void assert_invalid(const char *variable, const char *message) {
    assert_refused(variable, "", DINV_SETTINGS_ERROR_INVALID, message);
}

static void assert_conflict(const char *variable, const char *message) {
    assert_refused(variable, "", DINV_SETTINGS_ERROR_CONFLICT, message);
}

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
                   "-x\\033: no such flag; did you mean --bip?");
}

static void test_empty_is_default(void) {
    g_autoptr(Load) load = load_good(
        "DINV_CPUS=|DINV_TCP_PORTS=80|DINV_DISK_SIZE=|DINV_DOCKER_SIZE=5G", "--tcp-ports=");

    g_assert_cmpuint(load->config->cpus, ==, 4);
    g_assert_cmpuint(load->config->ports->len, ==, 0);
    g_assert_cmpuint(load->config->disk_bytes, ==, 5 * GIBI);
    g_assert_cmpuint(load->warnings->len, ==, 0);
}

/* As docker:dind has it: a directory, set but empty, not set. */
static void test_tcp(void) {
    g_autoptr(Load) none = load_good("", "");
    g_autoptr(Load) tls = load_good("DOCKER_TLS_CERTDIR=/certs/|DOCKER_TLS_SAN=DNS:a.example, "
                                    "IP:192.0.2.7,IP:::1,,DNS:*.b.example",
                                    "");
    g_autoptr(Load) plaintext = load_good("DOCKER_TLS_CERTDIR=", "");
    g_autoptr(Load) flag = load_good("", "--tls-certdir=|--plaintext-port|127.0.0.1:4000");
    g_autoptr(Load) port = load_good("PORT=4444", "");
    g_autoptr(Load) both = load_good("PORT=|DINV_TLS_CERTDIR=/c|DINV_TLS_PORT=[::1]:1234|"
                                     "DINV_PLAINTEXT_PORT=2375",
                                     "");

    g_assert_null(none->config->tls_directory);
    g_assert_cmpuint(none->config->tls.port, ==, 0);
    g_assert_cmpuint(none->config->plaintext.port, ==, 0);
    g_assert_cmpstr(tls->config->tls_directory, ==, "/certs");
    g_assert_cmpstr(tls->config->tls.host, ==, "");
    g_assert_cmpuint(tls->config->tls.port, ==, 2376);
    g_assert_cmpuint(tls->config->plaintext.port, ==, 0);
    g_assert_cmpuint(g_strv_length(tls->config->tls_names), ==, 4);
    g_assert_cmpstr(tls->config->tls_names[2], ==, "IP:::1");
    g_assert_null(plaintext->config->tls_directory);
    g_assert_cmpuint(plaintext->config->tls.port, ==, 0);
    g_assert_cmpuint(plaintext->config->plaintext.port, ==, 2375);
    g_assert_cmpstr(flag->config->plaintext.host, ==, "127.0.0.1");
    g_assert_cmpuint(flag->config->plaintext.port, ==, 4000);
    g_assert_cmpuint(port->config->plaintext.port, ==, 4444);
    g_assert_cmpuint(port->config->tls.port, ==, 0);
    g_assert_cmpstr(both->config->tls.host, ==, "::1");
    g_assert_cmpuint(both->config->tls.port, ==, 1234);
    g_assert_cmpuint(both->config->plaintext.port, ==, 2375);
}

static void test_bad_tcp(void) {
    static const char *const addresses[] = {
        "0",       "65536",          "x",       "-1",      ":2375",
        "::1:80",  "[127.0.0.1]:80", "[::1]",   "[::1]:",  "[]:80",
        "host:80", "127.0.0.1:80 ",  "[::1:80", "::1]:80", "127.1:80"};
    static const char *const names[] = {
        "a.example", "DNS:",         "DNS:a b",        "IP:a",  "IP:",
        "DNS:*.*.x", "URI:http://x", "DNS:\xc3\xa4.x", "dns:a", "IP:127.0.0.1/8"};

    for (gsize i = 0; i < G_N_ELEMENTS(addresses); i++) {
        g_autofree char *variable = g_strconcat("DINV_PLAINTEXT_PORT=", addresses[i], NULL);
        g_autofree char *message =
            g_strdup_printf("DINV_PLAINTEXT_PORT: \"%s\" is not a port (1-65535) or ADDRESS:PORT, "
                            "such as 127.0.0.1:2375 or [::1]:2375",
                            addresses[i]);
        assert_refused(variable, "", DINV_SETTINGS_ERROR_INVALID, message);
    }
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *variable = g_strconcat("DOCKER_TLS_SAN=DNS:x,", names[i], NULL);
        g_autofree char *message =
            g_strdup_printf("DOCKER_TLS_SAN: \"%s\" is neither DNS:NAME nor IP:ADDRESS", names[i]);
        assert_refused(variable, "", DINV_SETTINGS_ERROR_INVALID, message);
    }
    assert_refused("DOCKER_TLS_CERTDIR=|DINV_TCP_PORTS=2370-2380", "", DINV_SETTINGS_ERROR_CONFLICT,
                   "DINV_TCP_PORTS: port 2375 is where the engine answers (DINV_PLAINTEXT_PORT)");
    assert_refused("DOCKER_TLS_CERTDIR=/c|DINV_TCP_PORTS=2376", "", DINV_SETTINGS_ERROR_CONFLICT,
                   "DINV_TCP_PORTS: port 2376 is where the engine answers (DINV_TLS_PORT)");
    assert_refused("DOCKER_TLS_CERTDIR=/c|PORT=2376", "", DINV_SETTINGS_ERROR_CONFLICT,
                   "port 2376 is both DINV_TLS_PORT and DINV_PLAINTEXT_PORT");
    g_autoptr(Load) udp = load_good("DOCKER_TLS_CERTDIR=/c|DINV_UDP_PORTS=2376", "");
    g_autoptr(Load) unused = load_good("DINV_TCP_PORTS=2376", "");
    g_assert_cmpuint(udp->config->tls.port, ==, 2376);
    g_assert_cmpuint(unused->config->ports->len, ==, 1);
}

/* The variables of docker-in-docker images, which have values of their own kind. */
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
        "the argument \"--label\\n\" for dockerd is not UTF-8 or has control characters "
        "in it");
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

static void test_unknown_variables(void) {
    g_autoptr(Load) load = load_good("DINV_MEMROY=1G|DINV_PUBLIC=1|DINV_MUST_WORK=1|DINVER=1", "");

    g_assert_cmpuint(load->warnings->len, ==, 2);
    g_assert_cmpstr(load->warnings->pdata[0], ==,
                    "DINV_MEMROY is not a setting, ignoring it; did you mean DINV_MEMORY?");
    g_assert_true(g_str_has_prefix(load->warnings->pdata[1], "DINV_PUBLIC is not a setting"));
}

static void test_volume(void) {
    g_autoptr(Load) none = load_good("", "");
    g_autoptr(Load) some = load_good(
        "DINV_VOLUME_PATH=//home//ci/|DINV_VOLUME_SIZE=2G|DINV_VOLUME_UID=7|DINV_MACHINE=q35", "");

    g_assert_null(none->config->volume_path);
    g_assert_cmpuint(none->config->volume_uid, ==, (uid_t)-1);
    g_assert_cmpint(none->config->machine, ==, DINV_MACHINE_TYPE_MICROVM);
    g_assert_cmpstr(some->config->volume_path, ==, "/home/ci");
    g_assert_cmpuint(some->config->volume_bytes, ==, 2 * GIBI);
    g_assert_cmpuint(some->config->volume_uid, ==, 7);
    g_assert_cmpuint(some->config->volume_gid, ==, (gid_t)-1);
    g_assert_cmpint(some->config->machine, ==, DINV_MACHINE_TYPE_Q35);
    assert_invalid(
        "DINV_VOLUME_PATH=volume",
        "DINV_VOLUME_PATH: \"volume\" is not an absolute path without tabs and newlines");
    assert_conflict(
        "DINV_VOLUME_PATH=/usr/../etc",
        "DINV_VOLUME_PATH: \"/etc\" would hide /etc of the guest; name a directory of its "
        "own, such as /volume");
    assert_invalid("DINV_VOLUME_GID=-1",
                   "DINV_VOLUME_GID: \"-1\" is not a group id (0-4294967294)");
    assert_conflict("DINV_VOLUME_PATH=/data/v|DINV_MOUNTS=/src:/data",
                    "DINV_VOLUME_PATH: \"/data/v\" would be hidden by \"/data\" of DINV_MOUNTS");
}

static void test_numbers(void) {
    g_autoptr(Load) many = load_good("DINV_CPUS=64", "");

    g_assert_cmpuint(many->config->cpus, ==, 64);
    g_assert_cmpuint(many->warnings->len, ==, 1);
    g_assert_cmpstr(many->warnings->pdata[0], ==,
                    "DINV_CPUS: the guest gets 64 CPUs, but there are only 4 to run them");
    assert_invalid("DINV_CPUS=0", "DINV_CPUS: \"0\" is not a number (1-64)");
    assert_invalid("DINV_CPUS=65", "DINV_CPUS: \"65\" is not a number (1-64)");
    assert_invalid("DINV_CPUS=-1", "DINV_CPUS: \"-1\" is not a number (1-64)");
    assert_invalid("DINV_CPUS= 1", "DINV_CPUS: \" 1\" is not a number (1-64)");
    assert_invalid("DINV_SOCKET_UID=4294967295",
                   "DINV_SOCKET_UID: \"4294967295\" is not a user id (0-4294967294)");
    assert_invalid("DINV_SOCKET_GID=docker",
                   "DINV_SOCKET_GID: \"docker\" is not a group id (0-4294967294)");
    assert_invalid(
        "DINV_SOCKET_MODE=0888",
        "DINV_SOCKET_MODE: \"0888\" is not a file mode (octal, 0 to 0777, such as 0660)");
    assert_invalid(
        "DINV_SOCKET_MODE=1777",
        "DINV_SOCKET_MODE: \"1777\" is not a file mode (octal, 0 to 0777, such as 0660)");
    assert_invalid("DINV_ACCEL=KVM", "DINV_ACCEL: \"KVM\" is not one of auto, kvm, tcg");
    assert_invalid("DINV_LOG_LEVEL=trace",
                   "DINV_LOG_LEVEL: \"trace\" is not one of error, warning, info, debug");
}

static void test_sizes(void) {
    static const struct {
        const char *text;
        guint64 bytes;
    } good[] = {{"512M", 512 * MEBI},
                {"512m", 512 * MEBI},
                {"512MB", 512 * MEBI},
                {"512MiB", 512 * MEBI},
                {"1.5G", 1536 * MEBI},
                {"1.25T", 1280 * GIBI},
                {"0.5K", 512},
                {"1048576", 1048576},
                {"7B", 7},
                {"0.999999T", G_GUINT64_CONSTANT(1099510528264)},
                {"16777215T", G_GUINT64_CONSTANT(16777215) << 40}};
    static const char *const bad[] = {
        "",    "M",         "-1M",       "1.M",  "1.2.3M", "1 M",  "1X",
        "1MM", "1.0000000", "16777216T", "0x10", "1e3",    "1M\n", "99999999999999999999"};
    guint64 bytes;

    for (gsize i = 0; i < G_N_ELEMENTS(good); i++) {
        g_assert_true(dinv_settings_parse_size(good[i].text, 0, G_MAXUINT64, &bytes, NULL));
        g_assert_cmpuint(bytes, ==, good[i].bytes);
    }
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) error = NULL;

        bytes = 77;
        g_assert_false(dinv_settings_parse_size(bad[i], 0, G_MAXUINT64, &bytes, &error));
        g_assert_error(error, DINV_SETTINGS_ERROR, DINV_SETTINGS_ERROR_INVALID);
        g_assert_cmpuint(bytes, ==, 77);
    }
    assert_invalid("DINV_MEMORY=255M", "DINV_MEMORY: \"255M\" is too small, the least is 256M");
    assert_invalid(
        "DINV_MEMORY=2048",
        "DINV_MEMORY: \"2048\" (bytes: no M or G behind it) is too small, the least is 256M");
    assert_invalid("DINV_MEMORY=5T", "DINV_MEMORY: \"5T\" is too large, the most is 4T");
    assert_invalid("DINV_DISK_SIZE=1023M",
                   "DINV_DISK_SIZE: \"1023M\" is too small, the least is 1G");
    assert_invalid("DINV_DISK_SIZE=17T", "DINV_DISK_SIZE: \"17T\" is too large, the most is 16T");
}

static void test_size_is_whole_mebibytes(void) {
    g_autoptr(Load) load = load_good("DINV_MEMORY=300000001", "");

    g_assert_cmpuint(load->config->memory_bytes, ==, 286 * MEBI);
}

/* What is formatted is read back as the same number. */
static void test_size_round_trip(void) {
    for (guint i = 0; i < 2000; i++) {
        guint64 bytes = ((guint64)g_test_rand_int() << 20 | (guint32)g_test_rand_int()) >>
                        g_test_rand_int_range(0, 52) << g_test_rand_int_range(0, 12);
        g_autofree char *text = dinv_settings_format_size(bytes);
        guint64 again;

        g_assert_true(dinv_settings_parse_size(text, 0, G_MAXUINT64, &again, NULL));
        g_assert_cmpuint(again, ==, bytes);
    }
}

static void test_durations(void) {
    static const struct {
        const char *text;
        guint milliseconds;
    } good[] = {{"8", 8000},      {"8s", 8000},   {"1.5", 1500},
                {"2500ms", 2500}, {"2m", 120000}, {"1h", 3600000}};
    guint milliseconds;

    for (gsize i = 0; i < G_N_ELEMENTS(good); i++) {
        g_assert_true(
            dinv_settings_parse_duration(good[i].text, 0, G_MAXUINT, &milliseconds, NULL));
        g_assert_cmpuint(milliseconds, ==, good[i].milliseconds);
    }
    assert_invalid("DINV_SHUTDOWN_TIMEOUT=0",
                   "DINV_SHUTDOWN_TIMEOUT: \"0\" is out of range (1 to 3600 seconds)");
    assert_invalid("DINV_BOOT_TIMEOUT=3h",
                   "DINV_BOOT_TIMEOUT: \"3h\" is out of range (5 to 7200 seconds)");
    assert_invalid("DINV_BOOT_TIMEOUT=99999999999h",
                   "DINV_BOOT_TIMEOUT: \"99999999999h\" is out of range (5 to 7200 seconds)");
    assert_invalid(
        "DINV_SHUTDOWN_TIMEOUT=ten",
        "DINV_SHUTDOWN_TIMEOUT: \"ten\" is not a time (seconds, such as 8 or 1.5, or with "
        "ms, s, m or h)");
}

static void assert_port(const DinvConfig *config, guint index, DinvProtocol protocol, guint host,
                        guint guest) {
    const DinvPortForward *forward = &g_array_index(config->ports, DinvPortForward, index);

    g_assert_cmpuint(index, <, config->ports->len);
    g_assert_cmpint(forward->protocol, ==, protocol);
    g_assert_cmpuint(forward->host_port, ==, host);
    g_assert_cmpuint(forward->guest_port, ==, guest);
}

static void test_ports(void) {
    g_autoptr(Load) load = load_good(
        "DINV_TCP_PORTS=8080;5000-5001, 8443:443 65534-65535:6000-6001;|DINV_UDP_PORTS=8080", "");
    const DinvConfig *config = load->config;

    g_assert_cmpuint(config->ports->len, ==, 7);
    assert_port(config, 0, DINV_PROTOCOL_TCP, 8080, 8080);
    assert_port(config, 1, DINV_PROTOCOL_TCP, 5000, 5000);
    assert_port(config, 2, DINV_PROTOCOL_TCP, 5001, 5001);
    assert_port(config, 3, DINV_PROTOCOL_TCP, 8443, 443);
    assert_port(config, 4, DINV_PROTOCOL_TCP, 65534, 6000);
    assert_port(config, 5, DINV_PROTOCOL_TCP, 65535, 6001);
    assert_port(config, 6, DINV_PROTOCOL_UDP, 8080, 8080);
}

static void test_ports_wrong(void) {
    assert_invalid("DINV_TCP_PORTS=80a", "DINV_TCP_PORTS: \"80a\" is not a port (1-65535)");
    assert_invalid("DINV_UDP_PORTS=0", "DINV_UDP_PORTS: \"0\" is not a port (1-65535)");
    assert_invalid("DINV_TCP_PORTS=80;65536", "DINV_TCP_PORTS: \"65536\" is not a port (1-65535)");
    assert_invalid("DINV_TCP_PORTS=80:", "DINV_TCP_PORTS: \"\" is not a port (1-65535)");
    assert_invalid("DINV_TCP_PORTS=:80", "DINV_TCP_PORTS: \"\" is not a port (1-65535)");
    assert_invalid("DINV_TCP_PORTS=1-", "DINV_TCP_PORTS: \"\" is not a port (1-65535)");
    assert_invalid("DINV_TCP_PORTS=1:2:3", "DINV_TCP_PORTS: \"2:3\" is not a port (1-65535)");
    assert_invalid("DINV_TCP_PORTS=5010-5000",
                   "DINV_TCP_PORTS: \"5010-5000\" is a range that ends before it begins");
    assert_invalid("DINV_TCP_PORTS=5000-5010:6000-6009",
                   "DINV_TCP_PORTS: \"5000-5010:6000-6009\" has 11 ports outside and 10 inside");
    assert_conflict("DINV_TCP_PORTS=80;80", "DINV_TCP_PORTS: port 80 is in both \"80\" and \"80\"");
    assert_conflict("DINV_TCP_PORTS=5000-5010;7;5005-6000",
                    "DINV_TCP_PORTS: port 5005 is in both \"5000-5010\" and \"5005-6000\"");
    assert_conflict("DINV_UDP_PORTS=53;5353:53",
                    "DINV_UDP_PORTS: UDP port 53 of the guest is the target of both \"53\" and "
                    "\"5353:53\"");
    assert_invalid(
        "DINV_TCP_PORTS=1-1025",
        "DINV_TCP_PORTS: these are more than 1024 ports; ports that containers publish need "
        "not be named here");
}

static void test_ports_many(void) {
    g_autoptr(GString) text = g_string_new("DINV_TCP_PORTS=");
    g_autoptr(Load) range = load_good("DINV_TCP_PORTS=1-1024", "");
    g_autoptr(Load) two_outside = load_good("DINV_TCP_PORTS=80;8080:80", "");
    g_autoptr(Load) items = NULL;

    for (guint port = 1; port <= 1025; port++) {
        g_string_append_printf(text, "%u;", port);
    }
    items = load_new(text->str, "");
    g_assert_error(items->error, DINV_SETTINGS_ERROR, DINV_SETTINGS_ERROR_INVALID);
    g_assert_cmpuint(range->config->ports->len, ==, 1024);
    g_assert_cmpuint(two_outside->config->ports->len, ==, 2);
}

static void test_networks(void) {
    g_autoptr(Load) load = load_good("DINV_SUBNET=10.9.0.0/27", "--bip=172.30.255.254/16");
    g_autoptr(Load) unset = load_good("", "");

    g_assert_cmphex(load->config->subnet.address, ==, 0x0a090000);
    g_assert_cmpuint(load->config->subnet.prefix, ==, 27);
    g_assert_cmphex(load->config->bip.address, ==, 0xac1efffe);
    g_assert_cmpuint(load->config->bip.prefix, ==, 16);
    g_assert_cmpuint(unset->config->subnet.prefix, ==, 0);
    g_assert_cmpuint(unset->config->bip.prefix, ==, 0);
    assert_invalid("DINV_SUBNET=10.9.0.0",
                   "DINV_SUBNET: \"10.9.0.0\" is not an IPv4 network of prefix 8 to 27 (such as "
                   "10.0.2.0/24)");
    assert_invalid("DINV_SUBNET=10.9.0.0/28",
                   "DINV_SUBNET: \"10.9.0.0/28\" is not an IPv4 network of prefix 8 to 27 (such as "
                   "10.0.2.0/24)");
    assert_invalid("DINV_SUBNET=10.9.0.1/24",
                   "DINV_SUBNET: \"10.9.0.1/24\" is the address of a host, its network is "
                   "10.9.0.0/24");
    assert_invalid("DINV_BIP=fd00::1/64",
                   "DINV_BIP: \"fd00::1/64\" is not an IPv4 address with a prefix of 8 to 29 (such "
                   "as 172.30.0.1/16)");
    assert_invalid("DINV_BIP=172.30.0.0/16",
                   "DINV_BIP: \"172.30.0.0/16\" is no address that a host can have, the first of "
                   "that network is 172.30.0.1/16");
    assert_invalid("DINV_BIP=172.30.0.255/24",
                   "DINV_BIP: \"172.30.0.255/24\" is no address that a host can have, the first of "
                   "that network is 172.30.0.1/24");
}

static void test_mounts(void) {
    g_autoptr(Load) load =
        load_good("DINV_MOUNTS=/src;/data//x/:/inner/../in:ro;/a b,c:rw;/:/host;/tmp/t:/etc/certs;"
                  "/src:/in/deeper;/s\\;\\:\\\\\\012\\377\\040:/odd",
                  "");
    static const struct {
        const char *source;
        const char *target;
        gboolean readonly;
    } wanted[] = {{"/src", "/src", FALSE},         {"/data/x", "/in", TRUE},
                  {"/a b,c", "/a b,c", FALSE},     {"/", "/host", FALSE},
                  {"/tmp/t", "/etc/certs", FALSE}, {"/src", "/in/deeper", FALSE},
                  {"/s;:\\\n\xff ", "/odd", FALSE}};

    g_assert_cmpuint(load->config->mounts->len, ==, G_N_ELEMENTS(wanted));
    for (guint i = 0; i < G_N_ELEMENTS(wanted); i++) {
        const DinvMountSpec *mount = load->config->mounts->pdata[i];

        g_assert_cmpstr(mount->source, ==, wanted[i].source);
        g_assert_cmpstr(mount->target, ==, wanted[i].target);
        g_assert_cmpint(mount->readonly, ==, wanted[i].readonly);
    }
}

static void test_mounts_auto(void) {
    g_autoptr(Load) plain = load_good("DINV_MOUNTS=/src", "");
    g_autoptr(Load) alone = load_good("DINV_MOUNTS=auto", "");
    g_autoptr(Load) among = load_good("DINV_MOUNTS=/a; auto ;/c:/d:ro", "");
    g_autoptr(Load) flag = load_good("DINV_MOUNTS=auto", "--mounts=/a");
    g_autoptr(Load) empty = load_good("DINV_MOUNTS=", "");

    g_assert_false(plain->config->mounts_auto);
    g_assert_true(alone->config->mounts_auto);
    g_assert_cmpuint(alone->config->mounts->len, ==, 0);
    g_assert_true(among->config->mounts_auto);
    g_assert_cmpuint(among->config->mounts->len, ==, 2);
    g_assert_false(flag->config->mounts_auto);
    g_assert_false(empty->config->mounts_auto);
}

/* What is written as text is read back as the same bytes. */
static void test_path_text(void) {
    static const struct {
        const char *path;
        const char *text;
    } cases[] = {
        {"/a b,=\"'", "/a b,=\"'"},
        {"/\xc3\xa4", "/\xc3\xa4"},
        {"/a;b:c\\d", "/a\\073b\\072c\\134d"},
        {"/\n\t\x7f\x01", "/\\012\\011\\177\\001"},
        {"/\xff\xc3", "/\\377\\303"},
        {"/\xc2\x85", "/\\302\\205"}, /* a control character of Unicode */
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *text = dinv_path_to_text(cases[i].path);
        g_autoptr(GPtrArray) mounts =
            g_ptr_array_new_with_free_func((GDestroyNotify)dinv_mount_spec_free);
        gboolean automatic;

        g_assert_cmpstr(text, ==, cases[i].text);
        g_assert_true(dinv_settings_parse_mounts(text, mounts, &automatic, NULL));
        g_assert_cmpstr(((const DinvMountSpec *)mounts->pdata[0])->source, ==, cases[i].path);
    }
}

static void test_mounts_wrong(void) {
    g_autoptr(GString) many = g_string_new("DINV_MOUNTS=");

    assert_invalid("DINV_MOUNTS=src",
                   "DINV_MOUNTS: \"src\" in \"src\" is not an absolute path (/source, "
                   "/source:/target or /source:/target:ro)");
    assert_invalid("DINV_MOUNTS=/src:",
                   "DINV_MOUNTS: \"\" in \"/src:\" is not an absolute path (/source, "
                   "/source:/target or /source:/target:ro)");
    assert_invalid("DINV_MOUNTS=/a:/b:z", "DINV_MOUNTS: \"/a:/b:z\" is not of the form /source, "
                                          "/source:/target or /source:/target:ro");
    assert_conflict("DINV_MOUNTS=/a:/t;/b:/t/",
                    "DINV_MOUNTS: \"/t\" is the target of both \"/a\" and \"/b\"");
    assert_invalid(
        "DINV_MOUNTS=/a\\n",
        "DINV_MOUNTS: \"/a\\n\" has a backslash that stands neither before a semicolon, a "
        "colon or a backslash nor before three octal digits (001-377); write a backslash "
        "as \\\\");
    assert_invalid(
        "DINV_MOUNTS=/a\\000",
        "DINV_MOUNTS: \"/a\\000\" has a backslash that stands neither before a semicolon, "
        "a colon or a backslash nor before three octal digits (001-377); write a "
        "backslash as \\\\");
    assert_conflict("DINV_MOUNTS=/a\\;b:/t;/c:/t",
                    "DINV_MOUNTS: \"/t\" is the target of both \"/a\\073b\" and \"/c\"");
    assert_conflict(
        "DINV_MOUNTS=/a:/usr",
        "DINV_MOUNTS: a mount on \"/usr\" would hide /usr/bin of the guest; name another "
        "target, as in \"/a:/mnt/a\"");
    for (guint i = 0; i <= DINV_WIRE_MOUNTS_MAX; i++) {
        g_string_append_printf(many, "/m%u;", i);
    }
    assert_invalid(many->str,
                   "DINV_MOUNTS: these are more than 64 mounts; mount a common parent directory");
}

static void test_mounts_that_hide(void) {
    static const char *const hiding[] = {"/",
                                         "/etc",
                                         "/usr",
                                         "/usr/bin",
                                         "/usr/lib",
                                         "/usr/sbin",
                                         "/proc",
                                         "/proc/sys",
                                         "/sys",
                                         "/sys/fs",
                                         "/dev",
                                         "/dev/shm",
                                         "/run",
                                         "/var",
                                         "/var/lib",
                                         "/var/run",
                                         "/bin",
                                         "/sbin",
                                         "/lib",
                                         "/lib64",
                                         "/boot",
                                         "/x/../etc",
                                         "/usr/",
                                         "//",
                                         "//etc",
                                         "/.//etc",
                                         "/var/lib/docker",
                                         "/var/lib/docker/vol"};

    for (gsize i = 0; i < G_N_ELEMENTS(hiding); i++) {
        g_autofree char *variable = g_strdup_printf("DINV_MOUNTS=/a:%s", hiding[i]);
        g_autoptr(Load) load = load_new(variable, "");

        g_test_message("%s", variable);
        g_assert_error(load->error, DINV_SETTINGS_ERROR, DINV_SETTINGS_ERROR_CONFLICT);
    }
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

/* What holds for every line of the table. */
static void test_table(void) {
    g_autoptr(GHashTable) names = g_hash_table_new(g_str_hash, g_str_equal);

    for (const DinvSetting *setting = dinv_settings_table(); setting->name != NULL; setting++) {
        g_autofree char *flag = dinv_setting_flag(setting);

        g_assert_true(g_str_has_prefix(setting->name, "DINV_"));
        g_assert_true(g_hash_table_add(names, (char *)setting->name));
        g_assert_true(setting->alias == NULL || g_hash_table_add(names, (char *)setting->alias));
        g_assert_true(setting->fallback != NULL || setting->fallback_shown != NULL);
        g_assert_false(g_str_has_suffix(setting->help, "."));
        g_assert_true(setting->more == NULL || g_str_has_suffix(setting->more, "."));
        g_assert_false(dinv_cli_verb_has_flag(flag));
    }
}

static void test_help(void) {
    g_autofree char *help = dinv_cli_help_text();
    g_auto(GStrv) lines = g_strsplit(help, "\n", -1);

    for (const DinvSetting *setting = dinv_settings_table(); setting->name != NULL; setting++) {
        g_autofree char *flag = dinv_setting_flag(setting);

        g_assert_nonnull(strstr(help, setting->name));
        g_assert_nonnull(strstr(help, flag));
    }
    for (const DinvCliVerb *verb = dinv_cli_verbs_table(); verb->name != NULL; verb++) {
        g_autofree char *text = dinv_cli_help_verb_text(verb);

        g_assert_nonnull(strstr(text, verb->help));
        g_assert_true(dinv_cli_verb_find(verb->name) == verb);
    }
    g_assert_null(dinv_cli_verb_find("bogus"));
    for (gsize i = 0; lines[i] != NULL; i++) {
        g_assert_cmpuint(strlen(lines[i]), <=, 80);
    }
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/settings/defaults", test_defaults);
    g_test_add_func("/settings/all-given", test_all_given);
    g_test_add_func("/settings/flags/win", test_flags_win);
    g_test_add_func("/settings/flags/end", test_flags_end);
    g_test_add_func("/settings/flags/wrong", test_flags_wrong);
    g_test_add_func("/settings/empty-is-default", test_empty_is_default);
    g_test_add_func("/settings/tcp", test_tcp);
    g_test_add_func("/settings/bad-tcp", test_bad_tcp);
    g_test_add_func("/settings/aliases", test_aliases);
    g_test_add_func("/settings/docker-in-docker", test_docker_in_docker);
    g_test_add_func("/settings/dockerd-words", test_dockerd_words);
    g_test_add_func("/settings/log-level-given", test_log_level_given);
    g_test_add_func("/settings/unknown-variables", test_unknown_variables);
    g_test_add_func("/settings/numbers", test_numbers);
    g_test_add_func("/settings/volume", test_volume);
    g_test_add_func("/settings/sizes/texts", test_sizes);
    g_test_add_func("/settings/sizes/whole-mebibytes", test_size_is_whole_mebibytes);
    g_test_add_func("/settings/sizes/round-trip", test_size_round_trip);
    g_test_add_func("/settings/durations", test_durations);
    g_test_add_func("/settings/ports/good", test_ports);
    g_test_add_func("/settings/ports/wrong", test_ports_wrong);
    g_test_add_func("/settings/ports/many", test_ports_many);
    g_test_add_func("/settings/networks/good", test_networks);
    g_test_add_func("/settings/mounts/good", test_mounts);
    g_test_add_func("/settings/mounts/auto", test_mounts_auto);
    g_test_add_func("/settings/mounts/text", test_path_text);
    g_test_add_func("/settings/mounts/wrong", test_mounts_wrong);
    g_test_add_func("/settings/mounts/hide", test_mounts_that_hide);
    g_test_add_func("/settings/paths", test_paths);
    g_test_add_func("/settings/words-wrong", test_words_wrong);
    g_test_add_func("/settings/table", test_table);
    g_test_add_func("/settings/help", test_help);
    return g_test_run();
}
