/* SPDX-License-Identifier: MIT */
/* Privileges, capabilities and core dumps, and the order of it all. */
#include "confine/confine.h"

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CAP_MAX 63

static bool drop_capabilities(uint64_t keep) {
    (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    /* Without CAP_SETPCAP the bounding set stays: with no_new_privs nothing comes of it. */
    for (unsigned long capability = 0; capability <= CAP_MAX; capability++) {
        if ((keep >> capability & 1) == 0) {
            (void)prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
        }
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

DinvConfinement dinv_confine(const DinvConfinePlan *plan) {
    struct rlimit none = {0, 0};
    DinvConfinement confinement = {0};
    confinement.no_new_privs = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
    confinement.core = setrlimit(RLIMIT_CORE, &none) == 0;
    confinement.capabilities = drop_capabilities(plan->capabilities);
    confinement.landlock = dinv_confine_landlock(plan->files, plan->file_count, &confinement.scope);
    confinement.seccomp = dinv_confine_filter(plan->tables, plan->table_count) == 0;
    return confinement;
}

/* Not snprintf(), which may not be called between fork and exec. */
static size_t append(char *out, size_t size, size_t used, const char *text) {
    for (; *text != '\0' && used + 1 < size; text++) {
        out[used++] = *text;
    }
    out[used] = '\0';
    return used;
}

void dinv_confinement_format(const DinvConfinement *confinement, char *out, size_t size) {
    const struct {
        bool on;
        const char *name;
    } parts[] = {
        {confinement->no_new_privs, "no_new_privs"},
        {confinement->capabilities, "capabilities"},
        {confinement->seccomp, "seccomp"},
        {confinement->landlock, "landlock"},
        {confinement->scope, "scope"},
        {confinement->core, "core"},
    };
    size_t used = 0;
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        if (parts[i].on) {
            used = append(out, size, used, used > 0 ? "," : "");
            used = append(out, size, used, parts[i].name);
        }
    }
    if (used == 0) {
        (void)append(out, size, 0, "none");
    }
}
