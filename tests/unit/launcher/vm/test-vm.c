/* SPDX-License-Identifier: MIT */
#include <stdint.h>
#include <sys/un.h>

#include "tests/unit/lib/machine-fake.h"

#define SIGNALLED(number) (number) /* a wait status */

static int connect_docker(const VmFixture *fixture) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    g_strlcpy(address.sun_path, fixture->config.socket_path, sizeof address.sun_path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    g_assert_cmpint(connect(fd, (struct sockaddr *)&address, sizeof address), ==, 0);
    return fd;
}

/* Whether the other side has closed. */
static gboolean is_at_end(int fd) {
    char byte;
    return recv(fd, &byte, 1, 0) == 0;
}

/* The port of the DNS forwarder, which the guest is told. */
static int resolver_port(struct json_object *configure) {
    struct json_object *network = json_object_object_get(configure, "network");
    struct json_object *resolver = json_object_object_get(network, "resolver");
    return json_object_get_int(json_object_object_get(resolver, "port"));
}

/* --- From start to stop --- */

static void test_whole_life(VmFixture *fixture, gconstpointer data) {
    (void)data;
    vm_start(fixture);
    int early = connect_docker(fixture);
    g_assert_null(dinv_vm_get_relay(fixture->vm));
    vm_reach(fixture, DINV_VM_CONFIGURING);
    struct json_object *request = fake_hears("configure");
    g_assert_cmpint(json_object_get_int(json_object_object_get(request, "protocol")), ==, 1);
    g_assert_cmpint(resolver_port(request), >=, 61000);
    fake_answers(request, "\"ok\":true");
    g_assert_cmpint(dinv_vm_get_state(fixture->vm), ==, DINV_VM_ENGINE);
    g_assert_cmpuint(fixture->readies, ==, 0);
    fake_says(FAKE_READY);
    g_assert_cmpuint(fixture->readies, ==, 1);
    /* The client that came before the engine has its stream now. */
    DinvRelayStats stats;
    dinv_vm_relay_get_stats(dinv_vm_get_relay(fixture->vm), &stats);
    g_assert_cmpuint(stats.streams, ==, 1);
    dinv_vm_stop(fixture->vm, 4000);
    request = fake_hears("shutdown");
    g_assert_cmpint(json_object_get_int(json_object_object_get(request, "deadline_ms")), ==, 3000);
    fake_answers(request, "\"ok\":true");
    g_assert_false(g_file_test(fixture->config.socket_path, G_FILE_TEST_EXISTS));
    fake_says("{\"event\":\"exit\",\"clean\":true}");
    g_assert_cmpuint(fixture->stops, ==, 0);
    fake_exit(DINV_MACHINE_EXIT_POWEROFF, 0, "");
    g_assert_cmpuint(fixture->stops, ==, 1);
    g_assert_false(fixture->failed);
    g_assert_cmpuint(fake->quits, ==, 0);
    vm_assert_logged(fixture, "ready: Docker 26.1.5");
    vm_assert_logged(fixture, "stopped; the data disk is clean");
    wait_until(is_at_end(early));
    close(early);
}

/* The reply to `configure` comes behind `ready`; hello and ready come twice. */
static void test_odd_order(VmFixture *fixture, gconstpointer data) {
    (void)data;
    vm_start(fixture);
    fake_says(FAKE_READY);
    g_assert_cmpint(dinv_vm_get_state(fixture->vm), ==, DINV_VM_BOOTING);
    vm_reach(fixture, DINV_VM_CONFIGURING);
    fake_says(FAKE_HELLO);
    fake_says(FAKE_READY);
    fake_says(FAKE_READY);
    g_assert_cmpint(dinv_vm_get_state(fixture->vm), ==, DINV_VM_READY);
    g_assert_cmpuint(fixture->readies, ==, 1);
    fake_answers(fake_hears("configure"), "\"error\":\"too late\"");
    g_assert_cmpint(dinv_vm_get_state(fixture->vm), ==, DINV_VM_READY);
}

/* The order in which poll() shows what came at once is not ours: the guest's last words count, be
 * the machine's end seen before them. */
