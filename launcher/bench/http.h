/* SPDX-License-Identifier: MIT */
/* As much of HTTP/1.0 as the engine's API takes: one request a connection, whose end ends the
 * answer. */
#pragma once

#include "launcher/bench/watch.h"

/* Sends a request with `length` bytes of `body` (JSON, or a tar archive). Returns the connection,
 * nonblocking, to be closed by the caller; -1. */
int dinv_bench_http_send(DinvBenchWatch *watch, const char *socket_path, const char *method,
                         const char *path, const char *body, gsize length, GError **error);

/* Reads the head of the answer. Bytes behind it are left in *rest (may be empty). FALSE with the
 * engine's own words if the status is not 2xx. */
gboolean dinv_bench_http_read_head(DinvBenchWatch *watch, int fd, GString *rest, GError **error);

/* Reads the whole answer and closes `fd`, also on failure. Its body as text (untrusted; transfer
 * full), or NULL as above. */
char *dinv_bench_http_finish(DinvBenchWatch *watch, int fd, GError **error);

/* Both. */
char *dinv_bench_http_call(DinvBenchWatch *watch, const char *socket_path, const char *method,
                           const char *path, const char *body, gsize length, GError **error);

/* The status of an answer that begins with `text`; 0 if that is not HTTP. */
guint dinv_bench_http_status(const char *text);
