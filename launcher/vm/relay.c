/* SPDX-License-Identifier: MIT */
/*
 * The multiplexer's channel and its bridges. Each descriptor has one GSource (FdWatch), with its
 * events changed in place: hundreds of streams start and stop waiting all the time, and a new
 * GSource for each change would cost more than the copy of the bytes.
 */
#include "launcher/vm/relay.h"

#include <errno.h>
#include <glib-unix.h>
#include <poll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "launcher/base/log.h"
#include "relay/io/pump.h"

/* Virtio-serial is fastest with large writes. */
#define INPUT_BYTES ((gsize)128 * 1024)

struct DinvVmRelay {
    DinvRelayMux *mux;
    int fd;
    GSource *watch;
    void (*closed)(gpointer user);
    gpointer user;
    GHashTable *bridges; /* DinvRelayPump* -> its GSource* or NULL */
    GQueue waiting;      /* of Waiting*: clients for whom there is no stream yet */
    guint open_source;   /* opens streams for them */
    guint8 *input;
    gboolean in_mux;     /* within feed, peek or restart: no peek now */
    gboolean complained; /* about a peer that breaks the protocol */
};

/* A client that waits for a stream. */
typedef struct {
    char *service;
    GBytes *argument;
    int fd;
} Waiting;

static void waiting_free(gpointer data) {
    Waiting *waiting = data;
    if (waiting->fd >= 0) {
        (void)close(waiting->fd);
    }
    g_bytes_unref(waiting->argument);
    g_free(waiting->service);
    g_free(waiting);
}

/* --- A descriptor's source --- */

typedef struct {
    GSource source;
    gpointer tag;
} FdWatch;

static gboolean fd_watch_check(GSource *source) {
    FdWatch *watch = (FdWatch *)source;
    return g_source_query_unix_fd(source, watch->tag) != 0;
}

typedef void (*FdWatchFunc)(short revents, gpointer user);

static gboolean fd_watch_dispatch(GSource *source, GSourceFunc callback, gpointer user) {
    FdWatch *watch = (FdWatch *)source;
    GIOCondition condition = g_source_query_unix_fd(source, watch->tag);
    FdWatchFunc function = (FdWatchFunc)(void (*)(void))callback;
    function((short)condition, user);
    return G_SOURCE_CONTINUE;
}

static GSourceFuncs fd_watch_funcs = {.check = fd_watch_check, .dispatch = fd_watch_dispatch};

static GSource *fd_watch_new(int fd, GIOCondition events, FdWatchFunc function, gpointer user) {
    GSource *source = g_source_new(&fd_watch_funcs, sizeof(FdWatch));
    FdWatch *watch = (FdWatch *)source;
    watch->tag = g_source_add_unix_fd(source, fd, events);
    g_source_set_callback(source, (GSourceFunc)(void (*)(void))function, user, NULL);
    g_source_attach(source, NULL);
    return source;
}

static void fd_watch_set(GSource *source, GIOCondition events) {
    g_source_modify_unix_fd(source, ((FdWatch *)source)->tag, events);
}

static void fd_watch_free(GSource *source) {
    if (source != NULL) {
        g_source_destroy(source);
        g_source_unref(source);
    }
}

/* --- The channel --- */

/* GIO_Condition has the values of poll(2). */
G_STATIC_ASSERT((int)G_IO_IN == POLLIN && (int)G_IO_OUT == POLLOUT && (int)G_IO_HUP == POLLHUP);

/* A number that was never seen before, so that bytes left over in the transport are no answer to
 * it. */
static guint64 relay_make_epoch(void) {
    guint64 epoch = (guint64)g_get_real_time();
    if (getrandom(&epoch, sizeof epoch, 0) != (ssize_t)sizeof epoch) {
        g_debug("relay: no random epoch, the time has to do");
    }
    return epoch;
}

/* Every stream is reset, and the pumps close their clients. Half frames in either direction are
 * void. */
static void relay_start_anew(DinvVmRelay *host) {
    host->in_mux = TRUE;
    dinv_relay_mux_restart(host->mux, relay_make_epoch());
    host->in_mux = FALSE;
    g_queue_clear_full(&host->waiting, waiting_free);
}

static void end_channel(DinvVmRelay *host) {
    g_clear_pointer(&host->watch, fd_watch_free);
    (void)close(host->fd);
    host->fd = -1;
    relay_start_anew(host);
    if (host->closed != NULL) {
        host->closed(host->user);
    }
}

