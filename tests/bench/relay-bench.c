/* SPDX-License-Identifier: MIT */
/*
 * The host's end of the relay measurement: moves the same number of bytes over the raw port and
 * over 1, 16 and 256 streams of the relay, round after round, and prints one JSON object per
 * measurement.
 *
 * Usage: relay-bench RAW_FD RELAY_FD MEBIBYTES ROUNDS, with inherited stream sockets to QEMU.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "tests/bench/relay-load.h"
#include "tests/bench/relay-work.h"

enum { STALL_SECONDS = 60 };

/* The ways to move bytes, in the order in which a round takes them. */
static const struct {
    const char *name;
    unsigned streams; /* of the relay; 0: the raw port */
} ways[] = {{"raw", 0}, {"1", 1}, {"16", 16}, {"256", 256}};

static int send_all(int fd, const uint8_t *bytes, size_t len) {
    while (len > 0) {
        ssize_t sent = send(fd, bytes, len, MSG_NOSIGNAL);
        if (sent < 0) {
            return -errno;
        }
        bytes += sent;
        len -= (size_t)sent;
    }
    return 0;
}

static int raw_sink(int fd, uint64_t bytes) {
    static const uint8_t zeros[BENCH_HOST_BUFFER];
    for (uint64_t rest = bytes; rest > 0;) {
        size_t part = rest < sizeof zeros ? (size_t)rest : sizeof zeros;
        int result = send_all(fd, zeros, part);
        if (result < 0) {
            return result;
        }
        rest -= part;
    }
    uint8_t answer[BENCH_NUMBER_SIZE];
    for (size_t len = 0; len < sizeof answer;) {
        ssize_t got = read(fd, answer + len, sizeof answer - len);
        if (got <= 0) {
            return got == 0 ? -EPIPE : -errno;
        }
        len += (size_t)got;
    }
    return bench_get_number(answer) == bytes ? 0 : -EPROTO;
}

static int raw_source(int fd, uint64_t bytes) {
    static uint8_t buffer[BENCH_HOST_BUFFER];
    for (uint64_t received = 0; received < bytes;) {
        ssize_t got = read(fd, buffer, sizeof buffer);
        if (got <= 0) {
            return got == 0 ? -EPIPE : -errno;
        }
        received += (uint64_t)got;
    }
    return 0;
}

static int raw_run(int fd, char kind, uint64_t bytes, double *seconds) {
    uint8_t request[BENCH_REQUEST_SIZE] = {(uint8_t)kind};
    bench_put_number(request + 1, bytes);
    double began = bench_now();
    int result = send_all(fd, request, sizeof request);
    if (result == 0) {
        result = kind == BENCH_SINK ? raw_sink(fd, bytes) : raw_source(fd, bytes);
    }
    *seconds = bench_now() - began;
    return result;
}

static int measure(int raw_fd, BenchLoad *load, size_t way, char kind, uint64_t bytes, int round) {
    double seconds;
    int result = ways[way].streams == 0
                     ? raw_run(raw_fd, kind, bytes, &seconds)
                     : bench_load_run(load, kind, ways[way].streams, bytes, &seconds);
    if (result < 0) {
        (void)fprintf(stderr, "relay-bench: %s: %s\n", ways[way].name, strerror(-result));
        return result;
    }
    /* Round 0 warms up: page tables, translated code, the mux's chunks. */
    if (round > 0) {
        printf("{\"round\": %d, \"direction\": \"%s\", \"way\": \"%s\", \"bytes\": %llu, "
               "\"seconds\": %.6f}\n",
               round, kind == BENCH_SINK ? "to-guest" : "from-guest", ways[way].name,
               (unsigned long long)bytes, seconds);
        (void)fflush(stdout);
    }
    return 0;
}

static int run_rounds(int raw_fd, BenchLoad *load, uint64_t bytes, int rounds) {
    for (int round = 0; round <= rounds; round++) {
        for (size_t way = 0; way < sizeof ways / sizeof ways[0]; way++) {
            for (int direction = 0; direction < 2; direction++) {
                char kind = direction == 0 ? BENCH_SINK : BENCH_SOURCE;
                int result = measure(raw_fd, load, way, kind, bytes, round);
                if (result < 0) {
                    return result;
                }
            }
        }
    }
    return 0;
}

static long parse_number(const char *text, long max) {
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || value < 1 || value > max) {
        (void)fprintf(stderr, "relay-bench: \"%s\" is not a number from 1 to %ld\n", text, max);
        exit(EXIT_FAILURE);
    }
    return value;
}

int main(int argc, char **argv) {
    if (argc != 5) {
        (void)fprintf(stderr, "usage: relay-bench RAW_FD RELAY_FD MEBIBYTES ROUNDS\n");
        return EXIT_FAILURE;
    }
    int raw_fd = (int)parse_number(argv[1], 1 << 20);
    int relay_fd = (int)parse_number(argv[2], 1 << 20);
    uint64_t bytes = (uint64_t)parse_number(argv[3], 1 << 20) << 20;
    int rounds = (int)parse_number(argv[4], 1000);
    struct timeval stall = {.tv_sec = STALL_SECONDS};
    if (setsockopt(raw_fd, SOL_SOCKET, SO_RCVTIMEO, &stall, sizeof stall) < 0 ||
        setsockopt(raw_fd, SOL_SOCKET, SO_SNDTIMEO, &stall, sizeof stall) < 0 ||
        fcntl(relay_fd, F_SETFL, O_NONBLOCK) < 0) {
        perror("relay-bench: sockets");
        return EXIT_FAILURE;
    }
    char ready = 0;
    if (read(raw_fd, &ready, 1) != 1 || ready != BENCH_READY) {
        (void)fprintf(stderr, "relay-bench: the guest does not say that it is ready\n");
        return EXIT_FAILURE;
    }
    BenchLoad *load = bench_load_new(relay_fd);
    if (load == NULL) {
        (void)fprintf(stderr, "relay-bench: out of memory\n");
        return EXIT_FAILURE;
    }
    int result = run_rounds(raw_fd, load, bytes, rounds);
    bench_load_free(load);
    return result < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
