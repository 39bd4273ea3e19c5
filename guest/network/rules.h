/* SPDX-License-Identifier: MIT */
/*
 * rules: a chain of our own in the kernel's NAT, which dockerd leaves alone, set as a whole by
 * iptables-restore in the background. One run of it at a time; of what is asked for meanwhile the
 * last wins.
 */
#pragma once

#include "guest/base/loop.h"

typedef struct DinvNetworkRules DinvNetworkRules;

typedef struct {
    const char *program; /* iptables-restore, searched for in the PATH */
    const char *chain;
    const char *jumps;   /* lines that lead from the chains of the kernel to it */
    const char *without; /* what is the case without the rules, for the log */
} DinvNetworkRulesOptions;

/* The texts are kept. NULL if out of memory. */
DinvNetworkRules *dinv_network_rules_new(DinvLoop *loop, const DinvNetworkRulesOptions *options);
/* NULL is ignored. */
void dinv_network_rules_free(DinvNetworkRules *rules);

/* Begins to give the chain these lines ("-A CHAIN …\n…", copied) in place of those that it has. No
 * lines where there never were any: nothing is run. What fails later is logged. 0 or -errno. */
int dinv_network_rules_set(DinvNetworkRules *rules, const char *lines);
