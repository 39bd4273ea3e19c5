/* SPDX-License-Identifier: MIT */
/* --frames FD --control FD --network ADDRESS/BITS --mtu BYTES, in any order, each once. */
#include "usernet/process/arguments.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The guest is host 15, so a network has to have 16 addresses and more; broadcast is the last. */
#define BITS_MIN 8ul
#define BITS_MAX 27ul

enum { FRAMES, CONTROL, NETWORK, MTU, OPTIONS };

static const char *const names[OPTIONS] = {"--frames", "--control", "--network", "--mtu"};
static const char *const wanted[OPTIONS] = {
    "the number of an open descriptor",
    "the number of an open descriptor",
    "a network as 10.0.2.0/24, of 8 to 27 bits",
    "a number of bytes from 576 to 65521",
};

static bool parse_number(const char *text, unsigned long min, unsigned long max,
                         unsigned long *number) {
    char *end = NULL;
    if (!isdigit((unsigned char)text[0])) {
        return false;
    }
    *number = strtoul(text, &end, 10);
    return *end == '\0' && *number >= min && *number <= max;
}

static bool parse_fd(const char *text, int *fd) {
    unsigned long number;
    if (!parse_number(text, 0, INT_MAX, &number)) {
        return false;
    }
    *fd = (int)number;
    return true;
}

static bool parse_network(const char *text, DinvUsernetConfig *config) {
    char address[INET_ADDRSTRLEN];
    unsigned long bits;
    const char *slash = strchr(text, '/');
    if (slash == NULL || (size_t)(slash - text) >= sizeof(address) ||
        !parse_number(slash + 1, BITS_MIN, BITS_MAX, &bits)) {
        return false;
    }
    memcpy(address, text, (size_t)(slash - text));
    address[slash - text] = '\0';
    if (inet_pton(AF_INET, address, &config->network) != 1) {
        return false;
    }
    config->mask.s_addr = htonl(UINT32_MAX << (32 - bits));
    return (config->network.s_addr & ~config->mask.s_addr) == 0;
}

static bool parse_mtu(const char *text, unsigned *mtu) {
    unsigned long number;
    if (!parse_number(text, DINV_USERNET_MTU_MIN, DINV_USERNET_MTU_MAX, &number)) {
        return false;
    }
    *mtu = (unsigned)number;
    return true;
}

static bool parse_value(int option, const char *value, DinvUsernetArguments *arguments) {
    switch (option) {
    case FRAMES:
        return parse_fd(value, &arguments->frames_fd);
    case CONTROL:
        return parse_fd(value, &arguments->control_fd);
    case NETWORK:
        return parse_network(value, &arguments->config);
    default:
        return parse_mtu(value, &arguments->config.mtu);
    }
}

bool dinv_usernet_arguments_parse(int argc, char **argv, DinvUsernetArguments *arguments,
                                  char *problem, size_t problem_size) {
    bool given[OPTIONS] = {false};
    DinvUsernetArguments parsed = {.config.probe_ns = DINV_USERNET_PROBE_NS};
    for (int i = 1; i < argc; i += 2) {
        int option = 0;
        while (option < OPTIONS && strcmp(argv[i], names[option]) != 0) {
            option++;
        }
        if (option == OPTIONS) {
            (void)snprintf(problem, problem_size, "\"%s\" is not an option", argv[i]);
            return false;
        }
        if (i + 1 >= argc || given[option]) {
            (void)snprintf(problem, problem_size, "%s needs %s, once", argv[i], wanted[option]);
            return false;
        }
        if (!parse_value(option, argv[i + 1], &parsed)) {
            (void)snprintf(problem, problem_size, "%s: \"%s\" is not %s", argv[i], argv[i + 1],
                           wanted[option]);
            return false;
        }
        given[option] = true;
    }
    for (int option = 0; option < OPTIONS; option++) {
        if (!given[option]) {
            (void)snprintf(problem, problem_size, "%s is missing: %s", names[option],
                           wanted[option]);
            return false;
        }
    }
    *arguments = parsed;
    return true;
}
