/* SPDX-License-Identifier: MIT */
/* What the tests of the room ext4 share: a directory of their own, tars, and e2fsprogs as the
 * oracle. */
#pragma once

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <ftw.h>
#include <gio/gio.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ext4/populate-directory.h"
#include "ext4/write-tree.h"

typedef struct {
    char *directory;
} Fixture;

static inline void fixture_set_up(Fixture *fixture, G_GNUC_UNUSED gconstpointer data) {
    GError *error = NULL;
    fixture->directory = g_dir_make_tmp("dinv-images-XXXXXX", &error);
    g_assert_no_error(error);
}

static inline int fixture_remove(const char *path, G_GNUC_UNUSED const struct stat *status,
                                 G_GNUC_UNUSED int type, G_GNUC_UNUSED struct FTW *walk) {
    return remove(path);
}

static inline void fixture_tear_down(Fixture *fixture, G_GNUC_UNUSED gconstpointer data) {
    (void)nftw(fixture->directory, fixture_remove, 16, FTW_DEPTH | FTW_PHYS);
    g_free(fixture->directory);
}

static inline char *fixture_path(const Fixture *fixture, const char *name) {
    return g_build_filename(fixture->directory, name, NULL);
}

/* How many names the directory has: what a failure must not leave behind shows here. */
static inline guint fixture_count(const Fixture *fixture) {
    g_autoptr(GDir) directory = g_dir_open(fixture->directory, 0, NULL);
    guint count = 0;
    while (g_dir_read_name(directory) != NULL) {
        count++;
    }
    return count;
}

static inline void assert_contains(const char *text, const char *part) {
    if (strstr(text, part) == NULL) {
        g_test_message("\"%s\" is not in:\n%s", part, text);
        g_test_fail();
    }
}

/* Its stdout. The tools are those of e2fsprogs, which the project needs anyway. */
static inline char *run_tool(const char *program, const char *option, const char *value,
                             const char *image, int *status) {
    const char *argv[] = {program, option, value != NULL ? value : image,
                          value != NULL ? image : NULL, NULL};
    char *output = NULL;
    GError *error = NULL;
    (void)g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_STDERR_TO_DEV_NULL, NULL, NULL, &output,
                       NULL, status, &error);
    g_assert_no_error(error);
    return output;
}

static inline void assert_clean(const char *image) {
    int status = 0;
    g_autofree char *output = run_tool("/usr/sbin/e2fsck", "-fn", NULL, image, &status);
    if (status != 0) {
        g_test_message("e2fsck -fn %s:\n%s", image, output);
    }
    g_assert_cmpint(status, ==, 0);
}

static inline char *debugfs(const char *image, const char *command) {
    int status = 0;
    char *output = run_tool("/usr/sbin/debugfs", "-R", command, image, &status);
    g_assert_cmpint(status, ==, 0);
    return output;
}

static inline void assert_stat(const char *image, const char *path, const char *part) {
    g_autofree char *command = g_strdup_printf("stat \"%s\"", path);
    g_autofree char *output = debugfs(image, command);
    assert_contains(output, part);
}

static inline void assert_content(const char *image, const char *path, const char *content) {
    g_autofree char *command = g_strdup_printf("cat \"%s\"", path);
    g_autofree char *output = debugfs(image, command);
    g_assert_cmpstr(output, ==, content);
}

/* --- Tars */

static inline struct archive *tar_begin(const char *path, int filter) {
    struct archive *archive = archive_write_new();
    g_assert_cmpint(archive_write_set_format_pax_restricted(archive), ==, ARCHIVE_OK);
    g_assert_cmpint(archive_write_add_filter(archive, filter), ==, ARCHIVE_OK);
    g_assert_cmpint(archive_write_open_filename(archive, path), ==, ARCHIVE_OK);
    return archive;
}

static inline void tar_end(struct archive *archive) {
    g_assert_cmpint(archive_write_close(archive), ==, ARCHIVE_OK);
    archive_write_free(archive);
}

static inline struct archive_entry *tar_entry(const char *path, mode_t mode) {
    struct archive_entry *entry = archive_entry_new();
    archive_entry_set_pathname(entry, path);
    archive_entry_set_mode(entry, mode);
    archive_entry_set_mtime(entry, 1700000000, 123456789);
    return entry;
}

static inline void tar_put(struct archive *archive, struct archive_entry *entry,
                           const char *content) {
    gsize length = content != NULL ? strlen(content) : 0;
    if (content != NULL) {
        archive_entry_set_size(entry, (la_int64_t)length);
    }
    g_assert_cmpint(archive_write_header(archive, entry), ==, ARCHIVE_OK);
    if (content != NULL) {
        g_assert_cmpint(archive_write_data(archive, content, length), ==, (la_ssize_t)length);
    }
    archive_entry_free(entry);
}

static inline void tar_file(struct archive *archive, const char *path, const char *content) {
    tar_put(archive, tar_entry(path, S_IFREG | 0644), content);
}

static inline void tar_directory(struct archive *archive, const char *path) {
    tar_put(archive, tar_entry(path, S_IFDIR | 0755), NULL);
}

static inline void tar_symlink(struct archive *archive, const char *path, const char *target) {
    struct archive_entry *entry = tar_entry(path, S_IFLNK | 0777);
    archive_entry_set_symlink(entry, target);
    tar_put(archive, entry, NULL);
}

static inline void tar_hard_link(struct archive *archive, const char *path, const char *target) {
    struct archive_entry *entry = tar_entry(path, S_IFREG | 0644);
    archive_entry_set_hardlink(entry, target);
    tar_put(archive, entry, NULL);
}

/* --- Trees and images */

static inline DinvExt4Tree *new_tree(const Fixture *fixture) {
    GError *error = NULL;
    DinvExt4Tree *tree = dinv_ext4_tree_new(fixture->directory, 0, &error);
    g_assert_no_error(error);
    return tree;
}

static inline gboolean populate(DinvExt4Tree *tree, const char *tar,
                                const DinvExt4PopulateOptions *options, GError **error) {
    int fd = open(tar, O_RDONLY | O_CLOEXEC);
    g_assert_cmpint(fd, >=, 0);
    gboolean result = dinv_ext4_populate_tar(tree, fd, tar, options, error);
    close(fd);
    return result;
}

static inline gboolean write_image(const DinvExt4Tree *tree, const char *path,
                                   const DinvExt4Options *options, GError **error) {
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    g_assert_cmpint(fd, >=, 0);
    gboolean result = dinv_ext4_write_tree(fd, options, tree, error);
    close(fd);
    return result;
}

/* A read-only image of the smallest size. */
static inline void write_small_image(const DinvExt4Tree *tree, const char *path) {
    const DinvExt4Options options = {.label = "test", .read_only = TRUE};
    GError *error = NULL;
    g_assert_true(write_image(tree, path, &options, &error));
    g_assert_no_error(error);
}

static inline void assert_same_bytes(const char *left, const char *right) {
    g_autoptr(GMappedFile) first = g_mapped_file_new(left, FALSE, NULL);
    g_autoptr(GMappedFile) second = g_mapped_file_new(right, FALSE, NULL);
    g_assert_nonnull(first);
    g_assert_nonnull(second);
    gsize length = g_mapped_file_get_length(first);
    g_assert_cmpuint(length, ==, g_mapped_file_get_length(second));
    g_assert_true(
        memcmp(g_mapped_file_get_contents(first), g_mapped_file_get_contents(second), length) == 0);
}

#define TEST(path, function)                                                                       \
    g_test_add(path, Fixture, NULL, fixture_set_up, function, fixture_tear_down)
