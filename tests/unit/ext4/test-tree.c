/* SPDX-License-Identifier: MIT */
/* Paths in a tree: what replaces what, links that are followed, names that would escape. */
#include "tests/unit/lib/ext4-fixture.h"

static DinvExt4Content *content_of(DinvExt4Tree *tree, const char *text) {
    GError *error = NULL;
    DinvExt4Spool *spool = dinv_ext4_tree_get_spool(tree);
    dinv_ext4_spool_begin(spool);
    g_assert_true(dinv_ext4_spool_write(spool, 0, text, strlen(text), &error));
    DinvExt4Content *content = dinv_ext4_spool_end(spool, strlen(text), &error);
    g_assert_no_error(error);
    return content;
}

static void add_file(DinvExt4Tree *tree, const char *path, const char *text) {
    const DinvExt4TreeAttributes attributes = {.mode = S_IFREG | 0644, .mtime = 5};
    GError *error = NULL;
    g_assert_true(dinv_ext4_tree_add_file(tree, path, &attributes, content_of(tree, text), &error));
    g_assert_no_error(error);
}

static void add_directory(DinvExt4Tree *tree, const char *path, mode_t mode) {
    const DinvExt4TreeAttributes attributes = {.mode = S_IFDIR | mode};
    GError *error = NULL;
    g_assert_true(dinv_ext4_tree_add(tree, path, &attributes, &error));
    g_assert_no_error(error);
}

static void add_symlink(DinvExt4Tree *tree, const char *path, const char *target) {
    const DinvExt4TreeAttributes attributes = {.mode = S_IFLNK | 0777};
    GError *error = NULL;
    g_assert_true(dinv_ext4_tree_add_symlink(tree, path, &attributes, target, &error));
    g_assert_no_error(error);
}

static void assert_refused(DinvExt4Tree *tree, const char *path, int code) {
    const DinvExt4TreeAttributes attributes = {.mode = S_IFREG | 0644};
    g_autoptr(GError) error = NULL;
    g_assert_false(dinv_ext4_tree_add_file(tree, path, &attributes, content_of(tree, "x"), &error));
    g_assert_error(error, DINV_EXT4_IMAGE_ERROR, code);
}

static void test_paths(Fixture *fixture, G_GNUC_UNUSED gconstpointer data) {
    g_autoptr(DinvExt4Tree) tree = new_tree(fixture);
    dinv_ext4_tree_set_time(tree, 77);
    add_file(tree, "/absolute//./a/file", "1");
    const DinvExt4TreeNode *node = dinv_ext4_tree_find(tree, "absolute/a/file");
    g_assert_nonnull(node);
    g_assert_cmpuint(node->content->size, ==, 1);
    const DinvExt4TreeNode *made = dinv_ext4_tree_find(tree, "absolute");
    g_assert_cmpuint(made->attributes.mode, ==, S_IFDIR | 0755);
    g_assert_cmpint(made->attributes.mtime, ==, 77);
    g_assert_true(dinv_ext4_tree_find(tree, ".") == dinv_ext4_tree_get_root(tree));
    g_assert_null(dinv_ext4_tree_find(tree, "absolute/b"));
    g_assert_null(dinv_ext4_tree_find(tree, "nothing/b"));
    g_assert_cmpuint(g_hash_table_size(dinv_ext4_tree_get_root(tree)->children), ==, 1);
}

static void test_escapes(Fixture *fixture, G_GNUC_UNUSED gconstpointer data) {
    g_autoptr(DinvExt4Tree) tree = new_tree(fixture);
    static const char *const paths[] = {"../x", "a/../../x", "/..", "a/..", "./../x"};
    for (gsize i = 0; i < G_N_ELEMENTS(paths); i++) {
        assert_refused(tree, paths[i], DINV_EXT4_IMAGE_ERROR_ESCAPES);
    }
    assert_refused(tree, "/", DINV_EXT4_IMAGE_ERROR_BAD_ARCHIVE);
    assert_refused(tree, "", DINV_EXT4_IMAGE_ERROR_BAD_ARCHIVE);
    g_assert_cmpuint(g_hash_table_size(dinv_ext4_tree_get_root(tree)->children), ==, 0);
    add_file(tree, "..x/...", "a name may begin with dots");
}

static void test_symlinks_stay_inside(Fixture *fixture, G_GNUC_UNUSED gconstpointer data) {
    g_autoptr(DinvExt4Tree) tree = new_tree(fixture);
    add_symlink(tree, "a", "/etc");
    add_file(tree, "a/b", "into the image's /etc");
    g_assert_nonnull(dinv_ext4_tree_find(tree, "etc/b"));
    add_symlink(tree, "deep/up", "../../../../../top");
    add_file(tree, "deep/up/c", "not above the root");
    g_assert_nonnull(dinv_ext4_tree_find(tree, "top/c"));
    /* The links are still links. */
    g_assert_cmpstr(dinv_ext4_tree_find(tree, "a")->target, ==, "/etc");
    g_assert_cmpstr(dinv_ext4_tree_find(tree, "deep/up")->target, ==, "../../../../../top");
}

