/* SPDX-License-Identifier: MIT */
/*
 * The QEMU machine's life with a fake QEMU (tests/unit/lib/fake-qemu.h): this program itself, as
 * main() says.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/lib/fake-qemu.h"
#include "tests/unit/lib/machine-fixture.h"

/* ---- what the fake QEMU says ---- */

/* A line of one of the machine's channels. */
static char *channel_line(int fd) {
    GString *line = g_string_new(NULL);
    for (;;) {
        struct pollfd item = {.fd = fd, .events = POLLIN};
        g_assert_cmpint(poll(&item, 1, (int)GUARD_MS), ==, 1);
        char c;
        g_assert_cmpint(read(fd, &c, 1), ==, 1);
        if (c == '\n') {
            return g_string_free(line, FALSE);
        }
        if (c != '\r') {
            g_string_append_c(line, c);
        }
    }
}

static void expect_line(int fd, const char *expected) {
    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(fcntl(fd, F_GETFD) & FD_CLOEXEC, !=, 0);
    g_assert_cmpint(fcntl(fd, F_GETFL) & O_NONBLOCK, !=, 0);
    g_autofree char *line = channel_line(fd);
    g_assert_cmpstr(line, ==, expected);
    (void)close(fd);
}

static void expect_exit(Fixture *fixture, const char *role, DinvMachineExitKind kind) {
    start(fixture, role);
    wait_until(fixture->exits == 1);
    g_assert_cmpint(fixture->kind, ==, kind);
}

/* ---- how it ends ---- */

static void test_set_up_of_child(Fixture *fixture) {
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    struct rlimit files;
    /* The launcher's own signal settings must not be inherited, nor its soft limit. */
    (void)getrlimit(RLIMIT_NOFILE, &files);
    struct rlimit few = (struct rlimit){.rlim_cur = 64, .rlim_max = files.rlim_max};
    (void)setrlimit(RLIMIT_NOFILE, &few);
    sigset_t block;
    (void)sigemptyset(&block);
    (void)sigaddset(&block, SIGTERM);
    sigset_t old;
    (void)sigprocmask(SIG_BLOCK, &block, &old);
    struct sigaction before;
    (void)sigaction(SIGHUP, &ignore, &before);
    start(fixture, "serve");
    expect_line(dinv_machine_take_console_fd(fixture->machine),
                "leader=1 core=0 all-files=1 death=9 fds=8 blocked=0 ignored=0");
    expect_line(dinv_machine_take_control_fd(fixture->machine), "control");
    expect_line(dinv_machine_take_relay_fd(fixture->machine), "relay");
    g_assert_cmpint(dinv_machine_take_relay_fd(fixture->machine), ==, -1);
    (void)sigaction(SIGHUP, &before, NULL);
    (void)sigprocmask(SIG_SETMASK, &old, NULL);
    (void)setrlimit(RLIMIT_NOFILE, &files);
}

static void test_poweroff(Fixture *fixture) {
    expect_exit(fixture, "poweroff", DINV_MACHINE_EXIT_POWEROFF);
    g_assert_cmpstr(fixture->message, ==, "");
}

static void test_reset(Fixture *fixture) {
    expect_exit(fixture, "reset", DINV_MACHINE_EXIT_RESET);
}

static void test_free_in_exited(Fixture *fixture) {
    fixture->free_in_exited = TRUE;
    expect_exit(fixture, "poweroff", DINV_MACHINE_EXIT_POWEROFF);
    g_assert_null(fixture->machine);
}

static void test_failure_after_poweroff(Fixture *fixture) {
    expect_exit(fixture, "fails-after-poweroff", DINV_MACHINE_EXIT_DIED);
    g_assert_cmpint(WEXITSTATUS(fixture->wait_status), ==, 1);
}

static void test_silent_exit(Fixture *fixture) {
    expect_exit(fixture, "silent-exit", DINV_MACHINE_EXIT_DIED);
}

static void test_host_signal(Fixture *fixture) {
    expect_exit(fixture, "host-signal", DINV_MACHINE_EXIT_DIED);
    g_assert_cmpstr(fixture->message, ==, "QEMU was told to stop (host-signal)");
}

static void test_bad_option(Fixture *fixture) {
    expect_exit(fixture, "bad-option", DINV_MACHINE_EXIT_DIED);
    g_assert_cmpint(WEXITSTATUS(fixture->wait_status), ==, 1);
    g_assert_cmpstr(fixture->message, ==, "qemu: -device nonsense: not a valid device\n [31mred");
}

static void test_chatty(Fixture *fixture) {
    expect_exit(fixture, "chatty", DINV_MACHINE_EXIT_DIED);
    g_assert_cmpuint(strlen(fixture->message), <=, 4096);
    g_assert_cmpuint(strlen(fixture->message), >, 3900);
    g_assert_true(g_str_has_prefix(fixture->message, "warning: line number "));
    g_assert_true(g_str_has_suffix(fixture->message, "\nwarning: line number 1999"));
}

