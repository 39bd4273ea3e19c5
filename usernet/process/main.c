/* SPDX-License-Identifier: MIT */
/* The program `dinv-usernet`: the network of one machine, for the launcher (docs/usernet.md).
 * Messages go to stderr, one a line. Exit status 0 after `stop` or when the launcher is gone, 1
 * if it cannot work, 2 for arguments that are not understood. */
#include <fcntl.h>
#include <libslirp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "usernet/process/arguments.h"
#include "usernet/process/confine.h"
#include "usernet/process/control.h"
#include "usernet/process/resolver.h"

#define EXIT_USAGE 2

static int complain(int status, const char *text) {
    (void)fprintf(stderr, "dinv-usernet: %s\n", text);
    return status;
}

/* As many connections as the outer container allows. */
static void raise_descriptors(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static bool is_socket(int fd, int type) {
    int has = 0;
    socklen_t len = sizeof(has);
    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &has, &len) == 0 && has == type;
}

static int serve(DinvUsernetLoop *loop, const DinvUsernetArguments *arguments) {
    const char *problem = NULL;
    DinvUsernetNetwork *network =
        dinv_usernet_network_new(loop, arguments->frames_fd, &arguments->config, &problem);
    if (network == NULL) {
        return complain(EXIT_FAILURE, problem);
    }
    DinvUsernetConfinement confinement = dinv_usernet_confine();
    char features[DINV_USERNET_FEATURES_MAX + 1];
    dinv_usernet_confinement_format(&confinement, features, sizeof(features));
    DinvUsernetControl *control =
        dinv_usernet_control_new(loop, arguments->control_fd, network, features);
    if (control == NULL) {
        dinv_usernet_network_free(network);
        return complain(EXIT_FAILURE, "the control socket cannot be watched");
    }
    while (!dinv_usernet_control_is_over(control)) {
        dinv_usernet_network_turn(network);
    }
    dinv_usernet_control_free(control);
    dinv_usernet_network_free(network);
    return EXIT_SUCCESS;
}

int main(int argc, char **argv) {
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        (void)printf("dinv-usernet " DINV_VERSION ", libslirp %s\n", slirp_version_string());
        return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
    }
    DinvUsernetArguments arguments;
    char problem[256];
    if (!dinv_usernet_arguments_parse(argc, argv, &arguments, problem, sizeof(problem))) {
        return complain(EXIT_USAGE, problem);
    }
    if (!is_socket(arguments.frames_fd, SOCK_DGRAM)) {
        return complain(EXIT_USAGE, "--frames is not a datagram socket");
    }
    if (!is_socket(arguments.control_fd, SOCK_SEQPACKET)) {
        return complain(EXIT_USAGE, "--control is not a seqpacket socket");
    }
    (void)signal(SIGPIPE, SIG_IGN);
    raise_descriptors();
    dinv_usernet_resolver_read();
    DinvUsernetLoop *loop = dinv_usernet_loop_new();
    if (loop == NULL) {
        return complain(EXIT_FAILURE, "no epoll set can be made");
    }
    int status = serve(loop, &arguments);
    dinv_usernet_loop_free(loop);
    return status;
}
