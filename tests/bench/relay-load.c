/* SPDX-License-Identifier: MIT */
/* relay-load: work for a relay and how long it takes, see relay-load.h. */
#include "tests/bench/relay-load.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "relay/mux.h"
#include "tests/bench/relay-work.h"

enum { STALL_MS = 60000 };

struct BenchLoad {
    int fd;
    DinvRelayMux *mux;
    unsigned running; /* streams that are not over */
    bool failed;
    uint8_t input[BENCH_HOST_BUFFER];
};

typedef struct {
    BenchLoad *load;
    DinvRelayStream *stream; /* NULL: over */
    bool is_source;
    uint64_t to_send;
    uint64_t received;
    uint64_t expected; /* sink: the number that the guest is to answer with */
    uint8_t answer[BENCH_NUMBER_SIZE];
} Transfer;

static const uint8_t zeros[BENCH_HOST_BUFFER];

double bench_now(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void end_transfer(Transfer *transfer, bool failed) {
    transfer->load->failed |= failed;
    transfer->load->running--;
    dinv_relay_stream_close(transfer->stream, 0);
    transfer->stream = NULL;
}

static void send_more(Transfer *transfer) {
    while (transfer->to_send > 0) {
        size_t part = transfer->to_send < sizeof zeros ? (size_t)transfer->to_send : sizeof zeros;
        ssize_t written = dinv_relay_stream_write(transfer->stream, zeros, part);
        if (written <= 0) {
            return;
        }
        transfer->to_send -= (uint64_t)written;
    }
    dinv_relay_stream_finish(transfer->stream);
}

static bool is_complete(const Transfer *transfer) {
    if (transfer->is_source) {
        return transfer->received == transfer->expected;
    }
    return transfer->received == BENCH_NUMBER_SIZE &&
           bench_get_number(transfer->answer) == transfer->expected;
}

static void on_readable(void *user, DinvRelayStream *stream) {
    (void)user;
    Transfer *transfer = dinv_relay_stream_get_data(stream);
    const uint8_t *bytes;
    ssize_t len;
    while ((len = dinv_relay_stream_peek(stream, &bytes)) > 0) {
        for (ssize_t index = 0; !transfer->is_source && index < len &&
                                transfer->received + (uint64_t)index < BENCH_NUMBER_SIZE;
             index++) {
            transfer->answer[transfer->received + (uint64_t)index] = bytes[index];
        }
        transfer->received += (uint64_t)len;
        dinv_relay_stream_consume(stream, (size_t)len);
    }
    if (len == 0) {
        end_transfer(transfer, !is_complete(transfer));
    }
}

static void on_writable(void *user, DinvRelayStream *stream) {
    (void)user;
    send_more(dinv_relay_stream_get_data(stream));
}

static void on_broken(void *user, DinvRelayStream *stream, int error) {
    (void)user;
    (void)error;
    end_transfer(dinv_relay_stream_get_data(stream), true);
}

BenchLoad *bench_load_new(int fd) {
    static const DinvRelayCallbacks callbacks = {
        .readable = on_readable,
        .writable = on_writable,
        .refused = on_broken,
        .reset = on_broken,
    };
    BenchLoad *load = calloc(1, sizeof *load);
    uint64_t epoch;
    if (load == NULL || getrandom(&epoch, sizeof epoch, 0) != (ssize_t)sizeof epoch) {
        free(load);
        return NULL;
    }
    load->fd = fd;
    load->mux = dinv_relay_mux_new(DINV_RELAY_LAUNCHER, epoch, NULL, &callbacks, load);
    if (load->mux == NULL) {
        free(load);
        return NULL;
    }
    return load;
}

void bench_load_free(BenchLoad *load) {
    if (load != NULL) {
        dinv_relay_mux_free(load->mux);
        free(load);
    }
}

/* As in launcher/vm/relay.c: writes what there is until the socket is full. Whether it is. */
static bool flush(BenchLoad *load) {
    const uint8_t *bytes;
    ssize_t len;
    while ((len = dinv_relay_mux_peek(load->mux, &bytes)) > 0) {
        ssize_t sent = send(load->fd, bytes, (size_t)len, MSG_NOSIGNAL);
        if (sent < 0) {
            load->failed |= errno != EAGAIN;
            return true;
        }
        dinv_relay_mux_consume(load->mux, (size_t)sent);
    }
    return false;
}

/* One round of the loop. */
static int iterate(BenchLoad *load) {
    bool full = flush(load);
    struct pollfd pollfd = {.fd = load->fd, .events = full ? POLLIN | POLLOUT : POLLIN};
    int count = poll(&pollfd, 1, STALL_MS);
    if (count <= 0) {
        return count == 0 ? -ETIMEDOUT : -errno;
    }
    if ((pollfd.revents & (POLLIN | POLLHUP | POLLERR)) == 0) {
        return 0;
    }
    ssize_t got = read(load->fd, load->input, sizeof load->input);
    if (got == 0) {
        return -EPIPE;
    }
    if (got < 0) {
        return errno == EAGAIN ? 0 : -errno;
    }
    return dinv_relay_mux_feed(load->mux, load->input, (size_t)got);
}

static int open_transfer(BenchLoad *load, Transfer *transfer, char kind, uint64_t bytes) {
    uint8_t number[BENCH_NUMBER_SIZE];
    int error = 0;
    bench_put_number(number, bytes);
    transfer->load = load;
    transfer->is_source = kind == BENCH_SOURCE;
    transfer->expected = bytes;
    transfer->to_send = transfer->is_source ? 0 : bytes;
    transfer->stream = dinv_relay_open(load->mux, transfer->is_source ? "source" : "sink", number,
                                       transfer->is_source ? sizeof number : 0, transfer, &error);
    if (transfer->stream == NULL) {
        return error;
    }
    load->running++;
    send_more(transfer);
    return 0;
}

static int run_transfers(BenchLoad *load, Transfer *transfers, char kind, unsigned streams,
                         uint64_t bytes) {
    int result = 0;
    for (unsigned index = 0; index < streams && result == 0; index++) {
        uint64_t share = bytes / streams + (index < bytes % streams ? 1 : 0);
        result = open_transfer(load, &transfers[index], kind, share);
    }
    while (result == 0 && load->running > 0 && !load->failed) {
        result = iterate(load);
    }
    for (unsigned index = 0; index < streams; index++) {
        if (transfers[index].stream != NULL) {
            end_transfer(&transfers[index], true);
        }
    }
    return result;
}

int bench_load_run(BenchLoad *load, char kind, unsigned streams, uint64_t bytes, double *seconds) {
    Transfer *transfers = calloc(streams, sizeof *transfers);
    if (transfers == NULL) {
        return -ENOMEM;
    }
    double began = bench_now();
    load->failed = false;
    int result = run_transfers(load, transfers, kind, streams, bytes);
    *seconds = bench_now() - began;
    free(transfers);
    return result == 0 && load->failed ? -EPROTO : result;
}
