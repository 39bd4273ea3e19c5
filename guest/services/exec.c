/* SPDX-License-Identifier: MIT */
/*
 * The `exec` service: a command with a terminal or with pipes (docs/relay-protocol.md, "The exec
 * service").
 *
 * Theory of operation. Input: records are taken from the stream only as far as the input buffer has
 * room, and leave it for the command's stdin; a command that does not read thus holds back the
 * stream by its credit. Output: one record at a time is read from the command into the output
 * buffer and goes into the stream; while it does not fit, the command's output is not watched.
 *
 * The end comes from one of two sides. When the command has ended, what it wrote before is still
 * delivered: for a pipe that is what the pipe holds at that moment (a process left behind may keep
 * it open for ever), for a terminal what comes until it hangs up or LINGER_MS have passed. Then the
 * exit record goes, the stream is finished, and closed when all has left. When the stream breaks
 * or the peer stops reading, the command gets SIGHUP, and SIGKILL if it still runs KILL_MS later;
 * the object stays until the command was collected.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest/base/log.h"
#include "guest/services/exec-command.h"
#include "guest/services/exec-request.h"
#include "guest/services/service.h"
#include "relay/exec.h"

enum { SESSIONS_MAX = 64, LINGER_MS = 500, KILL_MS = 2000, READS_A_ROUND = 8 };

enum {
    OUT = DINV_SERVICE_EXEC_OUT,
    ERR = DINV_SERVICE_EXEC_ERR,
    OUTPUTS = DINV_SERVICE_EXEC_OUTPUTS,
};

typedef struct {
    DinvService base;
    DinvServiceRelay *host;
    DinvLoop *loop;
    DinvRelayStream *stream; /* NULL: given up */
    DinvTimer *timer;        /* LINGER_MS or KILL_MS */
    DinvServiceExecCommand command;
    bool exited;
    int wait_status;
    bool exit_queued; /* the exit record is in the output buffer, or was */

    DinvExecParser parser;
    bool broken_input; /* the parser said so */
    bool input_ended;  /* no more input will come */
    size_t input_start;
    size_t input_len;
    uint8_t input[DINV_EXEC_PAYLOAD_MAX];

    int output_left[OUTPUTS]; /* once exited: bytes of a pipe still to be delivered; else -1 */
    size_t output_start;
    size_t output_len;
    uint8_t output[DINV_EXEC_HEADER + DINV_EXEC_PAYLOAD_MAX];
} Session;

static unsigned session_count;

static void advance_output(Session *session);
static void exec_stdin_ready(void *user, int fd, short revents);
static void exec_output_ready(void *user, int fd, short revents);

static void close_fd(Session *session, int *fd) {
    if (*fd >= 0) {
        dinv_loop_unwatch(session->loop, *fd);
        close(*fd);
        *fd = -1;
    }
}

static void close_all_fds(Session *session) {
    close_fd(session, &session->command.stdin_fd);
    close_fd(session, &session->command.output_fds[OUT]);
    close_fd(session, &session->command.output_fds[ERR]);
}

/* The stream is of no use any more: the command has to go. */
static void give_up_stream(Session *session, int error) {
    if (session->stream != NULL) {
        dinv_relay_stream_close(session->stream, error);
        session->stream = NULL;
        dinv_service_relay_has_output(session->host);
    }
    close_all_fds(session);
    if (session->exited) {
        dinv_service_end(&session->base);
        return;
    }
    (void)kill(-session->command.pid, SIGHUP);
    dinv_timer_set(session->timer, KILL_MS);
}

/* --- input ------------------------------------------------------------------------------------ */

static void exec_parsed_data(void *user, DinvExecType type, const uint8_t *bytes, size_t len) {
    Session *session = user;
    if (type != DINV_EXEC_STDIN) {
        session->broken_input = true; /* records of the other direction */
    } else if (len == 0) {
        session->input_ended = true;
    } else if (session->command.stdin_fd >= 0 && !session->input_ended) {
        /* There is room: no more was given to the parser. */
        memcpy(session->input + session->input_start + session->input_len, bytes, len);
        session->input_len += len;
    }
}

