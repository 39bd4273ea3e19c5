/* SPDX-License-Identifier: MIT */
#include "launcher/vm/admin.h"

#include <errno.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "relay/mux.h"
#include "tests/unit/lib/machine-fake.h"
#include "tests/unit/lib/relay-pull.h"

typedef struct {
    VmFixture vm;
    DinvAdmin *admin;
    char *path;
} Fixture;

static void set_up(Fixture *fixture, gconstpointer data) {
    g_autoptr(GError) error = NULL;
    vm_set_up(&fixture->vm, data);
    fixture->path = scratch_path(&fixture->vm.scratch, "launcher.sock");
    fixture->admin = dinv_admin_new(fixture->vm.config.state_dir, fixture->vm.vm, &error);
    g_assert_no_error(error);
    vm_start(&fixture->vm);
}

/* In the order of launcher/cli/run.c: the vm's end answers those who wait for its status. */
static void tear_down(Fixture *fixture, gconstpointer data) {
    g_clear_pointer(&fixture->vm.vm, dinv_vm_free);
    dinv_admin_free(fixture->admin);
    g_assert_false(g_file_test(fixture->path, G_FILE_TEST_EXISTS));
    g_free(fixture->path);
    vm_tear_down(&fixture->vm, data);
}

/* --- A client without manners --- */

static int connect_raw(const Fixture *fixture) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    g_strlcpy(address.sun_path, fixture->path, sizeof address.sun_path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    g_assert_cmpint(connect(fd, (struct sockaddr *)&address, sizeof address), ==, 0);
    return fd;
}

static void put(int client, const char *text) {
    g_assert_cmpint(send(client, text, strlen(text), MSG_NOSIGNAL), ==, (ssize_t)strlen(text));
}

/* Takes all there is; whether the connection has ended. */
static gboolean take(int client, GString *text) {
    char chunk[4096];
    ssize_t got = 0;
    while ((got = recv(client, chunk, sizeof chunk, 0)) > 0) {
        g_string_append_len(text, chunk, got);
    }
    return got == 0 || errno != EAGAIN;
}

/* All that comes until the connection ends. Transfer full. */
static char *take_all(int client) {
    GString *text = g_string_new(NULL);
    wait_until(take(client, text));
    close(client);
    return g_string_free(text, FALSE);
}

static void assert_refused(const Fixture *fixture, const char *request, const char *answer) {
    int client = connect_raw(fixture);
    put(client, request);
    g_autofree char *text = take_all(client);
    g_assert_cmpstr(text, ==, answer);
}

static void test_mode(Fixture *fixture, gconstpointer data) {
    struct stat status;
    (void)data;
    g_assert_cmpint(lstat(fixture->path, &status), ==, 0);
    g_assert_cmpuint(status.st_mode & 07777, ==, 0600);
    g_autoptr(GError) error = NULL;
    g_assert_null(dinv_admin_new(fixture->vm.config.state_dir, fixture->vm.vm, &error));
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_ADDRESS_IN_USE);
}

static void test_garbage(Fixture *fixture, gconstpointer data) {
    static const char *const requests[] = {
        "{\"verb\":\"destroy\"}\n", "{\"verb\":7}\n", "{}\n", "[1]\n", "\n", "null\n", "not json\n",
        "{\"verb\":\"status\"\n",
    };
    (void)data;
    for (guint i = 0; i < G_N_ELEMENTS(requests); i++) {
        assert_refused(fixture, requests[i], "{\"error\":\"unknown verb\"}\n");
    }
    assert_refused(fixture, "{\"verb\":\"status\"}\nand more",
                   "{\"error\":\"there is more behind the request; wait for its answer\"}\n");
    assert_refused(fixture, "{\"verb\":\"status\"}\n{\"verb\":\"status\"}\n",
                   "{\"error\":\"there is more behind the request; wait for its answer\"}\n");
}

static void test_too_long(Fixture *fixture, gconstpointer data) {
    (void)data;
    int client = connect_raw(fixture);
    g_autofree char *filler = g_strnfill(1000, 'x');
    for (guint i = 0; i < 66; i++) {
        put(client, filler);
    }
    g_autofree char *text = take_all(client);
    g_assert_cmpstr(text, ==, "{\"error\":\"the request is too long (64 KiB at most)\"}\n");
}

/* In pieces, and with the other half of the connection closed behind it. */
static void test_status_in_pieces(Fixture *fixture, gconstpointer data) {
    static const char request[] = "{\"verb\":\"status\"}\n";
    (void)data;
    int client = connect_raw(fixture);
    for (gsize i = 0; i < sizeof request - 1; i++) {
        char byte[2] = {request[i], '\0'};
        put(client, byte);
        run_loop();
    }
    g_assert_cmpint(shutdown(client, SHUT_WR), ==, 0);
    g_autofree char *text = take_all(client);
    g_assert_true(g_str_has_suffix(text, "}\n"));
    struct json_object *status = json_tokener_parse(text);
    g_assert_cmpstr(json_object_get_string(json_object_object_get(status, "state")), ==, "booting");
    json_object_put(status);
}

/* Before a request, within it, and while its answer is awaited. */
static void test_hang_up(Fixture *fixture, gconstpointer data) {
    (void)data;
    vm_reach(&fixture->vm, DINV_VM_READY);
    close(connect_raw(fixture));
    int client = connect_raw(fixture);
    put(client, "{\"verb\":");
    run_loop();
    close(client);
    run_loop();
    client = connect_raw(fixture);
    put(client, "{\"verb\":\"status\"}\n");
    struct json_object *request = fake_hears("stats");
    close(client);
    fake_answers(request, "\"ok\":true");
    assert_refused(fixture, "{}\n", "{\"error\":\"unknown verb\"}\n");
}

