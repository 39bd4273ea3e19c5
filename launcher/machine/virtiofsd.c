/* SPDX-License-Identifier: MIT */
/* virtiofsd as Debian 12 and 13 have it. */
#include "launcher/machine/virtiofsd.h"

#include <linux/capability.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "launcher/host/capabilities.h"

/* virtiofsd has a descriptor for each inode that the guest knows. The most it sets as its limit, if
 * it may. */
#define FILES_MAX 1000000u
/* With fewer the guest would drop its caches all the time. */
#define FILES_MIN 8192u

static rlim_t get_files_limit(void) {
    struct rlimit files = {.rlim_max = FILES_MAX};
    (void)getrlimit(RLIMIT_NOFILE, &files);
    return files.rlim_max;
}

gint64 dinv_machine_virtiofsd_get_inodes_max(void) {
    return (gint64)CLAMP(get_files_limit() / 2, 1, FILES_MAX / 2);
}

static const DinvMachineVirtiofsd places[] = {
    {.program = "/usr/libexec/virtiofsd", .is_of_qemu = FALSE},
    {.program = "/usr/lib/qemu/virtiofsd", .is_of_qemu = TRUE},
};

static gboolean find_chosen(const char *chosen, DinvMachineVirtiofsd *found, char **reason) {
    *found = (DinvMachineVirtiofsd){.program = chosen,
                                    .is_of_qemu = strcmp(chosen, places[1].program) == 0};
    if (access(chosen, X_OK) == 0) {
        return TRUE;
    }
    *reason = g_strdup_printf("DINV_VIRTIOFSD: \"%s\" is not a program", chosen);
    return FALSE;
}

static gboolean find_place(DinvMachineVirtiofsd *found, char **reason) {
    for (guint i = 0; i < G_N_ELEMENTS(places); i++) {
        if (access(places[i].program, X_OK) == 0) {
            *found = places[i];
            return TRUE;
        }
    }
    *reason = g_strdup_printf("there is neither %s nor %s", places[0].program, places[1].program);
    return FALSE;
}

gboolean dinv_machine_virtiofsd_find(const char *chosen, DinvMachineVirtiofsd *found,
                                     char **reason) {
    /* Docker's default for a container's root has all of them. */
    static const int needed[] = {CAP_CHOWN,  CAP_DAC_OVERRIDE, CAP_FOWNER,
                                 CAP_FSETID, CAP_SETGID,       CAP_SETUID,
                                 CAP_MKNOD,  CAP_SETFCAP,      CAP_SYS_CHROOT};
    rlim_t files = get_files_limit();
    if (files < FILES_MIN) {
        *reason = g_strdup_printf("virtiofsd needs a limit of %u descriptors or more, which is "
                                  "%lu here (docker run --ulimit nofile=524288)",
                                  FILES_MIN, (gulong)files);
        return FALSE;
    }
    gboolean is_able = dinv_host_has_capabilities("", needed, G_N_ELEMENTS(needed));
    if (!is_able && geteuid() == 0) {
        *reason = g_strdup("virtiofsd of root needs Docker's default capabilities");
        return FALSE;
    }
    if (!(chosen != NULL ? find_chosen(chosen, found, reason) : find_place(found, reason))) {
        return FALSE;
    }
    if (!is_able && found->is_of_qemu) {
        *reason =
            g_strdup_printf("%s needs root with Docker's default capabilities", found->program);
        return FALSE;
    }
    found->squashes = !is_able;
    found->uid = geteuid();
    found->gid = getegid();
    return TRUE;
}

/* The virtiofsd of QEMU reads "," in an option as its end, unless there is a backslash before. */
static char *escape_for_virtiofsd(const char *path) {
    GString *escaped = g_string_new(NULL);
    for (; *path != '\0'; path++) {
        if (strchr(",\\", *path) != NULL) {
            g_string_append_c(escaped, '\\');
        }
        g_string_append_c(escaped, *path);
    }
    return g_string_free(escaped, FALSE);
}

/* The whole range of ids in the guest is one here, which needs no right to become another user. */
static void add_squashing(const DinvMachineVirtiofsd *program, GPtrArray *argv) {
    g_ptr_array_add(argv, g_strdup("--sandbox=none"));
    g_ptr_array_add(
        argv, g_strdup_printf("--translate-uid=squash-guest:0:%u:%u", program->uid, G_MAXUINT32));
    g_ptr_array_add(
        argv, g_strdup_printf("--translate-gid=squash-guest:0:%u:%u", program->gid, G_MAXUINT32));
}

char **dinv_machine_virtiofsd_argv(const DinvMachineVirtiofsd *program, const DinvMountSpec *mount,
                                   const char *tag, int fd) {
    GPtrArray *argv = g_ptr_array_new();
    g_ptr_array_add(argv, g_strdup(program->program));
    g_ptr_array_add(argv, g_strdup_printf("--fd=%d", fd));
    if (program->is_of_qemu) {
        g_autofree char *source = escape_for_virtiofsd(mount->source);
        g_ptr_array_add(argv, g_strdup("-f"));
        g_ptr_array_add(argv, g_strdup("-o"));
        g_ptr_array_add(argv, g_strconcat("source=", source, NULL));
        g_ptr_array_add(argv, g_strdup("-o"));
        g_ptr_array_add(argv, g_strdup("sandbox=chroot,cache=auto,xattr,log_level=err"));
    } else {
        g_ptr_array_add(argv, g_strdup("--shared-dir"));
        g_ptr_array_add(argv, g_strdup(mount->source));
        if (program->squashes) {
            add_squashing(program, argv);
        } else {
            g_ptr_array_add(argv, g_strdup("--sandbox=chroot"));
        }
        g_ptr_array_add(argv, g_strdup("--cache=auto"));
        g_ptr_array_add(argv, g_strdup("--xattr"));
        g_ptr_array_add(argv, g_strdup("--log-level=error"));
        if (tag != NULL) {
            g_ptr_array_add(argv, g_strdup_printf("--tag=%s", tag));
        }
        if (mount->readonly) {
            g_ptr_array_add(argv, g_strdup("--readonly"));
        }
    }
    g_ptr_array_add(argv, NULL);
    return (char **)g_ptr_array_free(argv, FALSE);
}
