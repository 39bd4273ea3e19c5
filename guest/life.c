/* SPDX-License-Identifier: MIT */
#include "guest/life.h"

#include <errno.h>

#include "guest/log.h"

#define TO(state) (1u << DINV_LIFE_##state)

/* Which states may follow. From every state that runs the end is in reach, at the step of it that
 * still has something to do; the end itself never goes back. */
static const unsigned transitions[DINV_LIFE_COUNT] = {
    [DINV_LIFE_BOOT] = TO(WAITING) | TO(TERMINATING),
    [DINV_LIFE_WAITING] = TO(STARTING) | TO(TERMINATING),
    [DINV_LIFE_STARTING] = TO(READY) | TO(STOPPING) | TO(TERMINATING),
    [DINV_LIFE_READY] = TO(STOPPING) | TO(TERMINATING),
    [DINV_LIFE_STOPPING] = TO(CUTTING) | TO(TERMINATING),
    [DINV_LIFE_CUTTING] = TO(TERMINATING) | TO(KILLING),
    [DINV_LIFE_TERMINATING] = TO(KILLING) | TO(UNMOUNTING),
    [DINV_LIFE_KILLING] = TO(UNMOUNTING),
    [DINV_LIFE_UNMOUNTING] = TO(FAREWELL),
    [DINV_LIFE_FAREWELL] = TO(OFF),
    [DINV_LIFE_OFF] = 0,
};

const char *dinv_life_name(DinvLifeState state) {
    static const char *const names[DINV_LIFE_COUNT] = {
        "boot",        "waiting", "starting",   "ready",    "stopping", "cutting",
        "terminating", "killing", "unmounting", "farewell", "off",
    };
    return state < DINV_LIFE_COUNT ? names[state] : "?";
}

int dinv_life_set(DinvLife *life, DinvLifeState next) {
    if (next >= DINV_LIFE_COUNT || (transitions[life->state] & (1u << next)) == 0) {
        dinv_log_error("state %s cannot follow %s", dinv_life_name(next),
                       dinv_life_name(life->state));
        return -EINVAL;
    }
    dinv_guest_log(DINV_LOG_DEBUG, "%s -> %s", dinv_life_name(life->state), dinv_life_name(next));
    life->state = next;
    return 0;
}
