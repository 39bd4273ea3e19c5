/* SPDX-License-Identifier: MIT */
/* Which ports are forwarded when the guest asks for it, and which wishes are refused. */
#include "launcher/network/publisher.h"
#include "tests/unit/lib/machine-fake.h"

typedef struct {
    DinvConfig config;
    DinvMachine *machine;
    DinvNetworkPublisher *publisher;
} Fixture;

static void fixture_init(Fixture *fixture) {
    static const DinvMachineCallbacks callbacks = {0};
    static const DinvPortForward declared[] = {{DINV_PROTOCOL_TCP, 8080, 8080},
                                               {DINV_PROTOCOL_TCP, 8443, 443},
                                               {DINV_PROTOCOL_UDP, 5353, 53}};
    *fixture = (Fixture){.config.ports = g_array_new(FALSE, FALSE, sizeof(DinvPortForward))};
    g_array_append_vals(fixture->config.ports, declared, G_N_ELEMENTS(declared));
    fixture->machine = dinv_machine_new(NULL, &callbacks, NULL);
    fixture->publisher = dinv_network_publisher_new(fixture->machine, &fixture->config);
    fake_refuses_forward = FALSE;
}

static void fixture_clear(Fixture *fixture) {
    dinv_network_publisher_free(fixture->publisher);
    dinv_machine_free(fixture->machine);
    g_array_unref(fixture->config.ports);
}

typedef struct {
    gboolean done;
    char *error;
} Answer;

static void on_done(const char *error, gpointer user) {
    Answer *answer = user;
    g_assert_false(answer->done);
    answer->done = TRUE;
    answer->error = g_strdup(error);
}

typedef void (*Verb)(DinvNetworkPublisher *publisher, struct json_object *request,
                     DinvNetworkPublisherDone done, gpointer user);

/* What the verb answers to a request, "" if it says yes. */
static char *ask(Fixture *fixture, Verb verb, const char *text) {
    Answer answer = {0};
    struct json_object *request = json_tokener_parse(text);
    g_assert_nonnull(request);
    verb(fixture->publisher, request, on_done, &answer);
    json_object_put(request);
    while (!answer.done) {
        g_main_context_iteration(NULL, TRUE);
    }
    return answer.error != NULL ? answer.error : g_strdup("");
}

static void expect(Fixture *fixture, Verb verb, const char *text, const char *expected) {
    g_autofree char *error = ask(fixture, verb, text);
    if (expected[0] == '\0') {
        g_assert_cmpstr(error, ==, "");
    } else {
        g_assert_nonnull(strstr(error, expected));
    }
}

#define WISH(protocol, address, port, container)                                                   \
    "{\"protocol\": \"" protocol "\", \"address\": \"" address "\", \"port\": " #port              \
    ", \"container\": \"" container "\"}"
#define WEB WISH("tcp", "0.0.0.0", 80, "172.17.0.2:80")

static void test_publish_and_unpublish(void) {
    Fixture fixture;
    fixture_init(&fixture);
    expect(&fixture, dinv_network_publisher_publish, WEB, "");
    g_assert_cmpstr(fake->forwards->str, ==, "add tcp 0.0.0.0:80-80\n");
    struct json_object *ports = dinv_network_publisher_describe(fixture.publisher);
    g_assert_cmpstr(
        json_object_to_json_string_ext(json_object_array_get_idx(ports, 3),
                                       JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE),
        ==,
        "{\"protocol\":\"tcp\",\"address\":\"0.0.0.0\",\"host_port\":80,"
        "\"guest_port\":80,\"declared\":false,\"containers\":[\"172.17.0.2:80\"]}");
    json_object_put(ports);
    expect(&fixture, dinv_network_publisher_unpublish, WEB, "");
    g_assert_cmpstr(fake->forwards->str, ==, "add tcp 0.0.0.0:80-80\nremove tcp 0.0.0.0:80-80\n");
    /* A second time there is nothing to remove. */
    expect(&fixture, dinv_network_publisher_unpublish, WEB, "");
    g_assert_cmpuint(strlen(fake->forwards->str), ==, strlen("add tcp 0.0.0.0:80-80\n") * 2 + 3);
    fixture_clear(&fixture);
}

