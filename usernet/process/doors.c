/* SPDX-License-Identifier: MIT */
/* Doors, the connections that wait at them, and accept() as libslirp calls it. */
#include "usernet/process/doors.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "usernet/process/loop.h"

/* libslirp takes one a turn from a door; what is not taken waits in the kernel. */
#define WAITING_MAX 64u
#define PORTS       65536u

typedef struct Waiting {
    struct Waiting *next;
    int fd;
    DinvUsernetFlowKey key;
    DinvUsernetForward *forward;
} Waiting;

typedef struct {
    int fd;
    uint16_t guest_port;
    unsigned users; /* forwards */
    unsigned count;
    Waiting *first;
    Waiting **last;
} Door;

struct DinvUsernetDoors {
    DinvUsernetFlows *flows;
    struct in_addr guest, gateway, mask;
    Door **by_fd;
    size_t fd_count;
    size_t waiting;
    unsigned accepts;
    uint16_t
        next_port; /* of the gateway, for clients that have no address in the guest's network */
    Door *by_port[PORTS];
};

/* What accept() has to know and libslirp does not pass. */
static DinvUsernetDoors *the_doors;

DinvUsernetDoors *dinv_usernet_doors_new(DinvUsernetFlows *flows, struct in_addr guest,
                                         struct in_addr gateway, struct in_addr mask) {
    DinvUsernetDoors *doors = the_doors == NULL ? calloc(1, sizeof(*doors)) : NULL;
    if (doors != NULL) {
        doors->flows = flows;
        doors->guest = guest;
        doors->gateway = gateway;
        doors->mask = mask;
        doors->next_port = 32768;
        the_doors = doors;
    }
    return doors;
}

static Door *door_of(const DinvUsernetDoors *doors, int fd) {
    return fd >= 0 && (size_t)fd < doors->fd_count ? doors->by_fd[fd] : NULL;
}

/* Those of one forward, or of all. A connection that is closed here has nobody inside. */
static void drop_waiting(DinvUsernetDoors *doors, Door *door, const DinvUsernetForward *forward) {
    Waiting **at = &door->first;
    while (*at != NULL) {
        Waiting *waiting = *at;
        if (forward != NULL && waiting->forward != forward) {
            at = &waiting->next;
            continue;
        }
        *at = waiting->next;
        struct linger linger = {.l_onoff = 1};
        (void)setsockopt(waiting->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
        (void)close(waiting->fd);
        free(waiting);
        door->count--;
        doors->waiting--;
    }
    door->last = at;
}

void dinv_usernet_doors_free(DinvUsernetDoors *doors) {
    if (doors == NULL) {
        return;
    }
    for (size_t fd = 0; fd < doors->fd_count; fd++) {
        if (doors->by_fd[fd] != NULL) {
            drop_waiting(doors, doors->by_fd[fd], NULL);
            (void)close((int)fd);
            free(doors->by_fd[fd]);
        }
    }
    free(doors->by_fd);
    free(doors);
    the_doors = NULL;
}

static bool make_room(DinvUsernetDoors *doors, int fd) {
    if ((size_t)fd < doors->fd_count) {
        return true;
    }
    size_t count = (size_t)fd * 2 + 64;
    Door **by_fd = reallocarray(doors->by_fd, count, sizeof(Door *));
    if (by_fd == NULL) {
        return false;
    }
    memset(by_fd + doors->fd_count, 0, (count - doors->fd_count) * sizeof(Door *));
    doors->by_fd = by_fd;
    doors->fd_count = count;
    return true;
}

/* libslirp tells nobody the descriptor of its listener; but socket() gives the lowest that is
 * free. */
static int make_listener(DinvUsernetDoors *doors, Slirp *slirp, uint16_t guest_port) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -errno;
    }
    (void)close(fd);
    struct in_addr loopback = {htonl(INADDR_LOOPBACK)};
    if (slirp_add_hostfwd(slirp, 0, loopback, 0, doors->guest, guest_port) < 0) {
        return errno > 0 ? -errno : -EIO;
    }
    int listens = 0;
    socklen_t len = sizeof(listens);
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) < 0 || listens == 0) {
        return -EBADF;
    }
    return fd;
}

