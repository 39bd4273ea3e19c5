/* SPDX-License-Identifier: MIT */
/*
 * The client's side of launcher.sock, in a thread as it blocks, with the server's side in the main
 * loop. For the bridges the guest's service is played here: it gives back what it gets.
 */
#include "launcher/cli/launcher-client.h"

#include "relay/mux.h"
#include "tests/unit/lib/launcher-socket-fixture.h"
#include "tests/unit/lib/relay-pull.h"

typedef struct {
    const char *state_dir;
    struct json_object *request;
    struct json_object *answer;
    GError *error;
    int fd;
    gint done;
} Call;

static gpointer run_call(gpointer user) {
    Call *call = user;
    call->fd = dinv_cli_launcher_call(call->state_dir, call->request, &call->answer, &call->error);
    g_atomic_int_set(&call->done, 1);
    g_main_context_wakeup(NULL);
    return NULL;
}

static void call_verb(const Fixture *fixture, const char *request, Call *call) {
    *call =
        (Call){.state_dir = fixture->vm.config.state_dir, .request = json_tokener_parse(request)};
    GThread *thread = g_thread_new("call", run_call, call);
    wait_until(g_atomic_int_get(&call->done) == 1);
    g_thread_join(thread);
}

static void test_call_status(Fixture *fixture, gconstpointer data) {
    DinvMountSpec mount = {(char *)"/from", (char *)"/to", TRUE, FALSE};
    Call call;
    (void)data;
    /* More than fits into the buffer of the connection. */
    for (guint i = 0; i < 6000; i++) {
        g_ptr_array_add(fixture->vm.mounts, &mount);
    }
    call_verb(fixture, "{\"verb\":\"status\"}", &call);
    g_assert_no_error(call.error);
    g_assert_cmpuint(json_object_array_length(json_object_object_get(call.answer, "mounts")), ==,
                     6000);
    json_object_put(call.answer);
    close(call.fd);
}

static void test_call_refused(Fixture *fixture, gconstpointer data) {
    Call call;
    (void)data;
    call_verb(fixture, "{\"verb\":\"exec\"}", &call);
    g_assert_cmpint(call.fd, ==, -1);
    g_assert_cmpstr(call.error->message, ==, "the engine is not ready yet (see \"dinv status\")");
    g_clear_error(&call.error);
    /* Refused in the middle of being sent: the reason comes all the same. */
    g_autofree char *filler = g_strnfill(1u << 20, 'x');
    g_autofree char *request = g_strdup_printf("{\"verb\":\"%s\"}", filler);
    call_verb(fixture, request, &call);
    g_assert_cmpint(call.fd, ==, -1);
    g_assert_cmpstr(call.error->message, ==, "the request is too long (64 KiB at most)");
    g_clear_error(&call.error);
    vm_reach(&fixture->vm, DINV_VM_READY);
    filler[40000] = '\0';
    g_free(request);
    request = g_strdup_printf("{\"verb\":\"exec\",\"argument\":{\"argv\":[\"%s\"]}}", filler);
    call_verb(fixture, request, &call);
    g_assert_cmpint(call.fd, ==, -1);
    g_assert_nonnull(strstr(call.error->message, "32 KiB at most"));
    g_clear_error(&call.error);
}

static void test_call_nobody(Fixture *fixture, gconstpointer data) {
    Call call;
    (void)data;
    g_assert_true(dinv_cli_launcher_is_running(fixture->vm.config.state_dir));
    run_loop();
    g_clear_pointer(&fixture->server, dinv_vm_launcher_socket_free);
    call_verb(fixture, "{\"verb\":\"status\"}", &call);
    g_assert_cmpint(call.fd, ==, -1);
    g_assert_error(call.error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND);
    g_assert_nonnull(strstr(call.error->message, fixture->vm.config.state_dir));
    g_clear_error(&call.error);
    g_assert_false(dinv_cli_launcher_is_running(fixture->vm.config.state_dir));
}

/* --- Bridges --- */

typedef struct {
    DinvRelayMux *mux;
    char *opened; /* service and argument of the last open */
} Guest;