static void test_last_words_are_heard(VmFixture *fixture, gconstpointer data) {
    (void)data;
    vm_start(fixture);
    vm_reach(fixture, DINV_VM_READY);
    dinv_vm_stop(fixture->vm, 4000);
    fake_write(FAKE_CONTROL, "{\"event\":\"exit\",\"clean\":true}\n");
    fake_write(FAKE_CONSOLE, "reboot: Power down\n");
    fake_exit(DINV_MACHINE_EXIT_POWEROFF, 0, "");
    vm_assert_logged(fixture, "the data disk is clean");
    g_autofree char *path = scratch_path(&fixture->scratch, "console.log");
    g_autofree char *console = NULL;
    g_assert_true(g_file_get_contents(path, &console, NULL, NULL));
    g_assert_cmpstr(console, ==, "reboot: Power down\n");
}

static void test_last_words_are_a_cause(VmFixture *fixture, gconstpointer data) {
    (void)data;
    vm_start(fixture);
    vm_reach(fixture, DINV_VM_ENGINE);
    fake_write(FAKE_CONTROL, "{\"event\":\"failed\",\"what\":\"dockerd\",\"text\":\"it died\","
                             "\"log\":\"no space\\nleft\\n\"}\n");
    fake_exit(DINV_MACHINE_EXIT_POWEROFF, 0, "");
    g_assert_true(fixture->failed);
    vm_assert_logged(fixture, "the guest failed (dockerd): it died");
    vm_assert_logged(fixture, "dockerd's log:\nno space\nleft\n");
    g_assert_cmpuint(vm_count_log(fixture, "powered off by itself"), ==, 0);
}

/* A dead guest makes nothing new happen. */
static void test_last_words_start_nothing(VmFixture *fixture, gconstpointer data) {
    (void)data;
    vm_start(fixture);
    fake_write(FAKE_CONTROL, FAKE_HELLO "\n" FAKE_READY "\n");
    fake_exit(DINV_MACHINE_EXIT_DIED, SIGNALLED(SIGKILL), "");
    g_assert_true(fixture->failed);
    g_assert_cmpuint(fixture->readies, ==, 0);
    vm_assert_logged(fixture, "qemu was killed by signal 9");
}

/* --- Trouble --- */

static void test_protocol_mismatch(VmFixture *fixture, gconstpointer data) {
    (void)data;
    vm_start(fixture);
    fake_says("{\"event\":\"hello\",\"protocol\":9,\"version\":\"7\",\"kernel\":\"x\"}");
    g_assert_cmpint(dinv_vm_get_state(fixture->vm), ==, DINV_VM_STOPPING);
    g_assert_cmpuint(fake->quits, ==, 1);
    fake_exit(DINV_MACHINE_EXIT_QUIT, 0, "");
    g_assert_true(fixture->failed);
    vm_assert_logged(fixture, "\"rootfs.ext4\" speaks control protocol 9");
}

static gboolean on_time(gpointer user) {
    *(gboolean *)user = TRUE;
    return G_SOURCE_REMOVE;
}

/* A check may take longer than the boot. */
static void test_disk_check(VmFixture *fixture, gconstpointer data) {
    gboolean much_later = FALSE;
    (void)data;
    fixture->config.boot_timeout_ms = 1;
    vm_start(fixture);
    fake_write(FAKE_CONTROL, FAKE_HELLO "\n{\"event\":\"phase\",\"name\":\"checking-disk\"}\n");
    (void)g_timeout_add(100, on_time, &much_later);
    wait_until(much_later);
    g_assert_cmpint(dinv_vm_get_state(fixture->vm), ==, DINV_VM_CONFIGURING);
    fake_write(FAKE_CONTROL, "{\"event\":\"phase\",\"name\":\"disk-checked\"}\n");
    wait_until(dinv_vm_get_state(fixture->vm) == DINV_VM_STOPPING);
    vm_assert_logged(fixture, "0.001 s (DINV_BOOT_TIMEOUT)");
    fake_exit(DINV_MACHINE_EXIT_QUIT, 0, "");
}

