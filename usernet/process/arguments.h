/* SPDX-License-Identifier: MIT */
/* arguments: the command line of dinv-usernet. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "usernet/process/network.h"

/* The smallest MTU that IPv4 allows hosts to be asked for without fragments of everything, and the
 * largest that libslirp takes. */
#define DINV_USERNET_MTU_MIN 576u
#define DINV_USERNET_MTU_MAX 65521u

/* Linux forgets a half-closed connection that it translates after 60 silent seconds, and
 * libslirp one whose outer end is closed after ten minutes. */
#define DINV_USERNET_PROBE_NS ((int64_t)45 * 1000000000)

typedef struct {
    int frames_fd;
    int control_fd;
    DinvUsernetConfig config;
} DinvUsernetArguments;

/* False with one sentence in `problem`: which argument, its value, what it should be. */
bool dinv_usernet_arguments_parse(int argc, char **argv, DinvUsernetArguments *arguments,
                                  char *problem, size_t problem_size);