/* Whoever waits for a status when all ends gets one. */
static void test_status_at_the_end(Fixture *fixture, gconstpointer data) {
    (void)data;
    vm_reach(&fixture->vm, DINV_VM_READY);
    int client = connect_raw(fixture);
    put(client, "{\"verb\":\"status\"}\n");
    json_object_put(fake_hears("stats"));
    g_clear_pointer(&fixture->vm.vm, dinv_vm_free);
    g_clear_pointer(&fixture->admin, dinv_admin_free);
    g_autofree char *text = take_all(client);
    g_assert_nonnull(strstr(text, "\"guest\":null"));
}

/* A client that came, and one that takes no answer, when all ends. */
static void test_free_with_clients(Fixture *fixture, gconstpointer data) {
    DinvMountSpec mount = {(char *)"/from", (char *)"/to", TRUE, FALSE};
    (void)data;
    for (guint i = 0; i < 6000; i++) {
        g_ptr_array_add(fixture->vm.mounts, &mount);
    }
    int slow = connect_raw(fixture);
    put(slow, "{\"verb\":\"status\"}\n");
    int silent = connect_raw(fixture);
    run_loop();
    g_clear_pointer(&fixture->vm.vm, dinv_vm_free);
    g_clear_pointer(&fixture->admin, dinv_admin_free);
    g_autofree char *nothing = take_all(silent);
    g_autofree char *half = take_all(slow);
    g_assert_cmpstr(nothing, ==, "");
    g_assert_cmpuint(strlen(half), >, 0);
}

static void test_many_clients(Fixture *fixture, gconstpointer data) {
    int clients[80];
    guint served = 0;
    (void)data;
    for (guint i = 0; i < G_N_ELEMENTS(clients); i++) {
        clients[i] = connect_raw(fixture);
    }
    run_loop();
    for (guint i = 0; i < G_N_ELEMENTS(clients); i++) {
        (void)send(clients[i], "{}\n", 3, MSG_NOSIGNAL);
        g_autofree char *text = take_all(clients[i]);
        served += text[0] != '\0' ? 1 : 0;
    }
    g_assert_cmpuint(served, ==, 64);
    assert_refused(fixture, "{}\n", "{\"error\":\"unknown verb\"}\n");
}

/* --- The client of launcher/vm/admin.h, in a thread: it blocks --- */

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
    call->fd = dinv_admin_call(call->state_dir, call->request, &call->answer, &call->error);
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
    g_assert_true(dinv_admin_is_running(fixture->vm.config.state_dir));
    run_loop();
    g_clear_pointer(&fixture->admin, dinv_admin_free);
    call_verb(fixture, "{\"verb\":\"status\"}", &call);
    g_assert_cmpint(call.fd, ==, -1);
    g_assert_error(call.error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND);
    g_assert_nonnull(strstr(call.error->message, fixture->vm.config.state_dir));
    g_clear_error(&call.error);
    g_assert_false(dinv_admin_is_running(fixture->vm.config.state_dir));
}

static void test_check(Fixture *fixture, gconstpointer data) {
    g_autoptr(GError) error = NULL;
    (void)data;
    g_assert_true(dinv_admin_check(fixture->vm.config.state_dir, &error));
    g_autofree char *long_name = g_strnfill(94, '/');
    g_assert_false(dinv_admin_check(long_name, &error));
    g_assert_nonnull(strstr(error->message, "DINV_STATE_DIR"));
    long_name[93] = '\0';
    g_assert_true(dinv_admin_check(long_name, NULL));
}

/* --- Bridges: the guest's exec service gives back what it gets --- */

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

/* No stream can be opened: the client hears why, and got no "ok" before. */
static void test_bridge_fails(Fixture *fixture, gconstpointer data) {
    (void)data;
    vm_reach(&fixture->vm, DINV_VM_READY);
    close(fake->guest[FAKE_RELAY]);
    fake->guest[FAKE_RELAY] = -1;
    run_loop();
    int client = connect_raw(fixture);
    put(client, "{\"verb\":\"exec\"}\n");
    g_autofree char *text = take_all(client);
    g_assert_true(g_str_has_prefix(text, "{\"error\":\"no relay stream to the guest's service"));
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
#define ADD_DATA(name, data, function)                                                             \
    g_test_add("/launcher/admin/" name, Fixture, data, set_up, function, tear_down)
#define ADD(name, function) ADD_DATA(name, NULL, function)
    ADD("mode", test_mode);
    ADD("garbage", test_garbage);
    ADD("too-long", test_too_long);
    ADD("status-in-pieces", test_status_in_pieces);
    ADD("hang-up", test_hang_up);
    ADD("status-at-the-end", test_status_at_the_end);
    ADD("free-with-clients", test_free_with_clients);
    ADD("many-clients", test_many_clients);
    ADD("call/status", test_call_status);
    ADD("call/refused", test_call_refused);
    ADD("call/nobody", test_call_nobody);
    ADD("check", test_check);
    ADD_DATA("bridge/exec", "exec", test_bridge);
    ADD_DATA("bridge/log", "log", test_bridge);
    ADD("bridge/fails", test_bridge_fails);
    return g_test_run();
}