/* The machine could not: the answer says why, and the next one has a fresh try. */
static void test_taken_outside(void) {
    Fixture fixture;
    fixture_init(&fixture);
    fake_refuses_forward = TRUE;
    expect(&fixture, dinv_network_publisher_publish, WEB, "it is taken");
    fake_refuses_forward = FALSE;
    expect(&fixture, dinv_network_publisher_publish, WEB, "");
    fixture_clear(&fixture);
}

/* Declared and published is one forward, which stays. */
static void test_declared(void) {
    Fixture fixture;
    fixture_init(&fixture);
    static const char any[] = WISH("tcp", "0.0.0.0", 8080, "172.17.0.2:80");
    static const char loopback[] = WISH("tcp", "127.0.0.1", 8080, "172.17.0.3:80");
    expect(&fixture, dinv_network_publisher_publish, any, "");
    expect(&fixture, dinv_network_publisher_publish, loopback, "");
    expect(&fixture, dinv_network_publisher_unpublish, any, "");
    expect(&fixture, dinv_network_publisher_unpublish, loopback, "");
    g_assert_cmpstr(fake->forwards->str, ==, "");
    /* The guest's port 443 is declared from outside port 8443: that one is not free, 443 is. */
    expect(&fixture, dinv_network_publisher_publish, WISH("tcp", "0.0.0.0", 8443, "172.17.0.2:80"),
           "address already in use (it is forwarded to port 443 inside, by DINV_TCP_PORTS");
    expect(&fixture, dinv_network_publisher_publish, WISH("tcp", "0.0.0.0", 443, "172.17.0.2:443"),
           "");
    /* The answers of two UDP forwards would all leave from the first: the declared one serves. */
    g_string_truncate(fake->forwards, 0);
    expect(&fixture, dinv_network_publisher_publish, WISH("udp", "0.0.0.0", 53, "172.17.0.2:53"),
           "");
    expect(&fixture, dinv_network_publisher_unpublish, WISH("udp", "0.0.0.0", 53, "172.17.0.2:53"),
           "");
    g_assert_cmpstr(fake->forwards->str, ==, "");
    expect(&fixture, dinv_network_publisher_publish, WISH("udp", "127.0.0.1", 99, "172.17.0.2:53"),
           "");
    expect(&fixture, dinv_network_publisher_publish, WISH("udp", "10.1.2.3", 99, "172.17.0.3:53"),
           "UDP port 99 inside is forwarded from 127.0.0.1:99 already");
    fixture_clear(&fixture);
}

/* One port on two addresses, and the same one twice. */
static void test_addresses(void) {
    Fixture fixture;
    fixture_init(&fixture);
    expect(&fixture, dinv_network_publisher_publish, WISH("tcp", "127.0.0.1", 80, "172.17.0.2:80"),
           "");
    expect(&fixture, dinv_network_publisher_publish, WISH("tcp", "10.1.2.3", 80, "172.17.0.3:80"),
           "");
    g_assert_cmpstr(fake->forwards->str, ==, "add tcp 127.0.0.1:80-80\nadd tcp 10.1.2.3:80-80\n");
    /* What is told once may be asked for again; it goes with the last. */
    expect(&fixture, dinv_network_publisher_publish, WISH("tcp", "127.0.0.1", 80, "172.17.0.4:80"),
           "");
    expect(&fixture, dinv_network_publisher_unpublish,
           WISH("tcp", "127.0.0.1", 80, "172.17.0.4:80"), "");
    g_assert_null(strstr(fake->forwards->str, "remove"));
    expect(&fixture, dinv_network_publisher_unpublish,
           WISH("tcp", "127.0.0.1", 80, "172.17.0.2:80"), "");
    g_assert_true(g_str_has_suffix(fake->forwards->str, "remove tcp 127.0.0.1:80-80\n"));
    fixture_clear(&fixture);
}

