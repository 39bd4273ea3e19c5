/* SPDX-License-Identifier: MIT */
#include "launcher/machine/virtiofs.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launcher/machine/process.h"

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

/* QEMU's reads "," in an option as its end, unless there is a backslash before it. */
static char *escape(const char *path) {
    GString *escaped = g_string_new(NULL);

    for (; *path != '\0'; path++) {
        if (strchr(",\\", *path) != NULL) {
            g_string_append_c(escaped, '\\');
        }
        g_string_append_c(escaped, *path);
    }
    return g_string_free(escaped, FALSE);
}

char **dinv_machine_virtiofsd_argv(const DinvMachineVirtiofsd *program, const DinvMountSpec *mount,
                                   int fd) {
    GPtrArray *argv = g_ptr_array_new();

    g_ptr_array_add(argv, g_strdup(program->program));
    g_ptr_array_add(argv, g_strdup_printf("--fd=%d", fd));
    if (program->is_of_qemu) {
        g_autofree char *source = escape(mount->source);

        g_ptr_array_add(argv, g_strdup("-f"));
        g_ptr_array_add(argv, g_strdup("-o"));
        g_ptr_array_add(argv, g_strconcat("source=", source, NULL));
        g_ptr_array_add(argv, g_strdup("-o"));
        g_ptr_array_add(argv, g_strdup("sandbox=chroot,cache=auto,xattr,log_level=err"));
    } else {
        g_ptr_array_add(argv, g_strdup("--shared-dir"));
        g_ptr_array_add(argv, g_strdup(mount->source));
        g_ptr_array_add(argv, g_strdup("--sandbox=chroot"));
        g_ptr_array_add(argv, g_strdup("--cache=auto"));
        g_ptr_array_add(argv, g_strdup("--xattr"));
        g_ptr_array_add(argv, g_strdup("--log-level=error"));
        if (mount->readonly) {
            g_ptr_array_add(argv, g_strdup("--readonly"));
        }
    }
    g_ptr_array_add(argv, NULL);
    return (char **)g_ptr_array_free(argv, FALSE);
}

static void on_gone(DinvMachineProcess *process, int wait_status, gpointer user) {
    Server *server = user;
    DinvMachineVirtiofs *all = server->all;
    DinvMachineVirtiofsGone gone = all->gone;
    const char *said = dinv_machine_process_get_stderr(process);
    g_autofree char *text = NULL;

    if (gone == NULL) {
        return;
    }
    text =
        g_strdup_printf("virtiofsd, which serves %s, %s %d%s%s", server->name,
                        WIFSIGNALED(wait_status) ? "was killed by signal" : "ended with status",
                        WIFSIGNALED(wait_status) ? WTERMSIG(wait_status) : WEXITSTATUS(wait_status),
                        *said != '\0' ? ": " : "", said);
    all->gone = NULL;
    gone(text, !WIFEXITED(wait_status) || WEXITSTATUS(wait_status) != 0, all->user);
}

/* A listening socket without a name, and a connection to it: virtiofsd takes the one, QEMU the
 * other. */
static gboolean make_sockets(const char *state_dir, int *listening, int *connected) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    gboolean good;

    *listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    *connected = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (*listening < 0 || *connected < 0 ||
        g_snprintf(address.sun_path, sizeof address.sun_path, "%s/virtiofs.sock", state_dir) >=
            (int)sizeof address.sun_path) {
        return FALSE;
    }
    (void)unlink(address.sun_path); /* of a launcher that was killed just here */
    good = bind(*listening, (struct sockaddr *)&address, sizeof address) == 0 &&
           chmod(address.sun_path, 0600) == 0 && listen(*listening, 1) == 0 &&
           connect(*connected, (struct sockaddr *)&address, sizeof address) == 0;
    (void)unlink(address.sun_path);
    return good;
}

static gboolean start_one(DinvMachineVirtiofs *virtiofs, const DinvMachinePlan *plan,
                          const DinvMountSpec *mount, GError **error) {
    g_auto(GStrv) argv =
        dinv_machine_virtiofsd_argv(plan->virtiofsd, mount, DINV_MACHINE_PROCESS_FIRST_FD);
    int listening = -1;
    int connected = -1;
    Server *server;

    if (!make_sockets(plan->config->state_dir, &listening, &connected)) {
        int number = errno;

        g_set_error(error, G_IO_ERROR, (int)g_io_error_from_errno(number),
                    "cannot make a socket for virtiofsd in %s: %s", plan->config->state_dir,
                    g_strerror(number));
        if (listening >= 0) {
            (void)close(listening);
        }
        if (connected >= 0) {
            (void)close(connected);
        }
        return FALSE;
    }
    g_array_append_val(virtiofs->fds, connected);
    server = g_new0(Server, 1);
    server->all = virtiofs;
    server->name = g_strdup(mount->source);
    server->process = dinv_machine_process_spawn(argv, &listening, 1, -1, on_gone, server, error);
    (void)close(listening);
    g_ptr_array_add(virtiofs->processes, server);
    if (server->process == NULL) {
        g_prefix_error(error, "cannot start virtiofsd: ");
        return FALSE;
    }
    return TRUE;
}

/* ---- all of them ---- */

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

        if (!mount->is_file && !start_one(virtiofs, plan, mount, error)) {
            return NULL;
        }
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