static void relay_on_protocol_error(DinvVmRelay *host) {
    if (!host->complained) {
        host->complained = TRUE;
        dinv_log(DINV_LOG_ERROR, "the guest broke the relay protocol: all connections through "
                                 "docker.sock were reset, new ones can be made");
    }
    relay_start_anew(host);
}

/* Writes what the mux has until the channel is full, and asks for G_IO_OUT if it is. */
static void flush_output(DinvVmRelay *host) {
    if (host->fd < 0 || host->in_mux) {
        return;
    }
    for (;;) {
        const uint8_t *bytes;
        host->in_mux = TRUE;
        ssize_t len = dinv_relay_mux_peek(host->mux, &bytes);
        host->in_mux = FALSE;
        if (len <= 0) {
            fd_watch_set(host->watch, G_IO_IN);
            return;
        }
        ssize_t sent = send(host->fd, bytes, (gsize)len, MSG_NOSIGNAL);
        if (sent < 0) {
            /* EPIPE and its kind: the read side reports the end, with POLLHUP or EOF. */
            gboolean full = errno == EAGAIN || errno == EINTR;
            fd_watch_set(host->watch, full ? G_IO_IN | G_IO_OUT : G_IO_IN);
            return;
        }
        dinv_relay_mux_consume(host->mux, (gsize)sent);
    }
}

static void relay_on_channel(short revents, gpointer user) {
    DinvVmRelay *host = user;
    if ((revents & (POLLIN | POLLHUP | POLLERR)) != 0) {
        ssize_t got = read(host->fd, host->input, INPUT_BYTES);
        if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) {
            end_channel(host);
            return;
        }
        if (got > 0) {
            host->in_mux = TRUE;
            int result = dinv_relay_mux_feed(host->mux, host->input, (size_t)got);
            host->in_mux = FALSE;
            if (result < 0) {
                relay_on_protocol_error(host);
            }
        }
    }
    flush_output(host);
}

/* --- Bridges --- */

static void relay_on_client(short revents, gpointer user) {
    DinvRelayPump *pump = user;
    DinvVmRelay *host = dinv_relay_pump_get_user(pump);
    dinv_relay_pump_ready(pump, revents);
    flush_output(host);
}

static void relay_watch_pump(void *user, DinvRelayPump *pump, int fd, short events) {
    DinvVmRelay *host = user;
    GSource *source = g_hash_table_lookup(host->bridges, pump);
    if (events == 0) {
        if (source != NULL) {
            g_hash_table_insert(host->bridges, pump, NULL);
        }
    } else if (source == NULL) {
        source = fd_watch_new(fd, (GIOCondition)events, relay_on_client, pump);
        g_hash_table_insert(host->bridges, pump, source);
    } else {
        fd_watch_set(source, (GIOCondition)events);
    }
}

static gboolean relay_on_room(gpointer user);

static void relay_on_pump_done(void *user, DinvRelayPump *pump, int error) {
    DinvVmRelay *host = user;
    (void)error;
    g_hash_table_remove(host->bridges, pump);
    dinv_relay_pump_free(pump);
    /* Not from within a callback of the mux. */
    if (!g_queue_is_empty(&host->waiting) && host->open_source == 0) {
        host->open_source = g_idle_add(relay_on_room, host);
    }
}

static void relay_on_pump_output(void *user) {
    DinvVmRelay *host = user;
    /* Within feed or peek the flush follows anyway. */
    if (!host->in_mux && host->watch != NULL) {
        fd_watch_set(host->watch, G_IO_IN | G_IO_OUT);
    }
}

static void relay_on_stream_readable(void *user, DinvRelayStream *stream) {
    (void)user;
    dinv_relay_pump_stream_readable(dinv_relay_stream_get_data(stream));
}

static void relay_on_stream_writable(void *user, DinvRelayStream *stream) {
    (void)user;
    dinv_relay_pump_stream_writable(dinv_relay_stream_get_data(stream));
}

static void relay_on_stream_broken(void *user, DinvRelayStream *stream, int error) {
    (void)user;
    dinv_relay_pump_stream_broken(dinv_relay_stream_get_data(stream), error);
}

