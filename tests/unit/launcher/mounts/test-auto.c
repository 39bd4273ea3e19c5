/* SPDX-License-Identifier: MIT */
/* Which of a container's mounts are its user's; the texts are from real containers. */
#include <string.h>

#include "launcher/mounts/auto.h"

/* Docker: `docker run --tmpfs /scratch --init -v … `. */
static const char docker_text[] =
    "610 500 0:60 / / rw,relatime master:1 - overlay overlay rw,lowerdir=/x\n"
    "611 610 0:63 / /proc rw,nosuid - proc proc rw\n"
    "612 610 0:64 / /dev rw,nosuid - tmpfs tmpfs rw,size=65536k\n"
    "613 612 0:65 / /dev/pts rw,nosuid - devpts devpts rw\n"
    "614 610 0:66 / /sys ro,nosuid - sysfs sysfs ro\n"
    "615 614 0:30 / /sys/fs/cgroup ro - cgroup2 cgroup rw\n"
    "616 612 0:67 / /dev/shm rw - tmpfs shm rw,size=65536k\n"
    "617 610 0:68 / /scratch rw,nosuid,nodev,noexec,relatime - tmpfs tmpfs rw\n"
    "634 610 0:69 / /secret ro,relatime - tmpfs tmpfs rw\n"
    "635 610 0:70 / /in-memory rw,relatime - tmpfs tmpfs rw\n"
    "618 610 8:1 /var/lib/docker/volumes/ws/_data /home/jenkins/ws rw,relatime - ext4 /dev/sda1 "
    "rw\n"
    "619 610 8:1 /srv/conf /conf ro,relatime - ext4 /dev/sda1 rw\n"
    "620 610 8:1 /c/resolv.conf /etc/resolv.conf rw - ext4 /dev/sda1 rw\n"
    "621 610 8:1 /c/hostname /etc/hostname rw - ext4 /dev/sda1 rw\n"
    "622 610 8:1 /c/hosts /etc/hosts rw - ext4 /dev/sda1 rw\n"
    "623 610 8:1 /usr/bin/docker-init /sbin/docker-init ro - ext4 /dev/sda1 rw\n"
    "624 610 8:1 /volumes/state/_data /var/lib/dinv rw - ext4 /dev/sda1 rw\n"
    "625 624 8:1 /volumes/more/_data /var/lib/dinv/more rw - ext4 /dev/sda1 rw\n"
    "626 610 0:25 /part /of-a-tmpfs rw - tmpfs tmpfs rw\n"
    "627 610 8:17 / /image ro - iso9660 /dev/sdb1 ro\n"
    "628 610 8:1 /odd /a\\040b\\012c\\134d;e rw - ext4 /dev/sda1 rw\n"
    "629 618 8:1 /cache /home/jenkins/ws/cache rw - ext4 /dev/sda1 rw\n"
    "630 610 8:1 /first /twice ro - ext4 /dev/sda1 rw\n"
    "631 610 8:1 /second /twice rw - ext4 /dev/sda1 rw\n"
    "632 610 8:1 /certs /etc/ssl/certs ro - ext4 /dev/sda1 rw\n"
    "633 611 0:63 /bus /proc/bus ro - proc proc rw\n"
    "not a line of mountinfo\n";

static GPtrArray *list(const char *text) {
    DinvMountTable table;
    g_assert_cmpint(dinv_mountinfo_parse(text, strlen(text), &table), ==, 0);
    GPtrArray *mounts = dinv_mount_auto_list(&table, "/var/lib/dinv");
    dinv_mountinfo_clear(&table);
    return mounts;
}

