/* SPDX-License-Identifier: MIT */
/* The states of the machine's life, and the order of its end, with nothing really ended. */
#include "tests/unit/lib/guest-harness.h"

#include "guest/agent/shutdown.h"

/* --- the table -------------------------------------------------------------------------------- */

/* Every step there is; all others must be refused and change nothing. */
static const char *const steps[] = {"boot>waiting",
                                    "boot>terminating",
                                    "waiting>starting",
                                    "waiting>terminating",
                                    "starting>ready",
                                    "starting>stopping",
                                    "starting>terminating",
                                    "ready>stopping",
                                    "ready>terminating",
                                    "stopping>cutting",
                                    "stopping>terminating",
                                    "cutting>terminating",
                                    "cutting>killing",
                                    "terminating>killing",
                                    "terminating>unmounting",
                                    "killing>unmounting",
                                    "unmounting>farewell",
                                    "farewell>off",
                                    NULL};

static void test_life_table(void) {
    guint allowed = 0;
    for (int from = 0; from < DINV_AGENT_LIFE_COUNT; from++) {
        for (int to = 0; to <= DINV_AGENT_LIFE_COUNT; to++) {
            DinvAgentLife life = {(DinvAgentLifeState)from};
            g_autofree char *step =
                g_strdup_printf("%s>%s", dinv_agent_life_name((DinvAgentLifeState)from),
                                dinv_agent_life_name((DinvAgentLifeState)to));
            int result = dinv_agent_life_set(&life, (DinvAgentLifeState)to);
            if (g_strv_contains(steps, step)) {
                g_assert_cmpint(result, ==, 0);
                g_assert_cmpint(life.state, ==, to);
                allowed++;
            } else {
                g_assert_cmpint(result, ==, -EINVAL);
                g_assert_cmpint(life.state, ==, from);
            }
        }
    }
    g_assert_cmpuint(allowed, ==, G_N_ELEMENTS(steps) - 1);
}

/* --- the order -------------------------------------------------------------------------------- */

typedef struct {
    Harness harness;
    DinvAgentLife life;
    DinvAgentShutdown *shutdown;
    GString *events;
    bool engine_runs;
    bool engine_obeys;       /* ends upon SIGTERM */
    bool containers_deaf;    /* and the engine ends once they are gone */
    bool engine_ends_by_cut; /* once its containers are gone */
    int processes;           /* others that are left */
    bool processes_obey;     /* end upon SIGTERM */
    bool processes_immortal; /* not even upon SIGKILL */
    int unmounts_needed;     /* before it is clean */
    int drains_needed;       /* before `exit` has left */
    bool checks_disk;        /* a process of them is e2fsck */
    guint64 killed_ms;       /* when SIGKILL came */
    DinvTimer *children;     /* tells of ended children, as the signal does, later */
    bool off;
} End;

static void end_children(void *user) {
    End *end = user;
    dinv_agent_shutdown_children_ended(end->shutdown);
}

static bool end_engine_is_running(void *user) {
    return ((End *)user)->engine_runs;
}

static void end_signal_engine(void *user, int number) {
    End *end = user;
    g_string_append_printf(end->events, "engine:%d ", number);
    if (end->engine_obeys) {
        end->engine_runs = false;
        dinv_timer_set(end->children, 0);
    }
}

static bool end_checks_disk(void *user) {
    return ((End *)user)->checks_disk;
}

static void end_kill_deaf(void *user) {
    End *end = user;
    g_string_append(end->events, "deaf ");
    if (end->containers_deaf) {
        end->engine_runs = false;
        dinv_timer_set(end->children, 0);
    }
}

static void end_kill_containers(void *user) {
    End *end = user;
    g_string_append(end->events, "cut ");
    if (end->engine_ends_by_cut) {
        end->engine_runs = false;
        dinv_timer_set(end->children, 0);
    }
}

static void end_signal_everything(void *user, int number) {
    End *end = user;
    g_string_append_printf(end->events, "all:%d ", number);
    if (number == SIGKILL) {
        end->killed_ms = dinv_now_ms();
    }
    if ((number == SIGTERM && end->processes_obey) ||
        (number == SIGKILL && !end->processes_immortal)) {
        end->processes = 0;
        end->engine_runs = false;
        dinv_timer_set(end->children, 0);
    }
}

static bool end_has_processes(void *user) {
    return ((End *)user)->processes > 0;
}

static bool end_unmount(void *user) {
    End *end = user;
    g_string_append(end->events, "unmount ");
    return --end->unmounts_needed < 0;
}

static void end_send_exit(void *user, bool clean) {
    End *end = user;
    g_string_append_printf(end->events, "exit:%s ", clean ? "clean" : "unclean");
}

