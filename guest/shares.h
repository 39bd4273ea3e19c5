/* SPDX-License-Identifier: MIT */
/*
 * shares: what the launcher shows of the outer container, over 9p or virtio-fs. All of it may
 * block.
 */
#pragma once

#include "guest/configuration.h"

/* Mounts one share, or one file of a share, unless it is already there. What is missing of the
 * target is made. 0 or -errno. */
int dinv_mount_share(const DinvMountConfiguration *share);

/* Ends all virtio-fs requests, those that wait and those to come, with an error: nobody answers
 * them any more, and who waits for them could not be killed. Nothing of the data disks is
 * concerned. */
void dinv_shares_abandon(void);