static void test_docker(void) {
    static const struct {
        const char *path;
        gboolean readonly;
    } wanted[] = {
        {"/a b\nc\\d;e", FALSE},
        {"/conf", TRUE},
        {"/etc/ssl/certs", TRUE},
        {"/home/jenkins/ws", FALSE},
        {"/home/jenkins/ws/cache", FALSE},
        {"/image", TRUE},
        {"/in-memory", FALSE},
        {"/of-a-tmpfs", FALSE},
        {"/scratch", FALSE},
        {"/secret", TRUE},
        {"/twice", FALSE},
    };
    g_autoptr(GPtrArray) mounts = list(docker_text);
    g_assert_cmpuint(mounts->len, ==, G_N_ELEMENTS(wanted));
    for (guint i = 0; i < mounts->len; i++) {
        const DinvMountSpec *mount = mounts->pdata[i];
        g_assert_cmpstr(mount->source, ==, wanted[i].path);
        g_assert_cmpstr(mount->target, ==, wanted[i].path);
        g_assert_cmpint(mount->readonly, ==, wanted[i].readonly);
    }
}

/* What is in memory, and what of it only the container's own. */
static void test_memory(void) {
    static const struct {
        const char *target;
        gboolean memory, scratch;
    } cases[] = {{"/scratch", TRUE, TRUE},
                 {"/secret", TRUE, FALSE},
                 {"/in-memory", TRUE, FALSE},
                 {"/of-a-tmpfs", FALSE, FALSE},
                 {"/conf", FALSE, FALSE}};
    DinvMountTable table;
    g_assert_cmpint(dinv_mountinfo_parse(docker_text, strlen(docker_text), &table), ==, 0);
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        const DinvMount *mount = dinv_mountinfo_find(&table, cases[i].target);
        g_assert_cmpint(dinv_mount_is_memory(mount), ==, cases[i].memory);
        g_assert_cmpint(dinv_mount_is_scratch(mount), ==, cases[i].scratch);
    }
    dinv_mountinfo_clear(&table);
}

static void test_nothing(void) {
    g_autoptr(GPtrArray) empty = list("");
    g_autoptr(GPtrArray) root = list("1 0 8:1 / / rw - ext4 /dev/sda1 rw\n");
    g_assert_cmpuint(empty->len, ==, 0);
    g_assert_cmpuint(root->len, ==, 0);
}

/* A mount within another is seen through its export; not a writable one through a read-only export,
 * nor through one that shows the directory elsewhere. */
static void test_seen_through(void) {
    static const struct {
        DinvMountSpec outer;
        DinvMountSpec inner;
        gboolean seen;
    } cases[] = {
        {{(char *)"/a", (char *)"/a", FALSE, FALSE},
         {(char *)"/a/b", (char *)"/a/b", FALSE, FALSE},
         TRUE},
        {{(char *)"/a", (char *)"/a", FALSE, FALSE},
         {(char *)"/a/b", (char *)"/a/b", TRUE, FALSE},
         TRUE},
        {{(char *)"/a", (char *)"/a", TRUE, FALSE},
         {(char *)"/a/b", (char *)"/a/b", TRUE, FALSE},
         TRUE},
        {{(char *)"/a", (char *)"/a", TRUE, FALSE},
         {(char *)"/a/b", (char *)"/a/b", FALSE, FALSE},
         FALSE},
        {{(char *)"/a", (char *)"/x", FALSE, FALSE},
         {(char *)"/a/b", (char *)"/a/b", FALSE, FALSE},
         FALSE},
        {{(char *)"/a", (char *)"/a", FALSE, FALSE},
         {(char *)"/ab", (char *)"/ab", FALSE, FALSE},
         FALSE},
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GPtrArray) mounts = g_ptr_array_new();
        g_ptr_array_add(mounts, (gpointer)&cases[i].outer);
        g_assert_cmpint(dinv_mount_is_seen_through(&cases[i].inner, mounts), ==, cases[i].seen);
    }
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/mount-auto/docker", test_docker);
    g_test_add_func("/mount-auto/memory", test_memory);
    g_test_add_func("/mount-auto/nothing", test_nothing);
    g_test_add_func("/mount-auto/seen-through", test_seen_through);
    return g_test_run();
}
