/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation. Calls are kept in one queue until they are answered, in the order in which
 * they were made; each is sent as soon as the socket takes it. The forwards that the process has
 * said yes to are in a list of their own. When the process dies, a new one gets both: first that
 * list, as calls that nobody waits for, then the calls that the old one has not answered. A removal
 * it has not answered is done then, as the new one never had the forward.
 */
#include "launcher/network/usernet-calls.h"

#include <errno.h>
#include <glib-unix.h>
#include <sys/socket.h>

#include "launcher/base/log.h"
#include "launcher/network/usernet.h"

#define ANSWER_MS 10000u

typedef struct {
    DinvNetworkUsernetCalls *owner;
    DinvUsernetRequest request;
    gboolean sent;
    GTask *task;   /* NULL: nobody waits for the answer */
    GArray *lines; /* of DinvUsernetReply: of a list, so far */
    guint deadline_source;
} Call;

typedef struct {
    DinvUsernetEndpoint endpoint;
    guint16 guest_port;
} Forward;

struct DinvNetworkUsernetCalls {
    int control; /* -1: there is no process */
    guint write_source;
    gboolean is_lost;
    guint32 last_id;
    GQueue queue;     /* of Call* */
    GArray *forwards; /* of Forward: that are to be there */
};

/* ---- one call ---- */

static void call_free(Call *call) {
    g_clear_handle_id(&call->deadline_source, g_source_remove);
    g_clear_object(&call->task);
    g_clear_pointer(&call->lines, g_array_unref);
    g_free(call);
}

static void call_fail(Call *call, int number, const char *text) {
    if (call->task != NULL) {
        g_task_return_new_error(call->task, DINV_NETWORK_USERNET_ERROR, number, "%s", text);
    }
    call_free(call);
}

static void call_succeed(Call *call) {
    if (call->task != NULL && call->request.verb == DINV_USERNET_LIST) {
        g_task_return_pointer(call->task, g_steal_pointer(&call->lines),
                              (GDestroyNotify)g_array_unref);
    } else if (call->task != NULL) {
        g_task_return_boolean(call->task, TRUE);
    }
    call_free(call);
}

static void fail_all(DinvNetworkUsernetCalls *calls, int number, const char *text) {
    Call *call;
    while ((call = g_queue_pop_head(&calls->queue)) != NULL) {
        call_fail(call, number, text);
    }
}

static void send_calls(DinvNetworkUsernetCalls *calls);

static gboolean calls_on_writable(gint fd G_GNUC_UNUSED, GIOCondition condition G_GNUC_UNUSED,
                                  gpointer user) {
    DinvNetworkUsernetCalls *calls = user;
    calls->write_source = 0;
    send_calls(calls);
    return G_SOURCE_REMOVE;
}

/* Sends what can be sent now. A process that hangs up is noticed by the one who reads. */
static void send_calls(DinvNetworkUsernetCalls *calls) {
    for (GList *item = calls->queue.head; item != NULL && calls->control >= 0; item = item->next) {
        Call *call = item->data;
        char message[DINV_USERNET_MESSAGE_MAX + 1];
        if (call->sent || calls->write_source != 0) {
            continue;
        }
        int len = dinv_usernet_request_encode(&call->request, message);
        g_assert(len > 0); /* every field was checked when the call was made */
        ssize_t sent = send(calls->control, message, (size_t)len, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && (errno == EAGAIN || errno == EINTR)) {
            calls->write_source = g_unix_fd_add(calls->control, G_IO_OUT, calls_on_writable, calls);
            return;
        }
        call->sent = TRUE;
    }
}

static void make_call(DinvNetworkUsernetCalls *calls, const DinvUsernetRequest *request,
                      GTask *task);

/* What it may still say yes to is what nobody waits for any more: it has to go. */
static gboolean calls_on_deadline(gpointer user) {
    Call *call = user;
    DinvNetworkUsernetCalls *calls = call->owner;
    DinvUsernetRequest request = call->request;
    call->deadline_source = 0;
    g_queue_remove(&calls->queue, call);
    call_fail(call, ETIMEDOUT, "dinv-usernet, the guest's network, does not answer");
    if (request.verb == DINV_USERNET_ADD) {
        request.verb = DINV_USERNET_REMOVE;
        make_call(calls, &request, NULL);
    }
    return G_SOURCE_REMOVE;
}

/* `task` is taken over; NULL: nobody waits. */
static Call *call_new(DinvNetworkUsernetCalls *calls, const DinvUsernetRequest *request,
                      GTask *task) {
    Call *call = g_new0(Call, 1);
    calls->last_id = calls->last_id % DINV_USERNET_ID_MAX + 1;
    call->owner = calls;
    call->request = *request;
    call->request.id = calls->last_id;
    call->task = task;
    if (request->verb == DINV_USERNET_LIST) {
        call->lines = g_array_new(FALSE, FALSE, sizeof(DinvUsernetReply));
    }
    if (task != NULL) {
        call->deadline_source = g_timeout_add(ANSWER_MS, calls_on_deadline, call);
    }
    return call;
}