/* The guest says so before its reply; only what it says of a disk that is being mounted counts. */
static void test_damaged_disk(VmFixture *fixture, gconstpointer data) {
    (void)data;
    vm_start(fixture);
    fake_says("{\"event\":\"damaged\",\"disk\":\"dinv-data\"}");
    g_assert_false(dinv_vm_found_damaged(fixture->vm, DINV_STATE_DISK_DATA));
    vm_reach(fixture, DINV_VM_CONFIGURING);
    fake_says("{\"event\":\"damaged\",\"disk\":\"dinv-volume\"}");
    fake_says("{\"event\":\"damaged\",\"disk\":\"dinv-root\"}");
    fake_says("{\"event\":\"damaged\"}");
    fake_answers(fake_hears("configure"), "\"error\":\"beyond repair\"");
    g_assert_cmpuint(fake->quits, ==, 1);
    fake_exit(DINV_MACHINE_EXIT_QUIT, 0, "");
    g_assert_true(fixture->failed);
    g_assert_true(dinv_vm_found_damaged(fixture->vm, DINV_STATE_DISK_VOLUME));
    g_assert_false(dinv_vm_found_damaged(fixture->vm, DINV_STATE_DISK_DATA));
    vm_assert_logged(fixture, "beyond repair");
}

static void test_configure_refused(VmFixture *fixture, gconstpointer data) {
    (void)data;
    vm_start(fixture);
    vm_reach(fixture, DINV_VM_CONFIGURING);
    fake_write(FAKE_CONSOLE, "mount: no\n");
    fake_answers(fake_hears("configure"), "\"error\":\"a \\u001b[31mbad disk\"");
    g_assert_cmpuint(fake->quits, ==, 1);
    fake_exit(DINV_MACHINE_EXIT_QUIT, 0, "");
    g_assert_true(fixture->failed);
    vm_assert_logged(fixture, "did not take its configuration: a \\x1b[31mbad disk");
    vm_assert_logged(fixture, "mount: no");
}

static void test_guest_failed(VmFixture *fixture, gconstpointer data) {
    (void)data;
    vm_start(fixture);
    vm_reach(fixture, DINV_VM_READY);
    int client = connect_docker(fixture);
    fake_says("{\"event\":\"failed\",\"what\":\"dockerd\",\"text\":\"it died\"}");
    g_assert_cmpint(dinv_vm_get_state(fixture->vm), ==, DINV_VM_STOPPING);
    /* It unmounts by itself: a first request to stop, by the end of a command perhaps, does not
     * disturb that; the next one does. */
    dinv_vm_stop(fixture->vm, 1000);
    g_assert_cmpuint(fake->quits, ==, 0);
    dinv_vm_stop(fixture->vm, 1000);
    g_assert_cmpuint(fake->quits, ==, 1);
    fake_exit(DINV_MACHINE_EXIT_POWEROFF, 0, "");
    g_assert_true(fixture->failed);
    g_assert_cmpuint(vm_count_log(fixture, "the guest failed"), ==, 1);
    close(client);
}

static void test_guest_failed_and_stays(VmFixture *fixture, gconstpointer data) {
    (void)data;
    fixture->config.shutdown_timeout_ms = 1;
    vm_start(fixture);
    vm_reach(fixture, DINV_VM_ENGINE);
    fake_says("{\"event\":\"failed\",\"what\":\"disk\",\"text\":\"gone\"}");
    wait_until(fake->quits == 1);
    fake_exit(DINV_MACHINE_EXIT_QUIT, 0, "");
    g_assert_true(fixture->failed);
}

