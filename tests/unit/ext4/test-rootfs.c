/* SPDX-License-Identifier: MIT */
/* The root image from layers and entries; the same inputs give the same bytes. */
#include <signal.h>
#include <sys/resource.h>

#include "ext4/info.h"
#include "ext4/rootfs.h"
#include "tests/unit/lib/ext4-fixture.h"

typedef struct {
    char *base;
    char *engine;
    char *guest;
    char *output;
} Inputs;

static void inputs_clear(Inputs *inputs) {
    g_free(inputs->base);
    g_free(inputs->engine);
    g_free(inputs->guest);
    g_free(inputs->output);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Inputs, inputs_clear)

/* A base as Debian's: /sbin is a link. An engine as one from another build: /sbin is a directory.
 */
static void make_inputs(const Fixture *fixture, Inputs *inputs) {
    inputs->base = fixture_path(fixture, "base.tar.gz");
    inputs->engine = fixture_path(fixture, "engine.tar");
    inputs->guest = fixture_path(fixture, "dinv-guest");
    inputs->output = fixture_path(fixture, "rootfs.ext4");
    struct archive *archive = tar_begin(inputs->base, ARCHIVE_FILTER_GZIP);
    tar_put(archive, tar_entry("./", S_IFDIR | 0755), NULL);
    tar_directory(archive, "./usr/sbin");
    tar_symlink(archive, "./sbin", "usr/sbin");
    tar_put(archive, tar_entry("./root", S_IFDIR | 0751), NULL);
    tar_file(archive, "./etc/hostname", "base");
    tar_file(archive, "./etc/os-release", "NAME=test\n");
    tar_end(archive);
    archive = tar_begin(inputs->engine, ARCHIVE_FILTER_NONE);
    tar_directory(archive, "sbin");
    tar_file(archive, "sbin/dockerd", "engine");
    struct archive_entry *entry = tar_entry("etc/hostname", S_IFREG | 0600);
    archive_entry_set_mtime(entry, 1800000000, 0); /* later than anything in the base */
    archive_entry_set_uid(entry, 1000);
    tar_put(archive, entry, "engine's");
    tar_end(archive);
    g_assert_true(g_file_set_contents(inputs->guest, "guest program", -1, NULL));
}

static gboolean build(const Inputs *inputs, const char *sha512, GError **error) {
    const DinvExt4RootfsLayer layers[] = {{.path = inputs->base, .sha512 = sha512},
                                          {.path = inputs->engine, .force_root_owner = TRUE}};
    const DinvExt4RootfsEntry entries[] = {
        {.kind = DINV_EXT4_ROOTFS_FILE,
         .path = "/sbin/dinv-guest",
         .value = inputs->guest,
         .mode = 0755},
        {.kind = DINV_EXT4_ROOTFS_SYMLINK, .path = "/sbin/dinv-port-proxy", .value = "dinv-guest"},
        {.kind = DINV_EXT4_ROOTFS_TEXT, .path = "/etc/made-here", .value = "text\n", .mode = 0640},
        {.kind = DINV_EXT4_ROOTFS_DIRECTORY,
         .path = "/opt/empty",
         .mode = 0711,
         .uid = 5,
         .gid = 6},
        {.kind = DINV_EXT4_ROOTFS_OWNER,
         .path = "/etc/os-release",
         .mode = 0444,
         .uid = 7,
         .gid = 8},
    };
    const DinvExt4RootfsRecipe recipe = {.layers = layers,
                                         .layer_count = G_N_ELEMENTS(layers),
                                         .entries = entries,
                                         .entry_count = G_N_ELEMENTS(entries),
                                         .output = inputs->output};
    return dinv_ext4_rootfs_build(&recipe, error);
}

