/* SPDX-License-Identifier: MIT */
/* The text for iptables-restore, and one run of it at a time: the last rules asked for win. */
#include "guest/network/names.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guest/base/log.h"
#include "guest/base/process.h"

#define CHAIN "DINV-NAMES"

struct DinvNetworkNames {
    DinvLoop *loop;
    const char *program;
    pid_t pid;       /* 0: not running */
    bool sets_jumps; /* the one that runs */
    bool has_jumps;  /* an earlier one has set them */
    char *wanted[2]; /* rules without and with jumps, for when it has ended; NULL: none */
};

/* What iptables-restore --noflush is to read; `with_jumps`: also the jumps from the chains of the
 * kernel, which must be set only once. NULL if out of memory; the caller's to free. */
static char *make_name_rules(const DinvNetworkConfiguration *network, bool with_jumps) {
    static const char *const protocols[] = {"udp", "tcp"};
    char *text = NULL;
    size_t len = 0;
    FILE *to = open_memstream(&text, &len);
    if (to == NULL) {
        return NULL;
    }
    char resolver[INET_ADDRSTRLEN] = "";
    (void)inet_ntop(AF_INET, &network->resolver, resolver, sizeof resolver);
    /* With --noflush this makes the chain, or empties it. */
    (void)fputs("*nat\n:" CHAIN " - [0:0]\n", to);
    for (char **server = network->dns; network->resolver_port != 0 && *server != NULL; server++) {
        for (size_t index = 0; strchr(*server, ':') == NULL && index < 2; index++) {
            (void)fprintf(to,
                          "-A " CHAIN " -d %s/32 -p %s -m %s --dport 53 -j DNAT "
                          "--to-destination %s:%u\n",
                          *server, protocols[index], protocols[index], resolver,
                          network->resolver_port);
        }
    }
    if (with_jumps) { /* from the machine itself, and from containers */
        (void)fputs("-I OUTPUT -j " CHAIN "\n-I PREROUTING -j " CHAIN "\n", to);
    }
    (void)fputs("COMMIT\n", to);
    if (fclose(to) != 0) {
        free(text);
        text = NULL;
    }
    return text;
}

static void forget_wanted(DinvNetworkNames *names) {
    for (size_t index = 0; index < 2; index++) {
        free(names->wanted[index]);
        names->wanted[index] = NULL;
    }
}

/* A descriptor to read the text from, or -errno. */
static int make_input(const char *text) {
    int fd = memfd_create("rules", MFD_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    size_t len = strlen(text);
    if (write(fd, text, len) != (ssize_t)len || lseek(fd, 0, SEEK_SET) < 0) {
        close(fd);
        return -EIO;
    }
    return fd;
}

static int start_restore(DinvNetworkNames *names);

static void restore_ended(void *user, pid_t pid, int wait_status) {
    (void)pid;
    DinvNetworkNames *names = user;
    names->pid = 0;
    if (wait_status == 0) {
        names->has_jumps = names->has_jumps || names->sets_jumps;
    } else {
        char how[96];
        dinv_log_warning("names are not asked of the launcher: %s %s, ignoring", names->program,
                         dinv_process_describe(wait_status, how, sizeof how));
    }
    int result = names->wanted[0] != NULL ? start_restore(names) : 0;
    if (result < 0) {
        dinv_log_warning("names are not asked of the launcher: %s: %s, ignoring", names->program,
                         strerror(-result));
    }
}

static int start_restore(DinvNetworkNames *names) {
    char *argv[] = {(char *)names->program, "--noflush", "--wait", NULL};
    static char *const environment[] = {DINV_DEFAULT_PATH, NULL};
    names->sets_jumps = !names->has_jumps;
    int fd = make_input(names->wanted[names->sets_jumps ? 1 : 0]);
    forget_wanted(names);
    if (fd < 0) {
        return fd;
    }
    /* What it complains of is in the console's log. */
    const DinvProcessOptions options = {.argv = argv,
                                        .environment = environment,
                                        .stdin_fd = fd,
                                        .stdout_fd = -1,
                                        .stderr_fd = STDERR_FILENO};
    int result = dinv_process_start(&options, &names->pid);
    close(fd);
    if (result < 0) {
        names->pid = 0;
        return result;
    }
    return dinv_loop_watch_child(names->loop, names->pid, restore_ended, names);
}

DinvNetworkNames *dinv_network_names_new(DinvLoop *loop, const char *program) {
    DinvNetworkNames *names = calloc(1, sizeof *names);
    if (names != NULL) {
        names->loop = loop;
        names->program = program;
    }
    return names;
}

void dinv_network_names_free(DinvNetworkNames *names) {
    if (names == NULL) {
        return;
    }
    if (names->pid > 0) {
        dinv_loop_unwatch_child(names->loop, names->pid);
    }
    forget_wanted(names);
    free(names);
}

int dinv_network_names_redirect(DinvNetworkNames *names, const DinvNetworkConfiguration *network) {
    if (network->resolver_port == 0 && !names->has_jumps && names->pid == 0) {
        return 0;
    }
    forget_wanted(names);
    names->wanted[0] = make_name_rules(network, false);
    names->wanted[1] = make_name_rules(network, true);
    if (names->wanted[0] == NULL || names->wanted[1] == NULL) {
        forget_wanted(names);
        return -ENOMEM;
    }
    return names->pid == 0 ? start_restore(names) : 0;
}
