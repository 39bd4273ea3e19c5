/* SPDX-License-Identifier: MIT */
/* What is in force after dinv_confine(), seen by the process itself. */
#include "confine/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <linux/capability.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Exit statuses of a child beside those of an attempt. */
enum { STATUS_WORKS = 0, STATUS_NOT_THERE = 200, STATUS_BROKEN = 201 };

/* Runs `check` in a child, as it is for good. */
static int in_child(int (*check)(const DinvConfinement *), const DinvConfinePlan *plan) {
    pid_t pid = fork();
    g_assert_cmpint(pid, >=, 0);
    if (pid == 0) {
        DinvConfinement confinement = dinv_confine(plan);
        _exit(check(&confinement));
    }
    int status;
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    g_assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int check_rights(const DinvConfinement *confinement) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    struct rlimit core = {1, 1};
    struct rlimit more = {1, 1};
    gboolean good = confinement->no_new_privs && confinement->capabilities && confinement->core &&
                    prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 &&
                    syscall(SYS_capget, &header, data) == 0 && data[0].permitted == 0 &&
                    data[1].permitted == 0 && data[0].inheritable == 0 &&
                    getrlimit(RLIMIT_CORE, &core) == 0 && core.rlim_max == 0 &&
                    setrlimit(RLIMIT_CORE, &more) < 0;
    return good ? STATUS_WORKS : STATUS_BROKEN;
}

static void test_rights(void) {
    /* Without tables nothing would be left, not even the end: so the filter is not asked for. */
    static const int all[] = {SYS_prctl, SYS_capget,    SYS_prlimit64, SYS_exit_group,
                              SYS_exit,  SYS_getrlimit, SYS_setrlimit, SYS_sigaltstack};
    static const DinvConfineTable table = {all, G_N_ELEMENTS(all), NULL, 0};
    static const DinvConfineTable *const tables[] = {&table};
    const DinvConfinePlan plan = {.tables = tables, .table_count = 1};
    g_assert_cmpint(in_child(check_rights, &plan), ==, STATUS_WORKS);
}

/* A call that works with a descriptor, which is what Landlock alone looks at. */
static int check_files(const DinvConfinement *confinement) {
    if (!confinement->landlock) {
        return STATUS_NOT_THERE;
    }
    gboolean good = open("/proc/self/exe", O_RDONLY) >= 0 && open("/proc/self/exe", O_RDWR) < 0 &&
                    open("/proc/self/status", O_RDONLY) < 0 && errno == EACCES &&
                    open("/", O_RDONLY | O_DIRECTORY) < 0;
    return good ? STATUS_WORKS : STATUS_BROKEN;
}

static void test_files(void) {
    static const int some[] = {SYS_openat, SYS_exit_group, SYS_exit, SYS_sigaltstack,
#ifdef SYS_open
                               SYS_open
#endif
    };
    static const DinvConfineTable table = {some, G_N_ELEMENTS(some), NULL, 0};
    static const DinvConfineTable *const tables[] = {&table};
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    const DinvConfineFile file = {.fd = fd, .read = true};
    const DinvConfinePlan plan = {
        .files = &file, .file_count = 1, .tables = tables, .table_count = 1};
    int status = in_child(check_files, &plan);
    if (status == STATUS_NOT_THERE) {
        g_test_skip("this kernel has no Landlock");
    } else {
        g_assert_cmpint(status, ==, STATUS_WORKS);
    }
    (void)close(fd);
}

static int check_scope(const DinvConfinement *confinement) {
    if (!confinement->scope) {
        return STATUS_NOT_THERE;
    }
    return kill(getppid(), 0) < 0 && errno == EPERM && kill(getpid(), 0) == 0 ? STATUS_WORKS
                                                                              : STATUS_BROKEN;
}

static void test_scope(void) {
    static const int some[] = {SYS_kill,       SYS_getpid, SYS_getppid,
                               SYS_exit_group, SYS_exit,   SYS_sigaltstack};
    static const DinvConfineTable table = {some, G_N_ELEMENTS(some), NULL, 0};
    static const DinvConfineTable *const tables[] = {&table};
    const DinvConfinePlan plan = {.tables = tables, .table_count = 1};
    int status = in_child(check_scope, &plan);
    if (status == STATUS_NOT_THERE) {
        g_test_skip("this kernel's Landlock knows no scopes");
    } else {
        g_assert_cmpint(status, ==, STATUS_WORKS);
    }
}

static void test_format(void) {
    DinvConfinement confinement = {0};
    char text[DINV_CONFINEMENT_TEXT_MAX];
    dinv_confinement_format(&confinement, text, sizeof(text));
    g_assert_cmpstr(text, ==, "none");
    confinement.landlock = true;
    dinv_confinement_format(&confinement, text, sizeof(text));
    g_assert_cmpstr(text, ==, "landlock");
    confinement = (DinvConfinement){true, true, true, true, true, true};
    dinv_confinement_format(&confinement, text, sizeof(text));
    g_assert_cmpstr(text, ==, "no_new_privs,capabilities,seccomp,landlock,scope,core");
    char narrow[5];
    dinv_confinement_format(&confinement, narrow, sizeof(narrow));
    g_assert_cmpstr(narrow, ==, "no_n");
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/confine/confine/rights", test_rights);
    g_test_add_func("/confine/confine/files", test_files);
    g_test_add_func("/confine/confine/scope", test_scope);
    g_test_add_func("/confine/confine/format", test_format);
    return g_test_run();
}
