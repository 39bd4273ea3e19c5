/* SPDX-License-Identifier: MIT */
/* Compares what listens now with what did a second ago: see ListenerState and listeners_look(). */
#include "guest/ports/listeners.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest/base/files.h"
#include "guest/base/log.h"
#include "guest/network/loopback.h"
#include "guest/ports/socket-owner.h"
#include "guest/ports/socket-table.h"
#include "wire/verbs.h"

enum {
    LOOK_MS = 1000,
    TABLE_MAX = 4 << 20,  /* bytes of a table of /proc/net */
    SOCKETS_MAX = 4096,   /* that are looked at; more are left out */
    LISTENERS_MAX = 1024, /* that are followed */
    SWARM_MANAGEMENT = 2377,
    SWARM_GOSSIP = 7946,
};

typedef enum {
    LISTENER_IGNORED, /* of the guest's own, or refused */
    LISTENER_PUBLISHING,
    LISTENER_PUBLISHED,
    LISTENER_UNPUBLISHING,
} ListenerState;

/* One port on one outer address. */
typedef struct Listener Listener;
struct Listener {
    DinvPortsListeners *listeners;
    Listener *next;
    ListenerState state;
    bool udp;
    bool loopback; /* it listens on the guest's loopback, and is published on the outer one */
    uint16_t port;
    const char *address; /* outside; static */
    uint64_t inode;
    bool gone; /* the socket is, while the launcher is asked */
    char owner[DINV_PORTS_OWNER_SIZE];
};

typedef struct {
    DinvPortsSocket items[SOCKETS_MAX];
    size_t count;
} Sockets;

struct DinvPortsListeners {
    DinvLoop *loop;
    DinvTimer *timer;
    const char *proc;
    const char *engine_cgroup;
    DinvPortsRequest request;
    void *user;
    DinvNetworkLoopback *loopback; /* NULL: none */
    bool started;
    unsigned client_ports_first; /* the range of local ports */
    unsigned client_ports_last;
    Sockets sockets; /* of the last look */
    Listener *first;
    size_t count;
};

/* Who connects to a wildcard socket inside may come by either family outside. */
enum { OUTER_ADDRESSES = 2 };
static const char *const outer_addresses[OUTER_ADDRESSES] = {"0.0.0.0", "::"};
static const char *const outer_loopbacks[OUTER_ADDRESSES] = {"127.0.0.1", "::1"};

/* --- What listens now --- */

static bool is_on_loopback(const DinvPortsSocket *socket) {
    return strcmp(socket->address, "127.0.0.1") == 0;
}

/* Whether the launcher can reach it, and it waits for clients. */
static bool is_reachable(const DinvPortsListeners *listeners, const DinvPortsSocket *socket) {
    bool any = strcmp(socket->address, "0.0.0.0") == 0 || strcmp(socket->address, "::") == 0;
    bool of_client = socket->udp && socket->port >= listeners->client_ports_first &&
                     socket->port <= listeners->client_ports_last;
    return (any || (listeners->loopback != NULL && is_on_loopback(socket))) && !of_client;
}

/* False if there is one that cannot be read: it would look as if all were gone. */
static bool read_table(DinvPortsListeners *listeners, const char *name, bool udp, bool ipv6) {
    char path[64];
    (void)snprintf(path, sizeof path, "%s/net/%s", listeners->proc, name);
    char *text = NULL;
    ssize_t len = dinv_file_read_all(path, &text, TABLE_MAX);
    if (len < 0) {
        return len == -ENOENT; /* without IPv6 there is no table of it */
    }
    Sockets *sockets = &listeners->sockets;
    char *rest = text;
    char *line;
    while ((line = strsep(&rest, "\n")) != NULL && sockets->count < SOCKETS_MAX) {
        DinvPortsSocket *socket = &sockets->items[sockets->count];
        if (dinv_ports_socket_parse(line, udp, ipv6, socket) && is_reachable(listeners, socket)) {
            sockets->count++;
        }
    }
    free(text);
    return true;
}

static bool read_tables(DinvPortsListeners *listeners) {
    listeners->sockets.count = 0;
    return read_table(listeners, "tcp", false, false) &&
           read_table(listeners, "tcp6", false, true) &&
           read_table(listeners, "udp", true, false) && read_table(listeners, "udp6", true, true);
}

/* --- The way to the guest's loopback --- */

