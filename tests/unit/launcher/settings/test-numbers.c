/* SPDX-License-Identifier: MIT */
/* Numbers, sizes and times. */
#include "tests/unit/lib/settings-load.h"

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
    assert_invalid("DINV_ACCEL=KVM", "DINV_ACCEL: \"KVM\" is not one of auto, kvm, uml, tcg");
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
    guint64 bytes = 0;
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
        guint64 again = 0;
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
    guint milliseconds = 0;
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
    assert_invalid("DINV_SHUTDOWN_TIMEOUT=ten",
                   "DINV_SHUTDOWN_TIMEOUT: \"ten\" is not a time "
                   "(seconds, such as 8 or 1.5, or with ms, s, m or h)");
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/settings/numbers", test_numbers);
    g_test_add_func("/settings/sizes/texts", test_sizes);
    g_test_add_func("/settings/sizes/whole-mebibytes", test_size_is_whole_mebibytes);
    g_test_add_func("/settings/sizes/round-trip", test_size_round_trip);
    g_test_add_func("/settings/durations", test_durations);
    return g_test_run();
}