static void echo(void *user, DinvRelayStream *stream) {
    const uint8_t *bytes = NULL;
    ssize_t length = 0;
    (void)user;
    while ((length = dinv_relay_stream_peek(stream, &bytes)) > 0) {
        g_assert_cmpint(dinv_relay_stream_write(stream, bytes, (size_t)length), ==, length);
        dinv_relay_stream_consume(stream, (size_t)length);
    }
    if (length == 0) {
        dinv_relay_stream_finish(stream);
        dinv_relay_stream_close(stream, 0);
    }
}

static void on_incoming(void *user, DinvRelayStream *stream, const char *service,
                        const uint8_t *argument, size_t argument_len) {
    Guest *guest = user;
    g_free(guest->opened);
    guest->opened = g_strdup_printf("%s %.*s", service, (int)argument_len, (const char *)argument);
    dinv_relay_stream_accept(stream);
    g_assert_cmpint(dinv_relay_stream_write(stream, "hi\n", 3), ==, 3);
}

static void on_reset(void *user, DinvRelayStream *stream, int error) {
    (void)user;
    (void)error;
    dinv_relay_stream_close(stream, 0);
}

static gboolean guest_turn(gpointer user) {
    Guest *guest = user;
    guint8 bytes[65536];
    ssize_t length = read(fake->guest[FAKE_RELAY], bytes, sizeof bytes);
    if (length > 0) {
        g_assert_cmpint(dinv_relay_mux_feed(guest->mux, bytes, (size_t)length), ==, 0);
    }
    while ((length = relay_pull(guest->mux, bytes, 4096)) > 0) {
        gssize sent = 0;
        while (sent < length) {
            ssize_t result =
                send(fake->guest[FAKE_RELAY], bytes + sent, (gsize)(length - sent), MSG_NOSIGNAL);
            sent += MAX(result, 0);
            if (result < 0) { /* the hello's padding is more than a buffer: let it be read */
                g_main_context_iteration(NULL, FALSE);
            }
        }
    }
    return G_SOURCE_CONTINUE;
}

static void test_bridge(Fixture *fixture, gconstpointer data) {
    const char *verb = data;
    static const DinvRelayCallbacks callbacks = {
        .incoming = on_incoming, .readable = echo, .reset = on_reset};
    Guest guest = {0};
    Call call;
    vm_reach(&fixture->vm, DINV_VM_READY);
    guest.mux = dinv_relay_mux_new(DINV_RELAY_GUEST, 99, NULL, &callbacks, &guest);
    guint source = g_timeout_add(1, guest_turn, &guest);
    g_autofree char *request =
        g_strdup_printf("{\"verb\":\"%s\",\"argument\":{\"argv\":[\"a\"]}}", verb);
    g_autofree char *expected = g_strdup_printf("%s {\"argv\":[\"a\"]}", verb);
    call_verb(fixture, request, &call);
    g_assert_no_error(call.error);
    g_assert_cmpint(call.fd, >=, 0);
    json_object_put(call.answer);
    /* Behind the line comes the stream, from its first byte on. */
    g_assert_cmpint(fcntl(call.fd, F_SETFL, O_NONBLOCK), ==, 0);
    put(call.fd, "bytes");
    g_assert_cmpint(shutdown(call.fd, SHUT_WR), ==, 0);
    g_autoptr(GString) answer = g_string_new(NULL);
    wait_until(take(call.fd, answer));
    g_assert_cmpstr(answer->str, ==, "hi\nbytes");
    g_assert_cmpstr(guest.opened, ==, expected);
    close(call.fd);
    DinvRelayStats stats = {.streams = 1};
    wait_until(
        (dinv_vm_relay_get_stats(dinv_vm_get_relay(fixture->vm.vm), &stats), stats.streams == 0));
    g_source_remove(source);
    dinv_relay_mux_free(guest.mux);
    g_free(guest.opened);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
#define ADD_DATA(name, data, function)                                                             \
    g_test_add("/launcher/cli/launcher-client/" name, Fixture, data, set_up, function, tear_down)
#define ADD(name, function) ADD_DATA(name, NULL, function)
    ADD("status", test_call_status);
    ADD("refused", test_call_refused);
    ADD("nobody", test_call_nobody);
    ADD_DATA("bridge/exec", "exec", test_bridge);
    ADD_DATA("bridge/log", "log", test_bridge);
    return g_test_run();
}
