/* SPDX-License-Identifier: MIT */
/* Checks the requests, and keeps a forward in the table while the machine is at work on it. */
#include "launcher/network/publisher.h"

#include <arpa/inet.h>
#include <string.h>

#include "launcher/base/json-text.h"
#include "launcher/base/log.h"

#define FORWARDS_MAX      4096u /* of all, so that the guest's wishes have an end */
#define CONTAINER_MAX_LEN 64u
#define ANY               "0.0.0.0"

/* One forward. */
typedef struct {
    DinvPortForward forward;
    char address[INET_ADDRSTRLEN];
    gboolean declared;
    gboolean adding;       /* the machine has not answered yet */
    GPtrArray *containers; /* char *, one for each time it was published */
} Forward;

/* Lives as long as an answer of the machine is on its way. */
struct DinvNetworkPublisher {
    DinvMachine *machine; /* NULL: freed by its owner */
    const DinvConfig *config;
    GPtrArray *forwards; /* Forward * */
};

/* What the guest asks for, checked. */
typedef struct {
    DinvPortForward forward;
    char address[INET_ADDRSTRLEN];
    const char *container;
} Wish;

typedef struct {
    DinvNetworkPublisher *publisher;
    Forward *forward; /* of the one that is being added; it stays in the table meanwhile */
    DinvNetworkPublisherDone done;
    gpointer user;
} Operation;

static void forward_free(gpointer data) {
    Forward *forward = data;
    g_ptr_array_unref(forward->containers);
    g_free(forward);
}

static Forward *add_forward(DinvNetworkPublisher *publisher, const DinvPortForward *what,
                            const char *address) {
    Forward *forward = g_new0(Forward, 1);
    forward->forward = *what;
    (void)g_strlcpy(forward->address, address, sizeof forward->address);
    forward->containers = g_ptr_array_new_with_free_func(g_free);
    g_ptr_array_add(publisher->forwards, forward);
    return forward;
}

static void publisher_clear(gpointer data) {
    DinvNetworkPublisher *publisher = data;
    g_ptr_array_unref(publisher->forwards);
}

DinvNetworkPublisher *dinv_network_publisher_new(DinvMachine *machine, const DinvConfig *config) {
    DinvNetworkPublisher *publisher = g_rc_box_new0(DinvNetworkPublisher);
    publisher->machine = machine;
    publisher->config = config;
    publisher->forwards = g_ptr_array_new_with_free_func(forward_free);
    for (guint i = 0; i < config->ports->len; i++) {
        const DinvPortForward *what = &g_array_index(config->ports, DinvPortForward, i);
        add_forward(publisher, what, ANY)->declared = TRUE;
    }
    return publisher;
}

void dinv_network_publisher_free(DinvNetworkPublisher *publisher) {
    if (publisher != NULL) {
        publisher->machine = NULL;
        g_rc_box_release_full(publisher, publisher_clear);
    }
}

/* --- Requests --- */

static const char *get_text(struct json_object *request, const char *key) {
    struct json_object *value = NULL;
    return json_object_object_get_ex(request, key, &value) &&
                   json_object_is_type(value, json_type_string)
               ? json_object_get_string(value)
               : "";
}

static guint16 get_port(struct json_object *request) {
    struct json_object *value = NULL;
    gint64 port = json_object_object_get_ex(request, "port", &value) &&
                          json_object_is_type(value, json_type_int)
                      ? json_object_get_int64(value)
                      : 0;
    return port >= 1 && port <= 65535 ? (guint16)port : 0;
}

/* NULL, or what is wrong with it. The host's port is the guest's as well: dockerd has its rules for
 * the one that it was asked for. */
static char *parse_wish(struct json_object *request, Wish *wish) {
    const char *protocol = get_text(request, "protocol");
    const char *address = get_text(request, "address");
    struct in_addr parsed;
    if (strcmp(protocol, "tcp") != 0 && strcmp(protocol, "udp") != 0) {
        g_autofree char *printable = dinv_log_printable_line(protocol);
        return g_strdup_printf("only TCP and UDP ports can be published, not \"%.16s\"", printable);
    }
    if (inet_pton(AF_INET, address, &parsed) != 1) {
        g_autofree char *printable = dinv_log_printable_line(address);
        return g_strdup_printf("only IPv4 addresses can be published on, not \"%.64s\"", printable);
    }
    guint16 port = get_port(request);
    if (port == 0) {
        return g_strdup("a port to publish is a number from 1 to 65535");
    }
    (void)inet_ntop(AF_INET, &parsed, wish->address, sizeof wish->address);
    wish->forward =
        (DinvPortForward){.protocol = protocol[0] == 'u' ? DINV_PROTOCOL_UDP : DINV_PROTOCOL_TCP,
                          .host_port = port,
                          .guest_port = port};
    wish->container = get_text(request, "container");
    return NULL;
}

/* Answers of two UDP forwards to one port of the guest would all leave from the first. */
static Forward *find_udp_rival(const DinvNetworkPublisher *publisher, const Wish *wish) {
    for (guint i = 0; wish->forward.protocol == DINV_PROTOCOL_UDP && i < publisher->forwards->len;
         i++) {
        Forward *forward = g_ptr_array_index(publisher->forwards, i);
        if (forward->forward.protocol == DINV_PROTOCOL_UDP &&
            forward->forward.guest_port == wish->forward.guest_port) {
            return forward;
        }
    }
    return NULL;
}

