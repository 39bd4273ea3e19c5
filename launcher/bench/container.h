/* SPDX-License-Identifier: MIT */
/* Images and containers by the engine's API. */
#pragma once

#include "launcher/bench/measure.h"

typedef struct {
    const char *const *command; /* NULL-terminated */
    gboolean is_logged;         /* as by default; else its output is attached to only */
    guint16 port;               /* of the outer container, for port 80 inside; 0: none */
} DinvBenchContainer;

/* Makes the image of `length` bytes of a tar archive. */
gboolean dinv_bench_image_import(DinvBench *bench, const char *tar, gsize length, GError **error);

/* Creates a container that is removed when it ends; its ID (transfer full), or NULL. */
char *dinv_bench_container_create(DinvBench *bench, const DinvBenchContainer *container,
                                  GError **error);
/* POST /containers/ID/ACTION, with an answer that is of no interest. */
gboolean dinv_bench_container_do(DinvBench *bench, const char *id, const char *action,
                                 GError **error);
/* The same, but only sends it: the connection, or -1. */
int dinv_bench_container_ask(DinvBench *bench, const char *id, const char *action, GError **error);
/* Ends it at once. */
gboolean dinv_bench_container_remove(DinvBench *bench, const char *id, GError **error);
