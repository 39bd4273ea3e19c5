/* SPDX-License-Identifier: MIT */
/* The process: its start, what it says, its end, and the start after that. */
#include "launcher/network/usernet.h"

#include <errno.h>
#include <glib-unix.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launcher/base/log.h"
#include "launcher/machine/process.h"
#include "launcher/network/usernet-calls.h"

/* What dies again sooner is not started a third time. */
#define AGAIN_US (60 * G_USEC_PER_SEC)
/* Of the frames' sockets, in bytes: as much as the kernel allows at most counts. */
#define FRAMES_BUFFER (4 * 1024 * 1024)

G_DEFINE_QUARK(dinv - network - usernet - error - quark, dinv_network_usernet_error)

struct DinvNetworkUsernet {
    const DinvNetworkUsernetPlan *plan;
    DinvNetworkUsernetLost lost;
    gpointer user;
    int frames[2]; /* the process's end, the machine's end */
    int control;   /* our end; -1: there is no process */
    guint read_source;
    DinvMachineProcess *process;
    gint64 death_us; /* of the last process; 0: none has died */
    char *trouble;   /* what is wrong with this process as seen from here */
    char *features;  /* of its `ready` */
    DinvNetworkUsernetCalls *calls;
};

/* ---- what it says ---- */

static void take_ready(DinvNetworkUsernet *usernet, const DinvUsernetReply *reply) {
    if (reply->version != DINV_USERNET_VERSION) {
        usernet->trouble = g_strdup_printf("it speaks version %u of the protocol, not %u",
                                           reply->version, DINV_USERNET_VERSION);
        dinv_machine_process_kill(usernet->process);
        return;
    }
    g_free(usernet->features);
    usernet->features = g_strdup(reply->features);
    dinv_log(DINV_LOG_DEBUG, "network: dinv-usernet runs, confined by %s", reply->features);
}

static void take_message(DinvNetworkUsernet *usernet, const char *message, gsize len) {
    DinvUsernetReply reply;
    if (dinv_usernet_reply_decode(message, len, &reply) < 0) {
        if (usernet->trouble == NULL) {
            g_autofree char *text = g_strndup(message, MIN(len, 80));
            g_autofree char *printable = dinv_log_printable_line(text);
            usernet->trouble = g_strdup_printf("it said what is no answer: \"%s\"", printable);
        }
        dinv_machine_process_kill(usernet->process);
        return;
    }
    if (reply.type == DINV_USERNET_READY) {
        take_ready(usernet, &reply);
        return;
    }
    dinv_network_usernet_calls_take_reply(usernet->calls, &reply);
}

/* Some messages a turn, so that nobody else waits for long. FALSE at the end. */
static gboolean read_messages(DinvNetworkUsernet *usernet) {
    for (guint i = 0; i < 64; i++) {
        char message[DINV_USERNET_MESSAGE_MAX + 1];
        ssize_t len = recv(usernet->control, message, sizeof message, MSG_DONTWAIT);
        if (len < 0 && (errno == EAGAIN || errno == EINTR)) {
            return TRUE;
        }
        if (len <= 0) {
            return FALSE;
        }
        take_message(usernet, message, (gsize)len);
    }
    return TRUE;
}

static gboolean usernet_on_readable(gint fd G_GNUC_UNUSED, GIOCondition condition G_GNUC_UNUSED,
                                    gpointer user) {
    DinvNetworkUsernet *usernet = user;
    if (read_messages(usernet)) {
        return G_SOURCE_CONTINUE;
    }
    usernet->read_source = 0;
    dinv_machine_process_kill(usernet->process); /* one that does not listen is of no use */
    return G_SOURCE_REMOVE;
}

/* ---- the process ---- */

static void usernet_on_line(const char *line, gpointer user G_GNUC_UNUSED) {
    g_autofree char *printable = dinv_log_printable_line(line);
    dinv_log(DINV_LOG_WARNING, "network: %s", printable);
}

