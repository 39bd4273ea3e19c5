/* SPDX-License-Identifier: MIT */
/* The verb `dinv image`, as a process of its own: exit status, stdout, stderr. */
#include <json-c/json.h>
#include <sys/wait.h>

#include "launcher/cli/cli.h"
#include "tests/unit/lib/ext4-fixture.h"

/* Runs in the subprocess; the words come from the environment, one a line. */
static void run_words(void) {
    char **words = g_strsplit(g_getenv("TEST_WORDS"), "\n", -1);
    int status = dinv_cli_image((int)g_strv_length(words), words);
    g_strfreev(words); /* before exit(), for the leak check */
    exit(status);
}

/* What the last run() printed. */
static char *last_output;
static char *last_errors;

/* Runs `dinv image WORDS...` (NULL ends) and returns its exit status. */
static int run(const char *first, ...) {
    g_autoptr(GString) words = g_string_new(first);
    va_list arguments;
    va_start(arguments, first);
    for (const char *word = NULL; (word = va_arg(arguments, const char *)) != NULL;) {
        g_string_append_printf(words, "\n%s", word);
    }
    va_end(arguments);
    g_autofree char *program = g_file_read_link("/proc/self/exe", NULL);
    const char *argv[] = {program, "--GTestSubprocess", "-p", "/cli/image/subprocess", NULL};
    g_auto(GStrv) environment = g_environ_setenv(g_get_environ(), "TEST_WORDS", words->str, TRUE);
    int status = 0;
    GError *error = NULL;
    g_clear_pointer(&last_output, g_free);
    g_clear_pointer(&last_errors, g_free);
    (void)g_spawn_sync(NULL, (char **)argv, environment, G_SPAWN_DEFAULT, NULL, NULL, &last_output,
                       &last_errors, &status, &error);
    g_assert_no_error(error);
    g_assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void assert_output(const char *pattern) {
    if (!g_pattern_match_simple(pattern, last_output)) {
        g_test_message("stdout is not like \"%s\":\n%s", pattern, last_output);
        g_test_fail();
    }
}

static void assert_errors(const char *pattern) {
    if (!g_pattern_match_simple(pattern, last_errors)) {
        g_test_message("stderr is not like \"%s\":\n%s", pattern, last_errors);
        g_test_fail();
    }
}

static void test_data_and_info(Fixture *fixture, G_GNUC_UNUSED gconstpointer data) {
    g_autofree char *path = fixture_path(fixture, "data.img");
    struct stat status;
    g_assert_cmpint(run("data", "--size", "64G", "--output", path, NULL), ==, 0);
    g_assert_cmpint(stat(path, &status), ==, 0);
    g_assert_cmpint(status.st_size, ==, (off_t)64 << 30);
    g_assert_cmpint(run("data", "--size", "64G", "--output", path, NULL), ==, DINV_EXIT_FAILED);
    assert_errors("dinv: *data.img*exists already*");
    g_assert_cmpint(run("info", path, NULL), ==, 0);
    assert_output("*data disk*64 GiB*clean*");
    g_assert_cmpint(run("info", fixture->directory, path, NULL), ==, DINV_EXIT_FAILED);
    assert_output("*data disk*"); /* the other one is still shown */
    assert_errors("dinv: *is a directory*");
}

static void test_build(Fixture *fixture, G_GNUC_UNUSED gconstpointer data) {
    g_autofree char *base = fixture_path(fixture, "base.tar.gz");
    g_autofree char *guest = fixture_path(fixture, "guest");
    g_autofree char *output = fixture_path(fixture, "rootfs.ext4");
    struct archive *archive = tar_begin(base, ARCHIVE_FILTER_GZIP);
    tar_file(archive, "etc/os-release", "NAME=test\n");
    tar_end(archive);
    g_assert_true(g_file_set_contents(guest, "program", -1, NULL));
    g_assert_cmpint(
        run("build", "--base", base, "--engine", base, "--guest", guest, "--output", output, NULL),
        ==, 0);
    assert_output("*rootfs.ext4: dinv-root-1, *");
    assert_clean(output);
    assert_content(output, "/sbin/dinv-guest", "program");
    assert_stat(output, "/sbin/dinv-guest", "Mode:  0755");
    assert_stat(output, "/sbin/dinv-port-proxy", "Fast link dest: \"dinv-guest\"");
    g_assert_cmpint(run("build", "--base", base, "--base-sha512", "00", "--guest", guest,
                        "--output", output, NULL),
                    ==, DINV_EXIT_FAILED);
    assert_errors("dinv: *checksum*");
}

static void test_json(Fixture *fixture, G_GNUC_UNUSED gconstpointer data) {
    g_autofree char *path = fixture_path(fixture, "a \"quoted\" name.img");
    g_assert_true(dinv_ext4_create_data_disk(path, 16 << 20, NULL));
    g_assert_cmpint(run("info", "--json", path, NULL), ==, 0);
    const char *start = strchr(last_output, '[');
    g_assert_nonnull(start);
    json_object *array = json_tokener_parse(start);
    g_assert_nonnull(array);
    json_object *object = json_object_array_get_idx(array, 0);
    g_assert_cmpstr(json_object_get_string(json_object_object_get(object, "path")), ==, path);
    g_assert_cmpstr(json_object_get_string(json_object_object_get(object, "kind")), ==,
                    "data disk");
    g_assert_cmpint(json_object_get_int64(json_object_object_get(object, "filesystem_bytes")), ==,
                    16 << 20);
    g_assert_true(json_object_get_boolean(json_object_object_get(object, "clean")));
    json_object_put(array);
}

static void test_bad_words(Fixture *fixture, G_GNUC_UNUSED gconstpointer data) {
    g_autofree char *path = fixture_path(fixture, "data.img");
    static const char *const sizes[] = {"", "G", "0", "-1G", "64X", "64GB", "99999999999T"};
    for (gsize i = 0; i < G_N_ELEMENTS(sizes); i++) {
        g_assert_cmpint(run("data", "--size", sizes[i], "--output", path, NULL), ==,
                        DINV_EXIT_FAILED);
        assert_errors("dinv: *--size*");
    }
    g_assert_cmpint(run("data", "--size", "1G", NULL), ==, DINV_EXIT_FAILED);
    assert_errors("dinv: --output is missing*");
    g_assert_cmpint(run("data", "--size", "1G", "--output", path, "more", NULL), ==,
                    DINV_EXIT_FAILED);
    assert_errors("dinv: \"more\" is not understood*");
    g_assert_cmpint(run("info", NULL), ==, DINV_EXIT_FAILED);
    assert_errors("dinv: *name of an image file*");
    g_assert_cmpint(run("build", "--nonsense", NULL), ==, DINV_EXIT_FAILED);
    assert_errors("dinv: *--nonsense*");
    g_assert_cmpint(run("frobnicate", NULL), ==, DINV_EXIT_FAILED);
    assert_errors("dinv: image: \"frobnicate\"*");
    g_assert_cmpuint(fixture_count(fixture), ==, 0);
}

#define TEST(path, function)                                                                       \
    g_test_add(path, Fixture, NULL, fixture_set_up, function, fixture_tear_down)

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/cli/image/subprocess", run_words);
    TEST("/cli/image/data-and-info", test_data_and_info);
    TEST("/cli/image/build", test_build);
    TEST("/cli/image/json", test_json);
    TEST("/cli/image/bad-words", test_bad_words);
    int status = g_test_run();
    g_free(last_output);
    g_free(last_errors);
    return status;
}
