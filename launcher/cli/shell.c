/* SPDX-License-Identifier: MIT */
/*
 * The verb `shell`: a command in the microVM, through the guest's exec service.
 *
 * With a terminal on both stdin and stdout the command gets a pty and our terminal goes raw; window
 * changes are passed on. Otherwise stdin, stdout and stderr are three plain streams. One poll loop:
 * stdin -> records -> socket, socket -> records -> stdout and stderr. Stdin is read only when all
 * of the last record was sent, so a slow command slows its feeder.
 *
 * Signals that stop us go to the command, which is to end by them. They wait behind the record that
 * is being sent; one that comes again while it waits ends the session, as does the hang-up of our
 * terminal: the guest then tells the command (docs/relay-protocol.md, "The exec service"). So no
 * signal ends us before the terminal is put back.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include "launcher/cli/cli.h"
#include "launcher/cli/launcher-client.h"
#include "launcher/cli/output.h"
#include "launcher/cli/signals.h"
#include "launcher/state/launcher-socket.h"
#include "relay/exec.h"

#define CHUNK_BYTES    16384u
#define STATUS_UNKNOWN (-1)

static const char *const default_command[] = {"/bin/sh", "-l"};

typedef struct {
    int fd;
    gboolean terminal;
    struct termios before; /* of the terminal, to be put back */
    gboolean stdin_open;
    const char *command;                            /* for messages */
    guint8 pending[DINV_EXEC_HEADER + CHUNK_BYTES]; /* a record not yet sent */
    gsize pending_start;
    gsize pending_end;
    gboolean resize_due;
    guint64 signals_due; /* as bits, to become records */
    DinvExecParser parser;
    int output_error; /* errno of a failed write of the command's output */
    int status;
} Session;

static gboolean is_idle(const Session *session) {
    return session->pending_start == session->pending_end;
}

/* Only when idle. */
static void queue_record(Session *session, DinvExecType type, const void *bytes, gsize length) {
    dinv_exec_header(session->pending, type, (guint32)length);
    if (length > 0) {
        memcpy(session->pending + DINV_EXEC_HEADER, bytes, length);
    }
    session->pending_start = 0;
    session->pending_end = DINV_EXEC_HEADER + length;
}

static void queue_resize(Session *session) {
    struct winsize size;
    if (session->terminal && ioctl(STDIN_FILENO, TIOCGWINSZ, &size) == 0) {
        guint8 payload[4] = {(guint8)(size.ws_row >> 8), (guint8)size.ws_row,
                             (guint8)(size.ws_col >> 8), (guint8)size.ws_col};
        queue_record(session, DINV_EXEC_RESIZE, payload, sizeof payload);
    }
}

/* When idle: the next signal or window change that is due. */
static void queue_due(Session *session) {
    for (guint8 number = 1; session->signals_due != 0 && number < 64; number++) {
        guint64 bit = (guint64)1 << number;
        if ((session->signals_due & bit) != 0) {
            session->signals_due &= ~bit;
            queue_record(session, DINV_EXEC_SIGNAL, &number, 1);
            return;
        }
    }
    if (session->resize_due) {
        session->resize_due = FALSE;
        queue_resize(session);
    }
}

static void write_out(Session *session, int fd, const guint8 *bytes, size_t length) {
    while (length > 0) {
        ssize_t written = write(fd, bytes, length);
        if (written < 0 && errno == EAGAIN) {
            struct pollfd poll_fd = {.fd = fd, .events = POLLOUT};
            (void)poll(&poll_fd, 1, -1);
            continue;
        }
        if (written < 0 && errno != EINTR) {
            session->output_error = errno;
            return;
        }
        bytes += written > 0 ? written : 0;
        length -= written > 0 ? (size_t)written : 0;
    }
}

static void shell_on_data(void *user, DinvExecType type, const uint8_t *bytes, size_t length) {
    write_out(user, type == DINV_EXEC_STDERR ? STDERR_FILENO : STDOUT_FILENO, bytes, length);
}

static void shell_on_control(void *user, DinvExecType type, const uint8_t *bytes, size_t length) {
    Session *session = user;
    if (type != DINV_EXEC_EXIT || length != 5) {
        return;
    }
    int value = (int)((guint32)bytes[1] << 24 | (guint32)bytes[2] << 16 | (guint32)bytes[3] << 8 |
                      bytes[4]);
    if (bytes[0] == 0) {
        session->status = value & 255;
    } else if (bytes[0] == 1) {
        session->status = 128 + (value & 127);
    } else {
        session->status = value == ENOENT ? DINV_EXIT_NOT_FOUND : DINV_EXIT_NOT_EXECUTABLE;
        (void)fprintf(stderr, "dinv: cannot run \"%s\" in the microVM: %s\r\n", session->command,
                      g_strerror(value));
    }
}

/* FALSE when the session is over. */
static gboolean session_receive(Session *session) {
    static const DinvExecCallbacks callbacks = {.data = shell_on_data, .control = shell_on_control};
    guint8 chunk[CHUNK_BYTES * 4];
    ssize_t got = read(session->fd, chunk, sizeof chunk);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return TRUE;
    }
    return got > 0 &&
           dinv_exec_parse(&session->parser, chunk, (size_t)got, &callbacks, session) == 0 &&
           session->status == STATUS_UNKNOWN && session->output_error == 0;
}

static void session_read_stdin(Session *session) {
    guint8 chunk[CHUNK_BYTES];
    ssize_t got = read(STDIN_FILENO, chunk, sizeof chunk);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    session->stdin_open = got > 0;
    queue_record(session, DINV_EXEC_STDIN, chunk, got > 0 ? (gsize)got : 0);
}

