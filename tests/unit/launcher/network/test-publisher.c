/* SPDX-License-Identifier: MIT */
/* Which ports are forwarded when the guest asks for it, and which wishes are refused. */
#include "launcher/network/publisher.h"
#include "tests/unit/lib/scratch.h"
#include "tests/unit/lib/usernet-fake.h"
#include "tests/unit/lib/wait-until.h"

typedef struct {
    DinvConfig config;
    DinvNetworkUsernet *usernet;
    DinvNetworkPublisher *publisher;
    char *failure;
} Fixture;

static void on_failed(const char *text, gpointer user) {
    Fixture *fixture = user;
    g_assert_null(fixture->failure);
    fixture->failure = g_strdup(text);
}

static void settle(void) {
    while (g_main_context_iteration(NULL, FALSE)) {
    }
}

/* What dinv-usernet was asked since the last time. */
static void expect_asked(const char *expected) {
    g_assert_cmpstr(fake_usernet->forwards->str, ==, expected);
    g_string_truncate(fake_usernet->forwards, 0);
}

/* Three ports are declared; what dinv-usernet was asked for them is forgotten. */
static void fixture_init(Fixture *fixture) {
    static const DinvPortForward declared[] = {{DINV_PROTOCOL_TCP, 8080, 8080},
                                               {DINV_PROTOCOL_TCP, 8443, 443},
                                               {DINV_PROTOCOL_UDP, 5353, 53}};
    *fixture = (Fixture){.config.ports = g_array_new(FALSE, FALSE, sizeof(DinvPortForward))};
    g_array_append_vals(fixture->config.ports, declared, G_N_ELEMENTS(declared));
    fixture->usernet = dinv_network_usernet_new(NULL, NULL, NULL, NULL);
    fixture->publisher =
        dinv_network_publisher_new(fixture->usernet, &fixture->config, on_failed, fixture);
    expect_asked("add tcp 0.0.0.0:8080-8080\nadd tcp :::8080-8080\n"
                 "add tcp 0.0.0.0:8443-443\nadd tcp :::8443-443\n"
                 "add udp 0.0.0.0:5353-53\nadd udp :::5353-53\n");
    settle();
}

