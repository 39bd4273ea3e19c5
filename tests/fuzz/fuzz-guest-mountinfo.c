/* SPDX-License-Identifier: MIT */
/* mountinfo: paths in it are chosen by containers. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "guest/base/mountinfo.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    DinvMountTable table;
    if (size > 16384 || dinv_mountinfo_parse((const char *)data, size, &table) < 0) {
        return 0;
    }
    size_t count = table.count;
    dinv_mountinfo_sort_for_unmount(&table);
    if (table.count != count) {
        abort();
    }
    for (size_t index = 0; index < table.count; index++) {
        const DinvMount *mount = &table.mounts[index];
        (void)dinv_mount_is_to_unmount(mount);
        (void)dinv_mount_holds_data(mount);
        if (dinv_mountinfo_find(&table, mount->target) == NULL) {
            abort();
        }
    }
    dinv_mountinfo_clear(&table);
    return 0;
}