static void close_control(DinvNetworkUsernet *usernet) {
    g_clear_handle_id(&usernet->read_source, g_source_remove);
    dinv_network_usernet_calls_detach(usernet->calls);
    if (usernet->control >= 0) {
        (void)close(usernet->control);
        usernet->control = -1;
    }
}

static void usernet_on_gone(DinvMachineProcess *process, int wait_status, gpointer user);

char **dinv_network_usernet_argv(const DinvNetworkUsernetPlan *plan) {
    g_autofree char *mtu = g_strdup_printf("%u", plan->mtu);
    const char *argv[] = {plan->program,
                          "--frames",
                          G_STRINGIFY(DINV_NETWORK_USERNET_FRAMES_FD),
                          "--control",
                          G_STRINGIFY(DINV_NETWORK_USERNET_CONTROL_FD),
                          "--network",
                          plan->network,
                          "--mtu",
                          mtu,
                          NULL};
    return g_strdupv((char **)argv);
}

static gboolean start_process(DinvNetworkUsernet *usernet, GError **error) {
    int control[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control) < 0) {
        int number = errno;
        g_set_error(error, DINV_NETWORK_USERNET_ERROR, number,
                    "cannot make a socket pair for dinv-usernet: %s", g_strerror(number));
        return FALSE;
    }
    G_STATIC_ASSERT(DINV_NETWORK_USERNET_FRAMES_FD == DINV_MACHINE_PROCESS_FIRST_FD);
    const int fds[] = {usernet->frames[0], control[1]}; /* the numbers are in the order */
    g_auto(GStrv) argv = dinv_network_usernet_argv(usernet->plan);
    usernet->process =
        dinv_machine_process_spawn(argv, fds, G_N_ELEMENTS(fds), usernet_on_gone, usernet, error);
    (void)close(control[1]);
    if (usernet->process == NULL) {
        (void)close(control[0]);
        g_prefix_error(
            error, "cannot start the guest's network (DINV_USERNET=%s): ", usernet->plan->program);
        return FALSE;
    }
    dinv_machine_process_tell_lines(usernet->process, usernet_on_line);
    usernet->control = control[0];
    usernet->read_source =
        g_unix_fd_add(control[0], G_IO_IN | G_IO_HUP | G_IO_ERR, usernet_on_readable, usernet);
    dinv_network_usernet_calls_attach(usernet->calls, control[0]);
    return TRUE;
}

static char *describe_end(const DinvNetworkUsernet *usernet, int wait_status, const char *said) {
    gboolean killed = WIFSIGNALED(wait_status);
    return g_strdup_printf("dinv-usernet, which is the guest's network, %s %d%s%s%s%s",
                           killed ? "was killed by signal" : "ended with status",
                           killed ? WTERMSIG(wait_status) : WEXITSTATUS(wait_status),
                           usernet->trouble != NULL ? "; " : "",
                           usernet->trouble != NULL ? usernet->trouble : "",
                           *said != '\0' ? ": " : "", said);
}

static void give_up(DinvNetworkUsernet *usernet, const char *text) {
    dinv_network_usernet_calls_lose(usernet->calls);
    usernet->lost(text, usernet->user);
}

static void usernet_on_gone(DinvMachineProcess *process, int wait_status, gpointer user) {
    DinvNetworkUsernet *usernet = user;
    gint64 now_us = g_get_monotonic_time();
    gboolean again = usernet->death_us == 0 || now_us - usernet->death_us >= AGAIN_US;
    if (usernet->read_source != 0) {
        for (guint i = 0; i < 64 && read_messages(usernet); i++) { /* its last answers count */
        }
    }
    close_control(usernet);
    g_autofree char *text =
        describe_end(usernet, wait_status, dinv_machine_process_get_stderr(process));
    g_clear_pointer(&usernet->trouble, g_free);
    g_clear_pointer(&usernet->process, dinv_machine_process_free);
    usernet->death_us = now_us;
    if (!again) {
        give_up(usernet, text);
        return;
    }
    g_autofree char *printable = dinv_log_printable_line(text);
    dinv_log(DINV_LOG_WARNING,
             "%s; starting it again: forwarded ports are back, connections that were open are "
             "reset",
             printable);
    g_autoptr(GError) error = NULL;
    if (!start_process(usernet, &error)) {
        give_up(usernet, error->message);
    }
}

