/* SPDX-License-Identifier: MIT */
/* The control socket: requests are read one at a time, and none while an answer waits. */
#include "usernet/process/control.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "usernet/protocol.h"

#define REQUESTS_A_TURN 64

/* An answer that the launcher's socket did not take. */
typedef struct Answer {
    struct Answer *next;
    size_t len;
    char text[DINV_USERNET_MESSAGE_MAX + 1];
} Answer;

struct DinvUsernetControl {
    DinvUsernetLoop *loop;
    int fd;
    DinvUsernetNetwork *network;
    Answer *first;
    Answer **last;
    bool stopping;
    bool over;
};

static void control_ready(void *opaque, uint32_t events);

static int update_watch(DinvUsernetControl *control) {
    return dinv_usernet_loop_watch(control->loop, control->fd, DINV_USERNET_INSIDE,
                                   control->first != NULL ? EPOLLOUT : EPOLLIN, control_ready,
                                   control);
}

/* False if it has to wait. */
static bool try_send(DinvUsernetControl *control, const char *text, size_t len) {
    ssize_t sent = send(control->fd, text, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0 && (errno == EAGAIN || errno == EINTR || errno == ENOBUFS)) {
        return false;
    }
    if (sent < 0) {
        control->over = true;
    }
    return true;
}

static void answer(DinvUsernetControl *control, const DinvUsernetReply *reply) {
    char text[DINV_USERNET_MESSAGE_MAX + 1];
    int len = dinv_usernet_reply_encode(reply, text);
    if (len < 0 || (control->first == NULL && try_send(control, text, (size_t)len))) {
        return;
    }
    Answer *waiting = calloc(1, sizeof(*waiting));
    if (waiting == NULL) {
        /* A launcher that waits for ever is worse than one that starts this process again. */
        control->over = true;
        return;
    }
    waiting->len = (size_t)len;
    memcpy(waiting->text, text, waiting->len);
    *control->last = waiting;
    control->last = &waiting->next;
}

static void send_waiting(DinvUsernetControl *control) {
    while (control->first != NULL) {
        Answer *waiting = control->first;
        if (!try_send(control, waiting->text, waiting->len)) {
            return;
        }
        control->first = waiting->next;
        free(waiting);
    }
    control->last = &control->first;
}

static void answer_ok(DinvUsernetControl *control, uint32_t id) {
    answer(control, &(DinvUsernetReply){.type = DINV_USERNET_OK, .id = id});
}

/* As Docker's own port proxy says it: "listen tcp 0.0.0.0:80: bind: address already in use". */
static void answer_error(DinvUsernetControl *control, const DinvUsernetRequest *request, int error,
                         const char *step) {
    DinvUsernetReply reply = {.type = DINV_USERNET_ERROR, .id = request->id, .error = error};
    char address[DINV_USERNET_ADDRESS_SIZE];
    char why[128];
    dinv_usernet_address_format(&request->endpoint, address);
    (void)snprintf(why, sizeof(why), "%s", strerror(error));
    why[0] = (char)tolower((unsigned char)why[0]);
    bool ipv6 = request->endpoint.ipv6;
    (void)snprintf(reply.text, sizeof(reply.text), "listen %s %s%s%s:%u: %s: %s",
                   request->endpoint.udp ? "udp" : "tcp", ipv6 ? "[" : "", address, ipv6 ? "]" : "",
                   request->endpoint.port, step, why);
    answer(control, &reply);
}

static void add(DinvUsernetControl *control, const DinvUsernetRequest *request) {
    const char *step = "forward";
    int result =
        dinv_usernet_network_add(control->network, &request->endpoint, request->guest_port, &step);
    if (result < 0) {
        answer_error(control, request, -result, step);
    } else {
        answer_ok(control, request->id);
    }
}

