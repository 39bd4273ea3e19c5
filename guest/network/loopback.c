/* SPDX-License-Identifier: MIT */
/* The rules, and the switch without which the kernel drops such packets. */
#include "guest/network/loopback.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest/base/files.h"
#include "guest/base/log.h"
#include "guest/network/network.h"
#include "guest/network/rules.h"

#define CHAIN "DINV-LOOPBACK"

struct DinvNetworkLoopback {
    DinvNetworkRules *rules;
    const char *proc;
    bool has_switch;
    struct in_addr address, gateway;
};

DinvNetworkLoopback *dinv_network_loopback_new(DinvLoop *loop, const char *program,
                                               const char *proc) {
    const DinvNetworkRulesOptions options = {
        .program = program,
        .chain = CHAIN,
        .jumps = "-I PREROUTING -j " CHAIN "\n",
        .without = "what listens on the guest's loopback is not reachable outside",
    };
    DinvNetworkLoopback *loopback = calloc(1, sizeof *loopback);
    if (loopback == NULL) {
        return NULL;
    }
    loopback->proc = proc;
    loopback->rules = dinv_network_rules_new(loop, &options);
    if (loopback->rules == NULL) {
        free(loopback);
        return NULL;
    }
    return loopback;
}

void dinv_network_loopback_free(DinvNetworkLoopback *loopback) {
    if (loopback != NULL) {
        dinv_network_rules_free(loopback->rules);
        free(loopback);
    }
}

void dinv_network_loopback_configure(DinvNetworkLoopback *loopback,
                                     const DinvNetworkConfiguration *network) {
    loopback->address = network->address;
    loopback->gateway = network->gateway;
}

/* Of this one device alone: bridges, which containers are at, keep the kernel's own rule. */
static int turn_switch(DinvNetworkLoopback *loopback) {
    char path[64];
    (void)snprintf(path, sizeof path,
                   "%s/sys/net/ipv4/conf/" DINV_NETWORK_INTERFACE "/route_localnet",
                   loopback->proc);
    int result = loopback->has_switch ? 0 : dinv_file_write(path, "1\n");
    loopback->has_switch = result == 0;
    return result;
}

/* The caller's to free; NULL if out of memory. */
static char *make_rules(const DinvNetworkLoopback *loopback, const DinvNetworkLoopbackPort *ports,
                        size_t count) {
    char *text = NULL;
    size_t len = 0;
    FILE *to = open_memstream(&text, &len);
    if (to == NULL) {
        return NULL;
    }
    char address[INET_ADDRSTRLEN] = "";
    char gateway[INET_ADDRSTRLEN] = "";
    (void)inet_ntop(AF_INET, &loopback->address, address, sizeof address);
    (void)inet_ntop(AF_INET, &loopback->gateway, gateway, sizeof gateway);
    for (size_t index = 0; index < count; index++) {
        const char *protocol = ports[index].udp ? "udp" : "tcp";
        (void)fprintf(to,
                      "-A " CHAIN " -s %s/32 -d %s/32 -i " DINV_NETWORK_INTERFACE
                      " -p %s -m %s --dport %u -j DNAT "
                      "--to-destination 127.0.0.1\n",
                      gateway, address, protocol, protocol, ports[index].port);
    }
    if (fclose(to) != 0) {
        free(text);
        text = NULL;
    }
    return text;
}

int dinv_network_loopback_set(DinvNetworkLoopback *loopback, const DinvNetworkLoopbackPort *ports,
                              size_t count) {
    int result = count > 0 ? turn_switch(loopback) : 0;
    if (result < 0) {
        return result;
    }
    char *lines = make_rules(loopback, ports, count);
    result = lines != NULL ? dinv_network_rules_set(loopback->rules, lines) : -ENOMEM;
    free(lines);
    return result;
}
