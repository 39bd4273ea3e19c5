/* SPDX-License-Identifier: MIT */
/*
 * shares: what the launcher shows of the outer container, over 9p or virtio-fs. All of it may
 * block.
 */
#pragma once

#include "guest/configuration/configuration.h"

/* Mounts one share, or one file of a share, unless it is already there. What is missing of the
 * target is made. 0 or -errno. */
int dinv_mount_share(const DinvMountConfiguration *share);
