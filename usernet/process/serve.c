/* SPDX-License-Identifier: MIT */
/* The order of things at the start: all that needs a path or a privilege, the confinement,
 * `ready`. */
#include "usernet/process/serve.h"

#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "usernet/process/confine.h"
#include "usernet/process/control.h"
#include "usernet/process/resolver.h"

#define BUFFER_LEAST (96 << 10)

static int complain(const char *text) {
    (void)fprintf(stderr, "dinv-usernet: %s\n", text);
    return EXIT_FAILURE;
}

/* As many connections as the outer container allows. */
static void raise_descriptors(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* libslirp has two buffers of 128 KiB and more for each connection. By themselves they would soon
 * come from memory that is not given back when connections end. */
static void give_memory_back(void) {
    (void)mallopt(M_MMAP_THRESHOLD, BUFFER_LEAST);
}

static int serve_loop(DinvUsernetLoop *loop, const DinvUsernetArguments *arguments) {
    const char *problem = NULL;
    DinvUsernetNetwork *network =
        dinv_usernet_network_new(loop, arguments->frames_fd, &arguments->config, &problem);
    if (network == NULL) {
        return complain(problem);
    }
    DinvConfinement confinement = dinv_usernet_confine();
    char features[DINV_USERNET_FEATURES_MAX + 1];
    dinv_confinement_format(&confinement, features, sizeof(features));
    DinvUsernetControl *control =
        dinv_usernet_control_new(loop, arguments->control_fd, network, features);
    if (control == NULL) {
        dinv_usernet_network_free(network);
        return complain("the control socket cannot be watched");
    }
    while (!dinv_usernet_control_is_over(control)) {
        dinv_usernet_network_turn(network);
    }
    dinv_usernet_control_free(control);
    dinv_usernet_network_free(network);
    return EXIT_SUCCESS;
}

int dinv_usernet_serve(const DinvUsernetArguments *arguments) {
    (void)signal(SIGPIPE, SIG_IGN);
    raise_descriptors();
    give_memory_back();
    dinv_usernet_resolver_read();
    DinvUsernetLoop *loop = dinv_usernet_loop_new();
    if (loop == NULL) {
        return complain("no epoll set can be made");
    }
    int status = serve_loop(loop, arguments);
    dinv_usernet_loop_free(loop);
    return status;
}
