/* SPDX-License-Identifier: MIT */
/* Sockets, processes and their ends; what the program is told is in virtiofsd.c. */
#include "launcher/machine/virtiofs.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launcher/base/unix-socket.h"
#include "launcher/machine/process.h"
#include "launcher/machine/virtiofsd.h"
#include "wire/mounts.h"

struct DinvMachineVirtiofs {
    GPtrArray *processes; /* of Server* */
    GArray *fds;          /* of int */
    DinvMachineVirtiofsGone gone;
    gpointer user;
};

typedef struct {
    DinvMachineVirtiofs *all;
    DinvMachineProcess *process;
    char *name; /* of the directory, for people */
} Server;

static void server_free(gpointer data) {
    Server *server = data;
    dinv_machine_process_free(server->process);
    g_free(server->name);
    g_free(server);
}

/* ---- one of them ---- */

static void virtiofsd_on_gone(DinvMachineProcess *process, int wait_status, gpointer user) {
    Server *server = user;
    DinvMachineVirtiofs *all = server->all;
    DinvMachineVirtiofsGone gone = all->gone;
    const char *said = dinv_machine_process_get_stderr(process);
    if (gone == NULL) {
        return;
    }
    g_autofree char *text = NULL;
    text =
        g_strdup_printf("virtiofsd, which serves %s, %s %d%s%s", server->name,
                        WIFSIGNALED(wait_status) ? "was killed by signal" : "ended with status",
                        WIFSIGNALED(wait_status) ? WTERMSIG(wait_status) : WEXITSTATUS(wait_status),
                        *said != '\0' ? ": " : "", said);
    all->gone = NULL;
    gone(text, !WIFEXITED(wait_status) || WEXITSTATUS(wait_status) != 0, all->user);
}

/* A socket that is connected to `address`, or, with `as_name`, a descriptor that /proc/self/fd
 * turns into a name to connect to when there is no other any more. -1 and errno. */
static int reach(const struct sockaddr_un *address, gboolean as_name) {
    if (as_name) {
        return open(address->sun_path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)address, sizeof *address) < 0) {
        int number = errno;
        (void)close(fd);
        errno = number;
        fd = -1;
    }
    return fd;
}

/* Listens at `address` and reaches it; the name is gone afterwards. 0, or the errno. */
static int listen_and_reach(const struct sockaddr_un *address, int listening, gboolean as_name,
                            int *reached) {
    (void)unlink(address->sun_path); /* of a launcher that was killed just here */
    if (bind(listening, (const struct sockaddr *)address, sizeof *address) < 0) {
        return errno;
    }
    int fd = -1;
    gboolean good = chmod(address->sun_path, 0600) == 0 && listen(listening, 1) == 0 &&
                    (fd = reach(address, as_name)) >= 0;
    int number = good ? 0 : errno;
    (void)unlink(address->sun_path);
    *reached = fd;
    return number;
}

/* Two sockets, connected through a name in the state directory: virtiofsd takes the listening one,
 * the machine the other. 0, or the errno, with nothing left. */
static int make_sockets(const char *state_dir, gboolean as_name, int *listening, int *reached) {
    g_autofree char *path = g_build_filename(state_dir, "virtiofs.sock", NULL);
    struct sockaddr_un address;
    if (dinv_unix_socket_set_address(&address, path) < 0) {
        return errno;
    }
    int server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (server < 0) {
        return errno;
    }
    int number = listen_and_reach(&address, server, as_name, reached);
    if (number != 0) {
        (void)close(server);
        return number;
    }
    *listening = server;
    return 0;
}