static void test_boot_deadline(VmFixture *fixture, gconstpointer data) {
    static const char *const messages[] = {
        [DINV_VM_BOOTING] = "the guest's agent has not said hello within",
        [DINV_VM_CONFIGURING] = "the guest has not taken its configuration within",
        [DINV_VM_ENGINE] = "the Docker engine in the guest has not answered within",
    };
    DinvVmState state = (DinvVmState)GPOINTER_TO_INT(data);
    fixture->config.boot_timeout_ms = 1;
    vm_start(fixture);
    /* All that is to come before the deadline waits in the channels before the loop runs. */
    fake_write(FAKE_CONSOLE, "the last line\n");
    if (state >= DINV_VM_CONFIGURING) {
        fake_write(FAKE_CONTROL, FAKE_HELLO "\n");
    }
    if (state >= DINV_VM_ENGINE) {
        fake_write(FAKE_CONTROL, "{\"reply\":1,\"ok\":true}\n");
    }
    wait_until(dinv_vm_get_state(fixture->vm) == DINV_VM_STOPPING);
    g_assert_cmpuint(fake->quits, ==, 1);
    fake_exit(DINV_MACHINE_EXIT_QUIT, 0, "");
    g_assert_true(fixture->failed);
    vm_assert_logged(fixture, messages[state]);
    vm_assert_logged(fixture, "0.001 s (DINV_BOOT_TIMEOUT)");
    vm_assert_logged(fixture, "the last line");
}

/* The machine ends by itself in any state, in any way. */
static void test_dies(VmFixture *fixture, gconstpointer data) {
    static const struct {
        DinvMachineExitKind kind;
        int wait_status;
        const char *said;
    } ends[] = {
        {DINV_MACHINE_EXIT_RESET, 0, "the guest's kernel panicked or rebooted"},
        {DINV_MACHINE_EXIT_POWEROFF, 0, "the guest powered off by itself"},
        {DINV_MACHINE_EXIT_DIED, SIGNALLED(SIGKILL),
         "qemu was killed by signal 9 (Killed); "}, /* test-limits has what follows */
        {DINV_MACHINE_EXIT_DIED, 1 << 8, "qemu ended with status 1: oops \\x1b[2J"},
    };
    guint number = GPOINTER_TO_UINT(data);
    guint end = number % G_N_ELEMENTS(ends);
    DinvVmState state = DINV_VM_BOOTING + number / G_N_ELEMENTS(ends);
    vm_start(fixture);
    vm_reach(fixture, state);
    fake_write(FAKE_CONSOLE, "Kernel \033[31mpanic\n");
    fake_exit(ends[end].kind, ends[end].wait_status, "oops \033[2J\n");
    g_assert_cmpuint(fixture->stops, ==, 1);
    g_assert_true(fixture->failed);
    g_assert_cmpint(dinv_vm_get_state(fixture->vm), ==, DINV_VM_STOPPED);
    vm_assert_logged(fixture, ends[end].said);
    vm_assert_logged(fixture, "Kernel \\x1b[31mpanic");
    g_assert_false(g_file_test(fixture->config.socket_path, G_FILE_TEST_EXISTS));
    dinv_vm_stop(fixture->vm, 1000);
    g_assert_cmpuint(fake->quits, ==, 0);
}

/* The channel's end is seen first: what is told is the cause, which comes with the machine's end.
 */
static void test_channel_ends_first(VmFixture *fixture, gconstpointer data) {
    (void)data;
    vm_start(fixture);
    vm_reach(fixture, DINV_VM_CONFIGURING);
    fake_close(fake->guest);
    run_loop();
    g_assert_cmpint(dinv_vm_get_state(fixture->vm), ==, DINV_VM_CONFIGURING);
    fake_exit(DINV_MACHINE_EXIT_DIED, SIGNALLED(SIGKILL), "");
    g_assert_true(fixture->failed);
    vm_assert_logged(fixture, "qemu was killed by signal 9");
    g_assert_cmpuint(vm_count_log(fixture, "configuration"), ==, 0);
}

/* --- Stop --- */

