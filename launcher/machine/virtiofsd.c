/* SPDX-License-Identifier: MIT */
#include "launcher/machine/virtiofsd.h"

#include <linux/capability.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Docker's default for a container's root has all of them. */
#define NEEDED                                                                                     \
    (1u << CAP_CHOWN | 1u << CAP_DAC_OVERRIDE | 1u << CAP_FOWNER | 1u << CAP_FSETID |              \
     1u << CAP_SETGID | 1u << CAP_SETUID | 1u << CAP_MKNOD | 1u << CAP_SETFCAP |                   \
     1u << CAP_SYS_CHROOT)

/* Descriptors: one for each inode that the guest knows. What virtiofsd sets as its limit if it may;
 * and with less than the other the guest would drop its caches all the time. */
#define FILES_MAX 1000000u
#define FILES_MIN 8192u

static rlim_t get_files_limit(void) {
    struct rlimit files = {.rlim_max = FILES_MAX};
    (void)getrlimit(RLIMIT_NOFILE, &files);
    return files.rlim_max;
}

gint64 dinv_machine_virtiofsd_get_inodes_max(void) {
    return (gint64)CLAMP(get_files_limit() / 2, 1, FILES_MAX / 2);
}

static gboolean has_capabilities(void) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {0};

    return syscall(SYS_capget, &header, data) == 0 && (data[0].effective & NEEDED) == NEEDED;
}

gboolean dinv_machine_virtiofsd_find(DinvMachineVirtiofsd *found, char **reason) {
    static const DinvMachineVirtiofsd places[] = {
        {.program = "/usr/libexec/virtiofsd", .is_of_qemu = FALSE},
        {.program = "/usr/lib/qemu/virtiofsd", .is_of_qemu = TRUE},
    };

    rlim_t files = get_files_limit();
    if (files < FILES_MIN) {
        *reason = g_strdup_printf("virtiofsd needs a limit of %u descriptors or more, which is "
                                  "%lu here (docker run --ulimit nofile=524288)",
                                  FILES_MIN, (gulong)files);
        return FALSE;
    }
    if (!has_capabilities()) {
        *reason = g_strdup("virtiofsd needs root with Docker's default capabilities");
        return FALSE;
    }
    for (guint i = 0; i < G_N_ELEMENTS(places); i++) {
        if (access(places[i].program, X_OK) == 0) {
            *found = places[i];
            return TRUE;
        }
    }
    *reason = g_strdup_printf("there is neither %s nor %s", places[0].program, places[1].program);
    return FALSE;
}
