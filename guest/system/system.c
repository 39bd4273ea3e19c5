/* SPDX-License-Identifier: MIT */
/* The settings with their reasons, and a few system calls. */
#include "guest/system/system.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "guest/base/files.h"
#include "guest/base/log.h"
#include "guest/base/loop.h"
#include "wire/limits.h"

#define TOLERATED_SECONDS 0.5
#define TEXT_OF(number)   #number
#define TEXT(number)      TEXT_OF(number)

void dinv_system_set_sysctls(void) {
    static const char *const settings[][2] = {
        /* Containers are reached through this machine. */
        {"net/ipv4/ip_forward", "1"},
        {"net/ipv6/conf/all/forwarding", "1"},
        {"net/ipv6/conf/default/forwarding", "1"},
        {"net/bridge/bridge-nf-call-iptables", "1"},
        {"net/bridge/bridge-nf-call-ip6tables", "1"},
        /* A thousand clients at once are as many packets between two polls of a veth; what is
         * dropped there costs a client of a forwarded port seconds, or (SLIRP) its connection. */
        {"net/core/netdev_max_backlog", "65536"},
        /* A new network has no device that nobody asked for: sit0, tunl0, … */
        {"net/core/fb_tunnels_only_for_init_net", "1"},
        /* As systemd has it: what a container may ask for as its limit of descriptors. */
        {"fs/nr_open", TEXT(DINV_WIRE_FILES_MOST)},
        /* Many containers share what is counted for one user. */
        {"fs/inotify/max_user_watches", "1048576"},
        {"fs/inotify/max_user_instances", "8192"},
        {"kernel/pid_max", "4194304"},
        /* Databases and search engines in containers ask for these. */
        {"vm/max_map_count", "262144"},
        {"vm/overcommit_memory", "1"},
        /* Nobody else is on the guest's networks, and for the second that looking for others takes
         * a bridge's address cannot be used: what connects meanwhile takes the address of another
         * device, and gets no answer. */
        {"net/ipv6/conf/all/accept_dad", "0"},
        {"net/ipv6/conf/default/accept_dad", "0"},
        {"fs/protected_hardlinks", "1"},
        {"fs/protected_symlinks", "1"},
        /* A panic ends the machine, and with it the launcher, at once. */
        {"kernel/panic", "-1"},
    };
    for (size_t index = 0; index < sizeof settings / sizeof settings[0]; index++) {
        char path[128];
        (void)snprintf(path, sizeof path, "/proc/sys/%s", settings[index][0]);
        int result = dinv_file_write(path, settings[index][1]);
        if (result < 0 && result != -ENOENT) {
            dinv_log_warning("cannot set %s to %s: %s, ignoring", path, settings[index][1],
                             strerror(-result));
        }
    }
}

int dinv_system_set_read_ahead(const char *devices, const char *file, unsigned kibibytes) {
    struct stat status;
    if (stat(file, &status) < 0) {
        return -errno;
    }
    char path[256];
    char text[16];
    int length = snprintf(path, sizeof path, "%s/%u:%u/read_ahead_kb", devices,
                          major(status.st_dev), minor(status.st_dev));
    if (length < 0 || (size_t)length >= sizeof path) {
        return -ENAMETOOLONG;
    }
    (void)snprintf(text, sizeof text, "%u", kibibytes);
    return dinv_file_write(path, text);
}

int dinv_system_set_hostname(const char *hostname) {
    return sethostname(hostname, strlen(hostname)) < 0 ? -errno : 0;
}

int dinv_system_set_time(const struct timespec *time) {
    return clock_settime(CLOCK_REALTIME, time) < 0 ? -errno : 0;
}

int dinv_system_correct_time(const struct timespec *time) {
    struct timespec now;
    if (clock_gettime(CLOCK_REALTIME, &now) < 0) {
        return -errno;
    }
    double off = difftime(time->tv_sec, now.tv_sec) + (double)(time->tv_nsec - now.tv_nsec) / 1e9;
    return off > -TOLERATED_SECONDS && off < TOLERATED_SECONDS ? 0 : dinv_system_set_time(time);
}

int dinv_system_add_entropy(const uint8_t *bytes, size_t len) {
    struct rand_pool_info *pool = calloc(1, sizeof *pool + len);
    if (pool == NULL) {
        return -ENOMEM;
    }
    pool->entropy_count = (int)(len * 8);
    pool->buf_size = (int)len;
    memcpy(pool->buf, bytes, len);
    int fd = open("/dev/urandom", O_WRONLY | O_CLOEXEC);
    int result = fd < 0 || ioctl(fd, RNDADDENTROPY, pool) < 0 ? -errno : 0;
    if (fd >= 0) {
        close(fd);
    }
    explicit_bzero(pool, sizeof *pool + len);
    free(pool);
    return result;
}

/* The number behind "NAME:" in /proc/meminfo, in bytes; 0 if it is not there. */
static int64_t memory_figure(const char *meminfo, const char *name) {
    const char *at = strstr(meminfo, name);
    return at != NULL ? strtoll(at + strlen(name), NULL, 10) * 1024 : 0;
}

void dinv_system_add_stats(struct json_object *to) {
    char text[4096];
    if (dinv_file_read("/proc/meminfo", text, sizeof text) > 0) {
        json_object_object_add(to, "memory_total",
                               json_object_new_int64(memory_figure(text, "MemTotal:")));
        json_object_object_add(to, "memory_available",
                               json_object_new_int64(memory_figure(text, "MemAvailable:")));
    }
    struct sysinfo info;
    if (sysinfo(&info) == 0) {
        json_object_object_add(
            to, "load1",
            json_object_new_double((double)info.loads[0] / (double)(1 << SI_LOAD_SHIFT)));
        json_object_object_add(to, "processes", json_object_new_int64(info.procs));
    }
    json_object_object_add(to, "uptime_us", json_object_new_int64((int64_t)dinv_boottime_us()));
}
