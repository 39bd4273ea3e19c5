/* SPDX-License-Identifier: MIT */
/*
 * layer-sync: a layer of an image is recorded only when its files are on the disk.
 *
 * Theory of operation. dockerd unpacks a layer without syncing its files. Then it writes a record
 * of it into a new directory below layerdb/tmp, syncs that, and renames it to where it counts. So
 * after the sudden end of the machine there could be the record, and files cut short. No option of
 * ext4 is a remedy, short of data=journal: data=ordered brings out with a transaction only the
 * blocks allocated in it; what a second write adds to a block that a first one began is not among
 * them, and dockerd's writes end anywhere. So the opens below layerdb wait for us (fanotify(7),
 * FAN_OPEN_PERM, on a bind mount, which no others come through), and that of a record's cache-id,
 * between the unpacking and the rename, goes on when the disk was synced, or fails if that failed.
 * tests/integration/test-crash.py looks at the files.
 */
#pragma once

#include "guest/base/loop.h"

typedef struct DinvEngineLayerSync DinvEngineLayerSync;

/* Marks every layerdb below the data root of a dockerd that runs. The descriptor of a fanotify
 * group, or -errno: -ENOENT if there is no layerdb, -EINVAL if the kernel lacks
 * CONFIG_FANOTIFY_ACCESS_PERMISSIONS. */
int dinv_engine_layer_sync_open(const char *data_root);

/* Answers what comes from `events_fd`, which is from now on its own. `sync` is syncfs(), or a
 * fake of it, and runs in a process of its own. NULL if out of memory: then the descriptor is
 * closed. */
DinvEngineLayerSync *dinv_engine_layer_sync_new(DinvLoop *loop, int events_fd, int (*sync)(int fd));
/* The kernel lets every open go on that still waits. */
void dinv_engine_layer_sync_free(DinvEngineLayerSync *layers);
