/* SPDX-License-Identifier: MIT */
/* Whom of a made-up /proc it kills. */
#include "guest/engine/deaf.h"

#include <signal.h>

#include "tests/unit/lib/scratch.h"

#define NONE "0000000000000000"

static Scratch scratch;
static GString *killed;

static int note(pid_t pid, int number) {
    g_assert_cmpint(number, ==, SIGKILL);
    g_string_append_printf(killed, "%d ", (int)pid);
    return 0;
}

static void add_process(const char *pid, const char *ids, const char *blocked, const char *caught) {
    g_autofree char *directory = scratch_path(&scratch, pid);
    g_autofree char *name = g_strdup_printf("%s/status", pid);
    g_autofree char *text = g_strdup_printf("Name:\tsleep\nPid:\t%s\nNSpid:\t%s\nThreads:\t1\n"
                                            "SigBlk:\t%s\nSigIgn:\t0000000000004000\nSigCgt:\t%s\n",
                                            pid, ids, blocked, caught);
    g_assert_cmpint(g_mkdir(directory, 0755), ==, 0);
    scratch_write(&scratch, name, text);
}

static void test_deaf(void) {
    static const struct {
        const char *pid, *ids, *blocked, *caught;
        gboolean killed;
    } cases[] = {
        {"101", "101\t1", NONE, NONE, TRUE},                /* sleep */
        {"102", "102\t1", NONE, "0000000000010000", TRUE},  /* a shell, which catches SIGCHLD */
        {"103", "103\t1", NONE, "0000000000004000", FALSE}, /* SIGTERM */
        {"104", "104\t1", NONE, "0000000008000000", FALSE}, /* SIGWINCH: httpd */
        {"105", "105\t1", NONE, "0000001000000000", FALSE}, /* SIGRTMIN+3: systemd */
        {"109", "109\t1", "fffffffe3bba3a00", NONE, FALSE}, /* tini */
        {"106", "106\t7", NONE, NONE, FALSE},               /* not the first */
        {"107", "107", NONE, NONE, FALSE},                  /* the guest's own, or --pid=host */
        {"108", "108\t9\t1", NONE, NONE, FALSE},            /* in a container in a container */
    };
    g_autofree char *odd = scratch_path(&scratch, "self");
    killed = g_string_new(NULL);
    g_assert_cmpint(g_mkdir(odd, 0755), ==, 0);
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        add_process(cases[i].pid, cases[i].ids, cases[i].blocked, cases[i].caught);
    }
    g_assert_cmpuint(dinv_engine_kill_deaf(scratch.path, note), ==, 2);
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *word = g_strdup_printf("%s ", cases[i].pid);
        g_assert_cmpint(strstr(killed->str, word) != NULL, ==, cases[i].killed);
    }
    g_string_free(killed, TRUE);
    g_assert_cmpuint(dinv_engine_kill_deaf("/nowhere", note), ==, 0);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    scratch_make(&scratch);
    g_test_add_func("/guest/engine/deaf", test_deaf);
    int status = g_test_run();
    scratch_remove(&scratch);
    return status;
}