static void test_killed_by_signal(Fixture *fixture) {
    expect_exit(fixture, "killed", DINV_MACHINE_EXIT_DIED);
    g_assert_true(WIFSIGNALED(fixture->wait_status));
    g_assert_cmpint(WTERMSIG(fixture->wait_status), ==, SIGABRT);
    g_assert_cmpstr(fixture->message, ==, "about to die");
}

static void test_killed_from_outside(Fixture *fixture) {
    start(fixture, "serve");
    g_assert_cmpint(kill(dinv_machine_get_pid(fixture->machine), SIGKILL), ==, 0);
    wait_until(fixture->exits == 1);
    g_assert_cmpint(fixture->kind, ==, DINV_MACHINE_EXIT_DIED);
}

static void test_missing_program(Fixture *fixture) {
    fixture->config.qemu = (char *)"/nowhere/qemu";
    g_autoptr(GError) error = NULL;
    g_assert_false(dinv_machine_start(fixture->machine, STDIN_FILENO, &error));
    g_assert_nonnull(error);
    g_assert_nonnull(strstr(error->message, "cannot start QEMU (DINV_QEMU=/nowhere/qemu): "));
    g_assert_cmpint(dinv_machine_get_pid(fixture->machine), ==, 0);
    g_assert_cmpint(dinv_machine_take_control_fd(fixture->machine), ==, -1);
    dinv_machine_quit(fixture->machine); /* of no effect */
    fixture->config.qemu = program;
    expect_exit(fixture, "poweroff", DINV_MACHINE_EXIT_POWEROFF);
}

/* What QEMU says of KVM is kept if it is a yes or a no. A later answer shows that this one came. */
static void expect_kvm(Fixture *fixture, const char *answer, DinvMachineKvmState state) {
    g_setenv("FAKE_KVM", answer, TRUE);
    start(fixture, "full-disk");
    wait_until(strstr(fixture->pauses->str, "on:") != NULL);
    g_unsetenv("FAKE_KVM");
    g_assert_cmpint(dinv_machine_get_kvm_state(fixture->machine), ==, state);
}

static void test_kvm_enabled(Fixture *fixture) {
    g_assert_cmpint(dinv_machine_get_kvm_state(fixture->machine), ==, DINV_MACHINE_KVM_UNKNOWN);
    expect_kvm(fixture, "{\"present\": true, \"enabled\": true}", DINV_MACHINE_KVM_ENABLED);
}

static void test_kvm_disabled(Fixture *fixture) {
    expect_kvm(fixture, "{\"present\": true, \"enabled\": false}", DINV_MACHINE_KVM_DISABLED);
}

static void test_kvm_nonsense(Fixture *fixture) {
    expect_kvm(fixture, "{\"enabled\": \"yes\"}", DINV_MACHINE_KVM_UNKNOWN);
}

static void test_quit(Fixture *fixture) {
    start(fixture, "serve");
    dinv_machine_quit(fixture->machine);
    dinv_machine_quit(fixture->machine);
    wait_until(fixture->exits == 1);
    g_assert_cmpint(fixture->kind, ==, DINV_MACHINE_EXIT_QUIT);
    g_assert_true(WIFEXITED(fixture->wait_status));
}

static void test_quit_ignored(Fixture *fixture) {
    start(fixture, "ignores-quit");
    dinv_machine_quit(fixture->machine);
    wait_until(fixture->exits == 1);
    g_assert_cmpint(fixture->kind, ==, DINV_MACHINE_EXIT_QUIT);
    g_assert_true(WIFSIGNALED(fixture->wait_status));
    g_assert_cmpint(WTERMSIG(fixture->wait_status), ==, SIGKILL);
}

static void test_garbage(Fixture *fixture) {
    expect_exit(fixture, "garbage", DINV_MACHINE_EXIT_DIED);
    g_assert_cmpint(WTERMSIG(fixture->wait_status), ==, SIGKILL);
    g_assert_true(g_str_has_prefix(fixture->message, "QMP: expected a JSON object"));
}

static void test_closes_qmp(Fixture *fixture) {
    expect_exit(fixture, "closes-qmp", DINV_MACHINE_EXIT_DIED);
    g_assert_cmpint(WTERMSIG(fixture->wait_status), ==, SIGKILL);
}

/* Two tries of `cont` after the first stop: the first of them is answered by another stop, which
 * must not be told. */
static void test_full_disk(Fixture *fixture) {
    start(fixture, "full-disk");
    wait_until(strstr(fixture->pauses->str, "on:") != NULL);
    g_autofree char *expected = NULL;
    expected =
        g_strdup_printf("paused:no space left for %s; the guest goes on when there is some;on:;",
                        fixture->plan.data_image);
    g_assert_cmpstr(fixture->pauses->str, ==, expected);
    g_assert_cmpuint(fixture->exits, ==, 0);
}

