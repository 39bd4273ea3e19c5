/* SPDX-License-Identifier: MIT */
/* The line by which a port proxy asks, and the arguments that it was started with itself. */
#include <arpa/inet.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "guest/ports/proxy.h"
#include "guest/ports/request.h"

#define WORDS_MAX 24

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *field(struct json_object *fields, const char *key) {
    return json_object_get_string(json_object_object_get(fields, key));
}

/* What was understood and is written again is understood as the same. */
static void check_line(const char *line, size_t len) {
    char again[DINV_PUBLISH_LINE_SIZE];
    struct json_object *fields = dinv_ports_request_parse(line, len);
    if (fields == NULL) {
        return;
    }
    if (json_object_object_length(fields) != 7) {
        abort();
    }
    int64_t port = json_object_get_int64(json_object_object_get(fields, "port"));
    if (port >= 1 && port <= 65535) {
        const DinvPortsWish wish = {.protocol = field(fields, "protocol"),
                                    .address = field(fields, "address"),
                                    .port = (unsigned)port,
                                    .guest_port = (unsigned)port,
                                    .container = field(fields, "container")};
        int written = dinv_ports_request_format(again, &wish);
        struct json_object *same =
            written > 0 ? dinv_ports_request_parse(again, (size_t)written - 1) : NULL;
        if (written > 0 &&
            (same == NULL || strcmp(field(same, "address"), field(fields, "address")) != 0)) {
            abort();
        }
        json_object_put(same);
    }
    json_object_put(fields);
}

static void check_arguments(char *text) {
    char *argv[WORDS_MAX + 1] = {"dinv-port-proxy"};
    int argc = 1;
    char *state = NULL;
    for (char *word = strtok_r(text, " \n", &state); word != NULL && argc < WORDS_MAX;
         word = strtok_r(NULL, " \n", &state)) {
        argv[argc++] = word;
    }
    DinvPortsProxyArguments arguments;
    const char *problem = NULL;
    struct in6_addr address;
    if (!dinv_ports_proxy_parse(argc, argv, &arguments, &problem)) {
        if (problem == NULL) {
            abort();
        }
    } else if (arguments.host_port - 1 > 65534 || arguments.container_port - 1 > 65534 ||
               (inet_pton(AF_INET, arguments.host_ip, &address) != 1 &&
                inet_pton(AF_INET6, arguments.host_ip, &address) != 1)) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    check_line((const char *)data, size);
    char *text = malloc(size + 1);
    if (text != NULL) {
        memcpy(text, data, size);
        text[size] = '\0';
        check_arguments(text);
        free(text);
    }
    return 0;
}
