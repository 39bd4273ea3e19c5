/* SPDX-License-Identifier: MIT */
/* A container with a published port, and connections to it from outside the microVM. */
#include <errno.h>
#include <gio/gio.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "launcher/bench/container.h"

/* What a connection is answered with, in bytes; and how many at first and at most. */
#define PIECE        (64u << 10)
#define PIECES_FIRST 64u
#define PIECES_MOST  8192u
#define CONNECT_MOST 50u
/* How long a container may take to listen, and how often that is tried. */
#define LISTEN_S  15.0
#define LISTEN_MS 20u

/* Answers each line that is a number with as many pieces. */
static const char *const server[] = {
    "/bin/busybox",
    "nc",
    "-lk",
    "-p",
    "80",
    "-e",
    "/bin/sh",
    "-c",
    "read count; exec /bin/busybox dd if=/dev/zero bs=65536 count=$count status=none",
    NULL};

typedef struct {
    double first_s;            /* from the connect to the first byte */
    guint64 bytes;             /* in all */
    guint64 bytes_after_first; /* that came after the first, and */
    double seconds;            /* until the last since then */
} Answer;

/* A TCP port that is free on all addresses now; 0 if there is none. */
static guint16 pick_port(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_ANY)};
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return 0;
    }
    gboolean good = bind(fd, (const struct sockaddr *)&address, sizeof address) == 0 &&
                    getsockname(fd, (struct sockaddr *)&address, &length) == 0;
    (void)close(fd);
    return good ? ntohs(address.sin_port) : 0;
}

/* -1 on failure. */
static int connect_to(DinvBench *bench, guint16 port, GError **error) {
    const struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(int);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    gboolean begun =
        fd >= 0 && (connect(fd, (const struct sockaddr *)&address, sizeof address) == 0 ||
                    errno == EINPROGRESS);
    int code = begun ? 0 : errno;
    if (begun && !dinv_bench_watch_wait(&bench->watch, fd, POLLOUT, error)) {
        (void)close(fd);
        return -1;
    }
    if (begun && getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &length) < 0) {
        code = errno;
    }
    if (code != 0) {
        g_set_error(error, G_IO_ERROR, (gint)g_io_error_from_errno(code),
                    "cannot connect to the published port %u: %s", port, g_strerror(code));
        if (fd >= 0) {
            (void)close(fd);
        }
        return -1;
    }
    return fd;
}

static gboolean read_answer(DinvBench *bench, int fd, gint64 begin_us, Answer *answer,
                            GError **error) {
    static char chunk[256u << 10];
    gint64 first_us = 0;
    gssize got = 0;
    while ((got = dinv_bench_watch_read(&bench->watch, fd, chunk, sizeof chunk, error)) > 0) {
        answer->bytes += (guint64)got;
        if (first_us == 0) {
            first_us = g_get_monotonic_time();
            answer->first_s = (double)(first_us - begin_us) / 1e6;
        } else {
            answer->bytes_after_first += (guint64)got;
            answer->seconds = dinv_bench_seconds_since(first_us);
        }
    }
    return got == 0;
}

/* One connection, over which `pieces` come. */
static gboolean fetch(DinvBench *bench, guint16 port, guint pieces, Answer *answer,
                      GError **error) {
    g_autofree char *line = g_strdup_printf("%u\n", pieces);
    gint64 begin_us = g_get_monotonic_time();
    *answer = (Answer){0};
    int fd = connect_to(bench, port, error);
    if (fd < 0) {
        return FALSE;
    }
    gboolean good = dinv_bench_watch_write(&bench->watch, fd, line, strlen(line), error) &&
                    read_answer(bench, fd, begin_us, answer, error);
    (void)close(fd);
    if (good && answer->bytes != (guint64)pieces * PIECE) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED,
                    "%" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT
                    " bytes came from the published port %u",
                    answer->bytes, (guint64)pieces * PIECE, port);
        return FALSE;
    }
    return good;
}

/* Until the container's program listens: before, connections are refused or end without a byte. */
static gboolean wait_for_server(DinvBench *bench, guint16 port, GError **error) {
    gint64 begin_us = g_get_monotonic_time();
    Answer answer;
    for (;;) {
        g_autoptr(GError) reason = NULL;
        if (fetch(bench, port, 1, &answer, &reason)) {
            return TRUE;
        }
        if (!dinv_bench_watch_pause(&bench->watch, LISTEN_MS, error)) {
            return FALSE;
        }
        if (dinv_bench_seconds_since(begin_us) > LISTEN_S) {
            g_propagate_error(error, g_steal_pointer(&reason));
            return FALSE;
        }
    }
}

static gboolean measure_connections(DinvBench *bench, guint16 port, GError **error) {
    double seconds[CONNECT_MOST];
    guint count = 0;
    gint64 series_us = g_get_monotonic_time();
    do {
        Answer answer;
        if (!fetch(bench, port, 1, &answer, error)) {
            return FALSE;
        }
        seconds[count++] = answer.first_s;
    } while (count < CONNECT_MOST && dinv_bench_seconds_since(series_us) < DINV_BENCH_SERIES_S);
    g_autofree char *figure = dinv_bench_format_seconds(dinv_bench_median(seconds, count));
    g_autofree char *how =
        g_strdup_printf("until a program that is started for it answers, median of %u", count);
    dinv_bench_table_add(bench->table, "published port, connection", figure, how);
    return TRUE;
}

static gboolean measure_rate(DinvBench *bench, guint16 port, GError **error) {
    Answer answer;
    if (!fetch(bench, port, PIECES_FIRST, &answer, error)) {
        return FALSE;
    }
    guint pieces = dinv_bench_scale(PIECES_FIRST, answer.seconds, DINV_BENCH_TARGET_S, PIECES_MOST);
    if (!fetch(bench, port, pieces, &answer, error)) {
        return FALSE;
    }
    g_autofree char *figure = dinv_bench_format_rate(answer.bytes_after_first, answer.seconds);
    g_autofree char *how =
        g_strdup_printf("%u MiB from a container by 127.0.0.1", pieces / (1048576u / PIECE));
    dinv_bench_table_add(bench->table, "published port, stream", figure, how);
    return TRUE;
}

gboolean dinv_bench_measure_port(DinvBench *bench, GError **error) {
    const DinvBenchContainer container = {.command = server, .port = pick_port()};
    if (container.port == 0) {
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_FAILED, "no TCP port is free here");
        return FALSE;
    }
    g_autofree char *id = dinv_bench_container_create(bench, &container, error);
    if (id == NULL) {
        return FALSE;
    }
    gboolean good = dinv_bench_container_do(bench, id, "start", error) &&
                    wait_for_server(bench, container.port, error) &&
                    measure_connections(bench, container.port, error) &&
                    measure_rate(bench, container.port, error);
    /* Process 1 of a container does not end by SIGTERM, and the machine's end would wait for it. */
    return dinv_bench_container_remove(bench, id, good ? error : NULL) && good;
}
