/* SPDX-License-Identifier: MIT */
/* Names of a socket that come, stay when it is made anew, and harm no file. */
#include "guest/engine/socket-names.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/unit/lib/scratch.h"

static Scratch scratch;

static void make_socket(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    g_assert_cmpuint(g_strlcpy(address.sun_path, path, sizeof address.sun_path), <,
                     sizeof address.sun_path);
    (void)unlink(path);
    g_assert_cmpint(bind(fd, (const struct sockaddr *)&address, sizeof address), ==, 0);
    close(fd);
}

static gboolean is_same(const char *one, const char *other) {
    struct stat first;
    struct stat second;
    return lstat(one, &first) == 0 && lstat(other, &second) == 0 && first.st_ino == second.st_ino;
}

/* Also after the socket was made anew. */
static void test_names(void) {
    g_autofree char *engine = scratch_path(&scratch, "docker.sock");
    g_autofree char *deep = scratch_path(&scratch, "a/b/docker.sock");
    g_autofree char *beside = scratch_path(&scratch, "other.sock");
    char *names[] = {deep, engine, beside, NULL};
    for (int i = 0; i < 2; i++) {
        make_socket(engine);
        dinv_engine_name_socket(engine, names);
        g_assert_true(is_same(engine, deep));
        g_assert_true(is_same(engine, beside));
    }
}

static void test_keeps_files(void) {
    g_autofree char *engine = scratch_path(&scratch, "docker.sock");
    g_autofree char *file = scratch_path(&scratch, "file");
    char *names[] = {file, NULL};
    make_socket(engine);
    scratch_write(&scratch, "file", "mine");
    dinv_engine_name_socket(engine, names);
    g_autofree char *text = NULL;
    g_assert_true(g_file_get_contents(file, &text, NULL, NULL));
    g_assert_cmpstr(text, ==, "mine");
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    scratch_make(&scratch);
    g_test_add_func("/guest/engine/socket-names/names", test_names);
    g_test_add_func("/guest/engine/socket-names/keeps-files", test_keeps_files);
    int status = g_test_run();
    scratch_remove(&scratch);
    return status;
}
