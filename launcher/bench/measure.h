/* SPDX-License-Identifier: MIT */
/*
 * The measurements, in the order in which they are made. Each adds its rows to the table and leaves
 * nothing running; on failure the rows that it has by then stay. How much is moved follows from how
 * fast a small part of it went, so that each takes some seconds at most on any machine.
 */
#pragma once

#include "launcher/bench/processes.h"
#include "launcher/bench/table.h"

/* Where the guest has the mount. */
#define DINV_BENCH_MOUNT "/dinv-bench"

/* How long one measurement is to take, and after how long a series of them ends. */
#define DINV_BENCH_TARGET_S 1.0
#define DINV_BENCH_SERIES_S 3.0

typedef struct {
    DinvConfig *config;
    DinvBenchTable *table;
    DinvBenchWatch watch;
    DinvBenchShell shell; /* `sh` in the guest, with which files are measured */
} DinvBench;

/* Makes the image that the containers have, of the guest's own busybox. No rows. */
gboolean dinv_bench_make_image(DinvBench *bench, GError **error);
/* What `docker run --rm` does. */
gboolean dinv_bench_measure_hello(DinvBench *bench, GError **error);
/* The output of a container, through docker.sock. */
gboolean dinv_bench_measure_stream(DinvBench *bench, GError **error);
/* A file and many small ones, in a mount. */
gboolean dinv_bench_measure_mount(DinvBench *bench, GError **error);
/* Files on the data disk that are to be safe. */
gboolean dinv_bench_measure_disk(DinvBench *bench, GError **error);
/* Connections to a published port. */
gboolean dinv_bench_measure_port(DinvBench *bench, GError **error);
