/* SPDX-License-Identifier: MIT */
/* On which CPU a machine with one vCPU goes, and when it leaves it. */
#include "launcher/machine/uml/placement.h"

static cpu_set_t make_set(const guint *cpus, gsize count) {
    cpu_set_t set;
    CPU_ZERO(&set);
    for (gsize i = 0; i < count; i++) {
        CPU_SET(cpus[i], &set);
    }
    return set;
}

/* The sum of all CPUs, and those that it may not have, are no choice; a line that is cut off is
 * none. */
static void test_parse(void) {
    static const char text[] = "cpu  400 0 300 900 0 0 0 0 0 0\n"
                               "cpu0 100 1 50 400 7 2 3 4 0 0\n"
                               "cpu1 100 0 50 400 0 0 0 0 0 0\n"
                               "cpu12 10 0 5 40\n"
                               "intr 1 2 3\n"
                               "cpu13 1 2";
    static const guint allowed[] = {0, 12, 13};
    cpu_set_t set = make_set(allowed, G_N_ELEMENTS(allowed));
    g_autoptr(GArray) times = dinv_uml_placement_parse_stat(text, &set);
    g_assert_cmpuint(times->len, ==, 2);
    const DinvUmlCpuTimes *first = &g_array_index(times, DinvUmlCpuTimes, 0);
    const DinvUmlCpuTimes *second = &g_array_index(times, DinvUmlCpuTimes, 1);
    g_assert_cmpuint(first->cpu, ==, 0);
    g_assert_cmpuint(first->busy, ==, 160);
    g_assert_cmpuint(first->idle, ==, 407);
    g_assert_cmpuint(second->cpu, ==, 12);
    g_assert_cmpuint(second->busy, ==, 15);
    g_assert_cmpuint(second->idle, ==, 40);
}

static void test_parse_nonsense(void) {
    static const guint allowed[] = {0};
    static const char *const texts[] = {"",     "\n\n",           "cpu",
                                        "cpu0", "cpu0 a b c d\n", "cpu99999999 1 2 3 4 5\n"};
    cpu_set_t set = make_set(allowed, G_N_ELEMENTS(allowed));
    for (gsize i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autoptr(GArray) times = dinv_uml_placement_parse_stat(texts[i], &set);
        g_assert_cmpuint(times->len, ==, 0);
    }
}

/* The choice from CPU 0, after a period with the given parts of it. Each had 100 ticks. */
static guint choose(double waited, guint idle_one, guint idle_two) {
    g_autoptr(GArray) before = g_array_new(FALSE, FALSE, sizeof(DinvUmlCpuTimes));
    g_autoptr(GArray) after = g_array_new(FALSE, FALSE, sizeof(DinvUmlCpuTimes));
    const guint idle[] = {0, idle_one, idle_two};
    for (guint cpu = 0; cpu < G_N_ELEMENTS(idle); cpu++) {
        const DinvUmlCpuTimes old = {.cpu = cpu, .busy = 5000, .idle = 7000};
        const DinvUmlCpuTimes new = {
            .cpu = cpu, .busy = 5000 + 100 - idle[cpu], .idle = 7000 + idle[cpu]};
        g_array_append_val(before, old);
        g_array_append_val(after, new);
    }
    return dinv_uml_placement_choose(0, waited, before, after);
}

static void test_choose(void) {
    g_assert_cmpuint(choose(0.5, 90, 95), ==, 2);
    g_assert_cmpuint(choose(0.5, 95, 90), ==, 1);
    g_assert_cmpuint(choose(0.05, 100, 100), ==, 0); /* it does not wait */
    g_assert_cmpuint(choose(0.5, 30, 40), ==, 0);    /* it is no better there */
}

/* Of a CPU that came meanwhile, or that counts backwards, nothing is known. */
static void test_choose_unknown(void) {
    g_autoptr(GArray) before = g_array_new(FALSE, FALSE, sizeof(DinvUmlCpuTimes));
    g_autoptr(GArray) after = g_array_new(FALSE, FALSE, sizeof(DinvUmlCpuTimes));
    const DinvUmlCpuTimes old = {.cpu = 1, .busy = 50, .idle = 7000};
    const DinvUmlCpuTimes reset = {.cpu = 1, .busy = 60, .idle = 10};
    const DinvUmlCpuTimes fresh = {.cpu = 2, .busy = 0, .idle = 1000};
    g_array_append_val(before, old);
    g_array_append_val(after, reset);
    g_array_append_val(after, fresh);
    g_assert_cmpuint(dinv_uml_placement_choose(0, 0.9, before, after), ==, 0);
}

/* Each vCPU has a CPU of its own, of those that are allowed; with too few of them none has. */
static void test_new(void) {
    cpu_set_t allowed;
    g_assert_cmpint(sched_getaffinity(0, sizeof allowed, &allowed), ==, 0);
    guint count = (guint)CPU_COUNT(&allowed);
    for (guint vcpus = 1; vcpus <= count; vcpus++) {
        g_autoptr(DinvUmlPlacement) placement = dinv_uml_placement_new(vcpus);
        g_auto(GStrv) pins = g_strsplit(dinv_uml_placement_get_pins(placement), ",", -1);
        cpu_set_t left = allowed;
        g_assert_cmpuint(g_strv_length(pins), ==, vcpus);
        for (guint i = 0; i < vcpus; i++) {
            guint64 cpu = 0;
            g_assert_true(g_ascii_string_to_unsigned(pins[i], 10, 0, CPU_SETSIZE, &cpu, NULL));
            g_assert_true(CPU_ISSET(cpu, &left));
            CPU_CLR(cpu, &left);
        }
    }
    g_autoptr(DinvUmlPlacement) many = dinv_uml_placement_new(count + 1);
    g_assert_null(dinv_uml_placement_get_pins(many));
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/launcher/machine/uml/placement/parse", test_parse);
    g_test_add_func("/launcher/machine/uml/placement/parse-nonsense", test_parse_nonsense);
    g_test_add_func("/launcher/machine/uml/placement/choose", test_choose);
    g_test_add_func("/launcher/machine/uml/placement/choose-unknown", test_choose_unknown);
    g_test_add_func("/launcher/machine/uml/placement/new", test_new);
    return g_test_run();
}
