/* SPDX-License-Identifier: MIT */
/*
 * exec-command: the command of an exec stream as a child of this process, at the other end of a
 * terminal or of three pipes. Starts it and signals it; its bytes and its end are exec.c's.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "guest/services/exec-request.h"

/* The command's outputs; a terminal has only the first. */
enum { DINV_SERVICE_EXEC_OUT, DINV_SERVICE_EXEC_ERR, DINV_SERVICE_EXEC_OUTPUTS };

typedef struct {
    pid_t pid; /* also its process group; 0: not started */
    bool terminal;
    int stdin_fd;                              /* our ends, nonblocking; -1: closed */
    int output_fds[DINV_SERVICE_EXEC_OUTPUTS]; /* with a terminal the first is its master */
} DinvServiceExecCommand;

/* Starts the command, waiting until its program was executed. -errno if there can be no terminal or
 * pipes for it. Otherwise 0, and *start_error is 0 if it runs, or -errno if its user, directory or
 * program cannot be. `request` gets the user's HOME. The descriptors in `command` are the caller's
 * to close in every case. */
int dinv_service_exec_command_start(DinvServiceExecCommand *command,
                                    DinvServiceExecRequest *request, int *start_error);

/* To the group in the foreground of the terminal, else to the command's own. Only as long as the
 * command was not collected: later its number may be another process. */
void dinv_service_exec_command_signal(const DinvServiceExecCommand *command, int number);

/* Sets the size of the terminal, if there is one. */
void dinv_service_exec_command_resize(const DinvServiceExecCommand *command, unsigned short rows,
                                      unsigned short columns);