/* For those that are published, or are about to be. Those of one port stand side by side. */
static void set_loopback(DinvPortsListeners *listeners) {
    static DinvNetworkLoopbackPort ports[LISTENERS_MAX];
    size_t count = 0;
    for (const Listener *listener = listeners->first; listener != NULL; listener = listener->next) {
        const DinvNetworkLoopbackPort *last = count > 0 ? &ports[count - 1] : NULL;
        bool is_new = last == NULL || last->port != listener->port || last->udp != listener->udp;
        if (listener->loopback && listener->state != LISTENER_IGNORED && is_new) {
            ports[count++] = (DinvNetworkLoopbackPort){listener->udp, listener->port};
        }
    }
    int result = dinv_network_loopback_set(listeners->loopback, ports, count);
    if (result < 0) {
        dinv_log_warning("what listens on the guest's loopback is not reachable outside: %s",
                         strerror(-result));
    }
}

/* --- The launcher --- */

static void remove_listener(Listener *listener) {
    DinvPortsListeners *listeners = listener->listeners;
    bool loopback = listener->loopback && listener->state != LISTENER_IGNORED;
    Listener **link = &listeners->first;
    while (*link != listener) {
        link = &(*link)->next;
    }
    *link = listener->next;
    listeners->count--;
    free(listener);
    if (loopback) {
        set_loopback(listeners);
    }
}

static const char *protocol_of(const Listener *listener) {
    return listener->udp ? "udp" : "tcp";
}

static int ask(Listener *listener, const char *verb, DinvChannelControlAnswer answer) {
    struct json_object *fields = json_object_new_object();
    json_object_object_add(fields, "protocol", json_object_new_string(protocol_of(listener)));
    json_object_object_add(fields, "address", json_object_new_string(listener->address));
    json_object_object_add(fields, "port", json_object_new_int(listener->port));
    /* It is served inside whether or not the outer container has addresses of the family. */
    json_object_object_add(fields, "is_guests", json_object_new_boolean(true));
    json_object_object_add(fields, "container", json_object_new_string(listener->owner));
    return listener->listeners->request(listener->listeners->user, verb, fields, answer, listener);
}

static void listener_unpublished(void *user, const char *error) {
    const Listener *listener = user;
    if (error != NULL) {
        dinv_log_warning("port %u/%s does not listen any more, but the launcher says: %s, ignoring",
                         listener->port, protocol_of(listener), error);
    }
    remove_listener(user);
}

static void unpublish(Listener *listener) {
    listener->state = LISTENER_UNPUBLISHING;
    int result = ask(listener, DINV_WIRE_VERB_UNPUBLISH, listener_unpublished);
    if (result < 0) {
        listener_unpublished(listener, strerror(-result));
    }
}

static void listener_published(void *user, const char *error) {
    Listener *listener = user;
    if (error != NULL) {
        dinv_log_warning(
            "port %u/%s, where %s listens in the network of the guest, is not reachable "
            "outside: %s",
            listener->port, protocol_of(listener), listener->owner, error);
        listener->state = LISTENER_IGNORED;
        if (listener->loopback) {
            set_loopback(listener->listeners);
        }
    } else {
        listener->state = LISTENER_PUBLISHED;
    }
    if (listener->gone && error != NULL) {
        remove_listener(listener);
    } else if (listener->gone) {
        unpublish(listener);
    }
}

static void publish(Listener *listener) {
    listener->state = LISTENER_PUBLISHING;
    if (listener->loopback) {
        set_loopback(listener->listeners);
    }
    int result = ask(listener, DINV_WIRE_VERB_PUBLISH, listener_published);
    if (result < 0) {
        listener_published(listener, strerror(-result));
    }
}

/* --- The comparison --- */

static bool is_still_there(const Sockets *sockets, const Listener *listener) {
    for (size_t index = 0; index < sockets->count; index++) {
        if (sockets->items[index].inode == listener->inode) {
            return true;
        }
    }
    return false;
}

static void end_those_gone(DinvPortsListeners *listeners) {
    Listener *next;
    for (Listener *listener = listeners->first; listener != NULL; listener = next) {
        next = listener->next;
        if (is_still_there(&listeners->sockets, listener)) {
            continue;
        }
        listener->gone = true;
        if (listener->state == LISTENER_IGNORED) {
            remove_listener(listener);
        } else if (listener->state == LISTENER_PUBLISHED) {
            unpublish(listener);
        }
    }
}

static Listener *find(const DinvPortsListeners *listeners, const DinvPortsSocket *socket) {
    Listener *listener = listeners->first;
    while (listener != NULL && (listener->udp != socket->udp || listener->port != socket->port ||
                                listener->loopback != is_on_loopback(socket))) {
        listener = listener->next;
    }
    return listener;
}

