/* SPDX-License-Identifier: MIT */
/* Checks the requests, and keeps a forward in the table while dinv-usernet is at work on it. */
#include "launcher/network/publisher.h"

#include <errno.h>
#include <string.h>

#include "launcher/base/json-text.h"
#include "launcher/base/log.h"

#define FORWARDS_MAX      8192u /* of all, so that the guest's wishes have an end */
#define CONTAINER_MAX_LEN 64u

/* One forward. */
typedef struct {
    DinvUsernetEndpoint endpoint;
    guint16 guest_port;
    gboolean declared;
    gboolean adding;       /* dinv-usernet has not answered yet */
    GPtrArray *containers; /* char *, one for each time it was published */
} Forward;

/* Lives as long as an answer of dinv-usernet is on its way. */
struct DinvNetworkPublisher {
    DinvNetworkUsernet *usernet; /* NULL: freed by its owner */
    const DinvConfig *config;
    DinvNetworkPublisherFailed failed;
    gpointer user;
    GPtrArray *forwards; /* Forward * */
};

/* What the guest asks for, checked. */
typedef struct {
    DinvUsernetEndpoint endpoint;
    guint16 guest_port;
    gboolean is_guests; /* the guest has the address, too, and serves there */
    gboolean is_shared; /* it is served inside by what the same container has published already */
    const char *container;
} Wish;

typedef struct {
    DinvNetworkPublisher *publisher;
    Forward *forward; /* of the one that is being added; it stays in the table meanwhile */
    gboolean is_guests;
    DinvNetworkPublisherDone done; /* NULL: declared, nobody waits */
    gpointer user;
} Operation;

static void forward_free(gpointer data) {
    Forward *forward = data;
    g_ptr_array_unref(forward->containers);
    g_free(forward);
}

static Forward *add_forward(DinvNetworkPublisher *publisher, const DinvUsernetEndpoint *endpoint,
                            guint16 guest_port) {
    Forward *forward = g_new0(Forward, 1);
    forward->endpoint = *endpoint;
    forward->guest_port = guest_port;
    forward->containers = g_ptr_array_new_with_free_func(g_free);
    g_ptr_array_add(publisher->forwards, forward);
    return forward;
}

static void publisher_clear(gpointer data) {
    DinvNetworkPublisher *publisher = data;
    g_ptr_array_unref(publisher->forwards);
}

static const char *protocol_of(const DinvUsernetEndpoint *endpoint) {
    return dinv_protocol_name(endpoint->udp ? DINV_PROTOCOL_UDP : DINV_PROTOCOL_TCP);
}

/* All addresses of its family. */
static gboolean is_any(const DinvUsernetEndpoint *endpoint) {
    static const guint8 any[sizeof endpoint->address];
    return memcmp(endpoint->address, any, sizeof any) == 0;
}

/* The outer container does not have the address, or IPv6 at all. */
static gboolean is_absence(const GError *error) {
    return g_error_matches(error, DINV_NETWORK_USERNET_ERROR, EADDRNOTAVAIL) ||
           g_error_matches(error, DINV_NETWORK_USERNET_ERROR, EAFNOSUPPORT);
}

/* --- Requests --- */

static const char *get_text(struct json_object *request, const char *key) {
    struct json_object *value = NULL;
    return json_object_object_get_ex(request, key, &value) &&
                   json_object_is_type(value, json_type_string)
               ? json_object_get_string(value)
               : "";
}

/* 0: there is none that makes sense. */
static guint16 get_port(struct json_object *request, const char *key) {
    struct json_object *value = NULL;
    gint64 port =
        json_object_object_get_ex(request, key, &value) && json_object_is_type(value, json_type_int)
            ? json_object_get_int64(value)
            : 0;
    return port >= 1 && port <= 65535 ? (guint16)port : 0;
}

static gboolean get_flag(struct json_object *request, const char *key) {
    struct json_object *value = NULL;
    return json_object_object_get_ex(request, key, &value) &&
           json_object_is_type(value, json_type_boolean) && json_object_get_boolean(value);
}

