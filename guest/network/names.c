/* SPDX-License-Identifier: MIT */
/* The rules for names. */
#include "guest/network/names.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest/network/rules.h"

#define CHAIN "DINV-NAMES"

struct DinvNetworkNames {
    DinvNetworkRules *rules;
};

/* The caller's to free; NULL if out of memory. */
static char *make_name_rules(const DinvNetworkConfiguration *network) {
    static const char *const protocols[] = {"udp", "tcp"};
    char *text = NULL;
    size_t len = 0;
    FILE *to = open_memstream(&text, &len);
    if (to == NULL) {
        return NULL;
    }
    char resolver[INET_ADDRSTRLEN] = "";
    (void)inet_ntop(AF_INET, &network->resolver, resolver, sizeof resolver);
    for (char **server = network->dns; network->resolver_port != 0 && *server != NULL; server++) {
        for (size_t index = 0; strchr(*server, ':') == NULL && index < 2; index++) {
            (void)fprintf(to,
                          "-A " CHAIN " -d %s/32 -p %s -m %s --dport 53 -j DNAT "
                          "--to-destination %s:%u\n",
                          *server, protocols[index], protocols[index], resolver,
                          network->resolver_port);
        }
    }
    if (fclose(to) != 0) {
        free(text);
        text = NULL;
    }
    return text;
}

DinvNetworkNames *dinv_network_names_new(DinvLoop *loop, const char *program) {
    const DinvNetworkRulesOptions options = {
        .program = program,
        .chain = CHAIN,
        /* From the machine itself, and from containers. */
        .jumps = "-I OUTPUT -j " CHAIN "\n-I PREROUTING -j " CHAIN "\n",
        .without = "names are not asked of the launcher",
    };
    DinvNetworkNames *names = calloc(1, sizeof *names);
    if (names != NULL) {
        names->rules = dinv_network_rules_new(loop, &options);
    }
    if (names != NULL && names->rules == NULL) {
        free(names);
        names = NULL;
    }
    return names;
}

void dinv_network_names_free(DinvNetworkNames *names) {
    if (names != NULL) {
        dinv_network_rules_free(names->rules);
        free(names);
    }
}

int dinv_network_names_redirect(DinvNetworkNames *names, const DinvNetworkConfiguration *network) {
    char *lines = make_name_rules(network);
    int result = lines != NULL ? dinv_network_rules_set(names->rules, lines) : -ENOMEM;
    free(lines);
    return result;
}
