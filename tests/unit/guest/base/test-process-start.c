/* SPDX-License-Identifier: MIT */
/* What a child of the agent inherits. */
#include "guest/base/process.h"

#include <fcntl.h>
#include <glib.h>
#include <sys/wait.h>
#include <unistd.h>

static void test_process_descriptors(void) {
    /* A child gets its three descriptors and nothing else, whatever is open here. */
    int leak = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int ends[2];
    g_assert_cmpint(pipe2(ends, O_CLOEXEC), ==, 0);
    static char shell[] = "sh";
    static char flag[] = "-c";
    static char script[] = "ls /proc/self/fd | tr '\\n' ' '; readlink /proc/self/fd/0";
    static char path[] = DINV_DEFAULT_PATH;
    char *argv[] = {shell, flag, script, NULL};
    char *environment[] = {path, NULL};
    DinvProcessOptions options = {.argv = argv,
                                  .environment = environment,
                                  .stdin_fd = -1,
                                  .stdout_fd = ends[1],
                                  .stderr_fd = -1};
    pid_t pid = 0;
    g_assert_cmpint(dinv_process_start(&options, &pid), ==, 0);
    close(ends[1]);
    GString *text = g_string_new(NULL);
    char bytes[256];
    ssize_t len;
    while ((len = read(ends[0], bytes, sizeof bytes)) > 0) {
        g_string_append_len(text, bytes, len);
    }
    int wait_status = 0;
    g_assert_cmpint(waitpid(pid, &wait_status, 0), ==, pid);
    g_assert_cmpint(wait_status, ==, 0);
    /* 3 is the directory that ls reads. */
    g_assert_cmpstr(text->str, ==, "0 1 2 3 /dev/null\n");
    g_string_free(text, TRUE);
    close(ends[0]);
    close(leak);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/guest/process/descriptors", test_process_descriptors);
    return g_test_run();
}