/* NULL, or what is wrong with it. */
static char *parse_wish(struct json_object *request, Wish *wish) {
    const char *protocol = get_text(request, "protocol");
    const char *address = get_text(request, "address");
    if (strcmp(protocol, "tcp") != 0 && strcmp(protocol, "udp") != 0) {
        g_autofree char *printable = dinv_log_printable_line(protocol);
        return g_strdup_printf("only TCP and UDP ports can be published, not \"%.16s\"", printable);
    }
    if (!dinv_usernet_address_parse(address, &wish->endpoint)) {
        g_autofree char *printable = dinv_log_printable_line(address);
        return g_strdup_printf("only IPv4 and IPv6 addresses can be published on, not \"%.64s\"",
                               printable);
    }
    guint16 port = get_port(request, "port");
    gboolean has_guest_port = json_object_object_get_ex(request, "guest_port", NULL);
    wish->guest_port = has_guest_port ? get_port(request, "guest_port") : port;
    if (port == 0 || wish->guest_port == 0) {
        return g_strdup("a port to publish is a number from 1 to 65535");
    }
    wish->endpoint.udp = protocol[0] == 'u';
    wish->endpoint.port = port;
    wish->is_guests = get_flag(request, "is_guests");
    wish->is_shared = get_flag(request, "is_shared");
    wish->container = get_text(request, "container");
    return NULL;
}

/* A declared forward of all addresses is there for each of them. */
static gboolean covers(const Forward *forward, const DinvUsernetEndpoint *endpoint) {
    return dinv_usernet_endpoint_equal(&forward->endpoint, endpoint) ||
           (forward->declared && is_any(&forward->endpoint) &&
            forward->endpoint.ipv6 == endpoint->ipv6 && forward->endpoint.udp == endpoint->udp &&
            forward->endpoint.port == endpoint->port);
}

/* The forward that serves the wish, or is in its way. */
static Forward *find_forward(const DinvNetworkPublisher *publisher, const Wish *wish) {
    for (guint i = 0; i < publisher->forwards->len; i++) {
        Forward *forward = g_ptr_array_index(publisher->forwards, i);
        if (covers(forward, &wish->endpoint)) {
            return forward;
        }
    }
    return NULL;
}

/* The guest's text, which goes to people. */
static char *container_label(const char *text) {
    g_autofree char *printable = dinv_log_printable_line(text);
    return g_strndup(printable, CONTAINER_MAX_LEN);
}

static Operation *publisher_begin(DinvNetworkPublisher *publisher, Forward *forward,
                                  DinvNetworkPublisherDone done, gpointer user) {
    Operation *operation = g_new0(Operation, 1);
    *operation = (Operation){
        .publisher = g_rc_box_acquire(publisher), .forward = forward, .done = done, .user = user};
    return operation;
}

/* Who asked is only told while the publisher has its owner. */
static void publisher_complete(Operation *operation, const GError *error) {
    if (operation->publisher->usernet != NULL && operation->done != NULL) {
        operation->done(error != NULL ? error->message : NULL, operation->user);
    }
    g_rc_box_release_full(operation->publisher, publisher_clear);
    g_free(operation);
}

static void publisher_on_added(GObject *source G_GNUC_UNUSED, GAsyncResult *result, gpointer user) {
    Operation *operation = user;
    g_autoptr(GError) error = NULL;
    operation->forward->adding = FALSE;
    if (!dinv_network_usernet_finish(result, &error)) {
        g_ptr_array_remove(operation->publisher->forwards, operation->forward);
        if (operation->is_guests && is_absence(error)) {
            g_clear_error(&error); /* it is the guest's alone, which serves it */
        }
    }
    publisher_complete(operation, error);
}

/* Whether the same container is reached at that port of the guest already. */
static gboolean is_served_inside(const DinvNetworkPublisher *publisher, const Wish *wish) {
    g_autofree char *label = container_label(wish->container);
    for (guint i = 0; i < publisher->forwards->len; i++) {
        const Forward *forward = g_ptr_array_index(publisher->forwards, i);
        if (forward->endpoint.udp == wish->endpoint.udp && !forward->adding &&
            forward->guest_port == wish->guest_port &&
            g_ptr_array_find_with_equal_func(forward->containers, label, g_str_equal, NULL)) {
            return TRUE;
        }
    }
    return FALSE;
}

