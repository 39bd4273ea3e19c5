/* SPDX-License-Identifier: MIT */
/*
 * exec: the framing inside a stream of the guest's `exec` service (docs/relay-protocol.md,
 * "The exec service"): each record is a type byte, a 32-bit big-endian length, and the payload.
 * The command itself comes as the JSON argument of the open.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

typedef enum {
    DINV_EXEC_STDIN = 'i',  /* to the guest; empty payload = end of file */
    DINV_EXEC_RESIZE = 'w', /* to the guest; u16 rows, u16 columns, big-endian */
    DINV_EXEC_SIGNAL = 's', /* to the guest; u8 Linux signal number */
    DINV_EXEC_STDOUT = 'o', /* from the guest */
    DINV_EXEC_STDERR = 'e', /* from the guest; never with a pty */
    DINV_EXEC_EXIT = 'x',   /* from the guest, last; u8: 0 exited, 1 signalled, 2 could not start;
                               then i32 big-endian: status, signal number, or errno */
} DinvExecType;

#define DINV_EXEC_HEADER      5u
#define DINV_EXEC_PAYLOAD_MAX 32768u

/* Writes the header of a record into `header`. */
void dinv_exec_header(uint8_t header[static DINV_EXEC_HEADER], DinvExecType type, uint32_t len);

/* An incremental reader of records; zero-initialise. */
typedef struct {
    uint8_t header[DINV_EXEC_HEADER];
    uint8_t header_len;
    uint32_t remaining;
    uint8_t small[8]; /* the payload of control records, collected here */
    uint8_t small_len;
} DinvExecParser;

typedef struct {
    /* Payload bytes of a STDIN, STDOUT or STDERR record, in pieces as they come; an empty STDIN
     * record gives one call with len 0. */
    void (*data)(void *user, DinvExecType type, const uint8_t *bytes, size_t len);
    /* A whole control record (RESIZE, SIGNAL, EXIT) of the right size. */
    void (*control)(void *user, DinvExecType type, const uint8_t *bytes, size_t len);
} DinvExecCallbacks;

/* Any split of input. 0, or -EPROTO (unknown type, wrong or excessive length). */
int dinv_exec_parse(DinvExecParser *parser, const uint8_t *bytes, size_t len,
                    const DinvExecCallbacks *callbacks, void *user);