static bool end_is_drained(void *user) {
    return --((End *)user)->drains_needed < 0;
}

static void end_power_off(void *user) {
    End *end = user;
    g_assert_cmpint(end->life.state, ==, DINV_AGENT_LIFE_OFF);
    g_assert_false(end->off);
    end->off = true;
}

static bool end_is_off(void *user) {
    return ((End *)user)->off;
}

static void end_set_up(End *end, gconstpointer data) {
    (void)data;
    static const DinvAgentShutdownOperations operations = {
        .engine_is_running = end_engine_is_running,
        .signal_engine = end_signal_engine,
        .checks_disk = end_checks_disk,
        .kill_deaf = end_kill_deaf,
        .kill_containers = end_kill_containers,
        .signal_everything = end_signal_everything,
        .has_processes = end_has_processes,
        .unmount = end_unmount,
        .send_exit = end_send_exit,
        .is_drained = end_is_drained,
        .power_off = end_power_off,
    };
    harness_init(&end->harness);
    end->events = g_string_new(NULL);
    end->life.state = DINV_AGENT_LIFE_READY;
    end->engine_runs = true;
    end->children = dinv_timer_new(end->harness.loop, end_children, end);
    end->shutdown = dinv_agent_shutdown_new(end->harness.loop, &end->life, &operations, end);
    g_assert_nonnull(end->shutdown);
}

static void end_tear_down(End *end, gconstpointer data) {
    (void)data;
    dinv_agent_shutdown_free(end->shutdown);
    dinv_timer_free(end->children);
    g_string_free(end->events, TRUE);
    harness_clear(&end->harness);
}

static void check_end(End *end, uint64_t deadline_ms, const char *expected) {
    g_assert_false(dinv_agent_shutdown_has_begun(end->shutdown));
    dinv_agent_shutdown_begin(end->shutdown, deadline_ms);
    g_assert_true(dinv_agent_shutdown_has_begun(end->shutdown));
    harness_run_until(&end->harness, end_is_off, end);
    g_assert_cmpstr(end->events->str, ==, expected);
}

static void test_orderly(End *end, gconstpointer data) {
    (void)data;
    end->engine_obeys = true;
    check_end(end, 60000, "engine:15 unmount exit:clean ");
}

static void test_others_left(End *end, gconstpointer data) {
    (void)data;
    end->engine_obeys = end->processes_obey = true;
    end->processes = 2;
    check_end(end, 60000, "engine:15 all:15 unmount exit:clean ");
}

static void test_others_deaf(End *end, gconstpointer data) {
    (void)data;
    end->engine_obeys = true;
    end->processes = 2;
    check_end(end, 60000, "engine:15 all:15 all:9 unmount exit:clean ");
}

static void test_containers_too_slow(End *end, gconstpointer data) {
    (void)data;
    end->engine_ends_by_cut = true;
    check_end(end, 400, "engine:15 cut unmount exit:clean ");
}

static void test_containers_deaf(End *end, gconstpointer data) {
    (void)data;
    end->containers_deaf = true;
    check_end(end, 60000, "engine:15 deaf unmount exit:clean ");
}

/* Both, in their order. */
static void test_some_deaf_some_slow(End *end, gconstpointer data) {
    (void)data;
    end->engine_ends_by_cut = true;
    check_end(end, 1500, "engine:15 deaf cut unmount exit:clean ");
}

static void test_engine_hangs(End *end, gconstpointer data) {
    (void)data;
    end->processes = 1;
    check_end(end, 400, "engine:15 cut all:9 unmount exit:clean ");
}

static void test_immortal_process(End *end, gconstpointer data) {
    (void)data;
    end->processes = 1;
    end->processes_immortal = true;
    end->unmounts_needed = 1000000;
    dinv_agent_shutdown_begin(end->shutdown, 400);
    harness_run_until(&end->harness, end_is_off, end);
    g_assert_true(
        g_str_has_prefix(end->events->str, "engine:15 cut all:9 unmount unmount unmount "));
    g_assert_true(g_str_has_suffix(end->events->str, "unmount exit:unclean "));
}

static void test_unmount_again(End *end, gconstpointer data) {
    (void)data;
    end->engine_obeys = true;
    end->unmounts_needed = 2;
    check_end(end, 60000, "engine:15 unmount unmount unmount exit:clean ");
}

static void test_waits_for_drain(End *end, gconstpointer data) {
    (void)data;
    end->engine_obeys = true;
    end->drains_needed = 5;
    check_end(end, 60000, "engine:15 unmount exit:clean ");
    g_assert_cmpint(end->drains_needed, <, 0);
}