static void test_internal_error(Fixture *fixture) {
    expect_exit(fixture, "internal-error", DINV_MACHINE_EXIT_DIED);
    g_assert_cmpstr(fixture->message, ==, "KVM could not go on with the guest (internal error)");
    g_assert_cmpstr(fixture->pauses->str, ==, "");
}

static void wait_for_end(int pidfd) {
    struct pollfd item = {.fd = pidfd, .events = POLLIN};
    g_assert_cmpint(poll(&item, 1, (int)GUARD_MS), ==, 1);
    (void)close(pidfd);
}

static void test_free_kills(Fixture *fixture) {
    start(fixture, "ignores-quit");
    int pidfd = pidfd_open(dinv_machine_get_pid(fixture->machine), 0);
    g_assert_cmpint(pidfd, >=, 0);
    dinv_machine_free(g_steal_pointer(&fixture->machine));
    wait_for_end(pidfd);
    g_assert_cmpuint(fixture->exits, ==, 0);
}

/* A launcher that is killed leaves no QEMU: this program again, as the launcher (play_launcher()).
 */
static void test_launcher_killed(Fixture *fixture G_GNUC_UNUSED) {
    const char *const argv[] = {program, "play-launcher", NULL};
    g_setenv("FAKE_QEMU", "ignores-quit", TRUE);
    g_autoptr(GError) error = NULL;
    GPid launcher = 0;
    int output = -1;
    g_assert_true(g_spawn_async_with_pipes(NULL, (char **)argv, NULL, G_SPAWN_DO_NOT_REAP_CHILD,
                                           NULL, NULL, &launcher, NULL, &output, NULL, &error));
    g_autofree char *line = channel_line(output);
    int pidfd = pidfd_open(atoi(line), 0);
    g_assert_cmpint(pidfd, >=, 0);
    g_assert_cmpint(kill(launcher, SIGKILL), ==, 0);
    g_assert_cmpint(waitpid(launcher, NULL, 0), ==, launcher);
    wait_for_end(pidfd);
    (void)close(output);
}

static void play_launcher(void) {
    Fixture fixture = {0};
    set_up(&fixture, NULL);
    start(&fixture, NULL);
    (void)g_rmdir(fixture.directory); /* nobody will after the kill */
    (void)printf("%d\n", dinv_machine_get_pid(fixture.machine));
    (void)fflush(stdout);
    for (;;) {
        g_main_context_iteration(NULL, TRUE);
    }
}

static const Case cases[] = {
    {"/launcher/machine-qemu/set-up-of-child", test_set_up_of_child},
    {"/launcher/machine-qemu/poweroff", test_poweroff},
    {"/launcher/machine-qemu/reset", test_reset},
    {"/launcher/machine-qemu/free-in-exited", test_free_in_exited},
    {"/launcher/machine-qemu/failure-after-poweroff", test_failure_after_poweroff},
    {"/launcher/machine-qemu/silent-exit", test_silent_exit},
    {"/launcher/machine-qemu/host-signal", test_host_signal},
    {"/launcher/machine-qemu/bad-option", test_bad_option},
    {"/launcher/machine-qemu/chatty", test_chatty},
    {"/launcher/machine-qemu/killed-by-signal", test_killed_by_signal},
    {"/launcher/machine-qemu/killed-from-outside", test_killed_from_outside},
    {"/launcher/machine-qemu/missing-program", test_missing_program},
    {"/launcher/machine-qemu/kvm-enabled", test_kvm_enabled},
    {"/launcher/machine-qemu/kvm-disabled", test_kvm_disabled},
    {"/launcher/machine-qemu/kvm-nonsense", test_kvm_nonsense},
    {"/launcher/machine-qemu/quit", test_quit},
    {"/launcher/machine-qemu/quit-ignored", test_quit_ignored},
    {"/launcher/machine-qemu/garbage", test_garbage},
    {"/launcher/machine-qemu/closes-qmp", test_closes_qmp},
    {"/launcher/machine-qemu/full-disk", test_full_disk},
    {"/launcher/machine-qemu/internal-error", test_internal_error},
    {"/launcher/machine-qemu/free-kills", test_free_kills},
    {"/launcher/machine-qemu/launcher-killed", test_launcher_killed},
};

int main(int argc, char **argv) {
    program = g_file_read_link("/proc/self/exe", NULL);
    if (argc > 2 && strcmp(argv[1], "-name") == 0) {
        play_qemu(argv);
    }
    if (argc == 2 && strcmp(argv[1], "play-launcher") == 0) {
        play_launcher();
    }
    int status = run_cases(argc, argv, cases, G_N_ELEMENTS(cases));
    g_free(program);
    return status;
}