static void test_bad_wishes(void) {
    static const struct {
        const char *request, *expected;
    } cases[] = {
        {"{}", "only TCP and UDP ports"},
        {"{\"protocol\": 5}", "only TCP and UDP ports"},
        {WISH("sctp", "0.0.0.0", 80, "x"), "only TCP and UDP ports can be published, not \"sctp\""},
        {WISH("tcp", "::", 80, "x"), "only IPv4 addresses can be published on, not \"::\""},
        {WISH("tcp", "0.0.0.0,x=y", 80, "x"), "only IPv4 addresses"},
        {WISH("tcp", "0.0.0.0", 0, "x"), "a port to publish is a number"},
        {WISH("tcp", "0.0.0.0", 65536, "x"), "a port to publish is a number"},
        {WISH("tcp", "0.0.0.0", -1, "x"), "a port to publish is a number"},
        {WISH("tcp", "0.0.0.0", "80", "x"), "a port to publish is a number"},
    };
    Fixture fixture;
    fixture_init(&fixture);
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        expect(&fixture, dinv_network_publisher_publish, cases[i].request, cases[i].expected);
        expect(&fixture, dinv_network_publisher_unpublish, cases[i].request, cases[i].expected);
    }
    g_assert_cmpstr(fake->forwards->str, ==, "");
    fixture_clear(&fixture);
}

/* DINV_PUBLISH=off: the container starts, nothing is forwarded. */
static void test_off(void) {
    Fixture fixture;
    fixture_init(&fixture);
    fixture.config.publish = DINV_PUBLISH_OFF;
    expect(&fixture, dinv_network_publisher_publish, WEB, "");
    expect(&fixture, dinv_network_publisher_unpublish, WEB, "");
    g_assert_cmpstr(fake->forwards->str, ==, "");
    fixture_clear(&fixture);
}

/* The guest cannot have more forwards than there may be. */
static void test_limit(void) {
    Fixture fixture;
    fixture_init(&fixture);
    for (guint port = 10000; port < 10000 + 4096 - 3; port++) {
        g_autofree char *wish = g_strdup_printf("{\"protocol\": \"tcp\", \"address\": \"0.0.0.0\", "
                                                "\"port\": %u, \"container\": \"\"}",
                                                port);
        expect(&fixture, dinv_network_publisher_publish, wish, "");
    }
    expect(&fixture, dinv_network_publisher_publish, WEB,
           "4096 ports are forwarded, no more can be");
    fixture_clear(&fixture);
}

static void on_never(const char *error, gpointer user) {
    (void)error;
    (void)user;
    g_assert_not_reached();
}

/* Freed with an answer of the machine on its way. */
static void test_free_meanwhile(void) {
    Fixture fixture;
    fixture_init(&fixture);
    struct json_object *request = json_tokener_parse(WEB);
    dinv_network_publisher_publish(fixture.publisher, request, on_never, NULL);
    json_object_put(request);
    fixture_clear(&fixture);
    while (g_main_context_iteration(NULL, FALSE)) {
    }
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/publisher/publish-and-unpublish", test_publish_and_unpublish);
    g_test_add_func("/publisher/taken-outside", test_taken_outside);
    g_test_add_func("/publisher/declared", test_declared);
    g_test_add_func("/publisher/addresses", test_addresses);
    g_test_add_func("/publisher/bad-wishes", test_bad_wishes);
    g_test_add_func("/publisher/off", test_off);
    g_test_add_func("/publisher/limit", test_limit);
    g_test_add_func("/publisher/free-meanwhile", test_free_meanwhile);
    return g_test_run();
}
