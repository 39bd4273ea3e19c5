/* SPDX-License-Identifier: MIT */
/* Capabilities as /proc/self/status has them. */
#include "launcher/host/capabilities.h"

#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/unit/lib/scratch.h"

/* Docker's default for a container's root. */
#define OF_DOCKER "00000000a80425fb"

typedef struct {
    Scratch scratch;
} Fixture;

static void set_up(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    scratch_make(&fixture->scratch);
}

static void tear_down(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    scratch_remove(&fixture->scratch);
}

static gboolean has(Fixture *fixture, int first, int second) {
    const int capabilities[] = {first, second};
    return dinv_host_has_capabilities(fixture->scratch.path, capabilities, 2);
}

static void write_status(Fixture *fixture, const char *effective) {
    g_autofree char *text = g_strdup_printf("Name:\tdinv\nCapInh:\t0000000000000000\n"
                                            "CapPrm:\t000001ffffffffff\n%sCapBnd:\t%s\n",
                                            effective, OF_DOCKER);
    scratch_write(&fixture->scratch, "proc/self/status", text);
}

/* All that are asked for must be there, wherever they stand in the set. */
static void test_effective(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    write_status(fixture, "CapEff:\t" OF_DOCKER "\n");
    g_assert_true(has(fixture, CAP_CHOWN, CAP_SETFCAP));
    g_assert_false(has(fixture, CAP_CHOWN, CAP_SYS_ADMIN));
    g_assert_false(has(fixture, CAP_SYS_ADMIN, CAP_CHOWN));
    write_status(fixture, "CapEff:\t000001ffffffffff\n");
    g_assert_true(has(fixture, CAP_SYS_ADMIN, CAP_CHECKPOINT_RESTORE)); /* above 31 */
    write_status(fixture, "CapEff:\t0000000000000000\n");
    g_assert_false(has(fixture, CAP_CHOWN, CAP_CHOWN));
}

static void test_unreadable(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    g_assert_false(has(fixture, CAP_CHOWN, CAP_CHOWN));
    write_status(fixture, "");
    g_assert_false(has(fixture, CAP_CHOWN, CAP_CHOWN));
    write_status(fixture, "CapEff:\tmany\n");
    g_assert_false(has(fixture, CAP_CHOWN, CAP_CHOWN));
}

/* The kernel says of this process what the file says. */
static void test_this_process(Fixture *fixture G_GNUC_UNUSED, gconstpointer data G_GNUC_UNUSED) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3] = {0};
    g_assert_cmpint(syscall(SYS_capget, &header, sets), ==, 0);
    for (int capability = 0; capability < 32; capability++) {
        gboolean expected = (sets[0].effective >> capability & 1) != 0;
        g_assert_cmpint(dinv_host_has_capabilities("", &capability, 1), ==, expected);
    }
}

#define ADD(name, function)                                                                        \
    g_test_add("/launcher/host-capabilities/" name, Fixture, NULL, set_up, function, tear_down)

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    ADD("effective", test_effective);
    ADD("unreadable", test_unreadable);
    ADD("this-process", test_this_process);
    return g_test_run();
}
