/* SPDX-License-Identifier: MIT */
/* Which block devices are looked at after the unmounting. */
#include "guest/mounts/devices.h"

#include <glib.h>
#include <string.h>

static const char mounts[] = "21 1 0:20 / / rw - overlay dinv-root rw\n"
                             "22 21 254:0 / /var/lib/docker rw - ext4 /dev/vda rw\n"
                             "23 22 254:0 /volumes /data rw - ext4 /dev/vda rw\n"
                             "24 21 254:16 / /volume rw - ext4 /dev/vdb rw\n"
                             "25 21 254:32 / /lower ro - erofs /dev/vdc ro\n"
                             "26 21 0:5 / /dev rw - devtmpfs devtmpfs rw\n"
                             "27 21 0:40 / /src rw - 9p dinv0 rw\n";

static void add(DinvMountsDevices *devices, const char *text) {
    DinvMountTable table;
    g_assert_cmpint(dinv_mountinfo_parse(text, strlen(text), &table), ==, 0);
    dinv_mounts_devices_add(devices, &table);
    dinv_mountinfo_clear(&table);
}

/* The unmounting is tried every 20 ms for as long as there is time. */
static void test_tried_again(void) {
    DinvMountsDevices devices = {0};
    for (guint i = 0; i < 100; i++) {
        add(&devices, mounts);
        g_assert_cmpuint(devices.count, ==, 2);
    }
    g_assert_cmpstr(devices.names[0], ==, "/dev/vda");
    g_assert_cmpstr(devices.names[1], ==, "/dev/vdb");
    /* There is still room for one that comes later; those that are gone are kept. */
    add(&devices, "30 1 254:48 / /mnt rw - ext4 /dev/vdd rw\n");
    g_assert_cmpuint(devices.count, ==, 3);
    g_assert_cmpstr(devices.names[2], ==, "/dev/vdd");
}

static void test_full(void) {
    DinvMountsDevices devices = {0};
    for (guint i = 0; i < 2 * DINV_MOUNTS_DEVICES_MAX; i++) {
        g_autofree char *line =
            g_strdup_printf("%u 1 254:%u / /mnt rw - ext4 /dev/loop%u rw\n", 30 + i, i, i);
        add(&devices, line);
    }
    g_assert_cmpuint(devices.count, ==, DINV_MOUNTS_DEVICES_MAX);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/guest/mounts/devices/tried-again", test_tried_again);
    g_test_add_func("/guest/mounts/devices/full", test_full);
    return g_test_run();
}