static void test_never_drained(End *end, gconstpointer data) {
    (void)data;
    end->engine_obeys = true;
    end->drains_needed = 1000000;
    check_end(end, 60000, "engine:15 unmount exit:clean ");
}

static void test_before_engine(End *end, gconstpointer data) {
    (void)data;
    end->life.state = DINV_AGENT_LIFE_BOOT;
    end->engine_runs = false;
    check_end(end, 60000, "unmount exit:clean ");
}

/* A second, nearer deadline counts; a later one does not; nothing is done twice. */
static void test_begun_again(End *end, gconstpointer data) {
    (void)data;
    end->processes = 1;
    dinv_agent_shutdown_begin(end->shutdown, 3600000);
    dinv_agent_shutdown_begin(end->shutdown, 400);
    dinv_agent_shutdown_begin(end->shutdown, 7200000);
    harness_run_until(&end->harness, end_is_off, end);
    g_assert_cmpstr(end->events->str, ==, "engine:15 cut all:9 unmount exit:clean ");
}

/* --- the check of a disk ---------------------------------------------------------------------- */

static void check_set_up(End *end) {
    end->life.state = DINV_AGENT_LIFE_WAITING;
    end->engine_runs = false;
    end->checks_disk = true;
    end->processes = 1;
}

/* It is asked to end, and has much longer for that than other processes. */
static void test_check_is_not_cut_short(End *end, gconstpointer data) {
    (void)data;
    check_set_up(end);
    guint64 start_ms = dinv_now_ms();
    check_end(end, 2000, "all:15 all:9 unmount exit:clean ");
    g_assert_cmpuint(end->killed_ms - start_ms, >=, 1500);
}

static void test_check_obeys(End *end, gconstpointer data) {
    (void)data;
    check_set_up(end);
    end->processes_obey = true;
    check_end(end, 3600000, "all:15 unmount exit:clean ");
}

/* e2fsck has ended; what else there is, and does not obey, is not given its time. */
static void test_check_ends_before_others(End *end, gconstpointer data) {
    (void)data;
    check_set_up(end);
    end->processes = 2;
    guint64 start_ms = dinv_now_ms();
    dinv_agent_shutdown_begin(end->shutdown, 3600000);
    end->checks_disk = false;
    end->processes = 1;
    dinv_agent_shutdown_children_ended(end->shutdown);
    harness_run_until(&end->harness, end_is_off, end);
    g_assert_cmpstr(end->events->str, ==, "all:15 all:9 unmount exit:clean ");
    g_assert_cmpuint(end->killed_ms - start_ms, <, 60000);
}

static void test_check_and_nearer_deadline(End *end, gconstpointer data) {
    (void)data;
    check_set_up(end);
    dinv_agent_shutdown_begin(end->shutdown, 3600000);
    dinv_agent_shutdown_begin(end->shutdown, 400);
    harness_run_until(&end->harness, end_is_off, end);
    g_assert_cmpstr(end->events->str, ==, "all:15 all:9 unmount exit:clean ");
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/guest/life/table", test_life_table);
    static const struct {
        const char *path;
        void (*run)(End *end, gconstpointer data);
    } tests[] = {
        {"/guest/shutdown/orderly", test_orderly},
        {"/guest/shutdown/others-left", test_others_left},
        {"/guest/shutdown/others-deaf", test_others_deaf},
        {"/guest/shutdown/containers-too-slow", test_containers_too_slow},
        {"/guest/shutdown/containers-deaf", test_containers_deaf},
        {"/guest/shutdown/some-deaf-some-slow", test_some_deaf_some_slow},
        {"/guest/shutdown/engine-hangs", test_engine_hangs},
        {"/guest/shutdown/immortal-process", test_immortal_process},
        {"/guest/shutdown/unmount-again", test_unmount_again},
        {"/guest/shutdown/waits-for-drain", test_waits_for_drain},
        {"/guest/shutdown/never-drained", test_never_drained},
        {"/guest/shutdown/before-engine", test_before_engine},
        {"/guest/shutdown/begun-again", test_begun_again},
        {"/guest/shutdown/disk-check/is-not-cut-short", test_check_is_not_cut_short},
        {"/guest/shutdown/disk-check/obeys", test_check_obeys},
        {"/guest/shutdown/disk-check/ends-before-others", test_check_ends_before_others},
        {"/guest/shutdown/disk-check/nearer-deadline", test_check_and_nearer_deadline},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_test_add(tests[i].path, End, NULL, end_set_up, tests[i].run, end_tear_down);
    }
    return g_test_run();
}