static void test_stop(VmFixture *fixture, gconstpointer data) {
    DinvVmState state = (DinvVmState)GPOINTER_TO_INT(data);
    vm_start(fixture);
    vm_reach(fixture, state);
    dinv_vm_stop(fixture->vm, 1000000);
    g_assert_cmpint(dinv_vm_get_state(fixture->vm), ==, DINV_VM_STOPPING);
    /* Before its hello the guest cannot be asked. */
    g_assert_cmpuint(fake->quits, ==, state == DINV_VM_BOOTING ? 1 : 0);
    if (state == DINV_VM_CONFIGURING) {
        json_object_put(fake_hears("configure"));
    }
    if (state != DINV_VM_BOOTING) {
        json_object_put(fake_hears("shutdown"));
    }
    /* What the guest was about to say leads nowhere now. */
    fake_says(FAKE_HELLO);
    fake_says(FAKE_READY);
    fake_says("{\"event\":\"failed\",\"what\":\"dockerd\",\"text\":\"stopped\"}");
    dinv_vm_stop(fixture->vm, 1000000);
    dinv_vm_stop(fixture->vm, 1000000);
    g_assert_cmpuint(fake->quits, ==, 1);
    fake_exit(DINV_MACHINE_EXIT_QUIT, 0, "");
    g_assert_cmpuint(fixture->stops, ==, 1);
    g_assert_false(fixture->failed);
    vm_assert_logged(fixture, state == DINV_VM_BOOTING ? "stopped\n" : "journal is replayed");
}

static void test_stop_before_start(VmFixture *fixture, gconstpointer data) {
    (void)data;
    dinv_vm_stop(fixture->vm, 1);
    g_assert_cmpint(dinv_vm_get_state(fixture->vm), ==, DINV_VM_STARTING);
}

static void test_stop_deadline(VmFixture *fixture, gconstpointer data) {
    (void)data;
    vm_start(fixture);
    vm_reach(fixture, DINV_VM_READY);
    dinv_vm_stop(fixture->vm, 1);
    wait_until(fake->quits == 1);
    dinv_vm_stop(fixture->vm, 1);
    g_assert_cmpuint(fake->quits, ==, 1);
    fake_exit(DINV_MACHINE_EXIT_QUIT, 0, "");
    g_assert_false(fixture->failed);
    vm_assert_logged(fixture, "did not power off within 0.001 s");
}

/* An accident on the way down is told with its cause, and is no failure. */
static void test_panic_while_stopping(VmFixture *fixture, gconstpointer data) {
    (void)data;
    vm_start(fixture);
    vm_reach(fixture, DINV_VM_READY);
    dinv_vm_stop(fixture->vm, 1000000);
    fake_write(FAKE_CONSOLE, "Kernel panic\n");
    fake_exit(DINV_MACHINE_EXIT_RESET, 0, "");
    g_assert_false(fixture->failed);
    vm_assert_logged(fixture, "warning: the guest's kernel panicked or rebooted");
    vm_assert_logged(fixture, "Kernel panic");
    vm_assert_logged(fixture, "journal is replayed");
}

/* With a request, a client and a status under way. */
static void on_any_status(struct json_object *status, gpointer user) {
    guint *answers = user;
    g_assert_nonnull(status);
    (*answers)++;
}

static void test_free(VmFixture *fixture, gconstpointer data) {
    DinvVmState state = (DinvVmState)GPOINTER_TO_INT(data);
    guint answers = 0;
    int client = -1;
    if (state > DINV_VM_STARTING) {
        vm_start(fixture);
        client = connect_docker(fixture);
        vm_reach(fixture, MIN(state, DINV_VM_READY));
        run_loop();
    }
    if (state == DINV_VM_STOPPING) {
        dinv_vm_get_status(fixture->vm, on_any_status, &answers);
        dinv_vm_stop(fixture->vm, 1000000);
    }
    dinv_vm_get_status(fixture->vm, on_any_status, &answers);
    g_clear_pointer(&fixture->vm, dinv_vm_free);
    g_assert_cmpuint(answers, ==, state == DINV_VM_STOPPING ? 2 : 1);
    if (client >= 0) {
        close(client);
    }
}

/* --- A start that fails --- */

static void assert_start_fails(VmFixture *fixture, const char *said) {
    g_autoptr(GError) error = NULL;
    g_assert_false(dinv_vm_start(fixture->vm, &error));
    g_assert_nonnull(error);
    g_assert_nonnull(strstr(error->message, said));
    run_loop();
    g_assert_cmpuint(fixture->stops, ==, 0);
    g_assert_false(g_file_test(fixture->config.socket_path, G_FILE_TEST_IS_REGULAR));
}

