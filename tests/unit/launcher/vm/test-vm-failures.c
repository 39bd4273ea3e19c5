/* SPDX-License-Identifier: MIT */
/* What goes wrong with a guest or a machine, and what the log says of it. */
#include "tests/unit/lib/machine-fake.h"

#define SIGNALLED(number) (number) /* a wait status */

/* --- A guest that cannot be used --- */

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
    int client = vm_connect_docker(fixture);
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

/* --- The end of the machine --- */

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

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
#define ADD(name, function)                                                                        \
    g_test_add("/launcher/vm/" name, VmFixture, NULL, vm_set_up, function, vm_tear_down)
    ADD("protocol-mismatch", test_protocol_mismatch);
    ADD("disk-check", test_disk_check);
    ADD("damaged-disk", test_damaged_disk);
    ADD("configure-refused", test_configure_refused);
    ADD("guest-failed", test_guest_failed);
    ADD("guest-failed-and-stays", test_guest_failed_and_stays);
    vm_add_by_state("boot-deadline", DINV_VM_BOOTING, DINV_VM_ENGINE, test_boot_deadline);
    ADD("last-words/are-heard", test_last_words_are_heard);
    ADD("last-words/are-a-cause", test_last_words_are_a_cause);
    ADD("last-words/start-nothing", test_last_words_start_nothing);
    for (guint i = 0; i < 16; i++) {
        g_autofree char *path = g_strdup_printf("/launcher/vm/dies/%u", i);
        g_test_add(path, VmFixture, GUINT_TO_POINTER(i), vm_set_up, test_dies, vm_tear_down);
    }
    ADD("channel-ends-first", test_channel_ends_first);
    return g_test_run();
}
