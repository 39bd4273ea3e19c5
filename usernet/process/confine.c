/* SPDX-License-Identifier: MIT */
/* Privileges, capabilities, core dumps and Landlock. */
#include "usernet/process/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PORT_START "/proc/sys/net/ipv4/ip_unprivileged_port_start"
#define CAP_MAX    63

/* linux/landlock.h of a newer kernel than the headers may be. */
#define LANDLOCK_VERSION 1u
#define LANDLOCK_SCOPES  3u /* abstract sockets and signals, from version 6 */

typedef struct {
    uint64_t access_fs, access_net, scoped;
} LandlockRuleset;

/* Whether ports below 1024 need a capability here; yes, where that cannot be found out. */
static bool are_low_ports_privileged(void) {
    char text[16] = "";
    int fd = open(PORT_START, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        ssize_t len = read(fd, text, sizeof(text) - 1);
        text[len > 0 ? len : 0] = '\0';
        (void)close(fd);
    }
    return strcmp(text, "0\n") != 0;
}

static bool drop_capabilities(void) {
    uint64_t keep = are_low_ports_privileged() ? UINT64_C(1) << CAP_NET_BIND_SERVICE : 0;
    (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    /* Without CAP_SETPCAP the bounding set stays: with no_new_privs nothing comes of it. */
    for (unsigned long capability = 0; capability <= CAP_MAX; capability++) {
        (void)prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
    }
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    if (syscall(SYS_capget, &header, data) < 0) {
        return false;
    }
    for (int i = 0; i < 2; i++) {
        uint32_t mask = (uint32_t)(keep >> (32 * i));
        data[i].permitted &= mask;
        data[i].effective = data[i].permitted;
        data[i].inheritable = 0;
    }
    return syscall(SYS_capset, &header, data) == 0;
}

/* Every right that this kernel's Landlock knows is handled, and no rule grants any. */
static bool restrict_paths(void) {
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_VERSION);
    if (version < 1) {
        return false;
    }
    unsigned rights = version >= 5 ? 16 : version >= 3 ? 15 : version == 2 ? 14 : 13;
    LandlockRuleset ruleset = {
        .access_fs = (UINT64_C(1) << rights) - 1,
        .scoped = version >= 6 ? LANDLOCK_SCOPES : 0,
    };
    size_t size = version >= 6 ? sizeof(ruleset) : sizeof(ruleset.access_fs);
    int fd = (int)syscall(SYS_landlock_create_ruleset, &ruleset, size, 0);
    if (fd < 0) {
        return false;
    }
    bool done = syscall(SYS_landlock_restrict_self, fd, 0) == 0;
    (void)close(fd);
    return done;
}

DinvUsernetConfinement dinv_usernet_confine(void) {
    struct rlimit none = {0, 0};
    DinvUsernetConfinement confinement = {0};
    confinement.no_new_privs = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
    confinement.core = setrlimit(RLIMIT_CORE, &none) == 0;
    confinement.capabilities = drop_capabilities();
    confinement.landlock = restrict_paths();
    confinement.seccomp = dinv_usernet_confine_seccomp();
    return confinement;
}

void dinv_usernet_confinement_format(const DinvUsernetConfinement *confinement, char *out,
                                     unsigned long size) {
    const struct {
        bool on;
        const char *name;
    } parts[] = {
        {confinement->no_new_privs, "no_new_privs"},
        {confinement->capabilities, "capabilities"},
        {confinement->seccomp, "seccomp"},
        {confinement->landlock, "landlock"},
        {confinement->core, "core"},
    };
    size_t used = 0;
    (void)snprintf(out, size, "none");
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        if (parts[i].on && used < size) {
            int written =
                snprintf(out + used, size - used, "%s%s", used > 0 ? "," : "", parts[i].name);
            used += written > 0 ? (size_t)written : 0;
        }
    }
}
