/* SPDX-License-Identifier: MIT */
/* The steps of the end, each with the timer that leads to the next. */
#include "guest/agent/shutdown.h"

#include <signal.h>
#include <stdlib.h>

enum {
    DEADLINE_LEAST_MS = 200,
    DEAF_MS = 500, /* by then dockerd takes the end of a container for a part of its own */
    /* Sixteenths of the time. Between the two dockerd writes down what became of its containers,
     * after them the file systems are flushed; both take most of a second under emulation. */
    CUT_AT = 8,
    KILL_AT = 13,
    UNMOUNT_AT = 15,           /* if there are processes that even SIGKILL does not end, but: */
    KILL_GRACE_LEAST_MS = 500, /* they have at least this long for it, */
    KILL_GRACE_MOST_MS = 2000, /* and at most this long */
    TERM_GRACE_MS = 500,    /* between SIGTERM and SIGKILL for what is not dockerd's, nor e2fsck */
    UNMOUNT_AGAIN_MS = 20,  /* mount namespaces go a moment after their last process */
    UNMOUNT_LEAST_MS = 500, /* is tried for this long even if the deadline has passed */
    DRAIN_AGAIN_MS = 5,
    DRAIN_MS = 500,
};

struct DinvAgentShutdown {
    DinvAgentLife *life;
    DinvAgentShutdownOperations operations;
    void *user;
    DinvTimer *timer;
    bool begun;
    bool deaf_were_killed;
    bool waits_for_check; /* in TERMINATING: for e2fsck, and no longer than need be */
    uint64_t start_ms;
    uint64_t deadline_ms; /* of CLOCK_MONOTONIC */
    uint64_t give_up_ms;  /* of CLOCK_MONOTONIC: the end of the present step, if it has one */
};

static void shutdown_step(void *user);

DinvAgentShutdown *dinv_agent_shutdown_new(DinvLoop *loop, DinvAgentLife *life,
                                           const DinvAgentShutdownOperations *operations,
                                           void *user) {
    DinvAgentShutdown *shutdown = calloc(1, sizeof *shutdown);
    if (shutdown == NULL) {
        return NULL;
    }
    shutdown->life = life;
    shutdown->operations = *operations;
    shutdown->user = user;
    shutdown->timer = dinv_timer_new(loop, shutdown_step, shutdown);
    if (shutdown->timer == NULL) {
        free(shutdown);
        return NULL;
    }
    return shutdown;
}

void dinv_agent_shutdown_free(DinvAgentShutdown *shutdown) {
    if (shutdown != NULL) {
        dinv_timer_free(shutdown->timer);
        free(shutdown);
    }
}

bool dinv_agent_shutdown_has_begun(const DinvAgentShutdown *shutdown) {
    return shutdown->begun;
}

static uint64_t until(uint64_t when) {
    uint64_t now = dinv_now_ms();
    return when > now ? when - now : 0;
}

/* The moment at `sixteenths` of the whole time. */
static uint64_t moment(const DinvAgentShutdown *shutdown, uint64_t sixteenths) {
    return shutdown->start_ms + (shutdown->deadline_ms - shutdown->start_ms) * sixteenths / 16;
}

static void enter_farewell(DinvAgentShutdown *shutdown, bool clean) {
    (void)dinv_agent_life_set(shutdown->life, DINV_AGENT_LIFE_FAREWELL);
    shutdown->give_up_ms = dinv_now_ms() + DRAIN_MS;
    shutdown->operations.send_exit(shutdown->user, clean);
    dinv_timer_set(shutdown->timer, 0);
}

static void unmount(DinvAgentShutdown *shutdown) {
    bool clean = shutdown->operations.unmount(shutdown->user);
    if (clean || until(shutdown->give_up_ms) == 0) {
        enter_farewell(shutdown, clean);
    } else {
        dinv_timer_set(shutdown->timer, UNMOUNT_AGAIN_MS);
    }
}

static void enter_unmounting(DinvAgentShutdown *shutdown) {
    (void)dinv_agent_life_set(shutdown->life, DINV_AGENT_LIFE_UNMOUNTING);
    uint64_t least = dinv_now_ms() + UNMOUNT_LEAST_MS;
    shutdown->give_up_ms = shutdown->deadline_ms > least ? shutdown->deadline_ms : least;
    unmount(shutdown);
}

static void enter_killing(DinvAgentShutdown *shutdown) {
    (void)dinv_agent_life_set(shutdown->life, DINV_AGENT_LIFE_KILLING);
    shutdown->operations.signal_everything(shutdown->user, SIGKILL);
    uint64_t left = until(moment(shutdown, UNMOUNT_AT));
    uint64_t grace = left < KILL_GRACE_MOST_MS ? left : KILL_GRACE_MOST_MS;
    dinv_timer_set(shutdown->timer, grace > KILL_GRACE_LEAST_MS ? grace : KILL_GRACE_LEAST_MS);
}

/* e2fsck ends in order upon SIGTERM, but not at once, and must not be cut short while it writes. */
static uint64_t terminating_left(DinvAgentShutdown *shutdown) {
    uint64_t left = until(moment(shutdown, KILL_AT));
    shutdown->waits_for_check = shutdown->operations.checks_disk(shutdown->user);
    return left < TERM_GRACE_MS || shutdown->waits_for_check ? left : TERM_GRACE_MS;
}

static void enter_terminating(DinvAgentShutdown *shutdown) {
    (void)dinv_agent_life_set(shutdown->life, DINV_AGENT_LIFE_TERMINATING);
    if (!shutdown->operations.has_processes(shutdown->user)) {
        enter_unmounting(shutdown);
        return;
    }
    shutdown->operations.signal_everything(shutdown->user, SIGTERM);
    dinv_timer_set(shutdown->timer, terminating_left(shutdown));
}