static void test_start_without_machine(VmFixture *fixture, gconstpointer data) {
    (void)data;
    fake_refuses_start = TRUE;
    assert_start_fails(fixture, "no machine today");
    fake_refuses_start = FALSE;
}

static void test_start_without_console(VmFixture *fixture, gconstpointer data) {
    (void)data;
    g_free(fixture->config.state_dir);
    fixture->config.state_dir = g_strdup("/no/such/directory");
    assert_start_fails(fixture, "/no/such/directory/console.log");
    g_assert_null(fake); /* the machine was killed */
}

static void test_start_without_socket(VmFixture *fixture, gconstpointer data) {
    (void)data;
    scratch_write(&fixture->scratch, "docker.sock/file", "in the way");
    assert_start_fails(fixture, "docker.sock");
    g_assert_false(fake->runs);
    g_autofree char *path = scratch_path(&fixture->scratch, "docker.sock/file");
    g_assert_cmpint(g_remove(path), ==, 0);
    g_assert_cmpint(g_rmdir(fixture->config.socket_path), ==, 0);
}

/* --- What the guest says is not to be trusted --- */

static void test_hostile_texts(VmFixture *fixture, gconstpointer data) {
    (void)data;
    vm_start(fixture);
    fake_says("{\"event\":\"phase\",\"name\":\"a\\u001b[1mb\\nc\"}");
    fake_says("{\"event\":\"hello\",\"protocol\":1,\"version\":\"\\u001b]0;x\\u0007\\nv\","
              "\"kernel\":\"k\\ndinv: [   1.0s] ready\"}");
    fake_answers(fake_hears("configure"), "\"ok\":true");
    fake_says("{\"event\":\"log\",\"level\":\"error\",\"text\":\"x\\ndinv: [   9.9s] error: forged"
              "\\u202e\\u001b[2J\"}");
    fake_says("{\"event\":\"ready\",\"engine\":\"26\\n\\u001b[5m\"}");
    fake_says("{\"event\":\"failed\",\"what\":\"a\\nb\",\"text\":\"c\\nd\"}");
    fake->callbacks.paused(fake, TRUE, "no\033 space", fake->user);
    g_autofree char *log = vm_get_log(fixture);
    g_assert_null(strchr(log, '\033'));
    g_assert_null(strstr(log, "\ndinv: [   9.9s]"));
    g_assert_nonnull(strstr(log, "guest: x dinv: [   9.9s] error: forged\\u{202e}\\x1b[2J\n"));
    g_assert_nonnull(strstr(log, "ready: Docker 26 \\x1b[5m on "));
    g_assert_nonnull(strstr(log, "the guest failed (a b): c d\n"));
    g_assert_nonnull(strstr(log, "the guest is paused: no\\x1b space\n"));
}

static void test_log_flood(VmFixture *fixture, gconstpointer data) {
    (void)data;
    g_autofree char *text = g_strnfill(20000, 'x');
    g_autofree char *line = g_strdup_printf("{\"event\":\"log\",\"text\":\"%s\"}", text);
    vm_start(fixture);
    for (guint i = 0; i < 1000; i++) {
        fake_says(line);
        fake_says("[\"no object\"]");
        fake_says("{\"event\":\"phase\",\"name\":\"again\"}");
        fake_says("{\"event\":\"log\",\"level\":\"debug\",\"text\":\"not shown\"}");
    }
    g_assert_cmpuint(vm_count_log(fixture, "guest: x"), ==, 100);
    g_assert_cmpuint(vm_count_log(fixture, "the guest says too much"), ==, 1);
    g_assert_cmpuint(vm_count_log(fixture, "not a JSON object"), ==, 1);
    g_assert_cmpint(lseek(fixture->log, 0, SEEK_END), <, 150000);
}

/* --- The guest's clock --- */

static void pause_and_resume(void) {
    fake->callbacks.paused(fake, TRUE, "no space", fake->user);
    fake->callbacks.paused(fake, FALSE, "", fake->user);
    run_loop();
}

/* The guest was asked nothing more. */
static void assert_silence(void) {
    char byte;

    run_loop();
    g_assert_false(fake_read_byte(&byte));
}