static void fixture_clear(Fixture *fixture) {
    fake_refuses_forward = 0;
    fake_refuses_ipv6 = 0;
    dinv_network_publisher_free(fixture->publisher);
    dinv_network_usernet_free(fixture->usernet);
    g_array_unref(fixture->config.ports);
    g_free(fixture->failure);
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

static guint count_ports(const Fixture *fixture) {
    struct json_object *ports = dinv_network_publisher_describe(fixture->publisher);
    guint count = (guint)json_object_array_length(ports);
    json_object_put(ports);
    return count;
}

static void test_publish_and_unpublish(void) {
    Fixture fixture;
    fixture_init(&fixture);
    expect(&fixture, dinv_network_publisher_publish, WEB, "");
    expect_asked("add tcp 0.0.0.0:80-80\n");
    struct json_object *ports = dinv_network_publisher_describe(fixture.publisher);
    g_assert_cmpstr(
        json_object_to_json_string_ext(json_object_array_get_idx(ports, 6),
                                       JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE),
        ==,
        "{\"protocol\":\"tcp\",\"address\":\"0.0.0.0\",\"host_port\":80,"
        "\"guest_port\":80,\"declared\":false,\"containers\":[\"172.17.0.2:80\"]}");
    json_object_put(ports);
    expect(&fixture, dinv_network_publisher_unpublish, WEB, "");
    expect_asked("remove tcp 0.0.0.0:80\n");
    /* A second time there is nothing to remove. */
    expect(&fixture, dinv_network_publisher_unpublish, WEB, "");
    expect_asked("");
    fixture_clear(&fixture);
}

/* It could not be: the answer says why, and the next one has a fresh try. */
static void test_taken_outside(void) {
    Fixture fixture;
    fixture_init(&fixture);
    fake_refuses_forward = EADDRINUSE;
    expect(&fixture, dinv_network_publisher_publish, WEB, "it is taken");
    fake_refuses_forward = 0;
    expect(&fixture, dinv_network_publisher_publish, WEB, "");
    fixture_clear(&fixture);
}

/* Declared and published is one forward, which stays. */
static void test_declared(void) {
    Fixture fixture;
    fixture_init(&fixture);
    static const char any[] = WISH("tcp", "0.0.0.0", 8080, "172.17.0.2:80");
    static const char loopback[] = WISH("tcp", "127.0.0.1", 8080, "172.17.0.3:80");
    static const char loopback6[] = WISH("tcp", "::1", 8080, "172.17.0.3:80");
    expect(&fixture, dinv_network_publisher_publish, any, "");
    expect(&fixture, dinv_network_publisher_publish, loopback, "");
    expect(&fixture, dinv_network_publisher_publish, loopback6, "");
    expect(&fixture, dinv_network_publisher_unpublish, any, "");
    expect(&fixture, dinv_network_publisher_unpublish, loopback, "");
    expect(&fixture, dinv_network_publisher_unpublish, loopback6, "");
    expect_asked("");
    /* The guest's port 443 is declared from outside port 8443: that one is not free, 443 is. */
    expect(&fixture, dinv_network_publisher_publish, WISH("tcp", "0.0.0.0", 8443, "172.17.0.2:80"),
           "listen tcp 0.0.0.0:8443: bind: address already in use (it is forwarded to port 443 "
           "inside, by DINV_TCP_PORTS");
    expect(&fixture, dinv_network_publisher_publish, WISH("tcp", "::1", 8443, "172.17.0.2:80"),
           "listen tcp [::1]:8443: bind: address already in use");
    expect(&fixture, dinv_network_publisher_publish, WISH("tcp", "0.0.0.0", 443, "172.17.0.2:443"),
           "");
    /* Two UDP forwards to one port of the guest are two. */
    expect(&fixture, dinv_network_publisher_publish, WISH("udp", "0.0.0.0", 53, "172.17.0.2:53"),
           "");
    expect_asked("add tcp 0.0.0.0:443-443\nadd udp 0.0.0.0:53-53\n");
    fixture_clear(&fixture);
}

/* A declared port that is taken outside is what the machine cannot do without; by IPv6 alone it
 * can, and where there is none nothing is said of it. */
static void test_declared_and_taken(void) {
    Fixture fixture;
    fixture_init(&fixture);
    dinv_network_publisher_free(fixture.publisher);
    fake_refuses_ipv6 = EAFNOSUPPORT;
    g_array_set_size(fixture.config.ports, 1);
    fixture.publisher =
        dinv_network_publisher_new(fixture.usernet, &fixture.config, on_failed, &fixture);
    settle();
    g_assert_null(fixture.failure);
    g_assert_cmpuint(count_ports(&fixture), ==, 1);
    dinv_network_publisher_free(fixture.publisher);
    fake_refuses_forward = EADDRINUSE;
    fixture.publisher =
        dinv_network_publisher_new(fixture.usernet, &fixture.config, on_failed, &fixture);
    settle();
    g_assert_cmpstr(fixture.failure, ==, "it is taken");
    g_assert_cmpuint(count_ports(&fixture), ==, 0);
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
    expect_asked("add tcp 127.0.0.1:80-80\nadd tcp 10.1.2.3:80-80\n");
    /* What is told once may be asked for again; it goes with the last. */
    expect(&fixture, dinv_network_publisher_publish, WISH("tcp", "127.0.0.1", 80, "172.17.0.4:80"),
           "");
    expect(&fixture, dinv_network_publisher_unpublish,
           WISH("tcp", "127.0.0.1", 80, "172.17.0.4:80"), "");
    expect_asked("");
    expect(&fixture, dinv_network_publisher_unpublish,
           WISH("tcp", "127.0.0.1", 80, "172.17.0.2:80"), "");
    expect_asked("remove tcp 127.0.0.1:80\n");
    fixture_clear(&fixture);
}

#define FULL_WISH(address, port, guest_port, flag)                                                 \
    "{\"protocol\": \"tcp\", \"address\": \"" address "\", \"port\": " #port                       \
    ", \"guest_port\": " #guest_port ", \"" flag "\": true, \"container\": \"172.17.0.2:80\"}"

/* An address that only the guest has, or a family that is not there outside, is served inside. */
static void test_guests_own_address(void) {
    Fixture fixture;
    fixture_init(&fixture);
    fake_refuses_forward = EADDRNOTAVAIL;
    expect(&fixture, dinv_network_publisher_publish, FULL_WISH("172.18.0.1", 80, 80, "is_guests"),
           "");
    expect(&fixture, dinv_network_publisher_publish, FULL_WISH("198.51.100.7", 80, 80, "x"),
           "it is taken");
    fake_refuses_forward = EAFNOSUPPORT;
    expect(&fixture, dinv_network_publisher_publish, FULL_WISH("::", 80, 80, "is_guests"), "");
    fake_refuses_forward = EADDRINUSE;
    expect(&fixture, dinv_network_publisher_publish, FULL_WISH("172.18.0.1", 80, 80, "is_guests"),
           "it is taken");
    fake_refuses_forward = 0;
    g_assert_cmpuint(count_ports(&fixture), ==, 6);
    g_string_truncate(fake_usernet->forwards, 0);
    expect(&fixture, dinv_network_publisher_unpublish, FULL_WISH("::", 80, 80, "is_guests"), "");
    expect_asked("");
    fixture_clear(&fixture);
}

/* A port of the guest that another forward has led to already is used again for the same container
 * alone. */
static void test_shared_inside(void) {
    Fixture fixture;
    fixture_init(&fixture);
    expect(&fixture, dinv_network_publisher_publish, FULL_WISH("::", 80, 80, "is_shared"),
           "port 80 inside is another container's");
    expect(&fixture, dinv_network_publisher_publish, WEB, "");
    expect(&fixture, dinv_network_publisher_publish, FULL_WISH("::", 80, 80, "is_shared"), "");
    expect_asked("add tcp 0.0.0.0:80-80\nadd tcp :::80-80\n");
    expect(&fixture, dinv_network_publisher_publish, FULL_WISH("::", 80, 81, "is_shared"),
           "port 81 inside is another container's");
    /* Another port of the guest. */
    expect(&fixture, dinv_network_publisher_publish, FULL_WISH("10.1.2.3", 80, 40000, "x"), "");
    expect_asked("add tcp 10.1.2.3:80-40000\n");
    fixture_clear(&fixture);
}

static void test_bad_wishes(void) {
    static const struct {
        const char *request, *expected;
    } cases[] = {
        {"{}", "only TCP and UDP ports"},
        {"{\"protocol\": 5}", "only TCP and UDP ports"},
        {WISH("sctp", "0.0.0.0", 80, "x"), "only TCP and UDP ports can be published, not \"sctp\""},
        {WISH("tcp", "::1%lo", 80, "x"),
         "only IPv4 and IPv6 addresses can be published on, not \"::1%lo\""},
        {WISH("tcp", "0.0.0.0 80 80", 80, "x"), "only IPv4 and IPv6 addresses"},
        {FULL_WISH("::", 80, 0, "x"), "a port to publish is a number"},
        {FULL_WISH("::", 80, 65536, "x"), "a port to publish is a number"},
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
    expect_asked("");
    fixture_clear(&fixture);
}

/* DINV_PUBLISH=off: the container starts, nothing is forwarded. */
static void test_off(void) {
    Fixture fixture;
    fixture_init(&fixture);
    fixture.config.publish = DINV_PUBLISH_OFF;
    expect(&fixture, dinv_network_publisher_publish, WEB, "");
    expect(&fixture, dinv_network_publisher_unpublish, WEB, "");
    expect_asked("");
    fixture_clear(&fixture);
}

/* The guest cannot have more forwards than there may be. */
static void test_limit(void) {
    Fixture fixture;
    fixture_init(&fixture);
    for (guint port = 10000; port < 10000 + 8192 - 6; port++) {
        g_autofree char *wish = g_strdup_printf("{\"protocol\": \"tcp\", \"address\": \"0.0.0.0\", "
                                                "\"port\": %u, \"container\": \"\"}",
                                                port);
        expect(&fixture, dinv_network_publisher_publish, wish, "");
    }
    expect(&fixture, dinv_network_publisher_publish, WEB,
           "8192 ports are forwarded, no more can be");
    fixture_clear(&fixture);
}

static void on_never(const char *error, gpointer user) {
    (void)error;
    (void)user;
    g_assert_not_reached();
}

/* Freed with an answer on its way. */
static void test_free_meanwhile(void) {
    Fixture fixture;
    fixture_init(&fixture);
    struct json_object *request = json_tokener_parse(WEB);
    dinv_network_publisher_publish(fixture.publisher, request, on_never, NULL);
    json_object_put(request);
    fixture_clear(&fixture);
    settle();
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/publisher/publish-and-unpublish", test_publish_and_unpublish);
    g_test_add_func("/publisher/taken-outside", test_taken_outside);
    g_test_add_func("/publisher/declared", test_declared);
    g_test_add_func("/publisher/declared-and-taken", test_declared_and_taken);
    g_test_add_func("/publisher/addresses", test_addresses);
    g_test_add_func("/publisher/guests-own-address", test_guests_own_address);
    g_test_add_func("/publisher/shared-inside", test_shared_inside);
    g_test_add_func("/publisher/bad-wishes", test_bad_wishes);
    g_test_add_func("/publisher/off", test_off);
    g_test_add_func("/publisher/limit", test_limit);
    g_test_add_func("/publisher/free-meanwhile", test_free_meanwhile);
    return g_test_run();
}