static void test_merged_usr(Fixture *fixture, G_GNUC_UNUSED gconstpointer data) {
    g_autoptr(DinvExt4Tree) tree = new_tree(fixture);
    add_directory(tree, "usr/lib", 0755);
    add_symlink(tree, "lib", "usr/lib");
    add_directory(tree, "lib/", 0700); /* as a layer with an unmerged /lib has it */
    add_file(tree, "lib/x/y", "1");
    g_assert_cmpstr(dinv_ext4_tree_find(tree, "lib")->target, ==, "usr/lib");
    g_assert_cmpuint(dinv_ext4_tree_find(tree, "usr/lib")->attributes.mode & 0777, ==, 0755);
    g_assert_nonnull(dinv_ext4_tree_find(tree, "usr/lib/x/y"));
    /* A directory over a link that leads nowhere, or to a file, replaces it. */
    add_symlink(tree, "broken", "nowhere");
    add_directory(tree, "broken", 0755);
    g_assert_nonnull(dinv_ext4_tree_find(tree, "broken")->children);
}

static void test_symlink_loops(Fixture *fixture, G_GNUC_UNUSED gconstpointer data) {
    g_autoptr(DinvExt4Tree) tree = new_tree(fixture);
    add_symlink(tree, "self", "self");
    assert_refused(tree, "self/x", DINV_EXT4_IMAGE_ERROR_BAD_ARCHIVE);
    add_symlink(tree, "a", "b/b");
    add_symlink(tree, "b", "a/a");
    assert_refused(tree, "a/x", DINV_EXT4_IMAGE_ERROR_BAD_ARCHIVE);
    add_file(tree, "file", "x");
    assert_refused(tree, "file/x", DINV_EXT4_IMAGE_ERROR_BAD_ARCHIVE);
    /* Doubling at each step: must end by the count of links, not after 2^30 steps. */
    for (guint i = 0; i < 30; i++) {
        g_autofree char *name = g_strdup_printf("d%u", i);
        g_autofree char *target = g_strdup_printf("d%u/../d%u", i + 1, i + 1);
        add_symlink(tree, name, target);
    }
    assert_refused(tree, "d0/x", DINV_EXT4_IMAGE_ERROR_BAD_ARCHIVE);
}

static void test_replacement(Fixture *fixture, G_GNUC_UNUSED gconstpointer data) {
    g_autoptr(DinvExt4Tree) tree = new_tree(fixture);
    add_file(tree, "x", "first");
    add_file(tree, "x", "the second");
    g_assert_cmpuint(dinv_ext4_tree_find(tree, "x")->content->size, ==, 10);
    add_symlink(tree, "x", "elsewhere");
    add_file(tree, "x", "3"); /* replaces the link, not what it leads to */
    g_assert_null(dinv_ext4_tree_find(tree, "elsewhere"));
    add_directory(tree, "x", 0755);
    add_file(tree, "x", "an empty directory may go");
    add_directory(tree, "d", 0755);
    add_file(tree, "d/child", "1");
    add_directory(tree, "d", 0711); /* keeps the child, takes the mode */
    g_assert_nonnull(dinv_ext4_tree_find(tree, "d/child"));
    g_assert_cmpuint(dinv_ext4_tree_find(tree, "d")->attributes.mode & 0777, ==, 0711);
    assert_refused(tree, "d", DINV_EXT4_IMAGE_ERROR_BAD_ARCHIVE);
    g_assert_nonnull(dinv_ext4_tree_find(tree, "d/child"));
}

static void test_hard_links(Fixture *fixture, G_GNUC_UNUSED gconstpointer data) {
    g_autoptr(DinvExt4Tree) tree = new_tree(fixture);
    g_autoptr(GError) error = NULL;
    add_file(tree, "a", "content");
    g_assert_true(dinv_ext4_tree_add_hard_link(tree, "b/c", "./a", &error));
    g_assert_true(dinv_ext4_tree_add_hard_link(tree, "a", "b/c", &error)); /* to itself */
    g_assert_true(dinv_ext4_tree_find(tree, "a") == dinv_ext4_tree_find(tree, "b/c"));
    g_assert_cmpuint(dinv_ext4_tree_find(tree, "a")->links, ==, 2);
    add_file(tree, "a", "new"); /* the other name keeps the old file */
    g_assert_cmpuint(dinv_ext4_tree_find(tree, "b/c")->content->size, ==, 7);
    g_assert_cmpuint(dinv_ext4_tree_find(tree, "b/c")->links, ==, 1);
    const struct {
        const char *target;
        int code;
    } bad[] = {{"missing", DINV_EXT4_IMAGE_ERROR_BAD_ARCHIVE},
               {"b", DINV_EXT4_IMAGE_ERROR_BAD_ARCHIVE},
               {".", DINV_EXT4_IMAGE_ERROR_BAD_ARCHIVE},
               {"../etc/passwd", DINV_EXT4_IMAGE_ERROR_ESCAPES}};
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_assert_false(dinv_ext4_tree_add_hard_link(tree, "l", bad[i].target, &error));
        g_assert_error(error, DINV_EXT4_IMAGE_ERROR, bad[i].code);
        g_clear_error(&error);
    }
    g_assert_false(dinv_ext4_tree_add_hard_link(tree, "b", "a", &error)); /* not empty */
    g_assert_error(error, DINV_EXT4_IMAGE_ERROR, DINV_EXT4_IMAGE_ERROR_BAD_ARCHIVE);
}