static void test_build(Fixture *fixture, G_GNUC_UNUSED gconstpointer data) {
    g_auto(Inputs) inputs = {0};
    GError *error = NULL;
    make_inputs(fixture, &inputs);
    g_assert_true(build(&inputs, NULL, &error));
    g_assert_no_error(error);
    assert_clean(inputs.output);
    assert_content(inputs.output, "/etc/hostname", "engine's");
    assert_content(inputs.output, "/usr/sbin/dockerd", "engine");
    assert_content(inputs.output, "/usr/sbin/dinv-guest", "guest program");
    assert_content(inputs.output, "/etc/made-here", "text\n");
    assert_stat(inputs.output, "/sbin", "Fast link dest: \"usr/sbin\"");
    assert_stat(inputs.output, "/usr/sbin/dinv-guest", "Mode:  0755");
    assert_stat(inputs.output, "/etc/hostname", "User:     0");
    assert_stat(inputs.output, "/etc/hostname", "Mode:  0600");
    assert_stat(inputs.output, "/opt/empty", "User:     5   Group:     6");
    assert_stat(inputs.output, "/etc/os-release", "Mode:  0444");
    assert_stat(inputs.output, "/etc/os-release", "User:     7   Group:     8");
    /* Nothing is later than the newest of the base, and the guest program has that time. */
    assert_stat(inputs.output, "/etc/hostname", "mtime: 0x6553f100:00000000");
    assert_stat(inputs.output, "/usr/sbin/dinv-guest", "mtime: 0x6553f100:00000000");
    static const char *const needed[] = {"/proc", "/sys", "/dev",  "/run",           "/tmp",
                                         "/mnt",  "/etc", "/root", "/var/lib/docker"};
    for (gsize i = 0; i < G_N_ELEMENTS(needed); i++) {
        assert_stat(inputs.output, needed[i], "Type: directory");
    }
    assert_stat(inputs.output, "/tmp", "Mode:  01777");
    assert_stat(inputs.output, "/root", "Mode:  0751"); /* was there: left as it was */
    DinvExt4ImageInfo info;
    g_assert_true(dinv_ext4_image_check_rootfs(inputs.output, &info, &error));
    g_assert_cmpuint(info.rootfs_version, ==, DINV_EXT4_ROOTFS_VERSION);
    g_assert_false(info.has_journal);
    g_assert_cmpuint(info.file_bytes, <, 2 << 20);
    g_assert_cmpuint(fixture_count(fixture), ==, 4);
}

static void test_reproducible(Fixture *fixture, G_GNUC_UNUSED gconstpointer data) {
    g_auto(Inputs) inputs = {0};
    GError *error = NULL;
    g_autofree char *first = fixture_path(fixture, "first.ext4");
    const struct timespec times[2] = {{1500000000, 0}, {1500000000, 0}};
    make_inputs(fixture, &inputs);
    g_assert_true(build(&inputs, NULL, &error));
    g_assert_cmpint(g_rename(inputs.output, first), ==, 0);
    /* The time of the guest program on this machine has no part in it, its content has. */
    g_assert_cmpint(utimensat(AT_FDCWD, inputs.guest, times, 0), ==, 0);
    g_assert_true(build(&inputs, NULL, &error));
    assert_same_bytes(first, inputs.output);
    DinvExt4ImageInfo before;
    DinvExt4ImageInfo after;
    g_assert_true(dinv_ext4_image_read_info(first, &before, &error));
    g_assert_true(g_file_set_contents(inputs.guest, "guest Program", -1, NULL));
    g_assert_true(build(&inputs, NULL, &error));
    g_assert_true(dinv_ext4_image_read_info(inputs.output, &after, &error));
    g_assert_cmpstr(before.uuid, !=, after.uuid);
}

static void test_checksum(Fixture *fixture, G_GNUC_UNUSED gconstpointer data) {
    g_auto(Inputs) inputs = {0};
    g_autoptr(GError) error = NULL;
    g_autofree char *bytes = NULL;
    gsize length = 0;
    make_inputs(fixture, &inputs);
    g_assert_true(g_file_get_contents(inputs.base, &bytes, &length, NULL));
    g_autofree char *right =
        g_compute_checksum_for_data(G_CHECKSUM_SHA512, (const guchar *)bytes, length);
    g_assert_true(build(&inputs, right, &error));
    g_assert_no_error(error);
    g_assert_cmpint(g_unlink(inputs.output), ==, 0);
    right[0] = right[0] == '0' ? '1' : '0';
    g_assert_false(build(&inputs, right, &error));
    g_assert_error(error, DINV_EXT4_IMAGE_ERROR, DINV_EXT4_IMAGE_ERROR_BAD_ARCHIVE);
    assert_contains(error->message, "checksum");
    g_assert_cmpuint(fixture_count(fixture), ==, 3); /* nothing was made */
}