static void make_call(DinvNetworkUsernetCalls *calls, const DinvUsernetRequest *request,
                      GTask *task) {
    Call *call = call_new(calls, request, task);
    if (calls->is_lost) {
        call_fail(call, ENETDOWN, "the guest's network is lost");
        return;
    }
    g_queue_push_tail(&calls->queue, call);
    send_calls(calls);
}

/* ---- answers ---- */

static gboolean find_forward(const DinvNetworkUsernetCalls *calls,
                             const DinvUsernetEndpoint *endpoint, guint *index) {
    for (guint i = 0; i < calls->forwards->len; i++) {
        if (dinv_usernet_endpoint_equal(&g_array_index(calls->forwards, Forward, i).endpoint,
                                        endpoint)) {
            *index = i;
            return TRUE;
        }
    }
    return FALSE;
}

static void forget_forward(DinvNetworkUsernetCalls *calls, const DinvUsernetEndpoint *endpoint) {
    guint index = 0;
    if (find_forward(calls, endpoint, &index)) {
        g_array_remove_index_fast(calls->forwards, index);
    }
}

static void note_forward(DinvNetworkUsernetCalls *calls, const DinvUsernetRequest *request) {
    const Forward forward = {.endpoint = request->endpoint, .guest_port = request->guest_port};
    guint index = 0;
    if (!find_forward(calls, &request->endpoint, &index)) {
        g_array_append_val(calls->forwards, forward);
    }
}

static void answer_call(DinvNetworkUsernetCalls *calls, Call *call, const DinvUsernetReply *reply) {
    if (reply->type == DINV_USERNET_FORWARD) {
        if (call->lines != NULL) {
            g_array_append_val(call->lines, *reply);
        }
        return;
    }
    g_queue_remove(&calls->queue, call);
    if (reply->type == DINV_USERNET_OK) {
        if (call->request.verb == DINV_USERNET_ADD) {
            note_forward(calls, &call->request);
        }
        call_succeed(call);
        return;
    }
    if (call->request.verb == DINV_USERNET_ADD && call->task == NULL) {
        dinv_log(DINV_LOG_WARNING, "a port is not forwarded any more: %s", reply->text);
        forget_forward(calls, &call->request.endpoint);
    }
    call_fail(call, reply->error, reply->text);
}

void dinv_network_usernet_calls_take_reply(DinvNetworkUsernetCalls *calls,
                                           const DinvUsernetReply *reply) {
    for (GList *item = calls->queue.head; item != NULL; item = item->next) {
        Call *call = item->data;
        if (call->request.id == reply->id && call->sent) {
            answer_call(calls, call, reply);
            return;
        }
    }
}

void dinv_network_usernet_calls_make(DinvNetworkUsernetCalls *calls,
                                     const DinvUsernetRequest *request, GTask *task) {
    if (request->verb == DINV_USERNET_REMOVE) {
        forget_forward(calls, &request->endpoint); /* another process is not to have it */
    }
    make_call(calls, request, task);
}

/* ---- processes come and go ---- */

/* For the new process: what the old one had, then what it has not answered. */
static void queue_again(DinvNetworkUsernetCalls *calls) {
    GQueue before = calls->queue;
    g_queue_init(&calls->queue);
    for (guint i = 0; i < calls->forwards->len; i++) {
        const Forward *forward = &g_array_index(calls->forwards, Forward, i);
        const DinvUsernetRequest request = {.verb = DINV_USERNET_ADD,
                                            .endpoint = forward->endpoint,
                                            .guest_port = forward->guest_port};
        g_queue_push_tail(&calls->queue, call_new(calls, &request, NULL));
    }
    Call *call;
    while ((call = g_queue_pop_head(&before)) != NULL) {
        if (call->request.verb == DINV_USERNET_REMOVE) {
            call_succeed(call);
        } else if (call->task == NULL) {
            call_free(call); /* of the list above, by a process that died soon */
        } else {
            call->sent = FALSE;
            if (call->lines != NULL) {
                g_array_set_size(call->lines, 0);
            }
            g_queue_push_tail(&calls->queue, call);
        }
    }
}

void dinv_network_usernet_calls_attach(DinvNetworkUsernetCalls *calls, int control) {
    calls->control = control;
    queue_again(calls);
    send_calls(calls);
}

void dinv_network_usernet_calls_detach(DinvNetworkUsernetCalls *calls) {
    g_clear_handle_id(&calls->write_source, g_source_remove);
    calls->control = -1;
}

void dinv_network_usernet_calls_lose(DinvNetworkUsernetCalls *calls) {
    calls->is_lost = TRUE;
    fail_all(calls, ENETDOWN, "the guest's network is lost");
}

DinvNetworkUsernetCalls *dinv_network_usernet_calls_new(void) {
    DinvNetworkUsernetCalls *calls = g_new0(DinvNetworkUsernetCalls, 1);
    calls->control = -1;
    calls->forwards = g_array_new(FALSE, FALSE, sizeof(Forward));
    return calls;
}

void dinv_network_usernet_calls_free(DinvNetworkUsernetCalls *calls) {
    dinv_network_usernet_calls_detach(calls);
    fail_all(calls, ECANCELED, "the guest's network is stopped");
    g_array_unref(calls->forwards);
    g_free(calls);
}