static gboolean start_one(DinvMachineVirtiofs *virtiofs, const DinvMachinePlan *plan,
                          const DinvMountSpec *mount, const char *tag, GError **error) {
    /* User-Mode Linux has the tag from the server; some of its kernels connect by themselves. */
    gboolean is_uml = plan->accel == DINV_MACHINE_UML;
    int listening = -1;
    int connected = -1;
    int number = make_sockets(plan->config->state_dir, is_uml && plan->uml.opens_files, &listening,
                              &connected);
    if (number != 0) {
        g_set_error(error, G_IO_ERROR, (int)g_io_error_from_errno(number),
                    "cannot make a socket for virtiofsd in %s: %s", plan->config->state_dir,
                    g_strerror(number));
        return FALSE;
    }
    g_array_append_val(virtiofs->fds, connected);
    Server *server = g_new0(Server, 1);
    server->all = virtiofs;
    server->name = g_strdup(mount->source);
    g_ptr_array_add(virtiofs->processes, server);
    g_auto(GStrv) argv = dinv_machine_virtiofsd_argv(plan->virtiofsd, mount, is_uml ? tag : NULL,
                                                     DINV_MACHINE_PROCESS_FIRST_FD);
    server->process =
        dinv_machine_process_spawn(argv, &listening, 1, virtiofsd_on_gone, server, error);
    (void)close(listening);
    if (server->process == NULL) {
        g_prefix_error(error, "cannot start virtiofsd: ");
        return FALSE;
    }
    return TRUE;
}

/* ---- all of them ---- */

gboolean dinv_machine_shares_files(const DinvMachinePlan *plan) {
    return plan->files_dir != NULL && plan->accel == DINV_MACHINE_UML;
}

guint dinv_machine_count_shares(const DinvMachinePlan *plan) {
    guint count = dinv_machine_shares_files(plan) ? 1 : 0;
    for (guint i = 0; plan->mounts != NULL && i < plan->mounts->len; i++) {
        count += ((const DinvMountSpec *)plan->mounts->pdata[i])->is_file ? 0 : 1;
    }
    return count;
}

DinvMachineVirtiofs *dinv_machine_virtiofs_start(const DinvMachinePlan *plan,
                                                 DinvMachineVirtiofsGone gone, gpointer user,
                                                 GError **error) {
    g_autoptr(DinvMachineVirtiofs) virtiofs = g_new0(DinvMachineVirtiofs, 1);
    virtiofs->processes = g_ptr_array_new_with_free_func(server_free);
    virtiofs->fds = g_array_new(FALSE, FALSE, sizeof(int));
    virtiofs->gone = gone;
    virtiofs->user = user;
    for (guint i = 0; i < plan->mounts->len; i++) {
        const DinvMountSpec *mount = plan->mounts->pdata[i];
        g_autofree char *tag = g_strdup_printf(DINV_WIRE_MOUNT_TAG_FORMAT, i);
        if (!mount->is_file && !start_one(virtiofs, plan, mount, tag, error)) {
            return NULL;
        }
    }
    const DinvMountSpec files = {.source = (char *)plan->files_dir, .readonly = TRUE};
    if (dinv_machine_shares_files(plan) &&
        !start_one(virtiofs, plan, &files, DINV_WIRE_MOUNT_FILES_TAG, error)) {
        return NULL;
    }
    return g_steal_pointer(&virtiofs);
}

const GArray *dinv_machine_virtiofs_get_fds(const DinvMachineVirtiofs *virtiofs) {
    return virtiofs->fds;
}

void dinv_machine_virtiofs_close_fds(DinvMachineVirtiofs *virtiofs) {
    for (guint i = 0; i < virtiofs->fds->len; i++) {
        (void)close(g_array_index(virtiofs->fds, int, i));
    }
    g_array_set_size(virtiofs->fds, 0);
}

void dinv_machine_virtiofs_free(DinvMachineVirtiofs *virtiofs) {
    if (virtiofs == NULL) {
        return;
    }
    virtiofs->gone = NULL;
    dinv_machine_virtiofs_close_fds(virtiofs);
    g_array_unref(virtiofs->fds);
    g_ptr_array_unref(virtiofs->processes);
    g_free(virtiofs);
}
