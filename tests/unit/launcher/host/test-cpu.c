/* SPDX-License-Identifier: MIT */
/* How an emulated CPU is known. */
#include <glib.h>
#include <string.h>

#include "launcher/host/cpu.h"

static void test_signature(void) {
    g_assert_true(dinv_host_cpu_is_tcg(0x54474354, 0x43544743, 0x47435447));
    g_assert_false(dinv_host_cpu_is_tcg(0x4b4d564b, 0x564b4d56, 0x0000004d)); /* KVMKVMKVM */
    g_assert_false(dinv_host_cpu_is_tcg(0, 0, 0));
}

/* An emulated CPU has the hypervisor's bit, which the kernel shows, too. */
static void test_this_machine(void) {
    g_autofree char *text = NULL;
    g_assert_true(g_file_get_contents("/proc/cpuinfo", &text, NULL, NULL));
    g_assert_true(!dinv_host_cpu_is_emulated() || strstr(text, "hypervisor") != NULL);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/launcher/host-cpu/signature", test_signature);
    g_test_add_func("/launcher/host-cpu/this-machine", test_this_machine);
    return g_test_run();
}