static char *refusal(const DinvNetworkPublisher *publisher, const Wish *wish,
                     const Forward *found) {
    char address[DINV_USERNET_ADDRESS_SIZE];
    dinv_usernet_address_format(&wish->endpoint, address);
    if (wish->is_shared && !is_served_inside(publisher, wish)) {
        return g_strdup_printf("port %u inside is another container's", wish->guest_port);
    }
    if (found != NULL) {
        return g_strdup_printf("listen %s %s%s%s:%u: bind: address already in use (it is forwarded "
                               "to port %u inside%s)",
                               protocol_of(&wish->endpoint), wish->endpoint.ipv6 ? "[" : "",
                               address, wish->endpoint.ipv6 ? "]" : "", wish->endpoint.port,
                               found->guest_port,
                               found->declared ? ", by DINV_TCP_PORTS or DINV_UDP_PORTS" : "");
    }
    if (publisher->forwards->len >= FORWARDS_MAX) {
        return g_strdup_printf("%u ports are forwarded, no more can be", FORWARDS_MAX);
    }
    return NULL;
}

static void start_forward(DinvNetworkPublisher *publisher, const Wish *wish,
                          DinvNetworkPublisherDone done, gpointer user) {
    Forward *forward = add_forward(publisher, &wish->endpoint, wish->guest_port);
    Operation *operation = publisher_begin(publisher, forward, done, user);
    forward->adding = TRUE;
    operation->is_guests = wish->is_guests;
    g_ptr_array_add(forward->containers, container_label(wish->container));
    dinv_network_usernet_add(publisher->usernet, &wish->endpoint, wish->guest_port,
                             publisher_on_added, operation);
}

void dinv_network_publisher_publish(DinvNetworkPublisher *publisher, struct json_object *request,
                                    DinvNetworkPublisherDone done, gpointer user) {
    Wish wish = {0};
    g_autofree char *problem = parse_wish(request, &wish);
    if (problem == NULL && publisher->config->publish == DINV_PUBLISH_OFF) {
        dinv_log(DINV_LOG_DEBUG, "not published: port %u/%s (DINV_PUBLISH=off)", wish.endpoint.port,
                 protocol_of(&wish.endpoint));
        done(NULL, user);
        return;
    }
    Forward *found = problem == NULL ? find_forward(publisher, &wish) : NULL;
    gboolean served = found != NULL && !found->adding && found->guest_port == wish.guest_port &&
                      (!wish.is_shared || is_served_inside(publisher, &wish)) &&
                      found->containers->len < FORWARDS_MAX;
    if (problem == NULL && !served) {
        problem = refusal(publisher, &wish, found);
    }
    if (problem != NULL) {
        done(problem, user);
    } else if (served) {
        g_ptr_array_add(found->containers, container_label(wish.container));
        done(NULL, user);
    } else {
        start_forward(publisher, &wish, done, user);
    }
}

static void publisher_on_removed(GObject *source G_GNUC_UNUSED, GAsyncResult *result,
                                 gpointer user) {
    g_autoptr(GError) error = NULL;
    (void)dinv_network_usernet_finish(result, &error);
    publisher_complete(user, error);
}

/* Takes one of the containers of that name from it; FALSE if there is none. */
static gboolean remove_container(Forward *forward, const char *container) {
    g_autofree char *label = container_label(container);
    guint index = 0;
    return g_ptr_array_find_with_equal_func(forward->containers, label, g_str_equal, &index) &&
           g_ptr_array_remove_index(forward->containers, index) != NULL;
}

void dinv_network_publisher_unpublish(DinvNetworkPublisher *publisher, struct json_object *request,
                                      DinvNetworkPublisherDone done, gpointer user) {
    Wish wish = {0};
    g_autofree char *problem = parse_wish(request, &wish);
    Forward *found = problem == NULL ? find_forward(publisher, &wish) : NULL;
    if (problem != NULL || found == NULL || found->adding ||
        !remove_container(found, wish.container) || found->declared || found->containers->len > 0) {
        done(problem, user); /* nothing to remove: not published, or still needed */
        return;
    }
    g_ptr_array_remove(publisher->forwards, found);
    dinv_network_usernet_remove(publisher->usernet, &wish.endpoint, publisher_on_removed,
                                publisher_begin(publisher, NULL, done, user));
}

/* --- Declared ports --- */

/* Without IPv6 outside there is nothing to forward by it. Without the port itself the machine is
 * not what was asked for. */