/* Failures of every kind leave the image that was there as it was, and nothing else. */
static void test_failures(Fixture *fixture, G_GNUC_UNUSED gconstpointer data) {
    g_auto(Inputs) inputs = {0};
    g_autoptr(GError) error = NULL;
    g_autofree char *content = NULL;
    make_inputs(fixture, &inputs);
    g_assert_true(g_file_set_contents(inputs.output, "the old image", -1, NULL));

    g_autofree char *guest = g_steal_pointer(&inputs.guest);
    inputs.guest = fixture_path(fixture, "missing");
    g_assert_false(build(&inputs, NULL, &error));
    g_assert_error(error, DINV_EXT4_IMAGE_ERROR, DINV_EXT4_IMAGE_ERROR_IO);
    assert_contains(error->message, inputs.guest);
    g_clear_error(&error);
    g_free(inputs.guest);
    inputs.guest = g_steal_pointer(&guest);

    g_autofree char *large = g_strnfill((gsize)6 << 20, 'x'); /* the disk is full */
    g_assert_true(g_file_set_contents(inputs.guest, large, -1, NULL));
    struct rlimit before;
    (void)signal(SIGXFSZ, SIG_IGN);
    g_assert_cmpint(getrlimit(RLIMIT_FSIZE, &before), ==, 0);
    const struct rlimit limit = {.rlim_cur = 4 << 20, .rlim_max = before.rlim_max};
    g_assert_cmpint(setrlimit(RLIMIT_FSIZE, &limit), ==, 0);
    gboolean built = build(&inputs, NULL, &error);
    g_assert_cmpint(setrlimit(RLIMIT_FSIZE, &before), ==, 0);
    g_assert_false(built);
    g_assert_error(error, DINV_EXT4_IMAGE_ERROR, DINV_EXT4_IMAGE_ERROR_IO);
    g_clear_error(&error);

    g_assert_cmpint(truncate(inputs.engine, 700), ==, 0);
    g_assert_false(build(&inputs, NULL, &error));
    g_assert_error(error, DINV_EXT4_IMAGE_ERROR, DINV_EXT4_IMAGE_ERROR_BAD_ARCHIVE);
    assert_contains(error->message, inputs.engine);

    g_assert_true(g_file_get_contents(inputs.output, &content, NULL, NULL));
    g_assert_cmpstr(content, ==, "the old image");
    g_assert_cmpuint(fixture_count(fixture), ==, 4);
}

/* A staged directory as a layer. */
static void test_directory_layer(Fixture *fixture, G_GNUC_UNUSED gconstpointer data) {
    g_autofree char *stage = fixture_path(fixture, "stage");
    g_autofree char *directory = fixture_path(fixture, "stage/etc");
    g_autofree char *file = fixture_path(fixture, "stage/etc/file");
    g_autofree char *output = fixture_path(fixture, "rootfs.ext4");
    GError *error = NULL;
    g_assert_cmpint(g_mkdir_with_parents(directory, 0755), ==, 0);
    g_assert_true(g_file_set_contents(file, "staged", -1, NULL));
    const DinvExt4RootfsLayer layer = {.path = stage, .force_root_owner = TRUE};
    const DinvExt4RootfsRecipe recipe = {
        .layers = &layer, .layer_count = 1, .output = output, .timestamp = 1234567890};
    g_assert_true(dinv_ext4_rootfs_build(&recipe, &error));
    g_assert_no_error(error);
    assert_clean(output);
    assert_content(output, "/etc/file", "staged");
    assert_stat(output, "/etc/file", "mtime: 0x499602d2:00000000");
    assert_stat(output, "/etc/file", "User:     0   Group:     0");
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    TEST("/ext4/rootfs/build", test_build);
    TEST("/ext4/rootfs/reproducible", test_reproducible);
    TEST("/ext4/rootfs/checksum", test_checksum);
    TEST("/ext4/rootfs/failures", test_failures);
    TEST("/ext4/rootfs/directory-layer", test_directory_layer);
    return g_test_run();
}
