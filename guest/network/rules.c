/* SPDX-License-Identifier: MIT */
/* The text for iptables-restore, and one run of it at a time. */
#include "guest/network/rules.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guest/base/log.h"
#include "guest/base/process.h"

struct DinvNetworkRules {
    DinvLoop *loop;
    DinvNetworkRulesOptions options;
    pid_t pid;       /* 0: not running */
    bool sets_jumps; /* the one that runs */
    bool has_jumps;  /* an earlier one has set them; that must be done only once */
    char *wanted;    /* lines for when it has ended; NULL: none */
};

/* A descriptor to read the whole text from, or -errno. */
static int make_input(const DinvNetworkRules *rules, const char *lines) {
    int fd = memfd_create("rules", MFD_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    /* With --noflush this makes the chain, or empties it. */
    int written = dprintf(fd, "*nat\n:%s - [0:0]\n%s%sCOMMIT\n", rules->options.chain, lines,
                          rules->has_jumps ? "" : rules->options.jumps);
    if (written < 0 || lseek(fd, 0, SEEK_SET) < 0) {
        close(fd);
        return -EIO;
    }
    return fd;
}

static int start_restore(DinvNetworkRules *rules);

static void restore_ended(void *user, pid_t pid, int wait_status) {
    (void)pid;
    DinvNetworkRules *rules = user;
    rules->pid = 0;
    if (wait_status == 0) {
        rules->has_jumps = rules->has_jumps || rules->sets_jumps;
    } else {
        char how[96];
        dinv_log_warning("%s: %s %s, ignoring", rules->options.without, rules->options.program,
                         dinv_process_describe(wait_status, how, sizeof how));
    }
    int result = rules->wanted != NULL ? start_restore(rules) : 0;
    if (result < 0) {
        dinv_log_warning("%s: %s: %s, ignoring", rules->options.without, rules->options.program,
                         strerror(-result));
    }
}

static int start_restore(DinvNetworkRules *rules) {
    char *argv[] = {(char *)rules->options.program, "--noflush", "--wait", NULL};
    static char *const environment[] = {DINV_DEFAULT_PATH, NULL};
    rules->sets_jumps = !rules->has_jumps;
    int fd = make_input(rules, rules->wanted);
    free(rules->wanted);
    rules->wanted = NULL;
    if (fd < 0) {
        return fd;
    }
    /* What it complains of is in the console's log. */
    const DinvProcessOptions options = {.argv = argv,
                                        .environment = environment,
                                        .stdin_fd = fd,
                                        .stdout_fd = -1,
                                        .stderr_fd = STDERR_FILENO};
    int result = dinv_process_start(&options, &rules->pid);
    close(fd);
    if (result < 0) {
        rules->pid = 0;
        return result;
    }
    return dinv_loop_watch_child(rules->loop, rules->pid, restore_ended, rules);
}

DinvNetworkRules *dinv_network_rules_new(DinvLoop *loop, const DinvNetworkRulesOptions *options) {
    DinvNetworkRules *rules = calloc(1, sizeof *rules);
    if (rules != NULL) {
        rules->loop = loop;
        rules->options = *options;
    }
    return rules;
}

void dinv_network_rules_free(DinvNetworkRules *rules) {
    if (rules == NULL) {
        return;
    }
    if (rules->pid > 0) {
        dinv_loop_unwatch_child(rules->loop, rules->pid);
    }
    free(rules->wanted);
    free(rules);
}

int dinv_network_rules_set(DinvNetworkRules *rules, const char *lines) {
    if (lines[0] == '\0' && !rules->has_jumps && rules->pid == 0) {
        return 0;
    }
    char *copy = strdup(lines);
    if (copy == NULL) {
        return -ENOMEM;
    }
    free(rules->wanted);
    rules->wanted = copy;
    return rules->pid == 0 ? start_restore(rules) : 0;
}
