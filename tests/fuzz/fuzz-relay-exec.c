/* SPDX-License-Identifier: MIT */
/* The records of the exec service: whatever the split, the same records come out. */
#include <stdlib.h>
#include <string.h>

#include "relay/exec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct {
    uint64_t hash;
    size_t data_bytes;
    size_t controls;
} Digest;

static void mix(Digest *digest, uint8_t byte) {
    digest->hash = (digest->hash ^ byte) * 1099511628211u;
}

static void on_data(void *user, DinvExecType type, const uint8_t *bytes, size_t len) {
    Digest *digest = user;
    for (size_t i = 0; i < len; i++) {
        mix(digest, (uint8_t)type);
        mix(digest, bytes[i]);
    }
    digest->data_bytes += len;
}

static void on_control(void *user, DinvExecType type, const uint8_t *bytes, size_t len) {
    Digest *digest = user;
    size_t expected = type == DINV_EXEC_RESIZE ? 4 : type == DINV_EXEC_SIGNAL ? 1 : 5;
    if (len != expected) {
        abort();
    }
    mix(digest, (uint8_t)type);
    for (size_t i = 0; i < len; i++) {
        mix(digest, bytes[i]);
    }
    digest->controls++;
}

/* The first byte says how long the pieces of the second reading are. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const DinvExecCallbacks callbacks = {.data = on_data, .control = on_control};
    if (size == 0) {
        return 0;
    }
    size_t piece = (size_t)data[0] + 1;
    data++;
    size--;
    Digest whole = {0};
    Digest pieces = {0};
    DinvExecParser parser = {0};
    int expected = dinv_exec_parse(&parser, data, size, &callbacks, &whole);
    int result = 0;
    parser = (DinvExecParser){0};
    for (size_t at = 0; at < size && result == 0; at += piece) {
        size_t len = size - at < piece ? size - at : piece;
        result = dinv_exec_parse(&parser, data + at, len, &callbacks, &pieces);
    }
    if (result != expected || memcmp(&whole, &pieces, sizeof(whole)) != 0) {
        abort();
    }
    return 0;
}
