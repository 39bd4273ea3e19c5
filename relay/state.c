/* SPDX-License-Identifier: MIT */
/* state: the table itself, a row for each state, see state.h. */
#include "relay/state.h"

#define DROP_INPUT  DINV_RELAY_ACTION_DROP_INPUT
#define DROP_OUTPUT DINV_RELAY_ACTION_DROP_OUTPUT
#define DROP        (DROP_INPUT | DROP_OUTPUT)

#define GO(state_, actions_, notify_)                                                              \
    {                                                                                              \
        .verdict = DINV_RELAY_VERDICT_GO, .next = DINV_RELAY_STATE_##state_,                       \
        .actions = (actions_), .notify = DINV_RELAY_NOTIFY_##notify_                               \
    }
#define TAKE(notify_)                                                                              \
    { .verdict = DINV_RELAY_VERDICT_TAKE, .notify = DINV_RELAY_NOTIFY_##notify_ }
#define IGNORE                                                                                     \
    { .verdict = DINV_RELAY_VERDICT_IGNORE }
#define VIOLATION                                                                                  \
    { .verdict = DINV_RELAY_VERDICT_VIOLATION }

#define ON(event_) [DINV_RELAY_EVENT_##event_]

/* What many rows share. A lost session drops everything, as its frames mean nothing to the next. */
#define CLOSE_WITH_RESET GO(LEAVING, DROP | DINV_RELAY_ACTION_SEND_RESET, NOTHING)
#define BREAK            GO(BROKEN, DROP, RESET)
#define NOT_ANSWERABLE   ON(ACCEPT) = IGNORE, ON(REFUSE) = IGNORE
#define NOT_AN_ANSWER    ON(PEER_ACCEPT) = VIOLATION, ON(PEER_REFUSED) = VIOLATION
#define NOTHING_MAY_FLOW                                                                           \
    ON(PEER_DATA) = VIOLATION, ON(PEER_CREDIT) = VIOLATION, ON(PEER_FIN) = VIOLATION
#define HANDLE_IS_GONE NOT_ANSWERABLE, ON(FINISH) = IGNORE, ON(CLOSE) = IGNORE, ON(FAILED) = IGNORE
#define PEER_IGNORED                                                                               \
    ON(PEER_ACCEPT) = IGNORE, ON(PEER_REFUSED) = IGNORE, ON(PEER_DATA) = IGNORE,                   \
    ON(PEER_CREDIT) = IGNORE, ON(PEER_FIN) = IGNORE
/* While the user has the handle and the peer a session. */
#define BREAKS_WITH_PEER ON(PEER_RESET) = BREAK, ON(LOST) = BREAK, ON(FLUSHED) = IGNORE
#define FAIL             GO(BROKEN, DROP | DINV_RELAY_ACTION_SEND_RESET, RESET)

static const DinvRelayTransition table[DINV_RELAY_STATES][DINV_RELAY_EVENTS] =
    {
        [DINV_RELAY_STATE_OPENING] =
            {
                NOT_ANSWERABLE,
                ON(FINISH) = GO(OPENING_FINISHED, DINV_RELAY_ACTION_SEND_FIN, NOTHING),
                ON(CLOSE) = CLOSE_WITH_RESET,
                ON(PEER_ACCEPT) = GO(OPEN, 0, OPENED),
                ON(PEER_REFUSED) = GO(BROKEN, DROP, REFUSED),
                NOTHING_MAY_FLOW,
                ON(FAILED) = IGNORE,
                BREAKS_WITH_PEER,
            },
        [DINV_RELAY_STATE_OPENING_FINISHED] =
            {
                NOT_ANSWERABLE,
                ON(FINISH) = IGNORE,
                ON(CLOSE) = CLOSE_WITH_RESET,
                ON(PEER_ACCEPT) = GO(FINISHED_LOCAL, 0, OPENED),
                ON(PEER_REFUSED) = GO(BROKEN, DROP, REFUSED),
                NOTHING_MAY_FLOW,
                ON(FAILED) = IGNORE,
                BREAKS_WITH_PEER,
            },
        [DINV_RELAY_STATE_OFFERED] =
            {
                ON(ACCEPT) = GO(OPEN, DINV_RELAY_ACTION_SEND_ACCEPT, NOTHING),
                ON(REFUSE) = GO(BROKEN, DROP | DINV_RELAY_ACTION_SEND_REFUSED, NOTHING),
                ON(FINISH) = GO(OFFERED_FINISHED, DINV_RELAY_ACTION_SEND_FIN, NOTHING),
                ON(CLOSE) = GO(LEAVING, DROP | DINV_RELAY_ACTION_SEND_REFUSED, NOTHING),
                NOT_AN_ANSWER,
                NOTHING_MAY_FLOW,
                ON(FAILED) = IGNORE,
                BREAKS_WITH_PEER,
            },
        [DINV_RELAY_STATE_OFFERED_FINISHED] =
            {
                ON(ACCEPT) = GO(FINISHED_LOCAL, DINV_RELAY_ACTION_SEND_ACCEPT, NOTHING),
                ON(REFUSE) = GO(BROKEN, DROP | DINV_RELAY_ACTION_SEND_REFUSED, NOTHING),
                ON(FINISH) = IGNORE,
                ON(CLOSE) = GO(LEAVING, DROP | DINV_RELAY_ACTION_SEND_REFUSED, NOTHING),
                NOT_AN_ANSWER,
                NOTHING_MAY_FLOW,
                ON(FAILED) = IGNORE,
                BREAKS_WITH_PEER,
            },
        [DINV_RELAY_STATE_OPEN] =
            {
                NOT_ANSWERABLE,
                ON(FINISH) = GO(FINISHED_LOCAL, DINV_RELAY_ACTION_SEND_FIN, NOTHING),
                ON(CLOSE) = CLOSE_WITH_RESET,
                NOT_AN_ANSWER,
                ON(PEER_DATA) = TAKE(READABLE),
                ON(PEER_CREDIT) = TAKE(NOTHING),
                ON(PEER_FIN) = GO(FINISHED_PEER, 0, READABLE),
                ON(FAILED) = FAIL,
                BREAKS_WITH_PEER,
            },
        [DINV_RELAY_STATE_FINISHED_LOCAL] =
            {
                NOT_ANSWERABLE,
                ON(FINISH) = IGNORE,
                ON(CLOSE) = CLOSE_WITH_RESET,
                NOT_AN_ANSWER,
                ON(PEER_DATA) = TAKE(READABLE),
                ON(PEER_CREDIT) = TAKE(NOTHING),
                ON(PEER_FIN) = GO(FINISHED_BOTH, 0, READABLE),
                ON(FAILED) = FAIL,
                BREAKS_WITH_PEER,
            },
        [DINV_RELAY_STATE_FINISHED_PEER] =
            {
                NOT_ANSWERABLE,
                ON(FINISH) = GO(FINISHED_BOTH, DINV_RELAY_ACTION_SEND_FIN, NOTHING),
                ON(CLOSE) = CLOSE_WITH_RESET,
                NOT_AN_ANSWER,
                ON(PEER_DATA) = VIOLATION,
                ON(PEER_CREDIT) = TAKE(NOTHING),
                ON(PEER_FIN) = VIOLATION,
                ON(PEER_RESET) = GO(UNREAD, DROP_OUTPUT, WRITABLE),
                ON(FAILED) = IGNORE,
                ON(LOST) = BREAK,
                ON(FLUSHED) = IGNORE,
            },
        [DINV_RELAY_STATE_FINISHED_BOTH] =
            {
                NOT_ANSWERABLE,
                ON(FINISH) = IGNORE,
                ON(CLOSE) = GO(LINGERING, DROP_INPUT, NOTHING),
                NOT_AN_ANSWER,
                ON(PEER_DATA) = VIOLATION,
                ON(PEER_CREDIT) = TAKE(NOTHING),
                ON(PEER_FIN) = VIOLATION,
                ON(PEER_RESET) = GO(UNREAD, DROP_OUTPUT, WRITABLE),
                ON(FAILED) = IGNORE,
                ON(LOST) = BREAK,
                ON(FLUSHED) = IGNORE,
            },
        [DINV_RELAY_STATE_UNREAD] =
            {
                NOT_ANSWERABLE,
                ON(FINISH) = IGNORE,
                ON(CLOSE) = GO(LEAVING, DROP, NOTHING),
                NOT_AN_ANSWER,
                NOTHING_MAY_FLOW,
                ON(PEER_RESET) = VIOLATION,
                ON(FAILED) = IGNORE,
                ON(LOST) = BREAK,
                ON(FLUSHED) = IGNORE,
            },
        /* The peer may not know yet: a refusal or reset of ours may still be on its way. */
        [DINV_RELAY_STATE_BROKEN] =
            {
                NOT_ANSWERABLE,
                ON(FINISH) = IGNORE,
                ON(CLOSE) = GO(LEAVING, 0, NOTHING),
                PEER_IGNORED,
                ON(PEER_RESET) = GO(BROKEN, DROP_OUTPUT, NOTHING),
                ON(FAILED) = IGNORE,
                ON(LOST) = GO(BROKEN, DROP_OUTPUT, NOTHING),
                ON(FLUSHED) = IGNORE,
            },
        [DINV_RELAY_STATE_LINGERING] =
            {
                HANDLE_IS_GONE,
                NOT_AN_ANSWER,
                ON(PEER_DATA) = VIOLATION,
                ON(PEER_CREDIT) = TAKE(NOTHING),
                ON(PEER_FIN) = VIOLATION,
                ON(PEER_RESET) = GO(LEAVING, DROP_OUTPUT, NOTHING),
                ON(LOST) = GO(LEAVING, DROP_OUTPUT, NOTHING),
                ON(FLUSHED) = GO(GONE, 0, NOTHING),
            },
        [DINV_RELAY_STATE_LEAVING] =
            {
                HANDLE_IS_GONE,
                PEER_IGNORED,
                ON(PEER_RESET) = GO(LEAVING, DROP_OUTPUT, NOTHING),
                ON(LOST) = GO(LEAVING, DROP_OUTPUT, NOTHING),
                ON(FLUSHED) = GO(GONE, 0, NOTHING),
            },
        [DINV_RELAY_STATE_GONE] =
            {
                HANDLE_IS_GONE,
                PEER_IGNORED,
                ON(PEER_RESET) = IGNORE,
                ON(LOST) = IGNORE,
                ON(FLUSHED) = IGNORE,
            },
};

const DinvRelayTransition *dinv_relay_transition(DinvRelayState state, DinvRelayEvent event) {
    return &table[state][event];
}