static void exec_parsed_control(void *user, DinvExecType type, const uint8_t *bytes, size_t len) {
    Session *session = user;
    (void)len; /* the parser has checked it */
    if (type == DINV_EXEC_RESIZE) {
        dinv_service_exec_command_resize(&session->command,
                                         (unsigned short)(bytes[0] << 8 | bytes[1]),
                                         (unsigned short)(bytes[2] << 8 | bytes[3]));
    } else if (type == DINV_EXEC_SIGNAL && bytes[0] > 0 && bytes[0] < NSIG) {
        if (!session->exited) {
            dinv_service_exec_command_signal(&session->command, bytes[0]);
        }
    } else {
        session->broken_input = true;
    }
}

/* Passes the buffer on to the command. Whether there is room again. */
static bool write_input(Session *session) {
    while (session->input_len > 0 && session->command.stdin_fd >= 0) {
        ssize_t written = write(session->command.stdin_fd, session->input + session->input_start,
                                session->input_len);
        if (written > 0) {
            session->input_start += (size_t)written;
            session->input_len -= (size_t)written;
        } else if (written < 0 && errno == EAGAIN) {
            (void)dinv_loop_watch(session->loop, session->command.stdin_fd, POLLOUT,
                                  exec_stdin_ready, session);
            return false;
        } else if (written == 0 || errno != EINTR) {
            close_fd(session, &session->command.stdin_fd); /* it does not read any more */
        }
    }
    session->input_start = session->input_len = 0;
    if (session->command.stdin_fd >= 0) {
        dinv_loop_unwatch(session->loop, session->command.stdin_fd);
        if (session->input_ended) {
            /* A terminal has no end of file but the character for it. */
            if (session->command.terminal && write(session->command.stdin_fd, "\004", 1) < 0) {
                dinv_guest_log(DINV_LOG_DEBUG, "exec: no room for an end of file, ignoring");
            }
            close_fd(session, &session->command.stdin_fd);
        }
    }
    return true;
}

static void advance_input(Session *session) {
    static const DinvExecCallbacks callbacks = {.data = exec_parsed_data,
                                                .control = exec_parsed_control};
    while (session->stream != NULL && write_input(session)) {
        const uint8_t *bytes;
        ssize_t len = dinv_relay_stream_peek(session->stream, &bytes);
        if (len == 0 && !session->input_ended) {
            session->input_ended = true; /* then once more round, to pass it on */
            continue;
        }
        if (len <= 0) {
            return;
        }
        size_t part = (size_t)len < sizeof session->input ? (size_t)len : sizeof session->input;
        int result = dinv_exec_parse(&session->parser, bytes, part, &callbacks, session);
        dinv_relay_stream_consume(session->stream, part);
        dinv_service_relay_has_output(session->host);
        if (result < 0 || session->broken_input) {
            dinv_log_warning("exec: the client broke the protocol, ending its command");
            give_up_stream(session, EPROTO);
            return;
        }
    }
}

static void exec_stdin_ready(void *user, int fd, short revents) {
    (void)fd;
    (void)revents;
    advance_input(user);
}

/* --- output ----------------------------------------------------------------------------------- */

static void queue_exit(Session *session) {
    uint8_t *payload = session->output + DINV_EXEC_HEADER;
    bool signalled = WIFSIGNALED(session->wait_status);
    uint32_t value =
        (uint32_t)(signalled ? WTERMSIG(session->wait_status) : WEXITSTATUS(session->wait_status));
    dinv_exec_header(session->output, DINV_EXEC_EXIT, 5);
    payload[0] = signalled ? 1 : 0;
    payload[1] = (uint8_t)(value >> 24);
    payload[2] = (uint8_t)(value >> 16);
    payload[3] = (uint8_t)(value >> 8);
    payload[4] = (uint8_t)value;
    session->output_start = 0;
    session->output_len = DINV_EXEC_HEADER + 5;
    session->exit_queued = true;
}

