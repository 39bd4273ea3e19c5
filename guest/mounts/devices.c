/* SPDX-License-Identifier: MIT */
/* A set of names, kept as a short list. */
#include "guest/mounts/devices.h"

#include <stdio.h>
#include <string.h>

#include "guest/base/mountinfo.h"

static bool has_device(const DinvMountsDevices *devices, const char *name) {
    for (size_t index = 0; index < devices->count; index++) {
        if (strcmp(devices->names[index], name) == 0) {
            return true;
        }
    }
    return false;
}

void dinv_mounts_devices_add(DinvMountsDevices *devices, const DinvMountTable *table) {
    for (size_t index = 0; index < table->count; index++) {
        const DinvMount *mount = &table->mounts[index];
        if (devices->count < DINV_MOUNTS_DEVICES_MAX && dinv_mount_holds_data(mount) &&
            strncmp(mount->source, "/dev/", 5) == 0 &&
            strlen(mount->source) < sizeof devices->names[0] &&
            !has_device(devices, mount->source)) {
            (void)snprintf(devices->names[devices->count++], sizeof devices->names[0], "%s",
                           mount->source);
        }
    }
}
