/* SPDX-License-Identifier: MIT */
/* The reply to a ping: whole, and split at a place that the first byte chooses, with one verdict.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "guest/engine/ping.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 1) {
        return 0;
    }
    const char *text = (const char *)data + 1;
    size_t len = size - 1;
    size_t split = len > 0 ? data[0] % len : 0;
    static DinvEnginePingReply whole;
    static DinvEnginePingReply parts;
    whole = (DinvEnginePingReply){0};
    parts = (DinvEnginePingReply){0};
    char whole_version[DINV_PING_VERSION_MAX] = "";
    char parts_version[DINV_PING_VERSION_MAX] = "";
    int whole_result = dinv_engine_ping_reply_add(&whole, text, len, true, whole_version);
    int parts_result = dinv_engine_ping_reply_add(&parts, text, split, false, parts_version);
    if (parts_result == 0) {
        parts_result =
            dinv_engine_ping_reply_add(&parts, text + split, len - split, true, parts_version);
    }
    /* A reply that is good so far may be spoilt by what follows, which a split one is not waited
     * for: only a verdict on the whole of the bytes must be the same. */
    if (whole_result == 1 && (parts_result != 1 || strcmp(whole_version, parts_version) != 0)) {
        abort();
    }
    return 0;
}
