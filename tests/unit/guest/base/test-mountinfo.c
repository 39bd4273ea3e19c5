/* SPDX-License-Identifier: MIT */
/* The order in which the guest's mounts go. */
#include "guest/base/mountinfo.h"

#include <glib.h>
#include <string.h>

/* As a guest with two containers has it; ids as the kernel gave them, which is not the order. */
static const char sample[] =
    "21 1 0:20 / / rw,relatime shared:1 - overlay dinv-root rw,lowerdir=/,upperdir=/run/upper\n"
    "22 21 0:5 / /dev rw,nosuid shared:2 - devtmpfs devtmpfs rw,mode=755\n"
    "23 21 0:21 / /proc rw,nosuid shared:3 - proc proc rw\n"
    "26 22 0:24 / /dev/pts rw,nosuid,noexec shared:6 - devpts devpts rw,gid=5\n"
    "24 21 0:22 / /sys rw shared:4 - sysfs sysfs rw\n"
    "30 24 0:28 / /sys/fs/cgroup rw shared:10 - cgroup2 cgroup2 rw,nsdelegate\n"
    "28 21 0:26 / /run rw,nosuid shared:8 - tmpfs tmpfs rw,mode=755\n"
    "35 21 254:16 / /var/lib/docker rw,relatime shared:15 - ext4 /dev/vdb rw,discard\n"
    "36 21 0:33 / /src/inner\\040dir rw,sync shared:16 - 9p dinv0 rw,access=any\n"
    "37 21 0:34 / /data ro,relatime shared:17 - virtiofs dinv1 ro\n"
    "90 35 0:40 / /var/lib/docker/overlay2/b/merged rw - overlay overlay rw,lowerdir=x\n"
    "70 28 0:4 net:[4026532300] /run/docker/netns/abc rw shared:40 - nsfs nsfs rw\n"
    "80 35 0:41 / /var/lib/docker/overlay2/a/merged rw master:3 propagate_from:2 - overlay "
    "overlay rw\n"
    "95 90 254:16 /volumes/v /var/lib/docker/overlay2/b/merged/v rw - ext4 /dev/vdb rw\n"
    "not a line at all\n"
    "1 2 3\n"
    "99 21 0:50 / /lost rw shared:1 tmpfs tmpfs rw\n";

static void test_mountinfo_parse(void) {
    DinvMountTable table;
    g_assert_cmpint(dinv_mountinfo_parse(sample, strlen(sample), &table), ==, 0);
    g_assert_cmpuint(table.count, ==, 14);
    const DinvMount *share = dinv_mountinfo_find(&table, "/src/inner dir");
    g_assert_nonnull(share);
    g_assert_cmpint(share->id, ==, 36);
    g_assert_cmpint(share->parent, ==, 21);
    g_assert_cmpstr(share->type, ==, "9p");
    g_assert_cmpstr(share->source, ==, "dinv0");
    g_assert_cmpstr(share->root, ==, "/");
    g_assert_false(share->readonly);
    g_assert_true(dinv_mountinfo_find(&table, "/data")->readonly);
    g_assert_true(dinv_mount_holds_data(share));
    g_assert_false(dinv_mount_holds_data(dinv_mountinfo_find(&table, "/data")));
    g_assert_true(dinv_mount_holds_data(dinv_mountinfo_find(&table, "/var/lib/docker")));
    g_assert_false(dinv_mount_holds_data(dinv_mountinfo_find(&table, "/run")));
    g_assert_null(dinv_mountinfo_find(&table, "/src"));
    dinv_mountinfo_clear(&table);
}

static void test_mountinfo_unmount_order(void) {
    DinvMountTable table;
    g_assert_cmpint(dinv_mountinfo_parse(sample, strlen(sample), &table), ==, 0);
    dinv_mountinfo_sort_for_unmount(&table);
    GString *order = g_string_new(NULL);
    for (size_t i = 0; i < table.count; i++) {
        if (dinv_mount_is_to_unmount(&table.mounts[i])) {
            g_string_append_printf(order, "%s\n", table.mounts[i].target);
        }
    }
    g_assert_cmpstr(order->str, ==,
                    "/var/lib/docker/overlay2/b/merged/v\n"
                    "/var/lib/docker/overlay2/a/merged\n"
                    "/run/docker/netns/abc\n"
                    "/var/lib/docker/overlay2/b/merged\n"
                    "/data\n"
                    "/src/inner dir\n"
                    "/var/lib/docker\n");
    g_string_free(order, TRUE);
    dinv_mountinfo_clear(&table);
}

/* Parents in a circle end, too. */
static void test_mountinfo_circle(void) {
    static const char text[] = "1 2 0:1 / /a rw - tmpfs tmpfs rw\n2 1 0:1 / /b rw - tmpfs tmpfs rw";
    DinvMountTable table;
    g_assert_cmpint(dinv_mountinfo_parse(text, strlen(text), &table), ==, 0);
    g_assert_cmpuint(table.count, ==, 2);
    dinv_mountinfo_sort_for_unmount(&table);
    g_assert_cmpuint(table.count, ==, 2);
    dinv_mountinfo_clear(&table);
}

static void test_mountinfo_own(void) {
    DinvMountTable table;
    g_assert_cmpint(dinv_mountinfo_load(&table), ==, 0);
    g_assert_nonnull(dinv_mountinfo_find(&table, "/"));
    g_assert_nonnull(dinv_mountinfo_find(&table, "/proc"));
    dinv_mountinfo_clear(&table);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/guest/mountinfo/parse", test_mountinfo_parse);
    g_test_add_func("/guest/mountinfo/unmount-order", test_mountinfo_unmount_order);
    g_test_add_func("/guest/mountinfo/circle", test_mountinfo_circle);
    g_test_add_func("/guest/mountinfo/own", test_mountinfo_own);
    return g_test_run();
}
