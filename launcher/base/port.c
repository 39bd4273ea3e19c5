/* SPDX-License-Identifier: MIT */
/* Names of protocols, and the trial bind. */
#include "launcher/base/port.h"

#include <arpa/inet.h>
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

const char *dinv_protocol_name(DinvProtocol protocol) {
    return protocol == DINV_PROTOCOL_UDP ? "udp" : "tcp";
}

int dinv_port_try_bind(DinvProtocol protocol, struct in_addr address, guint16 port) {
    const struct sockaddr_in name = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = address};
    gboolean is_tcp = protocol == DINV_PROTOCOL_TCP;
    int fd = socket(AF_INET, (is_tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return errno;
    }
    int code = 0;
    if ((is_tcp && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int)) < 0) ||
        bind(fd, (const struct sockaddr *)&name, sizeof name) < 0 ||
        (is_tcp && listen(fd, 1) < 0)) {
        code = errno;
    }
    (void)close(fd);
    return code;
}