static void publisher_on_declared(GObject *source G_GNUC_UNUSED, GAsyncResult *result,
                                  gpointer user) {
    Operation *operation = user;
    DinvNetworkPublisher *publisher = operation->publisher;
    gboolean is_ipv6 = operation->forward->endpoint.ipv6;
    g_autoptr(GError) error = NULL;
    operation->forward->adding = FALSE;
    if (!dinv_network_usernet_finish(result, &error)) {
        g_ptr_array_remove(publisher->forwards, operation->forward);
        if (is_ipv6 && !is_absence(error) && publisher->usernet != NULL) {
            dinv_log(DINV_LOG_WARNING, "a declared port is not forwarded by IPv6: %s, ignoring",
                     error->message);
        } else if (!is_ipv6 && publisher->usernet != NULL) {
            publisher->failed(error->message, publisher->user);
        }
    }
    publisher_complete(operation, NULL);
}

static void add_declared(DinvNetworkPublisher *publisher, const DinvPortForward *what,
                         gboolean ipv6) {
    const DinvUsernetEndpoint endpoint = {
        .udp = what->protocol == DINV_PROTOCOL_UDP, .ipv6 = ipv6, .port = what->host_port};
    Forward *forward = add_forward(publisher, &endpoint, what->guest_port);
    forward->declared = TRUE;
    forward->adding = TRUE;
    dinv_network_usernet_add(publisher->usernet, &endpoint, what->guest_port, publisher_on_declared,
                             publisher_begin(publisher, forward, NULL, NULL));
}

DinvNetworkPublisher *dinv_network_publisher_new(DinvNetworkUsernet *usernet,
                                                 const DinvConfig *config,
                                                 DinvNetworkPublisherFailed failed, gpointer user) {
    DinvNetworkPublisher *publisher = g_rc_box_new0(DinvNetworkPublisher);
    publisher->usernet = usernet;
    publisher->config = config;
    publisher->failed = failed;
    publisher->user = user;
    publisher->forwards = g_ptr_array_new_with_free_func(forward_free);
    for (guint i = 0; i < config->ports->len; i++) {
        const DinvPortForward *what = &g_array_index(config->ports, DinvPortForward, i);
        add_declared(publisher, what, FALSE);
        add_declared(publisher, what, TRUE);
    }
    return publisher;
}

void dinv_network_publisher_free(DinvNetworkPublisher *publisher) {
    if (publisher != NULL) {
        publisher->usernet = NULL;
        g_rc_box_release_full(publisher, publisher_clear);
    }
}

/* --- What there is --- */

static void describe_endpoint(struct json_object *item, const DinvUsernetEndpoint *endpoint,
                              guint16 guest_port) {
    char address[DINV_USERNET_ADDRESS_SIZE];
    dinv_usernet_address_format(endpoint, address);
    dinv_json_add_string(item, "protocol", protocol_of(endpoint));
    dinv_json_add_string(item, "address", address);
    json_object_object_add(item, "host_port", json_object_new_int(endpoint->port));
    json_object_object_add(item, "guest_port", json_object_new_int(guest_port));
}

struct json_object *dinv_network_publisher_describe(const DinvNetworkPublisher *publisher) {
    struct json_object *ports = json_object_new_array();
    for (guint i = 0; i < publisher->forwards->len; i++) {
        const Forward *forward = g_ptr_array_index(publisher->forwards, i);
        struct json_object *item = json_object_new_object();
        struct json_object *containers = json_object_new_array();
        describe_endpoint(item, &forward->endpoint, forward->guest_port);
        json_object_object_add(item, "declared", json_object_new_boolean(forward->declared));
        for (guint j = 0; j < forward->containers->len; j++) {
            json_object_array_add(
                containers, json_object_new_string(g_ptr_array_index(forward->containers, j)));
        }
        json_object_object_add(item, "containers", containers);
        json_object_array_add(ports, item);
    }
    return ports;
}

struct json_object *dinv_network_publisher_describe_list(const GArray *forwards) {
    struct json_object *list = json_object_new_array();
    for (guint i = 0; i < forwards->len; i++) {
        const DinvUsernetReply *forward = &g_array_index(forwards, DinvUsernetReply, i);
        struct json_object *item = json_object_new_object();
        describe_endpoint(item, &forward->endpoint, forward->guest_port);
        dinv_json_add_number(item, "connections", forward->connections);
        dinv_json_add_number(item, "open", forward->open);
        dinv_json_add_number(item, "bytes_to_guest", forward->to_guest);
        dinv_json_add_number(item, "bytes_from_guest", forward->from_guest);
        json_object_array_add(list, item);
    }
    return list;
}
