/* SPDX-License-Identifier: MIT */
/*
 * The time of `GET /_ping` on one kept-alive connection to the engine: one request after another,
 * the next when the answer is complete. The same program runs in the guest on the engine's own
 * socket and outside on the relayed one. Static, since the guest has another libc.
 *
 * Usage: ping-latency SOCKET COUNT; prints one time in microseconds per line.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { REPLY_MAX = 8192, DEADLINE_SECONDS = 60, WARM_UP = 20, COUNT_MAX = 100000 };
static const char request[] = "GET /_ping HTTP/1.1\r\nHost: docker\r\n\r\n";

_Noreturn static void fail(const char *what) {
    (void)fprintf(stderr, "ping-latency: %s\n", what);
    exit(EXIT_FAILURE);
}

static double now_us(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static int connect_to(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval deadline = {.tv_sec = DEADLINE_SECONDS};
    if (strlen(path) >= sizeof address.sun_path) {
        fail("the socket's path is too long");
    }
    memcpy(address.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &deadline, sizeof deadline) < 0) {
        fail(strerror(errno));
    }
    return fd;
}

/* The length that a complete reply has; 0 as long as the headers are not complete. */
static size_t reply_length(const char *reply) {
    static const char field[] = "\r\nContent-Length: ";
    const char *body = strstr(reply, "\r\n\r\n");
    if (body == NULL) {
        return 0;
    }
    const char *length = strcasestr(reply, field);
    if (strncmp(reply, "HTTP/1.1 200 ", 13) != 0 || length == NULL || length > body) {
        fail("not the answer of an engine");
    }
    return (size_t)(body + 4 - reply) + strtoul(length + strlen(field), NULL, 10);
}

static void ping(int fd) {
    char reply[REPLY_MAX + 1];
    size_t len = 0;
    if (send(fd, request, sizeof request - 1, MSG_NOSIGNAL) != (ssize_t)sizeof request - 1) {
        fail("cannot send");
    }
    do {
        ssize_t got = recv(fd, reply + len, REPLY_MAX - len, 0);
        if (got <= 0) {
            fail(got == 0 ? "the engine closed the connection" : strerror(errno));
        }
        len += (size_t)got;
        reply[len] = '\0';
    } while (reply_length(reply) == 0 || len < reply_length(reply));
}

int main(int argc, char **argv) {
    long count = argc == 3 ? strtol(argv[2], NULL, 10) : 0;
    if (count < 1 || count > COUNT_MAX) {
        fail("usage: ping-latency SOCKET COUNT");
    }
    double *times = calloc((size_t)count, sizeof *times);
    if (times == NULL) {
        fail("out of memory");
    }
    int fd = connect_to(argv[1]);
    for (long index = -WARM_UP; index < count; index++) {
        double began = now_us();
        ping(fd);
        if (index >= 0) {
            times[index] = now_us() - began;
        }
    }
    close(fd);
    /* Only now: output would disturb what is measured. */
    for (long index = 0; index < count; index++) {
        printf("%.1f\n", times[index]);
    }
    free(times);
    return EXIT_SUCCESS;
}
