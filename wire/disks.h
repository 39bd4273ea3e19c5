/* SPDX-License-Identifier: MIT */
/*
 * The guest's disks. The guest finds each by its serial; the label of the file system on it is the
 * same word, so that a disk that was copied somewhere still says what it is.
 */
#pragma once

#define DINV_WIRE_DISK_ROOT   "dinv-root"
#define DINV_WIRE_DISK_DATA   "dinv-data"
#define DINV_WIRE_DISK_VOLUME "dinv-volume"