/* Moves the buffer into the stream. 1: it is empty; 0: the stream is full; or -errno. */
static int write_output(Session *session) {
    while (session->output_len > 0) {
        ssize_t written = dinv_relay_stream_write(
            session->stream, session->output + session->output_start, session->output_len);
        if (written < 0) {
            return written == -EAGAIN ? 0 : (int)written;
        }
        session->output_start += (size_t)written;
        session->output_len -= (size_t)written;
        dinv_service_relay_has_output(session->host);
    }
    return 1;
}

/* Fills the (empty) buffer with one record. Whether there was anything. */
static bool read_command_output(Session *session, int which) {
    int *fd = &session->command.output_fds[which];
    size_t want = DINV_EXEC_PAYLOAD_MAX;
    if (session->output_left[which] >= 0 && (size_t)session->output_left[which] < want) {
        want = (size_t)session->output_left[which];
    }
    ssize_t len = want > 0 && *fd >= 0 ? read(*fd, session->output + DINV_EXEC_HEADER, want) : 0;
    if (len < 0 && (errno == EAGAIN || errno == EINTR)) {
        return false;
    }
    if (len <= 0) {
        close_fd(session, fd); /* a terminal that was hung up says EIO */
        return false;
    }
    if (session->output_left[which] >= 0) {
        session->output_left[which] -= (int)len;
    }
    dinv_exec_header(session->output, which == OUT ? DINV_EXEC_STDOUT : DINV_EXEC_STDERR,
                     (uint32_t)len);
    session->output_start = 0;
    session->output_len = DINV_EXEC_HEADER + (size_t)len;
    return true;
}

static void watch_command_outputs(Session *session, bool wanted) {
    for (int which = 0; which < OUTPUTS; which++) {
        int fd = session->command.output_fds[which];
        if (fd >= 0 && wanted) {
            (void)dinv_loop_watch(session->loop, fd, POLLIN, exec_output_ready, session);
        } else if (fd >= 0) {
            dinv_loop_unwatch(session->loop, fd); /* a hang-up would be reported for ever */
        }
    }
}

static void advance_output(Session *session) {
    for (int turn = 0; session->stream != NULL; turn++) {
        int result = write_output(session);
        if (result < 0) {
            give_up_stream(session, 0);
            return;
        }
        if (result == 0) {
            watch_command_outputs(session, false);
            return;
        }
        if (session->exit_queued) {
            dinv_relay_stream_finish(session->stream);
            dinv_service_relay_has_output(session->host);
            return; /* `writable` comes when it has left */
        }
        /* What a command that has ended left behind is bounded; one that runs has to share. */
        bool may_read = turn < READS_A_ROUND || session->exited;
        bool any =
            may_read && (read_command_output(session, OUT) || read_command_output(session, ERR));
        bool ended = session->command.output_fds[OUT] < 0 && session->command.output_fds[ERR] < 0;
        if (!any && session->exited && ended) {
            dinv_timer_cancel(session->timer);
            queue_exit(session);
        } else if (!any) {
            watch_command_outputs(session, true);
            return;
        }
    }
}

static void exec_output_ready(void *user, int fd, short revents) {
    (void)fd;
    (void)revents;
    advance_output(user);
}

/* --- life ------------------------------------------------------------------------------------- */

static void exec_command_ended(void *user, pid_t pid, int wait_status) {
    (void)pid;
    Session *session = user;
    session->exited = true;
    session->wait_status = wait_status;
    if (session->stream == NULL) {
        dinv_service_end(&session->base);
        return;
    }
    for (int which = 0; which < OUTPUTS && !session->command.terminal; which++) {
        int left = 0;
        if (session->command.output_fds[which] >= 0) {
            (void)ioctl(session->command.output_fds[which], FIONREAD, &left);
        }
        session->output_left[which] = left;
    }
    if (session->command.terminal) {
        dinv_timer_set(session->timer, LINGER_MS);
    }
    advance_output(session);
}