/* A fresh socket under the same number: the one that was there is gone. */
static int replace(int fd) {
    int other = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (other < 0) {
        return -errno;
    }
    int result = dup3(other, fd, O_CLOEXEC) < 0 ? -errno : 0;
    (void)close(other);
    return result;
}

/* libslirp removes a forward by the address that its socket is bound to, so it is given one that is
 * bound to an address of its own for as long as that takes. */
static void remove_listener(Slirp *slirp, int fd) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    if (replace(fd) == 0 && bind(fd, (const struct sockaddr *)&address, len) == 0 &&
        getsockname(fd, (struct sockaddr *)&address, &len) == 0) {
        (void)slirp_remove_hostfwd(slirp, 0, address.sin_addr, ntohs(address.sin_port));
    }
}

int dinv_usernet_doors_open(DinvUsernetDoors *doors, Slirp *slirp, uint16_t guest_port) {
    if (doors->by_port[guest_port] != NULL) {
        doors->by_port[guest_port]->users++;
        return 0;
    }
    Door *door = calloc(1, sizeof(*door));
    if (door == NULL) {
        return -ENOMEM;
    }
    int fd = make_listener(doors, slirp, guest_port);
    if (fd < 0) {
        free(door);
        return fd;
    }
    int result = make_room(doors, fd) ? replace(fd) : -ENOMEM;
    if (result < 0) {
        remove_listener(slirp, fd);
        free(door);
        return result;
    }
    *door = (Door){.fd = fd, .guest_port = guest_port, .users = 1};
    door->last = &door->first;
    doors->by_fd[fd] = door;
    doors->by_port[guest_port] = door;
    return 0;
}

void dinv_usernet_doors_close(DinvUsernetDoors *doors, Slirp *slirp,
                              const DinvUsernetForward *forward) {
    Door *door = doors->by_port[forward->guest_port];
    if (door == NULL) {
        return;
    }
    drop_waiting(doors, door, forward);
    door->users--;
    if (door->users == 0) {
        doors->by_fd[door->fd] = NULL;
        doors->by_port[door->guest_port] = NULL;
        remove_listener(slirp, door->fd);
        free(door);
    }
}

bool dinv_usernet_doors_is_door(const DinvUsernetDoors *doors, int fd) {
    return door_of(doors, fd) != NULL;
}

bool dinv_usernet_doors_is_ready(const DinvUsernetDoors *doors, int fd) {
    const Door *door = door_of(doors, fd);
    return door != NULL && door->first != NULL;
}

size_t dinv_usernet_doors_waiting(const DinvUsernetDoors *doors) {
    return doors->waiting;
}

unsigned dinv_usernet_doors_accepts(const DinvUsernetDoors *doors) {
    return doors->accepts;
}

static bool is_taken(DinvUsernetDoors *doors, const Door *door, const DinvUsernetFlowKey *key) {
    for (const Waiting *waiting = door->first; waiting != NULL; waiting = waiting->next) {
        if (waiting->key.foreign == key->foreign &&
            waiting->key.foreign_port == key->foreign_port) {
            return true;
        }
    }
    return dinv_usernet_flows_find(doors->flows, key) != NULL;
}

/* A client is seen under its own IPv4 address, unless that means something else inside: loopback,
 * and the addresses of the guest's own network. All others come from the gateway. */
static bool has_own_address(const DinvUsernetDoors *doors, const struct sockaddr_storage *client) {
    if (client->ss_family != AF_INET) {
        return false;
    }
    struct in_addr address = ((const struct sockaddr_in *)client)->sin_addr;
    return ntohl(address.s_addr) >> 24 != 127 && ntohl(address.s_addr) >> 24 != 0 &&
           (address.s_addr & doors->mask.s_addr) != (doors->guest.s_addr & doors->mask.s_addr);
}

