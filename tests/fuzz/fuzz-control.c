/* SPDX-License-Identifier: MIT */
/* What the guest may send on the control channel: any bytes, in pieces, with requests pending. */
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include "launcher/base/log.h"
#include "launcher/network/publisher.h"
#include "launcher/vm/control.h"

static void on_hello(gint64 protocol, const char *version, const char *kernel, gint64 uptime_us,
                     gpointer user) {
    (void)protocol;
    (void)uptime_us;
    (void)user;
    g_free(dinv_log_printable(version));
    g_free(dinv_log_printable(kernel));
}

static void on_phase(const char *name, gint64 uptime_us, gpointer user) {
    (void)uptime_us;
    (void)user;
    g_free(dinv_log_printable(name));
}

static void on_log(DinvLogLevel level, const char *text, gpointer user) {
    (void)level;
    (void)user;
    g_free(dinv_log_printable(text));
}

static void on_failed(const char *what, const char *text, const char *log, gpointer user) {
    (void)user;
    g_free(dinv_log_printable(what));
    g_free(dinv_log_printable(text));
    g_free(log != NULL ? dinv_log_printable(log) : NULL);
}

static void on_exiting(gboolean clean, gpointer user) {
    (void)clean;
    (void)user;
}

static void on_answered(const char *error, gpointer user) {
    (void)error;
    (void)user;
}

/* No network is needed as long as nothing is forwarded. */
static void on_request(gint64 id, const char *verb, struct json_object *message, gpointer user) {
    static DinvConfig config = {.publish = DINV_PUBLISH_OFF};
    (void)id;
    (void)user;
    config.ports =
        config.ports != NULL ? config.ports : g_array_new(FALSE, FALSE, sizeof(DinvPortForward));
    DinvNetworkPublisher *publisher = dinv_network_publisher_new(NULL, &config, NULL, NULL);
    if (verb[0] == 'p') {
        dinv_network_publisher_publish(publisher, message, on_answered, NULL);
    } else {
        dinv_network_publisher_unpublish(publisher, message, on_answered, NULL);
    }
    dinv_network_publisher_free(publisher);
}

static void on_closed(gpointer user) {
    *(gboolean *)user = TRUE;
}

static void on_damaged(const char *disk, gpointer user) {
    (void)user;
    g_free(dinv_log_printable(disk));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const DinvVmControlCallbacks callbacks = {on_hello,   on_phase,  on_phase,
                                                     on_log,     on_failed, on_exiting,
                                                     on_request, on_closed, on_damaged};
    gboolean closed = FALSE;
    int fds[2];
    dinv_log_start(DINV_LOG_ERROR);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) < 0) {
        return 0;
    }
    DinvVmControl *control = dinv_vm_control_new(fds[0], &callbacks, &closed);
    dinv_vm_control_request(control, "stats", NULL, 60000, NULL, NULL);
    for (size_t at = 0; at < size;) {
        size_t piece = MIN(size - at, (size_t)data[at] + 1);
        ssize_t sent = write(fds[1], data + at, piece);
        at += sent > 0 ? (size_t)sent : 0;
        while (g_main_context_iteration(NULL, FALSE)) {
        }
    }
    close(fds[1]);
    while (!closed) {
        g_main_context_iteration(NULL, TRUE);
    }
    dinv_vm_control_free(control);
    return 0;
}
