/* SPDX-License-Identifier: MIT */
/* The table of states, and the one place where the state is changed. */
#include "guest/agent/life.h"

#include <errno.h>

#include "guest/base/log.h"

#define TO(state) (1u << DINV_AGENT_LIFE_##state)

/* Which states may follow. From every state that runs the end is in reach, at the step of it that
 * still has something to do; the end itself never goes back. */
static const unsigned transitions[DINV_AGENT_LIFE_COUNT] = {
    [DINV_AGENT_LIFE_BOOT] = TO(WAITING) | TO(TERMINATING),
    [DINV_AGENT_LIFE_WAITING] = TO(STARTING) | TO(TERMINATING),
    [DINV_AGENT_LIFE_STARTING] = TO(READY) | TO(STOPPING) | TO(TERMINATING),
    [DINV_AGENT_LIFE_READY] = TO(STOPPING) | TO(TERMINATING),
    [DINV_AGENT_LIFE_STOPPING] = TO(CUTTING) | TO(TERMINATING),
    [DINV_AGENT_LIFE_CUTTING] = TO(TERMINATING) | TO(KILLING),
    [DINV_AGENT_LIFE_TERMINATING] = TO(KILLING) | TO(UNMOUNTING),
    [DINV_AGENT_LIFE_KILLING] = TO(UNMOUNTING),
    [DINV_AGENT_LIFE_UNMOUNTING] = TO(FAREWELL),
    [DINV_AGENT_LIFE_FAREWELL] = TO(OFF),
    [DINV_AGENT_LIFE_OFF] = 0,
};

const char *dinv_agent_life_name(DinvAgentLifeState state) {
    static const char *const names[DINV_AGENT_LIFE_COUNT] = {
        "boot",        "waiting", "starting",   "ready",    "stopping", "cutting",
        "terminating", "killing", "unmounting", "farewell", "off",
    };
    return state < DINV_AGENT_LIFE_COUNT ? names[state] : "?";
}

bool dinv_agent_life_is_ending(const DinvAgentLife *life) {
    return life->state >= DINV_AGENT_LIFE_STOPPING;
}

int dinv_agent_life_set(DinvAgentLife *life, DinvAgentLifeState next) {
    if (next >= DINV_AGENT_LIFE_COUNT || (transitions[life->state] & (1u << next)) == 0) {
        dinv_log_error("state %s cannot follow %s", dinv_agent_life_name(next),
                       dinv_agent_life_name(life->state));
        return -EINVAL;
    }
    dinv_guest_log(DINV_LOG_DEBUG, "%s -> %s", dinv_agent_life_name(life->state),
                   dinv_agent_life_name(next));
    life->state = next;
    return 0;
}
