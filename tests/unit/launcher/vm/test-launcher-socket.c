/* SPDX-License-Identifier: MIT */
/* The server's side of launcher.sock, with clients without manners. */
#include <sys/stat.h>

#include "tests/unit/lib/launcher-socket-fixture.h"

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
    g_assert_null(
        dinv_vm_launcher_socket_new(fixture->vm.config.state_dir, fixture->vm.vm, &error));
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
    g_clear_pointer(&fixture->server, dinv_vm_launcher_socket_free);
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
    g_clear_pointer(&fixture->server, dinv_vm_launcher_socket_free);
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
    g_test_add("/launcher/vm/launcher-socket/" name, Fixture, data, set_up, function, tear_down)
#define ADD(name, function) ADD_DATA(name, NULL, function)
    ADD("mode", test_mode);
    ADD("garbage", test_garbage);
    ADD("too-long", test_too_long);
    ADD("status-in-pieces", test_status_in_pieces);
    ADD("hang-up", test_hang_up);
    ADD("status-at-the-end", test_status_at_the_end);
    ADD("free-with-clients", test_free_with_clients);
    ADD("many-clients", test_many_clients);
    ADD("bridge/fails", test_bridge_fails);
    return g_test_run();
}