static void test_limits(Fixture *fixture, G_GNUC_UNUSED gconstpointer data) {
    g_autoptr(DinvExt4Tree) tree = new_tree(fixture);
    g_autoptr(GString) deep = g_string_new(NULL);
    g_autofree char *name = g_strnfill(255, 'n');
    g_autofree char *long_name = g_strnfill(256, 'n');
    g_autofree char *target = g_strnfill(4096, 't');
    g_autoptr(GError) error = NULL;
    const DinvExt4TreeAttributes link = {.mode = S_IFLNK | 0777};
    const DinvExt4TreeAttributes socket = {.mode = S_IFSOCK | 0777};
    const DinvExt4TreeAttributes device = {.mode = S_IFCHR | 0600, .device_major = 0x1000};
    add_file(tree, name, "fits");
    assert_refused(tree, long_name, DINV_EXT4_IMAGE_ERROR_UNSUPPORTED);
    for (guint i = 0; i < 1001; i++) {
        g_string_append(deep, "d/");
    }
    g_string_append(deep, "file");
    assert_refused(tree, deep->str, DINV_EXT4_IMAGE_ERROR_UNSUPPORTED);
    g_assert_false(dinv_ext4_tree_add_symlink(tree, "s", &link, target, &error));
    g_assert_error(error, DINV_EXT4_IMAGE_ERROR, DINV_EXT4_IMAGE_ERROR_UNSUPPORTED);
    g_clear_error(&error);
    g_assert_false(dinv_ext4_tree_add_symlink(tree, "s", &link, "", &error));
    g_clear_error(&error);
    g_assert_false(dinv_ext4_tree_add(tree, "s", &socket, &error));
    g_assert_error(error, DINV_EXT4_IMAGE_ERROR, DINV_EXT4_IMAGE_ERROR_UNSUPPORTED);
    assert_contains(error->message, "socket");
    g_clear_error(&error);
    g_assert_false(dinv_ext4_tree_add(tree, "s", &device, &error));
    g_assert_error(error, DINV_EXT4_IMAGE_ERROR, DINV_EXT4_IMAGE_ERROR_UNSUPPORTED);
}

static void test_digest(Fixture *fixture, G_GNUC_UNUSED gconstpointer data) {
    guint8 digests[6][32];
    for (guint i = 0; i < G_N_ELEMENTS(digests); i++) {
        g_autoptr(DinvExt4Tree) tree = new_tree(fixture);
        add_file(tree, "a", "same");
        add_file(tree, "b", "same");
        if (i == 2) { /* one file of two names is another tree */
            g_assert_true(dinv_ext4_tree_add_hard_link(tree, "b", "a", NULL));
        }
        if (i == 3) {
            g_assert_true(dinv_ext4_tree_set_owner(tree, "a", 1, 2, 0600, NULL));
        }
        if (i >= 4) { /* the same names and links, in other pairs */
            g_assert_true(dinv_ext4_tree_add_hard_link(tree, "c", i == 4 ? "a" : "b", NULL));
            g_assert_true(dinv_ext4_tree_add_hard_link(tree, "d", i == 4 ? "b" : "a", NULL));
        }
        dinv_ext4_tree_digest(tree, digests[i]);
    }
    g_assert_true(memcmp(digests[0], digests[1], 32) == 0);
    g_assert_true(memcmp(digests[0], digests[2], 32) != 0);
    g_assert_true(memcmp(digests[0], digests[3], 32) != 0);
    g_assert_true(memcmp(digests[4], digests[5], 32) != 0);
}

