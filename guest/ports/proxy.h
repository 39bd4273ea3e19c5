/* SPDX-License-Identifier: MIT */
/*
 * proxy: dinv-guest under the name dinv-port-proxy, which dockerd starts for each published
 * port and address family (`--userland-proxy-path`), and whose verdict on descriptor 3 it waits
 * for.
 *
 * Theory of operation. Two things are done for a port. Local clients (of the guest's loopback, or
 * containers that go by the guest's address) are served as anywhere, by Docker's own docker-proxy,
 * our child. And the agent is asked to have the port forwarded from outside (publish.h). What comes
 * in that way goes to the guest's IPv4 address, where dockerd's rules lead it on to the container;
 * where they are for another host address (`-p 127.0.0.1:8080:80` means the outer loopback, which
 * the guest does not have; `[::]` has no IPv4 address) a second docker-proxy on the guest's address
 * does that. If the port is in use there, it mostly is the same container's: `-p 8080:80` is
 * 0.0.0.0 and then `[::]`. The launcher knows (`is_shared`); if it says no, the second docker-proxy
 * has a port of its own choice, and what comes in goes there.
 *
 * An address that the guest has and the outer container does not, such as docker0's, is served
 * inside alone: the launcher says yes to it (`is_guests`).
 *
 * dockerd ends us with a signal and waits: then the forward is gone before we are.
 */
#pragma once

#include <stdbool.h>

#include "guest/base/paths.h"

#define DINV_PORT_PROXY_NAME   "dinv-port-proxy"
#define DINV_PORT_PROXY_SOCKET DINV_AGENT_DIRECTORY "/publish.sock"

typedef struct {
    const char *protocol; /* "tcp", "udp" or "sctp" */
    const char *host_ip;  /* IPv4 or IPv6 */
    const char *container_ip;
    unsigned host_port;
    unsigned container_port;
    bool use_listen_fd; /* from Docker 28 on: descriptor 4 is bound already */
} DinvPortsProxyArguments;

/* Reads the arguments as dockerd gives them (-name value, or -name=value). The strings stay those
 * of argv. False with *problem set to a sentence. */
bool dinv_ports_proxy_parse(int argc, char **argv, DinvPortsProxyArguments *arguments,
                            const char **problem);

/* What surrounds it. */
typedef struct {
    const char *local_proxy;  /* the program docker-proxy */
    const char *agent_socket; /* where the agent listens */
    const char *interface;    /* whose address what comes from outside goes to */
} DinvPortsProxyPlan;

/* The whole program, from the verdict on descriptor 3 to its exit status: EXIT_SUCCESS if it served
 * until a signal ended it. Takes over this process: descriptors 3 and 4, the signals. */
int dinv_ports_proxy_run(int argc, char **argv, const DinvPortsProxyPlan *plan);
/* dinv_ports_proxy_run() in the microVM: with its docker-proxy, agent and interface. */
int dinv_ports_proxy_main(int argc, char **argv);
