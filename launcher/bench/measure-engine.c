/* SPDX-License-Identifier: MIT */
/* Containers: how long one takes, and how fast its output comes. */
#include <gio/gio.h>
#include <string.h>
#include <unistd.h>

#include "launcher/bench/container.h"
#include "launcher/bench/http.h"

#define TAR_MAX_BYTES (16u << 20)
#define HELLO_MOST    10u
#define HELLO_TEXT    "hello from dinv"
/* Of a stream, in bytes; and how many at first and at most. */
#define PIECE        (64u << 10)
#define PIECES_FIRST 64u
#define PIECES_MOST  8192u

/* What came out of a container. */
typedef struct {
    GString *head;             /* its begin, with the frames of the engine's protocol */
    guint64 bytes;             /* in all */
    guint64 bytes_after_first; /* that came after the first byte was there, and */
    double seconds;            /* until the last was there since then */
} Output;

/* All that `fd` gives, to its end. */
static gboolean read_output(DinvBench *bench, int fd, Output *output, GError **error) {
    static char chunk[256u << 10];
    gint64 first_us = 0;
    gssize got = 0;
    output->bytes = output->head->len;
    while ((got = dinv_bench_watch_read(&bench->watch, fd, chunk, sizeof chunk, error)) > 0) {
        output->bytes += (guint64)got;
        if (first_us == 0) {
            first_us = g_get_monotonic_time();
            g_string_append_len(output->head, chunk, MIN(got, 256));
        } else {
            output->bytes_after_first += (guint64)got;
            output->seconds = dinv_bench_seconds_since(first_us);
        }
    }
    return got == 0;
}

/* What `docker run --rm` says to the engine: create, attach, wait, start. */
static gboolean run_container(DinvBench *bench, const DinvBenchContainer *container, Output *output,
                              GError **error) {
    g_autofree char *id = dinv_bench_container_create(bench, container, error);
    if (id == NULL) {
        return FALSE;
    }
    int stream = dinv_bench_container_ask(bench, id, "attach?stream=1&stdout=1", error);
    if (stream < 0) {
        return FALSE;
    }
    if (!dinv_bench_http_read_head(&bench->watch, stream, output->head, error)) {
        (void)close(stream);
        return FALSE;
    }
    int waiting = dinv_bench_container_ask(bench, id, "wait?condition=removed", error);
    gboolean good = waiting >= 0 && dinv_bench_container_do(bench, id, "start", error) &&
                    read_output(bench, stream, output, error);
    (void)close(stream);
    if (!good) {
        if (waiting >= 0) {
            (void)close(waiting);
        }
        return FALSE;
    }
    g_autofree char *answer = dinv_bench_http_finish(&bench->watch, waiting, error);
    return answer != NULL;
}

/* The archive that a command in the guest writes. */
static gboolean read_tar(DinvBench *bench, const DinvBenchShell *shell, GString *tar,
                         GError **error) {
    static char chunk[64u << 10];
    gssize got = 0;
    while ((got = dinv_bench_watch_read(&bench->watch, shell->out, chunk, sizeof chunk, error)) >
           0) {
        g_string_append_len(tar, chunk, got);
        if (tar->len > TAR_MAX_BYTES) {
            break;
        }
    }
    if (got == 0 && tar->len > 0) {
        return TRUE;
    }
    if (got >= 0) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED,
                    "the microVM's own busybox is no image: %" G_GSIZE_FORMAT " bytes came",
                    tar->len);
    }
    return FALSE;
}

gboolean dinv_bench_make_image(DinvBench *bench, GError **error) {
    char *command[] = {(char *)"sh", (char *)"-c",
                       (char *)"cd / && tar -c bin/busybox bin/sh $(ls -d lib/*musl* 2>/dev/null)",
                       NULL};
    g_autoptr(GString) tar = g_string_new(NULL);
    DinvBenchShell shell = {0};
    gboolean good = dinv_bench_shell_start(&bench->watch, bench->config, command, &shell, error) &&
                    read_tar(bench, &shell, tar, error);
    dinv_bench_shell_end(&shell);
    return good && dinv_bench_image_import(bench, tar->str, tar->len, error);
}

gboolean dinv_bench_measure_hello(DinvBench *bench, GError **error) {
    static const char *const command[] = {"/bin/busybox", "echo", HELLO_TEXT, NULL};
    const DinvBenchContainer container = {.command = command, .is_logged = TRUE};
    double seconds[HELLO_MOST];
    guint count = 0;
    gint64 series_us = g_get_monotonic_time();
    do {
        g_autoptr(GString) head = g_string_new(NULL);
        Output output = {.head = head};
        gint64 begin_us = g_get_monotonic_time();
        if (!run_container(bench, &container, &output, error)) {
            return FALSE;
        }
        seconds[count++] = dinv_bench_seconds_since(begin_us);
        /* Behind the eight bytes of a frame's head, of which some are zero. */
        if (memmem(head->str, head->len, HELLO_TEXT, strlen(HELLO_TEXT)) == NULL) {
            g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_FAILED,
                                "the container did not say \"" HELLO_TEXT "\"");
            return FALSE;
        }
    } while (count < HELLO_MOST && dinv_bench_seconds_since(series_us) < DINV_BENCH_SERIES_S);
    g_autofree char *first = dinv_bench_format_seconds(seconds[0]);
    g_autofree char *how =
        count == 1
            ? g_strdup("by the engine's API, once")
            : g_strdup_printf("by the engine's API, median of %u; the first took %s", count, first);
    g_autofree char *figure = dinv_bench_format_seconds(dinv_bench_median(seconds, count));
    dinv_bench_table_add(bench->table, "docker run --rm, hello", figure, how);
    return TRUE;
}

/* The output of a container that writes `pieces` of zeros. */
static gboolean stream_pieces(DinvBench *bench, guint pieces, Output *output, GError **error) {
    g_autofree char *block = g_strdup_printf("bs=%u", PIECE);
    g_autofree char *count = g_strdup_printf("count=%u", pieces);
    const char *const command[] = {"/bin/busybox", "dd", "if=/dev/zero", block, count,
                                   "status=none",  NULL};
    const DinvBenchContainer container = {.command = command};
    if (!run_container(bench, &container, output, error)) {
        return FALSE;
    }
    if (output->bytes < (guint64)pieces * PIECE) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED,
                    "%" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT " bytes of a stream came",
                    output->bytes, (guint64)pieces * PIECE);
        return FALSE;
    }
    return TRUE;
}

gboolean dinv_bench_measure_stream(DinvBench *bench, GError **error) {
    g_autoptr(GString) first_head = g_string_new(NULL);
    g_autoptr(GString) head = g_string_new(NULL);
    Output first = {.head = first_head};
    Output output = {.head = head};
    if (!stream_pieces(bench, PIECES_FIRST, &first, error)) {
        return FALSE;
    }
    guint pieces = dinv_bench_scale(PIECES_FIRST, first.seconds, DINV_BENCH_TARGET_S, PIECES_MOST);
    if (!stream_pieces(bench, pieces, &output, error)) {
        return FALSE;
    }
    g_autofree char *how =
        g_strdup_printf("a container's output, %u MiB, attached to", pieces / (1048576u / PIECE));
    g_autofree char *figure = dinv_bench_format_rate(output.bytes_after_first, output.seconds);
    dinv_bench_table_add(bench->table, "stream through docker.sock", figure, how);
    return TRUE;
}