static void session_send_pending(Session *session) {
    ssize_t sent = send(session->fd, session->pending + session->pending_start,
                        session->pending_end - session->pending_start, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent > 0) {
        session->pending_start += (gsize)sent;
    }
}

/* FALSE when the session is to end by the signal. */
static gboolean session_read_signal(Session *session, int signal_fd) {
    struct signalfd_siginfo info;
    if (read(signal_fd, &info, sizeof info) != (ssize_t)sizeof info) {
        return TRUE;
    }
    if (info.ssi_signo == SIGWINCH) {
        session->resize_due = TRUE;
        return TRUE;
    }
    guint64 bit = (guint64)1 << info.ssi_signo;
    if ((session->signals_due & bit) != 0 || (info.ssi_signo == SIGHUP && session->terminal)) {
        session->status = 128 + (int)info.ssi_signo;
        return FALSE;
    }
    session->signals_due |= bit;
    return TRUE;
}

static void run_session(Session *session, int signal_fd) {
    gboolean alive = TRUE;
    while (alive) {
        if (is_idle(session)) {
            queue_due(session);
        }
        gboolean idle = is_idle(session);
        struct pollfd fds[] = {
            {.fd = session->fd, .events = (short)(idle ? POLLIN : POLLIN | POLLOUT)},
            {.fd = signal_fd, .events = POLLIN},
            {.fd = session->stdin_open && idle ? STDIN_FILENO : -1, .events = POLLIN},
        };
        if (poll(fds, G_N_ELEMENTS(fds), -1) < 0) {
            continue;
        }
        if (fds[1].revents != 0 && !session_read_signal(session, signal_fd)) {
            return;
        }
        if (fds[2].revents != 0) {
            session_read_stdin(session);
        }
        if ((fds[0].revents & POLLOUT) != 0) {
            session_send_pending(session);
        }
        if ((fds[0].revents & (POLLIN | POLLHUP | POLLERR)) != 0) {
            alive = session_receive(session);
        }
    }
}

static struct json_object *make_request(int argc, char **argv, gboolean terminal) {
    struct json_object *words = json_object_new_array();
    for (int i = 0; i < argc; i++) {
        json_object_array_add(words, json_object_new_string(argv[i]));
    }
    for (guint i = 0; argc == 0 && i < G_N_ELEMENTS(default_command); i++) {
        json_object_array_add(words, json_object_new_string(default_command[i]));
    }
    struct json_object *argument = json_object_new_object();
    json_object_object_add(argument, "argv", words);
    json_object_object_add(argument, "tty", json_object_new_boolean(terminal));
    const char *term = g_getenv("TERM");
    if (terminal && term != NULL) {
        struct json_object *environment = json_object_new_object();
        json_object_object_add(environment, "TERM", json_object_new_string(term));
        json_object_object_add(argument, "env", environment);
    }
    struct winsize size;
    if (terminal && ioctl(STDIN_FILENO, TIOCGWINSZ, &size) == 0) {
        json_object_object_add(argument, "rows", json_object_new_int(size.ws_row));
        json_object_object_add(argument, "cols", json_object_new_int(size.ws_col));
    }
    struct json_object *request = json_object_new_object();
    json_object_object_add(request, "verb", json_object_new_string(DINV_STATE_LAUNCHER_VERB_EXEC));
    json_object_object_add(request, "argument", argument);
    return request;
}

static int open_signals(void) {
    static const int numbers[] = {SIGTERM, SIGHUP, SIGINT, SIGQUIT, SIGWINCH};
    sigset_t set;
    dinv_cli_signals_pick(numbers, G_N_ELEMENTS(numbers), &set);
    (void)signal(SIGPIPE, SIG_IGN);
    return dinv_cli_signals_open(&set);
}

int dinv_cli_shell(const DinvConfig *config, int argc, char **argv) {
    Session session = {.status = STATUS_UNKNOWN,
                       .stdin_open = TRUE,
                       .command = argc > 0 ? argv[0] : default_command[0]};
    session.terminal = isatty(STDIN_FILENO) == 1 && isatty(STDOUT_FILENO) == 1;
    g_autoptr(GError) error = NULL;
    struct json_object *answer = NULL;
    session.fd = dinv_cli_launcher_call(
        config->state_dir, make_request(argc, argv, session.terminal), &answer, &error);
    if (session.fd < 0) {
        dinv_cli_complain("%s", error->message);
        return DINV_EXIT_FAILED;
    }
    json_object_put(answer);
    /* Before the terminal is changed, so that no signal ends us in between. */
    int signal_fd = open_signals();
    gboolean raw = session.terminal && tcgetattr(STDIN_FILENO, &session.before) == 0;
    if (raw) {
        struct termios mode = session.before;
        cfmakeraw(&mode);
        (void)tcsetattr(STDIN_FILENO, TCSADRAIN, &mode);
    }
    run_session(&session, signal_fd);
    if (raw) {
        (void)tcsetattr(STDIN_FILENO, TCSADRAIN, &session.before);
    }
    (void)close(signal_fd);
    (void)close(session.fd);
    if (session.status != STATUS_UNKNOWN) {
        return session.status;
    }
    if (session.output_error == EPIPE) {
        return 128 + SIGPIPE; /* as any program whose reader went away: "dinv shell … | head" */
    }
    if (session.output_error != 0) {
        dinv_cli_complain("cannot write the output of \"%s\": %s", session.command,
                          g_strerror(session.output_error));
    } else {
        dinv_cli_complain("the microVM ended the session without an exit status");
    }
    return DINV_EXIT_FAILED;
}