static void remove_forward(DinvUsernetControl *control, const DinvUsernetRequest *request) {
    int result = dinv_usernet_network_remove(control->network, &request->endpoint);
    if (result < 0) {
        DinvUsernetReply reply = {.type = DINV_USERNET_ERROR,
                                  .id = request->id,
                                  .error = -result,
                                  .text = "there is no such forward"};
        answer(control, &reply);
    } else {
        answer_ok(control, request->id);
    }
}

static void list(DinvUsernetControl *control, const DinvUsernetRequest *request) {
    const DinvUsernetForward *forward = NULL;
    while ((forward = dinv_usernet_network_next(control->network, forward)) != NULL) {
        DinvUsernetReply reply = {
            .type = DINV_USERNET_FORWARD,
            .id = request->id,
            .endpoint = forward->endpoint,
            .guest_port = forward->guest_port,
            .connections = forward->connections,
            .open = forward->open,
            .to_guest = forward->to_guest,
            .from_guest = forward->from_guest,
        };
        answer(control, &reply);
    }
    answer_ok(control, request->id);
}

static void carry_out(DinvUsernetControl *control, const char *message, size_t len) {
    DinvUsernetRequest request;
    uint32_t id;
    if (dinv_usernet_request_decode(message, len, &request, &id) < 0) {
        DinvUsernetReply reply = {
            .type = DINV_USERNET_ERROR, .id = id, .error = EBADMSG, .text = "this is no request"};
        answer(control, &reply);
        return;
    }
    switch (request.verb) {
    case DINV_USERNET_ADD:
        add(control, &request);
        break;
    case DINV_USERNET_REMOVE:
        remove_forward(control, &request);
        break;
    case DINV_USERNET_LIST:
        list(control, &request);
        break;
    case DINV_USERNET_STOP:
        answer_ok(control, request.id);
        control->stopping = true;
        break;
    }
}

static void receive(DinvUsernetControl *control) {
    char message[DINV_USERNET_MESSAGE_MAX + 1];
    for (int i = 0; i < REQUESTS_A_TURN && control->first == NULL && !control->stopping; i++) {
        ssize_t len = recv(control->fd, message, sizeof(message), MSG_DONTWAIT);
        if (len < 0 && (errno == EAGAIN || errno == EINTR)) {
            return;
        }
        if (len <= 0) {
            control->over = true;
            return;
        }
        carry_out(control, message, (size_t)len);
    }
}

static void control_ready(void *opaque, uint32_t events) {
    DinvUsernetControl *control = opaque;
    send_waiting(control);
    if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0 && control->first == NULL) {
        receive(control);
    }
    if (control->stopping && control->first == NULL) {
        control->over = true;
    }
    if (update_watch(control) < 0) {
        control->over = true;
    }
}

DinvUsernetControl *dinv_usernet_control_new(DinvUsernetLoop *loop, int fd,
                                             DinvUsernetNetwork *network, const char *features) {
    DinvUsernetControl *control = calloc(1, sizeof(*control));
    if (control == NULL) {
        return NULL;
    }
    *control = (DinvUsernetControl){.loop = loop, .fd = fd, .network = network};
    control->last = &control->first;
    DinvUsernetReply reply = {.type = DINV_USERNET_READY, .version = DINV_USERNET_VERSION};
    (void)snprintf(reply.features, sizeof(reply.features), "%s", features);
    answer(control, &reply);
    int result = update_watch(control);
    if (result < 0) {
        dinv_usernet_control_free(control);
        errno = -result;
        return NULL;
    }
    return control;
}

void dinv_usernet_control_free(DinvUsernetControl *control) {
    if (control == NULL) {
        return;
    }
    dinv_usernet_loop_forget(control->loop, control->fd);
    while (control->first != NULL) {
        Answer *waiting = control->first;
        control->first = waiting->next;
        free(waiting);
    }
    free(control);
}

bool dinv_usernet_control_is_over(const DinvUsernetControl *control) {
    return control->over;
}
