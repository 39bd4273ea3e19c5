/* SPDX-License-Identifier: MIT */
/* Terminals, pipes and accounts: all that a command needs to be started. */
#include "guest/services/exec-command.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "guest/base/process.h"

enum { OUT = DINV_SERVICE_EXEC_OUT, ERR = DINV_SERVICE_EXEC_ERR };

/* The ends of the command, to be closed once it runs. */
typedef struct {
    int in;
    int out;
    int err;
} CommandFds;

static int open_terminal(DinvServiceExecCommand *command, const DinvServiceExecRequest *request,
                         CommandFds *theirs) {
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
    if (master < 0) {
        return -errno;
    }
    command->output_fds[OUT] = master;
    command->stdin_fd = fcntl(master, F_DUPFD_CLOEXEC, 0);
    int unlock = 0;
    if (command->stdin_fd < 0 || ioctl(master, TIOCSPTLCK, &unlock) < 0) {
        return -errno;
    }
    /* By the master, so that the right one is found in whichever devpts. */
    theirs->in = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (theirs->in < 0) {
        return -errno;
    }
    theirs->out = theirs->err = theirs->in;
    dinv_service_exec_command_resize(command, request->rows, request->columns);
    return 0;
}

static int open_pipe(int *ours, int *theirs, bool we_read) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0) {
        return -errno;
    }
    *ours = ends[we_read ? 0 : 1];
    *theirs = ends[we_read ? 1 : 0];
    /* Only our end: the command may expect its own to block. */
    (void)fcntl(*ours, F_SETFL, O_NONBLOCK);
    return 0;
}

static int open_fds(DinvServiceExecCommand *command, const DinvServiceExecRequest *request,
                    CommandFds *theirs) {
    if (request->terminal) {
        return open_terminal(command, request, theirs);
    }
    int result = open_pipe(&command->stdin_fd, &theirs->in, false);
    if (result == 0) {
        result = open_pipe(&command->output_fds[OUT], &theirs->out, true);
    }
    if (result == 0) {
        result = open_pipe(&command->output_fds[ERR], &theirs->err, true);
    }
    return result;
}

static void close_theirs(const CommandFds *theirs) {
    if (theirs->in >= 0) {
        close(theirs->in);
    }
    if (theirs->out >= 0 && theirs->out != theirs->in) {
        close(theirs->out);
    }
    if (theirs->err >= 0 && theirs->err != theirs->in) {
        close(theirs->err);
    }
}

/* Another user than root; the terminal becomes theirs, as after a login. */
static int become_user(DinvServiceExecRequest *request, DinvAccount *account, int terminal_fd) {
    int result = dinv_account_find("/etc", request->user, account);
    if (result == 0) {
        result = dinv_service_exec_request_set_home(request, request->user, account->home);
    }
    if (result == 0 && request->terminal) {
        (void)fchown(terminal_fd, account->uid, (gid_t)-1);
    }
    return result;
}

/* 0, or -errno of what the request asked for. */
static int start_exec_process(DinvServiceExecCommand *command, DinvServiceExecRequest *request,
                              const CommandFds *theirs) {
    DinvAccount account;
    DinvProcessOptions options = {
        .argv = request->argv,
        .environment = request->environment,
        .directory = request->directory,
        .stdin_fd = theirs->in,
        .stdout_fd = theirs->out,
        .stderr_fd = theirs->err,
        .terminal = request->terminal,
        .account = request->user != NULL ? &account : NULL,
    };
    int result = request->user != NULL ? become_user(request, &account, theirs->in) : 0;
    return result == 0 ? dinv_process_start(&options, &command->pid) : result;
}

int dinv_service_exec_command_start(DinvServiceExecCommand *command,
                                    DinvServiceExecRequest *request, int *start_error) {
    *command = (DinvServiceExecCommand){
        .terminal = request->terminal, .stdin_fd = -1, .output_fds = {-1, -1}};
    CommandFds theirs = {-1, -1, -1};
    int result = open_fds(command, request, &theirs);
    *start_error = result == 0 ? start_exec_process(command, request, &theirs) : 0;
    close_theirs(&theirs);
    return result;
}

void dinv_service_exec_command_signal(const DinvServiceExecCommand *command, int number) {
    pid_t group = command->terminal && command->output_fds[OUT] >= 0
                      ? tcgetpgrp(command->output_fds[OUT])
                      : command->pid;
    (void)kill(group > 1 ? -group : -command->pid, number);
}

void dinv_service_exec_command_resize(const DinvServiceExecCommand *command, unsigned short rows,
                                      unsigned short columns) {
    struct winsize size = {.ws_row = rows, .ws_col = columns};
    if (command->terminal && command->output_fds[OUT] >= 0) {
        (void)ioctl(command->output_fds[OUT], TIOCSWINSZ, &size);
    }
}
