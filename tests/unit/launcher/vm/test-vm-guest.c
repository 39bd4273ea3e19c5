/* SPDX-License-Identifier: MIT */
/* What a vm and its guest tell each other: hostile texts, ports, the time, and the status. */
#include "tests/unit/lib/machine-fake.h"

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
    g_autofree char *log = log_capture_get(&fixture->log);
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
    g_assert_cmpint(lseek(fixture->log.file, 0, SEEK_END), <, 150000);
}

/* --- Requests --- */

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
    g_assert_cmpstr(fake_usernet->forwards->str, ==, "add tcp 0.0.0.0:80-80\n");
    g_assert_cmpint(read(fake->guest[FAKE_CONTROL], answers, sizeof answers - 1), >, 0);
    g_assert_nonnull(strstr(answers, "{\"reply\":1,\"ok\":true}\n"));
    g_assert_nonnull(strstr(answers, "{\"reply\":2,\"error\":\"only TCP and UDP ports"));
    g_assert_nonnull(strstr(answers, "{\"reply\":3,\"error\":\"unknown verb\"}\n"));
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

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
#define ADD(name, function)                                                                        \
    g_test_add("/launcher/vm/" name, VmFixture, NULL, vm_set_up, function, vm_tear_down)
    ADD("hostile-texts", test_hostile_texts);
    ADD("log-flood", test_log_flood);
    ADD("publish", test_publish);
    ADD("clock", test_clock);
    ADD("status", test_status);
    ADD("status-fallback", test_status_fallback);
    return g_test_run();
}