/* After a pause, once; not before the guest is configured, nor again before it has answered. */
static void test_clock(VmFixture *fixture, gconstpointer data) {
    (void)data;
    vm_start(fixture);
    fake_says(FAKE_HELLO);
    struct json_object *configure = fake_hears("configure");
    pause_and_resume();
    assert_silence();
    fake_answers(configure, "\"ok\":true");
    for (int i = 0; i < 2; i++) {
        pause_and_resume();
        pause_and_resume();
        struct json_object *request = fake_hears("settime");
        struct json_object *time = json_object_object_get(request, "time");
        gint64 seconds = json_object_get_int64(json_object_object_get(time, "sec"));
        g_assert_cmpint(ABS(seconds - g_get_real_time() / G_USEC_PER_SEC), <, GUARD_MS / 1000);
        assert_silence();
        fake_answers(request, i == 0 ? "\"ok\":true" : "\"error\":\"no clock\"");
    }
    fake->callbacks.paused(fake, TRUE, "no space", fake->user);
    fake_exit(DINV_MACHINE_EXIT_DIED, 0, "");
}

/* --- Status --- */

typedef struct {
    guint answers;
    char *text;
} StatusAnswer;

static void on_status(struct json_object *status, gpointer user) {
    StatusAnswer *answer = user;
    answer->answers++;
    g_free(answer->text);
    answer->text = g_strdup(json_object_to_json_string_ext(status, JSON_C_TO_STRING_PLAIN));
}

/* The guest's requests reach the table of ports; whatever else it asks is refused. */
static void test_publish(VmFixture *fixture, gconstpointer data) {
    char answers[512] = "";
    (void)data;
    vm_start(fixture);
    fake_says("{\"id\":1,\"verb\":\"publish\",\"protocol\":\"tcp\",\"address\":\"0.0.0.0\","
              "\"port\":80,\"container\":\"172.17.0.2:80\"}");
    fake_says("{\"id\":2,\"verb\":\"publish\",\"protocol\":\"raw\"}");
    fake_says("{\"id\":3,\"verb\":\"dance\"}");
    run_loop();
    g_assert_cmpstr(fake->forwards->str, ==, "add tcp 0.0.0.0:80-80\n");
    g_assert_cmpint(read(fake->guest[FAKE_CONTROL], answers, sizeof answers - 1), >, 0);
    g_assert_nonnull(strstr(answers, "{\"reply\":1,\"ok\":true}\n"));
    g_assert_nonnull(strstr(answers, "{\"reply\":2,\"error\":\"only TCP and UDP ports"));
    g_assert_nonnull(strstr(answers, "{\"reply\":3,\"error\":\"unknown verb\"}\n"));
}

static void test_status(VmFixture *fixture, gconstpointer data) {
    StatusAnswer answer = {0};
    const DinvPortForward port = {DINV_PROTOCOL_UDP, 5300, 53};
    DinvMountSpec mount = {(char *)"/from", (char *)"/to", TRUE, FALSE};
    (void)data;
    g_array_append_val(fixture->config.ports, port);
    g_ptr_array_add(fixture->mounts, &mount);
    vm_start(fixture);
    dinv_vm_get_status(fixture->vm, on_status, &answer);
    g_assert_cmpuint(answer.answers, ==, 1);
    g_assert_nonnull(strstr(answer.text, "\"state\":\"booting\""));
    g_assert_nonnull(strstr(answer.text, "\"guest\":null"));
    g_assert_nonnull(strstr(answer.text, "\"host_port\":5300,\"guest_port\":53,\"declared\":true"));
    g_assert_nonnull(
        strstr(answer.text, "{\"source\":\"\\/from\",\"target\":\"\\/to\",\"readonly\":true}"));
    vm_reach(fixture, DINV_VM_READY);
    dinv_vm_get_status(fixture->vm, on_status, &answer);
    g_assert_cmpuint(answer.answers, ==, 1);
    fake_answers(fake_hears("stats"),
                 "\"ok\":true,\"memory_total\":1000,\"load1\":0.5,\"disk_free\":-9,"
                 "\"processes\":\"many\",\"relay_memory\":NaN,\"\\u009b31m\":1,\"evil\":{}");
    g_assert_cmpuint(answer.answers, ==, 2);
    g_assert_nonnull(strstr(answer.text, "\"engine\":\"26.1.5\""));
    g_assert_nonnull(
        strstr(answer.text, "\"guest\":{\"memory_total\":1000,\"disk_free\":0,\"load1\":0.5}"));
    /* A guest that refuses, and one that does not answer. */
    dinv_vm_get_status(fixture->vm, on_status, &answer);
    fake_answers(fake_hears("stats"), "\"error\":\"no\"");
    dinv_vm_get_status(fixture->vm, on_status, &answer);
    wait_until(answer.answers == 4);
    g_assert_nonnull(strstr(answer.text, "\"guest\":null"));
    g_free(answer.text);
}

