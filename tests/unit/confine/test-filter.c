/* SPDX-License-Identifier: MIT */
/* Tables against what the kernel then does; each attempt in a child, as a filter is for good. */
#include "confine/filter.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { STATUS_NO_FILTER = 255 };

/* What every child needs to end; sigaltstack is for AddressSanitizer. */
static const int needed[] = {SYS_exit, SYS_exit_group, SYS_sigaltstack};
static const DinvConfineTable needed_table = {needed, G_N_ELEMENTS(needed), NULL, 0};

/* The errno of one system call behind the filter, 0 if it works. */
static int call_behind(const DinvConfineTable *table, long call, long a, long b, long c) {
    pid_t pid = fork();
    g_assert_cmpint(pid, >=, 0);
    if (pid == 0) {
        const DinvConfineTable *const tables[] = {&needed_table, table};
        (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        if (dinv_confine_filter(tables, G_N_ELEMENTS(tables)) != 0) {
            _exit(STATUS_NO_FILTER);
        }
        _exit(syscall(call, a, b, c) < 0 ? errno : 0);
    }
    int status;
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    g_assert_true(WIFEXITED(status));
    g_assert_cmpint(WEXITSTATUS(status), !=, STATUS_NO_FILTER);
    return WEXITSTATUS(status);
}

/* Every number around those of the table, so that no edge of the tree is missed. */
static void test_numbers(void) {
    static const int some[] = {SYS_getpid, SYS_getppid, SYS_gettid, SYS_getuid, SYS_sched_yield};
    static const int all[] = {SYS_getpid, SYS_getppid, SYS_gettid,  SYS_getuid, SYS_sched_yield,
                              SYS_getgid, SYS_geteuid, SYS_getegid, SYS_getsid, SYS_umask};
    const DinvConfineTable table = {some, G_N_ELEMENTS(some), NULL, 0};
    for (gsize i = 0; i < G_N_ELEMENTS(all); i++) {
        int error = call_behind(&table, all[i], 0, 0, 0);
        g_test_message("call %d: %s", all[i], g_strerror(error));
        g_assert_cmpint(error, ==, i < G_N_ELEMENTS(some) ? 0 : EPERM);
    }
#ifdef __x86_64__
    g_assert_cmpint(call_behind(&table, 0x40000000 + SYS_getpid, 0, 0, 0), ==, EPERM);
#endif
    g_assert_cmpint(call_behind(&table, 100000, 0, 0, 0), ==, EPERM);
}

static void test_values(void) {
    static const DinvConfineRule rules[] = {
        {.call = SYS_fcntl,
         .count = 1,
         .checks = {{.argument = 1, .mask = UINT32_MAX, .count = 2, .values = {F_GETFD, F_GETFL}}}},
        {.call = SYS_fcntl,
         .error = EDOM,
         .count = 2,
         .checks = {{.argument = 1, .mask = UINT32_MAX, .count = 1, .values = {F_SETOWN}},
                    {.kind = DINV_CONFINE_SELF, .argument = 2}}},
        {.call = SYS_umask,
         .count = 1,
         .checks = {{.argument = 0, .mask = 070, .count = 1, .values = {0}}}},
        {.call = SYS_getsid, .error = ENOSYS},
        {.call = SYS_kill,
         .count = 1,
         .checks = {{.kind = DINV_CONFINE_NOT_PARENT, .argument = 0}}},
    };
    const DinvConfineTable table = {NULL, 0, rules, G_N_ELEMENTS(rules)};
    g_assert_cmpint(call_behind(&table, SYS_fcntl, 0, F_GETFD, 0), ==, 0);
    g_assert_cmpint(call_behind(&table, SYS_fcntl, 0, F_GETFL, 0), ==, 0);
    g_assert_cmpint(call_behind(&table, SYS_fcntl, 0, F_SETFL, 0), ==, EDOM);
    g_assert_cmpint(call_behind(&table, SYS_fcntl, 0, F_SETOWN, getpid()), ==, EDOM);
    g_assert_cmpint(call_behind(&table, SYS_umask, 0707, 0, 0), ==, 0);
    g_assert_cmpint(call_behind(&table, SYS_umask, 0717, 0, 0), ==, EPERM);
    g_assert_cmpint(call_behind(&table, SYS_getsid, 0, 0, 0), ==, ENOSYS);
    g_assert_cmpint(call_behind(&table, SYS_kill, getpid(), 0, 0), ==, EPERM);
    g_assert_cmpint(call_behind(&table, SYS_kill, 0, 0, 0), ==, 0);
    g_assert_cmpint(call_behind(&table, SYS_getpid, 0, 0, 0), ==, EPERM);
}

static int find_self(void) {
    static const int pid_calls[] = {SYS_getpid};
    static const DinvConfineRule rules[] = {
        {.call = SYS_kill, .count = 1, .checks = {{.kind = DINV_CONFINE_SELF, .argument = 0}}},
    };
    const DinvConfineTable table = {pid_calls, 1, rules, 1};
    const DinvConfineTable *const tables[] = {&needed_table, &table};
    (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (dinv_confine_filter(tables, 2) != 0) {
        return STATUS_NO_FILTER;
    }
    return syscall(SYS_kill, syscall(SYS_getpid), 0) == 0 && syscall(SYS_kill, 1, 0) < 0 &&
                   errno == EPERM
               ? 0
               : 1;
}

static void test_self(void) {
    pid_t pid = fork();
    g_assert_cmpint(pid, >=, 0);
    if (pid == 0) {
        _exit(find_self());
    }
    int status;
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    g_assert_cmpint(status, ==, 0);
}

/* Numbers far from one another are entries of their own, of which there is a most. */
static void test_too_large(void) {
    int many[400];
    for (guint i = 0; i < G_N_ELEMENTS(many); i++) {
        many[i] = (int)(2 * i);
    }
    const DinvConfineTable table = {many, G_N_ELEMENTS(many), NULL, 0};
    const DinvConfineTable *const tables[] = {&table};
    g_assert_cmpint(dinv_confine_filter(tables, 1), ==, -E2BIG);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/confine/filter/numbers", test_numbers);
    g_test_add_func("/confine/filter/values", test_values);
    g_test_add_func("/confine/filter/self", test_self);
    g_test_add_func("/confine/filter/too-large", test_too_large);
    return g_test_run();
}
