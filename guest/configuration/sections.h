/* SPDX-License-Identifier: MIT */
/*
 * sections: the parts of `configure`, a file of this room for each. A take function fills its
 * members of the zeroed configuration, complaining to the reader; a clear function frees them, also
 * those that were filled only in part.
 */
#pragma once

#include "guest/configuration/configuration.h"
#include "guest/configuration/reader.h"

/* network.c: the field `network`. */
void dinv_configuration_take_network(DinvConfigurationReader *reader, struct json_object *body,
                                     DinvNetworkConfiguration *network);
void dinv_configuration_clear_network(DinvNetworkConfiguration *network);

/* storage.c: the fields `disks`, `mounts`, `inodes_max` and `files`. */
void dinv_configuration_take_storage(DinvConfigurationReader *reader, struct json_object *body,
                                     DinvConfiguration *to);
void dinv_configuration_clear_storage(DinvConfiguration *configuration);

/* programs.c: the fields `dockerd`, `containerd` and `environment`. */
void dinv_configuration_take_programs(DinvConfigurationReader *reader, struct json_object *body,
                                      DinvConfiguration *to);
void dinv_configuration_clear_programs(DinvConfiguration *configuration);