static void test_status_fallback(VmFixture *fixture, gconstpointer data) {
    StatusAnswer answer = {0};
    (void)data;
    vm_start(fixture);
    vm_reach(fixture, DINV_VM_READY);
    dinv_vm_get_status(fixture->vm, on_status, &answer);
    fake_answers(fake_hears("stats"), "\"ok\":true,\"mounts_fallback\":2");
    g_assert_cmpuint(answer.answers, ==, 1);
    g_assert_nonnull(strstr(answer.text, "\"guest\":{\"mounts_fallback\":2}"));
    g_free(answer.text);
}

static void add_by_state(const char *name, DinvVmState first, DinvVmState last,
                         void (*function)(VmFixture *, gconstpointer)) {
    static const char *const names[] = {"starting", "booting", "configuring",
                                        "engine",   "ready",   "stopping"};
    for (DinvVmState state = first; state <= last; state++) {
        g_autofree char *path = g_strdup_printf("/launcher/vm/%s/%s", name, names[state]);
        g_test_add(path, VmFixture, GINT_TO_POINTER((int)state), vm_set_up, function, vm_tear_down);
    }
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
#define ADD(name, function)                                                                        \
    g_test_add("/launcher/vm/" name, VmFixture, NULL, vm_set_up, function, vm_tear_down)
    ADD("whole-life", test_whole_life);
    ADD("odd-order", test_odd_order);
    ADD("last-words/are-heard", test_last_words_are_heard);
    ADD("last-words/are-a-cause", test_last_words_are_a_cause);
    ADD("last-words/start-nothing", test_last_words_start_nothing);
    ADD("protocol-mismatch", test_protocol_mismatch);
    ADD("disk-check", test_disk_check);
    ADD("damaged-disk", test_damaged_disk);
    ADD("configure-refused", test_configure_refused);
    ADD("guest-failed", test_guest_failed);
    ADD("guest-failed-and-stays", test_guest_failed_and_stays);
    add_by_state("boot-deadline", DINV_VM_BOOTING, DINV_VM_ENGINE, test_boot_deadline);
    for (guint i = 0; i < 16; i++) {
        g_autofree char *path = g_strdup_printf("/launcher/vm/dies/%u", i);
        g_test_add(path, VmFixture, GUINT_TO_POINTER(i), vm_set_up, test_dies, vm_tear_down);
    }
    ADD("channel-ends-first", test_channel_ends_first);
    add_by_state("stop", DINV_VM_BOOTING, DINV_VM_READY, test_stop);
    ADD("stop-before-start", test_stop_before_start);
    ADD("stop-deadline", test_stop_deadline);
    ADD("panic-while-stopping", test_panic_while_stopping);
    add_by_state("free", DINV_VM_STARTING, DINV_VM_STOPPING, test_free);
    ADD("start-without-machine", test_start_without_machine);
    ADD("start-without-console", test_start_without_console);
    ADD("start-without-socket", test_start_without_socket);
    ADD("hostile-texts", test_hostile_texts);
    ADD("log-flood", test_log_flood);
    ADD("publish", test_publish);
    ADD("clock", test_clock);
    ADD("status", test_status);
    ADD("status-fallback", test_status_fallback);
    return g_test_run();
}
