/* SPDX-License-Identifier: MIT */
/*
 * A server for the tests of ports, to be the one program of a container image.
 *
 * Usage: port-server SERVICE:PORT[-PORT]...
 *   echo    what comes over a connection goes back, up to its half-close
 *   who     answers each connection with its peer's address and port, and closes it
 *   source  sends zeros until the peer goes away
 *   sink    reads to the half-close, then answers with the number of bytes
 *   udp     sends each datagram back
 *   late    reads "SECONDS BYTES" to the half-close, and after that time sends so many zeros
 * Prints "listening" once all of them are. Any number of connections at once; never ends.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BUFFER_SIZE = 64 * 1024, EVENTS = 64, BACKLOG = 4096, REQUEST_SIZE = 32, LATE_MS = 100 };

typedef enum { ECHO, WHO, SOURCE, SINK, UDP, LATE } Service;

static const char *const service_names[] = {"echo", "who", "source", "sink", "udp", "late"};

typedef struct Socket Socket;
struct Socket {
    int fd;
    Service service;
    bool listens;
    bool ended;   /* the peer has half-closed */
    uint64_t got; /* sink */
    size_t start, len;
    char *buffer; /* echo: what has not gone back yet */
    char request[REQUEST_SIZE];
    time_t due;    /* late: in seconds of CLOCK_MONOTONIC; 0 once it has come */
    uint64_t left; /* late: to be sent */
    Socket *next_late;
};

static char bytes[BUFFER_SIZE];
static int epoll_fd;
static Socket *first_late; /* those whose time has not come */

_Noreturn static void die(const char *what) {
    perror(what);
    exit(EXIT_FAILURE);
}

static void watch(Socket *item, uint32_t events, int operation) {
    struct epoll_event event = {.events = events, .data.ptr = item};
    if (epoll_ctl(epoll_fd, operation, item->fd, &event) < 0) {
        die("epoll_ctl");
    }
}

static Socket *add(int fd, Service service, bool listens, uint32_t events) {
    Socket *item = calloc(1, sizeof *item);
    if (item == NULL) {
        die("port-server");
    }
    *item = (Socket){.fd = fd, .service = service, .listens = listens};
    watch(item, events, EPOLL_CTL_ADD);
    return item;
}

static void drop(Socket *item) {
    close(item->fd);
    free(item->buffer);
    free(item);
}