static void exec_timer_passed(void *user) {
    Session *session = user;
    if (!session->exited) {
        (void)kill(-session->command.pid, SIGKILL);
        return;
    }
    /* Somebody keeps the terminal open. */
    close_fd(session, &session->command.output_fds[OUT]);
    advance_output(session);
}

static void exec_readable(DinvService *service) {
    advance_input((Session *)service);
}

static void exec_writable(DinvService *service) {
    Session *session = (Session *)service;
    if (session->stream == NULL) {
        return;
    }
    if (session->exit_queued && dinv_relay_stream_is_flushed(session->stream)) {
        give_up_stream(session, 0);
        return;
    }
    if (!session->exit_queued && dinv_relay_stream_write(session->stream, NULL, 0) < 0) {
        give_up_stream(session, 0); /* nobody reads what the command says */
        return;
    }
    advance_output(session);
}

static void exec_broken(DinvService *service, int error) {
    (void)error;
    give_up_stream((Session *)service, 0);
}

static void exec_destroy(DinvService *service) {
    Session *session = (Session *)service;
    close_all_fds(session);
    if (!session->exited && session->command.pid > 0) {
        dinv_loop_unwatch_child(session->loop, session->command.pid);
        (void)kill(-session->command.pid, SIGHUP);
    }
    if (session->stream != NULL) {
        dinv_relay_stream_close(session->stream, 0);
    }
    dinv_timer_free(session->timer);
    free(session);
    session_count--;
}

static const DinvServiceOperations operations = {
    .readable = exec_readable,
    .writable = exec_writable,
    .broken = exec_broken,
    .destroy = exec_destroy,
};

/* --- start ------------------------------------------------------------------------------------ */

/* Says that the command could not be started, in the way of the protocol. */
static void queue_start_error(Session *session, int error) {
    session->exited = true;
    close_all_fds(session);
    session->wait_status = (error & 0xff) << 8; /* so that queue_exit() writes it as the value */
    queue_exit(session);
    session->output[DINV_EXEC_HEADER] = 2;
}

static Session *session_new(DinvServiceRelay *host, DinvRelayStream *stream) {
    Session *session = calloc(1, sizeof *session);
    if (session == NULL) {
        return NULL;
    }
    session->base.operations = &operations;
    session->host = host;
    session->loop = dinv_service_relay_get_loop(host);
    session->stream = stream;
    session->output_left[OUT] = session->output_left[ERR] = -1;
    session->timer = dinv_timer_new(session->loop, exec_timer_passed, session);
    if (session->timer == NULL) {
        free(session);
        return NULL;
    }
    session_count++;
    return session;
}

int dinv_service_exec_open(DinvServiceRelay *host, DinvRelayStream *stream, const uint8_t *argument,
                           size_t argument_len, DinvService **service) {
    if (session_count >= SESSIONS_MAX) {
        return -EMFILE;
    }
    DinvServiceExecRequest *request = NULL;
    int result = dinv_service_exec_request_parse((const char *)argument, argument_len, &request);
    if (result < 0) {
        return result;
    }
    Session *session = session_new(host, stream);
    int start_error = 0;
    result = session != NULL
                 ? dinv_service_exec_command_start(&session->command, request, &start_error)
                 : -ENOMEM;
    dinv_service_exec_request_free(request);
    if (result == 0 && start_error == 0) {
        result =
            dinv_loop_watch_child(session->loop, session->command.pid, exec_command_ended, session);
    }
    if (result < 0) {
        if (session != NULL) {
            session->stream = NULL; /* to be refused */
            exec_destroy(&session->base);
        }
        return result;
    }
    dinv_relay_stream_set_data(stream, session);
    dinv_relay_stream_accept(stream);
    if (start_error < 0) {
        queue_start_error(session, -start_error);
    }
    *service = &session->base;
    return 0;
}