/* The forward that serves the wish, or is in its way. A declared UDP forward serves whatever its
 * port outside is. */
static Forward *find_forward(const DinvNetworkPublisher *publisher, const Wish *wish) {
    Forward *rival = find_udp_rival(publisher, wish);
    if (rival != NULL && rival->declared) {
        return rival;
    }
    for (guint i = 0; i < publisher->forwards->len; i++) {
        Forward *forward = g_ptr_array_index(publisher->forwards, i);
        if (forward->forward.protocol == wish->forward.protocol &&
            forward->forward.host_port == wish->forward.host_port &&
            (strcmp(forward->address, wish->address) == 0 ||
             (forward->declared && strcmp(forward->address, ANY) == 0))) {
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
    if (operation->publisher->machine != NULL) {
        operation->done(error != NULL ? error->message : NULL, operation->user);
    }
    g_rc_box_release_full(operation->publisher, publisher_clear);
    g_free(operation);
}

static void publisher_on_added(GObject *source, GAsyncResult *result, gpointer user) {
    Operation *operation = user;
    g_autoptr(GError) error = NULL;
    (void)source;
    operation->forward->adding = FALSE;
    if (!dinv_machine_forward_finish(operation->publisher->machine, result, &error)) {
        g_ptr_array_remove(operation->publisher->forwards, operation->forward);
    }
    publisher_complete(operation, error);
}

static char *refusal(const DinvNetworkPublisher *publisher, const Wish *wish,
                     const Forward *found) {
    const char *protocol = dinv_protocol_name(wish->forward.protocol);
    const Forward *rival = find_udp_rival(publisher, wish);
    if (found != NULL) {
        return g_strdup_printf("listen %s %s:%u: bind: address already in use (it is forwarded to "
                               "port %u inside%s)",
                               protocol, wish->address, wish->forward.host_port,
                               found->forward.guest_port,
                               found->declared ? ", by DINV_TCP_PORTS or DINV_UDP_PORTS" : "");
    }
    if (rival != NULL) {
        return g_strdup_printf(
            "UDP port %u inside is forwarded from %s:%u already, and can be from "
            "one place only",
            rival->forward.guest_port, rival->address, rival->forward.host_port);
    }
    if (publisher->forwards->len >= FORWARDS_MAX) {
        return g_strdup_printf("%u ports are forwarded, no more can be", FORWARDS_MAX);
    }
    return NULL;
}

void dinv_network_publisher_publish(DinvNetworkPublisher *publisher, struct json_object *request,
                                    DinvNetworkPublisherDone done, gpointer user) {
    Wish wish = {0};
    g_autofree char *problem = parse_wish(request, &wish);
    if (problem == NULL && publisher->config->publish == DINV_PUBLISH_OFF) {
        dinv_log(DINV_LOG_DEBUG, "not published: %s:%u/%s (DINV_PUBLISH=off)", wish.address,
                 wish.forward.host_port, dinv_protocol_name(wish.forward.protocol));
        done(NULL, user);
        return;
    }
    Forward *found = problem == NULL ? find_forward(publisher, &wish) : NULL;
    gboolean served = found != NULL && !found->adding &&
                      found->forward.guest_port == wish.forward.guest_port &&
                      found->containers->len < FORWARDS_MAX;
    if (problem == NULL && !served) {
        problem = refusal(publisher, &wish, found);
    }
    if (problem != NULL) {
        done(problem, user);
    } else if (served) {
        if (found->forward.host_port != wish.forward.host_port) {
            dinv_log(DINV_LOG_INFO,
                     "UDP port %u, published inside, is reached at port %u, as DINV_UDP_PORTS says",
                     wish.forward.host_port, found->forward.host_port);
        }
        g_ptr_array_add(found->containers, container_label(wish.container));
        done(NULL, user);
    } else {
        Forward *forward = add_forward(publisher, &wish.forward, wish.address);
        forward->adding = TRUE;
        g_ptr_array_add(forward->containers, container_label(wish.container));
        dinv_machine_add_forward(publisher->machine, &wish.forward, wish.address,
                                 publisher_on_added,
                                 publisher_begin(publisher, forward, done, user));
    }
}

static void publisher_on_removed(GObject *source, GAsyncResult *result, gpointer user) {
    Operation *operation = user;
    g_autoptr(GError) error = NULL;
    (void)source;
    (void)dinv_machine_forward_finish(operation->publisher->machine, result, &error);
    publisher_complete(operation, error);
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
    dinv_machine_remove_forward(publisher->machine, &wish.forward, wish.address,
                                publisher_on_removed, publisher_begin(publisher, NULL, done, user));
}

/* --- What there is --- */

struct json_object *dinv_network_publisher_describe(const DinvNetworkPublisher *publisher) {
    struct json_object *ports = json_object_new_array();
    for (guint i = 0; i < publisher->forwards->len; i++) {
        const Forward *forward = g_ptr_array_index(publisher->forwards, i);
        struct json_object *item = json_object_new_object();
        struct json_object *containers = json_object_new_array();
        dinv_json_add_string(item, "protocol", dinv_protocol_name(forward->forward.protocol));
        dinv_json_add_string(item, "address", forward->address);
        json_object_object_add(item, "host_port", json_object_new_int(forward->forward.host_port));
        json_object_object_add(item, "guest_port",
                               json_object_new_int(forward->forward.guest_port));
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