static void listen_on(Service service, unsigned port) {
    struct sockaddr_in6 name = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
    int type = service == UDP ? SOCK_DGRAM : SOCK_STREAM;
    int fd = socket(AF_INET6, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int off = 0;
    (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    if (fd < 0 || bind(fd, (struct sockaddr *)&name, sizeof name) < 0 ||
        (service != UDP && listen(fd, BACKLOG) < 0)) {
        die("listen");
    }
    (void)add(fd, service, true, EPOLLIN);
}

static void parse(const char *argument) {
    const char *colon = strchr(argument, ':');
    for (Service service = ECHO; colon != NULL && service <= LATE; service++) {
        size_t len = strlen(service_names[service]);
        if (len == (size_t)(colon - argument) &&
            memcmp(argument, service_names[service], len) == 0) {
            char *end;
            unsigned long first = strtoul(colon + 1, &end, 10);
            unsigned long last = *end == '-' ? strtoul(end + 1, &end, 10) : first;
            for (unsigned long port = first; *end == '\0' && port <= last; port++) {
                listen_on(service, (unsigned)port);
            }
            return;
        }
    }
    (void)fprintf(stderr, "port-server: \"%s\" is not SERVICE:PORT\n", argument);
    exit(EXIT_FAILURE);
}

static void say_who(int fd, const struct sockaddr_in6 *peer) {
    char address[INET6_ADDRSTRLEN] = "";
    char line[INET6_ADDRSTRLEN + 16];
    static const char mapped[] = "::ffff:";
    (void)inet_ntop(AF_INET6, &peer->sin6_addr, address, sizeof address);
    bool ipv4 = strncmp(address, mapped, sizeof mapped - 1) == 0;
    int len = snprintf(line, sizeof line, "%s %u\n", ipv4 ? address + sizeof mapped - 1 : address,
                       ntohs(peer->sin6_port));
    (void)send(fd, line, (size_t)len, MSG_NOSIGNAL);
    close(fd);
}

static void serve_listener(const Socket *item) {
    struct sockaddr_in6 peer = {0};
    socklen_t len = sizeof peer;
    if (item->service == UDP) {
        ssize_t got = recvfrom(item->fd, bytes, sizeof bytes, 0, (struct sockaddr *)&peer, &len);
        if (got >= 0) {
            (void)sendto(item->fd, bytes, (size_t)got, 0, (struct sockaddr *)&peer, len);
        }
        return;
    }
    int fd = accept4(item->fd, (struct sockaddr *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0 && item->service == WHO) {
        say_who(fd, &peer);
    } else if (fd >= 0) {
        (void)add(fd, item->service, false, item->service == SOURCE ? EPOLLOUT : EPOLLIN);
    }
}

/* Sends what waits. False if the peer is gone. */
static bool flush(Socket *item) {
    while (item->len > 0) {
        ssize_t sent = send(item->fd, item->buffer + item->start, item->len, MSG_NOSIGNAL);
        if (sent < 0) {
            return errno == EAGAIN;
        }
        item->start += (size_t)sent;
        item->len -= (size_t)sent;
    }
    return true;
}

/* True for as long as there is something to do for it. */
static bool serve_echo(Socket *item) {
    if (item->buffer == NULL && (item->buffer = malloc(BUFFER_SIZE)) == NULL) {
        die("port-server");
    }
    if (item->len == 0 && !item->ended) {
        ssize_t got = recv(item->fd, item->buffer, BUFFER_SIZE, 0);
        if (got < 0) {
            return errno == EAGAIN;
        }
        item->ended = got == 0;
        item->start = 0;
        item->len = (size_t)got;
    }
    if (!flush(item)) {
        return false;
    }
    watch(item, item->len > 0 ? EPOLLOUT : EPOLLIN, EPOLL_CTL_MOD);
    return !item->ended || item->len > 0;
}

static bool serve_sink(Socket *item) {
    ssize_t got = recv(item->fd, bytes, sizeof bytes, 0);
    item->got += got > 0 ? (uint64_t)got : 0;
    if (got == 0) {
        char line[32];
        int len = snprintf(line, sizeof line, "%llu\n", (unsigned long long)item->got);
        (void)send(item->fd, line, (size_t)len, MSG_NOSIGNAL);
    }
    return got > 0 || (got < 0 && errno == EAGAIN);
}

static bool serve_source(const Socket *item) {
    return send(item->fd, bytes, sizeof bytes, MSG_NOSIGNAL) > 0 || errno == EAGAIN;
}

static time_t now_seconds(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

/* Until it is due nothing is looked for but its peer's going away, once, which is found out again
 * when it is due. */
static bool wait_for_time(Socket *item) {
    unsigned long long left;
    unsigned seconds;
    if (sscanf(item->request, "%7u %19llu", &seconds, &left) != 2) {
        return false;
    }
    item->left = left;
    item->due = now_seconds() + (time_t)seconds;
    item->next_late = first_late;
    first_late = item;
    watch(item, EPOLLONESHOT, EPOLL_CTL_MOD);
    return true;
}

static bool serve_late(Socket *item) {
    if (item->due != 0) {
        return true;
    }
    if (!item->ended) {
        ssize_t got =
            recv(item->fd, item->request + item->len, sizeof item->request - 1 - item->len, 0);
        item->len += got > 0 ? (size_t)got : 0;
        item->ended = got == 0;
        return item->ended ? wait_for_time(item) : got > 0 || errno == EAGAIN;
    }
    ssize_t sent =
        send(item->fd, bytes, item->left < sizeof bytes ? item->left : sizeof bytes, MSG_NOSIGNAL);
    item->left -= sent > 0 ? (uint64_t)sent : 0;
    return item->left > 0 && (sent > 0 || errno == EAGAIN);
}

static void wake_late(void) {
    Socket **at = &first_late;
    while (*at != NULL) {
        Socket *item = *at;
        if (item->due > now_seconds()) {
            at = &item->next_late;
            continue;
        }
        *at = item->next_late;
        item->due = 0;
        watch(item, EPOLLOUT, EPOLL_CTL_MOD);
    }
}

static void serve(Socket *item) {
    bool goes_on = true;
    if (item->listens) {
        serve_listener(item);
    } else if (item->service == ECHO) {
        goes_on = serve_echo(item);
    } else if (item->service == SINK) {
        goes_on = serve_sink(item);
    } else if (item->service == LATE) {
        goes_on = serve_late(item);
    } else {
        goes_on = serve_source(item);
    }
    if (!goes_on) {
        drop(item);
    }
}

/* As process 1 of its container it has no default for the signal that asks for its end. */
static void leave(int number) {
    (void)number;
    _exit(EXIT_SUCCESS);
}

int main(int argc, char **argv) {
    struct rlimit files;
    const struct sigaction end = {.sa_handler = leave};
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    (void)sigaction(SIGTERM, &end, NULL);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    for (int i = 1; i < argc; i++) {
        parse(argv[i]);
    }
    (void)puts("listening");
    (void)fflush(stdout);
    for (;;) {
        struct epoll_event events[EVENTS];
        int count = epoll_wait(epoll_fd, events, EVENTS, first_late != NULL ? LATE_MS : -1);
        for (int i = 0; i < count; i++) {
            serve(events[i].data.ptr);
        }
        wake_late();
    }
}
