/* SPDX-License-Identifier: MIT */
/*
 * state: the life of a stream as a table of states × events; docs/relay-protocol.md, "Streams",
 * shows the same table (test /relay/state/table-is-documented compares them). The table is pure
 * data: what an event does to buffers and frames is named as a set of actions, carried out
 * elsewhere (stream.c), and no action changes the state.
 */
#pragma once

#include <stdint.h>

typedef enum {
    DINV_RELAY_STATE_OPENING,          /* we opened; the peer's answer is awaited */
    DINV_RELAY_STATE_OPENING_FINISHED, /* the same, and we have nothing more to write */
    DINV_RELAY_STATE_OFFERED,          /* the peer opened; our answer is awaited */
    DINV_RELAY_STATE_OFFERED_FINISHED, /* the same, and we have nothing more to write */
    DINV_RELAY_STATE_OPEN,             /* bytes flow both ways */
    DINV_RELAY_STATE_FINISHED_LOCAL,   /* we finished; the peer still writes */
    DINV_RELAY_STATE_FINISHED_PEER,    /* the peer finished; we still write */
    DINV_RELAY_STATE_FINISHED_BOTH,    /* both finished; ours may still be leaving */
    DINV_RELAY_STATE_UNREAD,           /* the peer finished and reads no more: only read */
    DINV_RELAY_STATE_BROKEN,           /* refused, reset or lost: only close */
    DINV_RELAY_STATE_LINGERING,        /* closed by its user; data and fin are leaving */
    DINV_RELAY_STATE_LEAVING,          /* closed by its user; a reset or refusal is leaving */
    DINV_RELAY_STATE_GONE,             /* nothing is left but to free the memory */
} DinvRelayState;
#define DINV_RELAY_STATES 13u

typedef enum {
    DINV_RELAY_EVENT_ACCEPT, /* by the user of the handle */
    DINV_RELAY_EVENT_REFUSE,
    DINV_RELAY_EVENT_FINISH,
    DINV_RELAY_EVENT_CLOSE,
    DINV_RELAY_EVENT_PEER_ACCEPT, /* a frame of the peer */
    DINV_RELAY_EVENT_PEER_REFUSED,
    DINV_RELAY_EVENT_PEER_DATA,
    DINV_RELAY_EVENT_PEER_CREDIT,
    DINV_RELAY_EVENT_PEER_FIN,
    DINV_RELAY_EVENT_PEER_RESET,
    DINV_RELAY_EVENT_FAILED,  /* no memory for the peer's bytes */
    DINV_RELAY_EVENT_LOST,    /* the session with the peer ended */
    DINV_RELAY_EVENT_FLUSHED, /* nothing of this stream waits to leave any more */
} DinvRelayEvent;
#define DINV_RELAY_EVENTS 13u

typedef enum {
    DINV_RELAY_VERDICT_NONE,      /* not in the table: never seen */
    DINV_RELAY_VERDICT_GO,        /* to `next`, with actions and callback */
    DINV_RELAY_VERDICT_TAKE,      /* the state stays; data or credit are taken */
    DINV_RELAY_VERDICT_IGNORE,    /* no effect */
    DINV_RELAY_VERDICT_VIOLATION, /* the peer broke the protocol */
} DinvRelayVerdict;

/* Carried out in this order. */
enum {
    DINV_RELAY_ACTION_DROP_INPUT = 1u << 0,  /* received bytes */
    DINV_RELAY_ACTION_DROP_OUTPUT = 1u << 1, /* bytes and frames that wait to leave */
    DINV_RELAY_ACTION_SEND_ACCEPT = 1u << 2,
    DINV_RELAY_ACTION_SEND_REFUSED = 1u << 3,
    DINV_RELAY_ACTION_SEND_FIN = 1u << 4,
    DINV_RELAY_ACTION_SEND_RESET = 1u << 5,
};

typedef enum {
    DINV_RELAY_NOTIFY_NOTHING,
    DINV_RELAY_NOTIFY_OPENED,
    DINV_RELAY_NOTIFY_REFUSED,
    DINV_RELAY_NOTIFY_READABLE,
    DINV_RELAY_NOTIFY_WRITABLE,
    DINV_RELAY_NOTIFY_RESET,
} DinvRelayNotify;

typedef struct {
    uint8_t verdict; /* DinvRelayVerdict */
    uint8_t next;    /* DinvRelayState; of GO only */
    uint8_t actions;
    uint8_t notify; /* DinvRelayNotify, after everything else */
} DinvRelayTransition;

const DinvRelayTransition *dinv_relay_transition(DinvRelayState state, DinvRelayEvent event);