static void test_spool(Fixture *fixture, G_GNUC_UNUSED gconstpointer data) {
    GError *error = NULL;
    g_autoptr(DinvExt4Spool) spool = dinv_ext4_spool_new(fixture->directory, 0, &error);
    g_autofree guint8 *zeros = g_malloc0(5 * DINV_EXT4_SPOOL_BLOCK);
    guint8 block[DINV_EXT4_SPOOL_BLOCK];
    g_assert_no_error(error);
    g_assert_cmpuint(fixture_count(fixture), ==, 0); /* it has no name */
    /* Zeros, two bytes across a block's border, zeros, a tail. */
    dinv_ext4_spool_begin(spool);
    g_assert_true(dinv_ext4_spool_write(spool, 0, zeros, 4095, &error));
    g_assert_true(dinv_ext4_spool_write(spool, 4095, "ab", 2, &error));
    g_assert_true(dinv_ext4_spool_write(spool, 4097, zeros, 4 * DINV_EXT4_SPOOL_BLOCK, &error));
    g_assert_true(
        dinv_ext4_spool_write(spool, (guint64)9 * DINV_EXT4_SPOOL_BLOCK + 1, "z", 1, &error));
    g_autoptr(DinvExt4Content) content =
        dinv_ext4_spool_end(spool, (guint64)1000 * DINV_EXT4_SPOOL_BLOCK, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(content->runs->len, ==, 2);
    const DinvExt4ContentRun *runs = (const DinvExt4ContentRun *)(void *)content->runs->data;
    g_assert_cmpuint(runs[0].file_block, ==, 0);
    g_assert_cmpuint(runs[0].count, ==, 2);
    g_assert_cmpuint(runs[1].file_block, ==, 9);
    g_assert_true(dinv_ext4_spool_read(spool, runs[0].spool_block, 1, block, &error));
    g_assert_cmpint(block[4095], ==, 'a');
    g_assert_true(dinv_ext4_spool_read(spool, runs[0].spool_block + 1, 1, block, &error));
    g_assert_cmpint(block[0], ==, 'b');
    g_assert_cmpint(block[1], ==, 0);
    g_assert_true(dinv_ext4_spool_read(spool, runs[1].spool_block, 1, block, &error));
    g_assert_cmpint(block[1], ==, 'z');
    /* Overlaps and lies about the size. */
    dinv_ext4_spool_begin(spool);
    g_assert_true(dinv_ext4_spool_write(spool, 10, "abc", 3, &error));
    g_assert_false(dinv_ext4_spool_write(spool, 12, "c", 1, &error));
    g_assert_error(error, DINV_EXT4_IMAGE_ERROR, DINV_EXT4_IMAGE_ERROR_BAD_ARCHIVE);
    g_clear_error(&error);
    g_assert_null(dinv_ext4_spool_end(spool, 12, &error));
    g_assert_error(error, DINV_EXT4_IMAGE_ERROR, DINV_EXT4_IMAGE_ERROR_BAD_ARCHIVE);
    g_clear_error(&error);
    dinv_ext4_spool_begin(spool);
    g_assert_false(dinv_ext4_spool_write(spool, G_MAXUINT64, "c", 1, &error));
    g_assert_error(error, DINV_EXT4_IMAGE_ERROR, DINV_EXT4_IMAGE_ERROR_UNSUPPORTED);
    g_clear_error(&error);
}

static void test_spool_limit(Fixture *fixture, G_GNUC_UNUSED gconstpointer data) {
    g_autoptr(GError) error = NULL;
    g_autoptr(DinvExt4Spool) spool =
        dinv_ext4_spool_new(fixture->directory, 2 * DINV_EXT4_SPOOL_BLOCK, &error);
    g_autofree guint8 *ones = g_malloc(3 * DINV_EXT4_SPOOL_BLOCK);
    memset(ones, 1, 3 * DINV_EXT4_SPOOL_BLOCK);
    dinv_ext4_spool_begin(spool);
    g_assert_true(dinv_ext4_spool_write(spool, 0, ones, 2 * DINV_EXT4_SPOOL_BLOCK, &error));
    g_assert_false(dinv_ext4_spool_write(spool, 2 * DINV_EXT4_SPOOL_BLOCK, ones,
                                         DINV_EXT4_SPOOL_BLOCK, &error));
    g_assert_error(error, DINV_EXT4_IMAGE_ERROR, DINV_EXT4_IMAGE_ERROR_FULL);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    TEST("/ext4/tree/paths", test_paths);
    TEST("/ext4/tree/escapes", test_escapes);
    TEST("/ext4/tree/symlinks-stay-inside", test_symlinks_stay_inside);
    TEST("/ext4/tree/merged-usr", test_merged_usr);
    TEST("/ext4/tree/symlink-loops", test_symlink_loops);
    TEST("/ext4/tree/replacement", test_replacement);
    TEST("/ext4/tree/hard-links", test_hard_links);
    TEST("/ext4/tree/limits", test_limits);
    TEST("/ext4/tree/digest", test_digest);
    TEST("/ext4/spool/holes-and-order", test_spool);
    TEST("/ext4/spool/limit", test_spool_limit);
    return g_test_run();
}