/* False if the gateway has no port left for this port of the guest. */
static bool choose_source(DinvUsernetDoors *doors, const Door *door,
                          const struct sockaddr_storage *client, DinvUsernetFlowKey *key) {
    *key = (DinvUsernetFlowKey){.guest = doors->guest.s_addr, .guest_port = door->guest_port};
    if (has_own_address(doors, client)) {
        key->foreign = ((const struct sockaddr_in *)client)->sin_addr.s_addr;
        key->foreign_port = ntohs(((const struct sockaddr_in *)client)->sin_port);
        if (!is_taken(doors, door, key)) {
            return true;
        }
    }
    key->foreign = doors->gateway.s_addr;
    for (unsigned tried = 0; tried < PORTS; tried++) {
        key->foreign_port = doors->next_port++;
        if (doors->next_port < 1024) {
            doors->next_port = 1024;
        }
        if (key->foreign_port >= 1024 && !is_taken(doors, door, key)) {
            return true;
        }
    }
    return false;
}

static void add_waiting(DinvUsernetDoors *doors, Door *door, DinvUsernetForward *forward, int fd,
                        const struct sockaddr_storage *client) {
    Waiting *waiting = malloc(sizeof(*waiting));
    if (waiting == NULL || !choose_source(doors, door, client, &waiting->key)) {
        free(waiting);
        (void)close(fd);
        return;
    }
    waiting->next = NULL;
    waiting->fd = fd;
    waiting->forward = forward;
    *door->last = waiting;
    door->last = &waiting->next;
    door->count++;
    doors->waiting++;
}

static bool is_out_of_resources(int error) {
    return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

int dinv_usernet_doors_take(DinvUsernetDoors *doors, DinvUsernetForward *forward) {
    Door *door = doors->by_port[forward->guest_port];
    while (door != NULL && door->count < WAITING_MAX) {
        struct sockaddr_storage client = {0};
        socklen_t len = sizeof(client);
        int fd =
            accept4(forward->fd, (struct sockaddr *)&client, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0 && is_out_of_resources(errno)) {
            return -errno;
        }
        if (fd < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            return 0;
        }
        /* Others, as ECONNABORTED, are of one connection. */
        if (fd >= 0) {
            add_waiting(doors, door, forward, fd, &client);
        }
    }
    return 0;
}

/* The flow is known before libslirp makes its first frame. */
static int hand_out(Door *door, struct sockaddr *address, socklen_t *len) {
    the_doors->accepts++;
    Waiting *waiting = door->first;
    if (waiting == NULL) {
        errno = EAGAIN;
        return -1;
    }
    door->first = waiting->next;
    if (door->first == NULL) {
        door->last = &door->first;
    }
    door->count--;
    the_doors->waiting--;
    int fd = waiting->fd;
    struct sockaddr_in source = {.sin_family = AF_INET,
                                 .sin_addr.s_addr = waiting->key.foreign,
                                 .sin_port = htons(waiting->key.foreign_port)};
    DinvUsernetFlow *flow = dinv_usernet_flows_add(the_doors->flows, &waiting->key, fd,
                                                   waiting->forward, dinv_usernet_now_ns());
    free(waiting);
    if (flow == NULL) {
        (void)close(fd);
        errno = ECONNABORTED;
        return -1;
    }
    if (address != NULL && len != NULL) {
        memcpy(address, &source, *len < sizeof(source) ? *len : sizeof(source));
        *len = sizeof(source);
    }
    return fd;
}

/* Instead of the C library's, for this program and all its libraries. */
__attribute__((visibility("default"))) int dinv_usernet_accept(int fd, struct sockaddr *address,
                                                               socklen_t *len) __asm__("accept");

int dinv_usernet_accept(int fd, struct sockaddr *address, socklen_t *len) {
    Door *door = the_doors != NULL ? door_of(the_doors, fd) : NULL;
    return door != NULL ? hand_out(door, address, len) : accept4(fd, address, len, 0);
}
