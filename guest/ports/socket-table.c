/* SPDX-License-Identifier: MIT */
/* One sscanf() for a whole line that counts; addresses are numbers of the host's byte order, as the
 * kernel prints each 32 bits of them. */
#include "guest/ports/socket-table.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { HEX_PER_WORD = 8, WORDS_MAX = 4, FIELDS_BEFORE_STATE = 3 };
#define STATE_LISTEN      "0A "
#define STATE_UNCONNECTED "07 "

static bool parse_address(const char *hex, bool ipv6, char text[INET6_ADDRSTRLEN]) {
    unsigned words = ipv6 ? WORDS_MAX : 1;
    uint32_t address[WORDS_MAX];
    if (strlen(hex) != (size_t)words * HEX_PER_WORD) {
        return false;
    }
    for (unsigned index = 0; index < words; index++) {
        if (sscanf(hex + (size_t)index * HEX_PER_WORD, "%8" SCNx32, &address[index]) != 1) {
            return false;
        }
    }
    return inet_ntop(ipv6 ? AF_INET6 : AF_INET, address, text, INET6_ADDRSTRLEN) != NULL;
}

/* Most lines are of connections, and there may be thousands of them, every second. */
static bool has_state(const char *line, const char *state) {
    for (int field = 0; field < FIELDS_BEFORE_STATE; field++) {
        line += strspn(line, " ");
        line += strcspn(line, " ");
    }
    return strncmp(line + strspn(line, " "), state, strlen(state)) == 0;
}

bool dinv_ports_socket_parse(const char *line, bool udp, bool ipv6, DinvPortsSocket *socket) {
    char local[WORDS_MAX * HEX_PER_WORD + 1];
    unsigned port;
    DinvPortsSocket found = {.udp = udp};
    if (!has_state(line, udp ? STATE_UNCONNECTED : STATE_LISTEN)) {
        return false;
    }
    /* sl, local, remote, state, queues, timer, retransmits, uid, timeout, inode */
    if (sscanf(line, " %*u: %32[0-9A-F]:%4X %*[0-9A-F]:%*4X %*2X %*s %*s %*s %*s %*s %20" SCNu64,
               local, &port, &found.inode) != 3) {
        return false;
    }
    found.port = (uint16_t)port;
    if (port == 0 || found.inode == 0 || !parse_address(local, ipv6, found.address)) {
        return false;
    }
    *socket = found;
    return true;
}