/* ---- life ---- */

DinvNetworkUsernet *dinv_network_usernet_new(const DinvNetworkUsernetPlan *plan,
                                             DinvNetworkUsernetLost lost, gpointer user,
                                             GError **error) {
    int frames[2];
    if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, frames) < 0) {
        int number = errno;
        g_set_error(error, DINV_NETWORK_USERNET_ERROR, number,
                    "cannot make a socket pair for the guest's network: %s", g_strerror(number));
        return NULL;
    }
    for (guint i = 0; i < G_N_ELEMENTS(frames); i++) {
        const int size = FRAMES_BUFFER;
        (void)setsockopt(frames[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    }
    g_autoptr(DinvNetworkUsernet) usernet = g_new0(DinvNetworkUsernet, 1);
    usernet->plan = plan;
    usernet->lost = lost;
    usernet->user = user;
    usernet->frames[0] = frames[0];
    usernet->frames[1] = frames[1];
    usernet->control = -1;
    usernet->calls = dinv_network_usernet_calls_new();
    return start_process(usernet, error) ? g_steal_pointer(&usernet) : NULL;
}

void dinv_network_usernet_free(DinvNetworkUsernet *usernet) {
    if (usernet == NULL) {
        return;
    }
    close_control(usernet);
    g_clear_pointer(&usernet->process, dinv_machine_process_free);
    dinv_network_usernet_calls_free(usernet->calls);
    (void)close(usernet->frames[0]);
    (void)close(usernet->frames[1]);
    g_free(usernet->trouble);
    g_free(usernet->features);
    g_free(usernet);
}

int dinv_network_usernet_get_machine_fd(const DinvNetworkUsernet *usernet) {
    return usernet->frames[1];
}

GPid dinv_network_usernet_get_pid(const DinvNetworkUsernet *usernet) {
    return usernet->process != NULL ? dinv_machine_process_get_pid(usernet->process) : 0;
}

const char *dinv_network_usernet_get_features(const DinvNetworkUsernet *usernet) {
    return usernet->features;
}

/* ---- what is asked of it ---- */

void dinv_network_usernet_add(DinvNetworkUsernet *usernet, const DinvUsernetEndpoint *endpoint,
                              guint16 guest_port, GAsyncReadyCallback callback, gpointer user) {
    const DinvUsernetRequest request = {
        .verb = DINV_USERNET_ADD, .endpoint = *endpoint, .guest_port = guest_port};
    dinv_network_usernet_calls_make(usernet->calls, &request,
                                    g_task_new(NULL, NULL, callback, user));
}

void dinv_network_usernet_remove(DinvNetworkUsernet *usernet, const DinvUsernetEndpoint *endpoint,
                                 GAsyncReadyCallback callback, gpointer user) {
    const DinvUsernetRequest request = {.verb = DINV_USERNET_REMOVE, .endpoint = *endpoint};
    dinv_network_usernet_calls_make(usernet->calls, &request,
                                    g_task_new(NULL, NULL, callback, user));
}

gboolean dinv_network_usernet_finish(GAsyncResult *result, GError **error) {
    return g_task_propagate_boolean(G_TASK(result), error);
}

void dinv_network_usernet_list(DinvNetworkUsernet *usernet, GAsyncReadyCallback callback,
                               gpointer user) {
    const DinvUsernetRequest request = {.verb = DINV_USERNET_LIST};
    dinv_network_usernet_calls_make(usernet->calls, &request,
                                    g_task_new(NULL, NULL, callback, user));
}

GArray *dinv_network_usernet_list_finish(GAsyncResult *result, GError **error) {
    return g_task_propagate_pointer(G_TASK(result), error);
}