static void add(DinvPortsListeners *listeners, const DinvPortsSocket *socket,
                const DinvPortsSocketOwner *owner) {
    bool own_of_swarm = socket->port == SWARM_MANAGEMENT || socket->port == SWARM_GOSSIP;
    bool loopback = is_on_loopback(socket);
    bool wanted = owner->owner[0] != '\0' || (owner->engine && !own_of_swarm && !loopback);
    for (size_t index = 0; index < (wanted ? OUTER_ADDRESSES : 1); index++) {
        Listener *listener = calloc(1, sizeof *listener);
        if (listener == NULL) {
            return;
        }
        *listener = (Listener){.listeners = listeners,
                               .next = listeners->first,
                               .udp = socket->udp,
                               .loopback = loopback,
                               .port = socket->port,
                               .address = (loopback ? outer_loopbacks : outer_addresses)[index],
                               .inode = socket->inode};
        (void)snprintf(listener->owner, sizeof listener->owner, "%s",
                       owner->owner[0] != '\0' ? owner->owner : "a service of the swarm");
        listeners->first = listener;
        listeners->count++;
        if (wanted) {
            publish(listener);
        }
    }
}

/* The first socket of a port stands for all of them (SO_REUSEPORT, or one for each family). */
static void begin_new_ones(DinvPortsListeners *listeners) {
    static DinvPortsSocketOwner owners[LISTENERS_MAX];
    static const DinvPortsSocket *fresh[LISTENERS_MAX];
    size_t count = 0;
    for (size_t index = 0; index < listeners->sockets.count; index++) {
        const DinvPortsSocket *socket = &listeners->sockets.items[index];
        if (find(listeners, socket) == NULL &&
            listeners->count + OUTER_ADDRESSES * (count + 1) <= LISTENERS_MAX) {
            owners[count] = (DinvPortsSocketOwner){.inode = socket->inode};
            fresh[count++] = socket;
        }
    }
    dinv_ports_find_owners(listeners->proc, listeners->engine_cgroup, owners, count);
    for (size_t index = 0; index < count; index++) {
        if (find(listeners, fresh[index]) == NULL) {
            add(listeners, fresh[index], &owners[index]);
        }
    }
}

static void listeners_look(void *user) {
    DinvPortsListeners *listeners = user;
    if (read_tables(listeners)) {
        end_those_gone(listeners);
        begin_new_ones(listeners);
    }
    dinv_timer_set(listeners->timer, LOOK_MS);
}

/* --- Life --- */

static void read_client_ports(DinvPortsListeners *listeners) {
    char path[64];
    (void)snprintf(path, sizeof path, "%s/sys/net/ipv4/ip_local_port_range", listeners->proc);
    char text[64];
    unsigned first;
    unsigned last;
    if (dinv_file_read(path, text, sizeof text) > 0 &&
        sscanf(text, "%5u %5u", &first, &last) == 2) {
        listeners->client_ports_first = first;
        listeners->client_ports_last = last;
    }
}

DinvPortsListeners *dinv_ports_listeners_new(DinvLoop *loop, const char *proc,
                                             const char *engine_cgroup, DinvPortsRequest request,
                                             void *user) {
    DinvPortsListeners *listeners = calloc(1, sizeof *listeners);
    if (listeners == NULL) {
        return NULL;
    }
    listeners->loop = loop;
    listeners->proc = proc;
    listeners->engine_cgroup = engine_cgroup;
    listeners->request = request;
    listeners->user = user;
    listeners->timer = dinv_timer_new(loop, listeners_look, listeners);
    if (listeners->timer == NULL) {
        free(listeners);
        return NULL;
    }
    return listeners;
}

void dinv_ports_listeners_free(DinvPortsListeners *listeners) {
    if (listeners == NULL) {
        return;
    }
    Listener *next;
    for (Listener *listener = listeners->first; listener != NULL; listener = next) {
        next = listener->next;
        free(listener);
    }
    dinv_timer_free(listeners->timer);
    free(listeners);
}

void dinv_ports_listeners_use_loopback(DinvPortsListeners *listeners,
                                       DinvNetworkLoopback *loopback) {
    listeners->loopback = loopback;
}

void dinv_ports_listeners_start(DinvPortsListeners *listeners) {
    if (!listeners->started) {
        listeners->started = true;
        read_client_ports(listeners);
        dinv_timer_set(listeners->timer, 0);
    }
}