/* Takes client_fd but for -EMFILE: then there are too many streams now. 0 or a negative errno. */
static int relay_join(DinvVmRelay *host, const char *service, const void *argument,
                      gsize argument_length, int client_fd) {
    static const DinvRelayPumpCallbacks pump_callbacks = {
        .watch = relay_watch_pump, .done = relay_on_pump_done, .output = relay_on_pump_output};
    int code = -ENOTCONN;
    DinvRelayStream *stream =
        host->fd >= 0 ? dinv_relay_open(host->mux, service, argument, argument_length, NULL, &code)
                      : NULL;
    if (stream == NULL) {
        if (code != -EMFILE) {
            (void)close(client_fd);
        }
        return code;
    }
    DinvRelayPump *pump = dinv_relay_pump_new(stream, client_fd, &pump_callbacks, host);
    if (pump == NULL) {
        dinv_relay_stream_close(stream, ENOMEM);
        (void)close(client_fd);
        return -ENOMEM;
    }
    if (!g_hash_table_contains(host->bridges, pump)) {
        g_hash_table_insert(host->bridges, pump, NULL);
    }
    flush_output(host);
    return 0;
}

static gboolean relay_on_room(gpointer user) {
    DinvVmRelay *host = user;
    Waiting *first;
    host->open_source = 0;
    while ((first = g_queue_peek_head(&host->waiting)) != NULL) {
        gsize length = 0;
        const void *argument = g_bytes_get_data(first->argument, &length);
        if (relay_join(host, first->service, argument, length, first->fd) == -EMFILE) {
            break;
        }
        first->fd = -1;
        /* It is the first one still: those that come are put behind it. */
        waiting_free(g_queue_pop_head(&host->waiting));
    }
    return G_SOURCE_REMOVE;
}

gboolean dinv_vm_relay_bridge(DinvVmRelay *host, const char *service, const void *argument,
                              gsize argument_length, int client_fd, GError **error) {
    int code = g_queue_is_empty(&host->waiting)
                   ? relay_join(host, service, argument, argument_length, client_fd)
                   : -EMFILE;
    if (code == -EMFILE) {
        Waiting *waiting = g_new(Waiting, 1);
        *waiting = (Waiting){.service = g_strdup(service),
                             .argument = g_bytes_new(argument, argument_length),
                             .fd = client_fd};
        g_queue_push_tail(&host->waiting, waiting);
        return TRUE;
    }
    if (code < 0) {
        g_set_error(error, G_IO_ERROR, (gint)g_io_error_from_errno(-code),
                    "no relay stream to the guest's service \"%s\": %s", service,
                    g_strerror(-code));
    }
    return code == 0;
}

void dinv_vm_relay_get_stats(const DinvVmRelay *host, DinvRelayStats *stats) {
    dinv_relay_mux_get_stats(host->mux, stats);
}

DinvVmRelay *dinv_vm_relay_new(int fd, guint streams_most, void (*closed)(gpointer user),
                               gpointer user) {
    /* The launcher offers no services: without `incoming` the mux refuses. */
    static const DinvRelayCallbacks callbacks = {
        .refused = relay_on_stream_broken,
        .readable = relay_on_stream_readable,
        .writable = relay_on_stream_writable,
        .reset = relay_on_stream_broken,
    };
    DinvVmRelay *host = g_new0(DinvVmRelay, 1);
    const DinvRelayLimits limits = {.max_streams = streams_most};
    host->mux =
        dinv_relay_mux_new(DINV_RELAY_LAUNCHER, relay_make_epoch(), &limits, &callbacks, host);
    g_assert(host->mux != NULL);
    host->fd = fd;
    host->closed = closed;
    host->user = user;
    host->bridges = g_hash_table_new_full(NULL, NULL, NULL, (GDestroyNotify)fd_watch_free);
    host->input = g_malloc(INPUT_BYTES);
    host->watch = fd_watch_new(fd, G_IO_IN | G_IO_OUT, relay_on_channel, host);
    return host;
}

void dinv_vm_relay_free(DinvVmRelay *host) {
    if (host == NULL) {
        return;
    }
    g_autoptr(GList) pumps = g_hash_table_get_keys(host->bridges);
    for (GList *item = pumps; item != NULL; item = item->next) {
        g_hash_table_remove(host->bridges, item->data);
        dinv_relay_pump_free(item->data);
    }
    g_hash_table_unref(host->bridges);
    g_queue_clear_full(&host->waiting, waiting_free);
    g_clear_handle_id(&host->open_source, g_source_remove);
    g_clear_pointer(&host->watch, fd_watch_free);
    if (host->fd >= 0) {
        (void)close(host->fd);
    }
    dinv_relay_mux_free(host->mux);
    g_free(host->input);
    g_free(host);
}
