/* SPDX-License-Identifier: MIT */
/* Which of the words behind `dinv run` are whose. */
#include "launcher/settings/run-arguments.h"

#include "launcher/settings/names.h"

/* Words in, "own | dockerd | command" out; "-": the command is left to dinv_settings_load(). */
static void assert_split(const char *words, const char *expected) {
    g_auto(GStrv) argv = g_strsplit(words, " ", -1);
    DinvSettingsRunArguments arguments;
    int argc = words[0] == '\0' ? 0 : (int)g_strv_length(argv);
    dinv_settings_run_arguments_split(argc, argv, &arguments);
    g_autoptr(GString) text = g_string_new(NULL);
    for (int i = 0; i < arguments.own; i++) {
        g_string_append_printf(text, "%s ", argv[i]);
    }
    g_string_append(text, "| ");
    for (int i = 0; i < arguments.dockerd_count; i++) {
        g_string_append_printf(text, "%s ", arguments.dockerd[i]);
    }
    g_autofree char *command =
        arguments.command != NULL ? g_strjoinv(" ", arguments.command) : g_strdup("-");
    g_string_append_printf(text, "| %s", command);
    g_assert_cmpstr(text->str, ==, expected);
}

static void test_own(void) {
    assert_split("", "| | -");
    assert_split("--cpus 2", "--cpus 2 | | -");
    assert_split("--cpus=2 docker info", "--cpus=2 docker info | | -");
    assert_split("docker run --debug", "docker run --debug | | -");
    assert_split("-- --debug", "-- --debug | | -");
    assert_split("--cpus 2 -- dockerd --debug", "--cpus 2 -- dockerd --debug | | -");
    assert_split("--cpus", "--cpus | | -");
    assert_split("--help --debug", "--help --debug | | -");
    assert_split("- x", "- x | | -");
}

static void test_dockerd(void) {
    assert_split("--debug", "| --debug | ");
    assert_split("-D --insecure-registry a:5000", "| -D --insecure-registry a:5000 | ");
    assert_split("--cpus 2 --insecure-registry=a --memory 1G",
                 "--cpus 2 | --insecure-registry=a --memory 1G | ");
    assert_split("--debug -- docker build .", "| --debug | docker build .");
    assert_split("--debug -- a -- b", "| --debug | a -- b");
    assert_split("--debug --", "| --debug | ");
    assert_split("dockerd", "| | ");
    assert_split("dockerd --log-level=warn", "| --log-level=warn | ");
    assert_split("--cpus 2 dockerd --bip 10.0.0.1/24 -- true",
                 "--cpus 2 | --bip 10.0.0.1/24 | true");
}

/* The flags of dockerd that dinv has none of the same name for. */
static const char *const of_dockerd[] = {
    "--add-runtime",
    "--allow-nondistributable-artifacts",
    "--api-cors-header",
    "--authorization-plugin",
    "--bridge",
    "--cgroup-parent",
    "--config-file",
    "--containerd",
    "--cpu-rt-period",
    "--cpu-rt-runtime",
    "--data-root",
    "--debug",
    "--default-address-pool",
    "--default-gateway",
    "--default-ipc-mode",
    "--default-runtime",
    "--default-shm-size",
    "--default-ulimit",
    "--dns",
    "--dns-opt",
    "--dns-search",
    "--exec-opt",
    "--exec-root",
    "--experimental",
    "--feature",
    "--fixed-cidr",
    "--group",
    "--host",
    "--host-gateway-ip",
    "--http-proxy",
    "--https-proxy",
    "--icc",
    "--init",
    "--init-path",
    "--insecure-registry",
    "--ip",
    "--ip-forward",
    "--ip-masq",
    "--ip6tables",
    "--iptables",
    "--ipv6",
    "--label",
    "--live-restore",
    "--log-driver",
    "--log-format",
    "--log-opt",
    "--max-concurrent-downloads",
    "--metrics-addr",
    "--no-new-privileges",
    "--no-proxy",
    "--node-generic-resource",
    "--pidfile",
    "--raw-logs",
    "--registry-mirror",
    "--rootless",
    "--seccomp-profile",
    "--selinux-enabled",
    "--storage-driver",
    "--storage-opt",
    "--tls",
    "--tlsverify",
    "--tlscacert",
    "--tlscert",
    "--tlskey",
    "--userland-proxy",
    "--userns-remap",
    "-D",
    "-H",
};

/* A slip of the pen must not become dockerd's business, nor dockerd's flags a slip of the pen. */
static void test_misspelt(void) {
    for (guint i = 0; i < G_N_ELEMENTS(of_dockerd); i++) {
        if (dinv_setting_flag_is_misspelt(of_dockerd[i]) ||
            dinv_setting_flag_exists(of_dockerd[i])) {
            g_error("%s is dockerd's", of_dockerd[i]);
        }
    }
    assert_split("--memroy 1G", "--memroy 1G | | -");
    assert_split("--cpu 2 x", "--cpu 2 x | | -");
    assert_split("--mount=/a", "--mount=/a | | -");
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/launcher/run-arguments/own", test_own);
    g_test_add_func("/launcher/run-arguments/dockerd", test_dockerd);
    g_test_add_func("/launcher/run-arguments/misspelt", test_misspelt);
    return g_test_run();
}
