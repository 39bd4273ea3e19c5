/* SPDX-License-Identifier: MIT */
/* Mounts, their paths, and the private volume. */
#include "tests/unit/lib/settings-load.h"
#include "wire/mounts.h"

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
    assert_conflict("DINV_VOLUME_PATH=/usr/../etc",
                    "DINV_VOLUME_PATH: \"/etc\" would hide /etc of the guest; "
                    "name a directory of its own, such as /volume");
    assert_invalid("DINV_VOLUME_GID=-1",
                   "DINV_VOLUME_GID: \"-1\" is not a group id (0-4294967294)");
    assert_conflict("DINV_VOLUME_PATH=/data/v|DINV_MOUNTS=/src:/data",
                    "DINV_VOLUME_PATH: \"/data/v\" would be hidden by \"/data\" of DINV_MOUNTS");
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
        gboolean automatic = FALSE;
        g_assert_cmpstr(text, ==, cases[i].text);
        g_assert_true(dinv_settings_parse_mounts(text, mounts, &automatic, NULL));
        g_assert_cmpstr(((const DinvMountSpec *)mounts->pdata[0])->source, ==, cases[i].path);
    }
}

static void test_mounts_wrong(void) {
    g_autoptr(GString) many = g_string_new("DINV_MOUNTS=");
    assert_invalid("DINV_MOUNTS=src", "DINV_MOUNTS: \"src\" in \"src\" is not an absolute path "
                                      "(/source, /source:/target or /source:/target:ro)");
    assert_invalid("DINV_MOUNTS=/src:", "DINV_MOUNTS: \"\" in \"/src:\" is not an absolute path "
                                        "(/source, /source:/target or /source:/target:ro)");
    assert_invalid("DINV_MOUNTS=/a:/b:z", "DINV_MOUNTS: \"/a:/b:z\" is not of the form "
                                          "/source, /source:/target or /source:/target:ro");
    assert_conflict("DINV_MOUNTS=/a:/t;/b:/t/",
                    "DINV_MOUNTS: \"/t\" is the target of both \"/a\" and \"/b\"");
    assert_invalid("DINV_MOUNTS=/a\\n",
                   "DINV_MOUNTS: \"/a\\n\" has a backslash that stands neither before a semicolon, "
                   "a colon or a backslash nor before three octal digits (001-377); "
                   "write a backslash as \\\\");
    assert_invalid(
        "DINV_MOUNTS=/a\\000",
        "DINV_MOUNTS: \"/a\\000\" has a backslash that stands neither before a semicolon, "
        "a colon or a backslash nor before three octal digits (001-377); "
        "write a backslash as \\\\");
    assert_conflict("DINV_MOUNTS=/a\\;b:/t;/c:/t",
                    "DINV_MOUNTS: \"/t\" is the target of both \"/a\\073b\" and \"/c\"");
    assert_conflict("DINV_MOUNTS=/a:/usr",
                    "DINV_MOUNTS: a mount on \"/usr\" would hide /usr/bin of the guest; "
                    "name another target, as in \"/a:/mnt/a\"");
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

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/settings/volume", test_volume);
    g_test_add_func("/settings/mounts/good", test_mounts);
    g_test_add_func("/settings/mounts/auto", test_mounts_auto);
    g_test_add_func("/settings/mounts/text", test_path_text);
    g_test_add_func("/settings/mounts/wrong", test_mounts_wrong);
    g_test_add_func("/settings/mounts/hide", test_mounts_that_hide);
    return g_test_run();
}
