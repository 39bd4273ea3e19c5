/* SPDX-License-Identifier: MIT */
/* How the guest finds what the launcher shares with it, over virtio-9p or virtio-fs. */
#pragma once

/* Most mounts: the machine has a device for each. */
#define DINV_WIRE_MOUNTS_MAX 64u

/* The tag of a directory, by its index in the list of mounts (%u). */
#define DINV_WIRE_MOUNT_TAG_FORMAT "dinv%u"
/* The tag of the share with the copies of single files; each is named by its index (%u). */
#define DINV_WIRE_MOUNT_FILES_TAG "dinv-files"

#define DINV_WIRE_MOUNT_DRIVER_9P       "9p"
#define DINV_WIRE_MOUNT_DRIVER_VIRTIOFS "virtiofs"
