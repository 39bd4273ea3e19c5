/* SPDX-License-Identifier: MIT */
/* The program `dinv-usernet`: the network of one machine, for the launcher (docs/usernet.md).
 * Messages go to stderr, one a line. Exit status 0 after `stop` or when the launcher is gone, 1
 * if it cannot work, 2 for arguments that are not understood. */
#include <libslirp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "usernet/process/serve.h"

#define EXIT_USAGE 2

static int complain_of_usage(const char *text) {
    (void)fprintf(stderr, "dinv-usernet: %s\n", text);
    return EXIT_USAGE;
}

static bool is_socket(int fd, int type) {
    int has = 0;
    socklen_t len = sizeof(has);
    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &has, &len) == 0 && has == type;
}

int main(int argc, char **argv) {
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        (void)printf("dinv-usernet " DINV_VERSION ", libslirp %s\n", slirp_version_string());
        return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
    }
    DinvUsernetArguments arguments;
    char problem[256];
    if (!dinv_usernet_arguments_parse(argc, argv, &arguments, problem, sizeof(problem))) {
        return complain_of_usage(problem);
    }
    if (!is_socket(arguments.frames_fd, SOCK_DGRAM)) {
        return complain_of_usage("--frames is not a datagram socket");
    }
    if (!is_socket(arguments.control_fd, SOCK_SEQPACKET)) {
        return complain_of_usage("--control is not a seqpacket socket");
    }
    return dinv_usernet_serve(&arguments);
}