static void enter_cutting(DinvAgentShutdown *shutdown) {
    (void)dinv_agent_life_set(shutdown->life, DINV_AGENT_LIFE_CUTTING);
    shutdown->operations.kill_containers(shutdown->user);
    dinv_timer_set(shutdown->timer, until(moment(shutdown, KILL_AT)));
}

static void farewell(DinvAgentShutdown *shutdown) {
    if (!shutdown->operations.is_drained(shutdown->user) && until(shutdown->give_up_ms) > 0) {
        dinv_timer_set(shutdown->timer, DRAIN_AGAIN_MS);
        return;
    }
    (void)dinv_agent_life_set(shutdown->life, DINV_AGENT_LIFE_OFF);
    shutdown->operations.power_off(shutdown->user);
}

/* dockerd waits ten seconds for each container, also for those whose process 1 catches nothing: a
 * signal that it does not catch does not reach it. */
static void wait_for_engine(DinvAgentShutdown *shutdown) {
    uint64_t deaf_at = shutdown->start_ms + DEAF_MS;
    uint64_t cut_at = moment(shutdown, CUT_AT);
    dinv_timer_set(shutdown->timer,
                   until(!shutdown->deaf_were_killed && deaf_at < cut_at ? deaf_at : cut_at));
}

static void stopping(DinvAgentShutdown *shutdown) {
    if (until(moment(shutdown, CUT_AT)) == 0) {
        enter_cutting(shutdown);
        return;
    }
    shutdown->deaf_were_killed = true;
    shutdown->operations.kill_deaf(shutdown->user);
    wait_for_engine(shutdown);
}

/* The time of the present step is over. */
static void shutdown_step(void *user) {
    DinvAgentShutdown *shutdown = user;
    switch (shutdown->life->state) {
    case DINV_AGENT_LIFE_STOPPING:
        stopping(shutdown);
        break;
    case DINV_AGENT_LIFE_CUTTING:
    case DINV_AGENT_LIFE_TERMINATING:
        enter_killing(shutdown);
        break;
    case DINV_AGENT_LIFE_KILLING:
        enter_unmounting(shutdown);
        break;
    case DINV_AGENT_LIFE_UNMOUNTING:
        unmount(shutdown);
        break;
    case DINV_AGENT_LIFE_FAREWELL:
        farewell(shutdown);
        break;
    case DINV_AGENT_LIFE_BOOT:
    case DINV_AGENT_LIFE_WAITING:
    case DINV_AGENT_LIFE_STARTING:
    case DINV_AGENT_LIFE_READY:
    case DINV_AGENT_LIFE_OFF:
    case DINV_AGENT_LIFE_COUNT:
        break;
    }
}

/* Takes a nearer deadline. */
static void hurry(DinvAgentShutdown *shutdown, uint64_t deadline_ms) {
    DinvAgentLifeState state = shutdown->life->state;
    shutdown->deadline_ms = deadline_ms;
    if (state == DINV_AGENT_LIFE_STOPPING) {
        wait_for_engine(shutdown);
    } else if (state == DINV_AGENT_LIFE_CUTTING ||
               (state == DINV_AGENT_LIFE_TERMINATING &&
                shutdown->operations.checks_disk(shutdown->user))) {
        dinv_timer_set(shutdown->timer, until(moment(shutdown, KILL_AT)));
    }
}

void dinv_agent_shutdown_begin(DinvAgentShutdown *shutdown, uint64_t deadline_ms) {
    uint64_t least = deadline_ms > DEADLINE_LEAST_MS ? deadline_ms : DEADLINE_LEAST_MS;
    uint64_t deadline = dinv_now_ms() + least;
    if (shutdown->begun) {
        if (deadline < shutdown->deadline_ms) {
            hurry(shutdown, deadline);
        }
        return;
    }
    shutdown->begun = true;
    shutdown->start_ms = dinv_now_ms();
    shutdown->deadline_ms = deadline;
    if (shutdown->operations.engine_is_running(shutdown->user)) {
        (void)dinv_agent_life_set(shutdown->life, DINV_AGENT_LIFE_STOPPING);
        shutdown->operations.signal_engine(shutdown->user, SIGTERM);
        wait_for_engine(shutdown);
    } else {
        enter_terminating(shutdown);
    }
}

void dinv_agent_shutdown_children_ended(DinvAgentShutdown *shutdown) {
    switch (shutdown->life->state) {
    case DINV_AGENT_LIFE_STOPPING:
    case DINV_AGENT_LIFE_CUTTING:
        if (!shutdown->operations.engine_is_running(shutdown->user)) {
            enter_terminating(shutdown);
        }
        break;
    case DINV_AGENT_LIFE_TERMINATING:
    case DINV_AGENT_LIFE_KILLING:
        if (!shutdown->operations.has_processes(shutdown->user)) {
            enter_unmounting(shutdown);
        } else if (shutdown->waits_for_check &&
                   shutdown->life->state == DINV_AGENT_LIFE_TERMINATING) {
            /* When it has ended, the others have no more time than they would have without it. */
            dinv_timer_set(shutdown->timer, terminating_left(shutdown));
        }
        break;
    case DINV_AGENT_LIFE_BOOT:
    case DINV_AGENT_LIFE_WAITING:
    case DINV_AGENT_LIFE_STARTING:
    case DINV_AGENT_LIFE_READY:
    case DINV_AGENT_LIFE_UNMOUNTING:
    case DINV_AGENT_LIFE_FAREWELL:
    case DINV_AGENT_LIFE_OFF:
    case DINV_AGENT_LIFE_COUNT:
        break;
    }
}
