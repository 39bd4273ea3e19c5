/* SPDX-License-Identifier: MIT */
/*
 * The other end of tests/integration/port-server.c, for measurements, outside and in containers.
 *
 * Usage: port-client receive ADDRESS PORT BYTES   of a `source`, which never ends by itself
 *        port-client send ADDRESS PORT BYTES      to a `sink`, until it says that it has them
 *        port-client connect ADDRESS PORT COUNT   to an `echo`: opened, used and closed, in a row
 * Prints the microseconds that it took, the opening of the one connection of the first two not
 * counted.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BUFFER_SIZE = 256 * 1024 };

static char bytes[BUFFER_SIZE];

_Noreturn static void die(const char *what) {
    perror(what);
    exit(EXIT_FAILURE);
}

static int64_t now_us(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static int connect_to(const struct sockaddr_in *address) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)address, sizeof *address) < 0) {
        die("connect");
    }
    return fd;
}

static size_t receive_some(int fd, size_t most) {
    ssize_t got = recv(fd, bytes, most < sizeof bytes ? most : sizeof bytes, 0);
    if (got < 0) {
        die("recv");
    }
    return (size_t)got;
}

static void send_all(int fd, uint64_t count) {
    while (count > 0) {
        ssize_t sent = send(fd, bytes, count < sizeof bytes ? count : sizeof bytes, MSG_NOSIGNAL);
        if (sent < 0) {
            die("send");
        }
        count -= (uint64_t)sent;
    }
}

static int64_t receive_bytes(const struct sockaddr_in *address, uint64_t count) {
    int fd = connect_to(address);
    int64_t begin = now_us();
    for (uint64_t left = count; left > 0;) {
        size_t got = receive_some(fd, left < SIZE_MAX ? (size_t)left : SIZE_MAX);
        if (got == 0) {
            (void)fprintf(stderr, "port-client: the source has ended\n");
            exit(EXIT_FAILURE);
        }
        left -= got;
    }
    int64_t end = now_us();
    close(fd);
    return end - begin;
}

static int64_t send_bytes(const struct sockaddr_in *address, uint64_t count) {
    int fd = connect_to(address);
    int64_t begin = now_us();
    send_all(fd, count);
    if (shutdown(fd, SHUT_WR) < 0) {
        die("shutdown");
    }
    char answer[32] = "";
    size_t len = 0;
    size_t got;
    while (len < sizeof answer - 1 && (got = receive_some(fd, sizeof answer - 1 - len)) > 0) {
        memcpy(answer + len, bytes, got);
        len += got;
    }
    int64_t end = now_us();
    close(fd);
    if (strtoull(answer, NULL, 10) != count) {
        (void)fprintf(stderr, "port-client: \"%s\" of %llu bytes arrived\n", answer,
                      (unsigned long long)count);
        exit(EXIT_FAILURE);
    }
    memset(bytes, 0, sizeof answer);
    return end - begin;
}

static int64_t connect_often(const struct sockaddr_in *address, uint64_t count) {
    int64_t begin = now_us();
    for (; count > 0; count--) {
        int fd = connect_to(address);
        send_all(fd, 1);
        if (shutdown(fd, SHUT_WR) < 0 || receive_some(fd, 2) != 1 || receive_some(fd, 1) != 0) {
            (void)fprintf(stderr, "port-client: a connection was lost\n");
            exit(EXIT_FAILURE);
        }
        close(fd);
    }
    return now_us() - begin;
}

int main(int argc, char **argv) {
    static const struct {
        const char *name;
        int64_t (*run)(const struct sockaddr_in *address, uint64_t count);
    } works[] = {{"receive", receive_bytes}, {"send", send_bytes}, {"connect", connect_often}};
    struct sockaddr_in address = {.sin_family = AF_INET};
    for (size_t i = 0; argc == 5 && i < sizeof works / sizeof works[0]; i++) {
        if (strcmp(argv[1], works[i].name) == 0 &&
            inet_pton(AF_INET, argv[2], &address.sin_addr) == 1) {
            address.sin_port = htons((uint16_t)strtoul(argv[3], NULL, 10));
            (void)printf("%lld\n", (long long)works[i].run(&address, strtoull(argv[4], NULL, 10)));
            return EXIT_SUCCESS;
        }
    }
    (void)fprintf(stderr, "usage: port-client receive|send|connect ADDRESS PORT COUNT\n");
    return EXIT_FAILURE;
}
