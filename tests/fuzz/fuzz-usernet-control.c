/* SPDX-License-Identifier: MIT */
/* The messages between the launcher and dinv-usernet, as either side may get them. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "usernet/protocol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What was understood and is written again is understood as the same. */
static void check_request(const char *text, size_t len) {
    char again[DINV_USERNET_MESSAGE_MAX + 1];
    DinvUsernetRequest request;
    DinvUsernetRequest same;
    uint32_t id;
    if (dinv_usernet_request_decode(text, len, &request, &id) < 0) {
        return;
    }
    int written = dinv_usernet_request_encode(&request, again);
    if (id != request.id || written <= 0 ||
        dinv_usernet_request_decode(again, (size_t)written, &same, &id) < 0 ||
        same.id != request.id || same.verb != request.verb ||
        same.guest_port != request.guest_port ||
        !dinv_usernet_endpoint_equal(&same.endpoint, &request.endpoint)) {
        abort();
    }
}

static void check_reply(const char *text, size_t len) {
    char again[DINV_USERNET_MESSAGE_MAX + 1];
    DinvUsernetReply reply;
    DinvUsernetReply same;
    if (dinv_usernet_reply_decode(text, len, &reply) < 0) {
        return;
    }
    int written = dinv_usernet_reply_encode(&reply, again);
    if (written <= 0 || dinv_usernet_reply_decode(again, (size_t)written, &same) < 0 ||
        same.id != reply.id || same.type != reply.type || same.error != reply.error ||
        strcmp(same.text, reply.text) != 0 || strcmp(same.features, reply.features) != 0 ||
        same.from_guest != reply.from_guest) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    check_request((const char *)data, size);
    check_reply((const char *)data, size);
    return 0;
}
