/* SPDX-License-Identifier: MIT */
/*
 * The QEMU machine with the real QEMU, under TCG, and a kernel of a few bytes of machine code: the
 * whole command line is one that QEMU takes, and the guest's end is told apart.
 */
#include <fcntl.h>
#include <unistd.h>

#include "tests/unit/lib/machine-fixture.h"

/* PVH starts a kernel in 32-bit protected mode with flat segments and paging off. */
static const guint8 code_poweroff[] = {
    0xc6, 0x05, 0x00, 0x02, 0xa0, 0xfe, 0x34, /* movb $0x34, 0xfea00200: ACPI sleep control, S5 */
    0xf4, 0xeb, 0xfd,                         /* hlt; jmp to it */
};
static const guint8 code_reset[] = {
    0x0f, 0x01, 0x1d, 0x80, 0x01, 0x10, 0x00, /* lidt 0x100180: zeros, no handler at all */
    0x0f, 0x0b,                               /* ud2: a triple fault */
};
static const guint8 code_halt[] = {0xfa, 0xf4, 0xeb, 0xfd}; /* cli; hlt; jmp to it */

static void put32(guint8 *at, guint32 value) {
    value = GUINT32_TO_LE(value);
    memcpy(at, &value, sizeof(value));
}

/* An ELF executable with a PVH note, loaded at 1 MiB, its code at offset 0x100. */
static void write_kernel(Fixture *fixture, const guint8 *code, gsize len) {
    enum { SIZE = 0x200, PHDR = 52, NOTE = 0xc0, CODE = 0x100, BASE = 0x100000 };
    guint8 image[SIZE] = {0x7f, 'E', 'L', 'F', 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 3, 0, 1};

    put32(image + 24, BASE + CODE); /* entry */
    put32(image + 28, PHDR);
    image[40] = 52; /* sizes of the headers, and how many */
    image[42] = 32;
    image[44] = 2;
    /* PT_LOAD: the whole file. */
    put32(image + PHDR, 1);
    put32(image + PHDR + 8, BASE);
    put32(image + PHDR + 12, BASE);
    put32(image + PHDR + 16, SIZE);
    put32(image + PHDR + 20, SIZE);
    put32(image + PHDR + 24, 7);
    put32(image + PHDR + 28, 4);
    /* PT_NOTE: XEN_ELFNOTE_PHYS32_ENTRY. */
    put32(image + PHDR + 32, 4);
    put32(image + PHDR + 36, NOTE);
    put32(image + PHDR + 40, BASE + NOTE);
    put32(image + PHDR + 44, BASE + NOTE);
    put32(image + PHDR + 48, 20);
    put32(image + PHDR + 52, 20);
    put32(image + PHDR + 60, 4);
    put32(image + NOTE, 4);
    put32(image + NOTE + 4, 4);
    put32(image + NOTE + 8, 18);
    memcpy(image + NOTE + 12, "Xen", 4);
    put32(image + NOTE + 16, BASE + CODE);
    memcpy(image + CODE, code, len);
    g_assert_true(g_file_set_contents(fixture->config.kernel, (const char *)image, SIZE, NULL));
}

static void make_disk(const char *path) {
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(ftruncate(fd, 1 << 20), ==, 0);
    (void)close(fd);
}

/* Starts the real QEMU on the code; FALSE: it is not there, and the test is skipped. */
static gboolean start_real(Fixture *fixture, const guint8 *code, gsize len) {
    g_autofree char *found = g_find_program_in_path("qemu-system-x86_64");
    if (found == NULL) {
        g_assert_cmpstr(g_getenv("DINV_MUST_WORK"), !=, "1");
        g_test_skip("qemu-system-x86_64 is not installed");
        return FALSE;
    }
    write_kernel(fixture, code, len);
    make_disk(fixture->config.rootfs);
    make_disk(fixture->plan.data_image);
    start(fixture, NULL);
    return TRUE;
}

static void test_real_poweroff(Fixture *fixture) {
    if (start_real(fixture, code_poweroff, sizeof(code_poweroff))) {
        wait_until(fixture->exits == 1);
        g_assert_cmpstr(fixture->message, ==, "");
        g_assert_cmpint(fixture->kind, ==, DINV_MACHINE_EXIT_POWEROFF);
    }
}

static void test_real_reset(Fixture *fixture) {
    if (start_real(fixture, code_reset, sizeof(code_reset))) {
        wait_until(fixture->exits == 1);
        g_assert_cmpstr(fixture->message, ==, "");
        g_assert_cmpint(fixture->kind, ==, DINV_MACHINE_EXIT_RESET);
    }
}

static void test_real_quit(Fixture *fixture) {
    if (start_real(fixture, code_halt, sizeof(code_halt))) {
        dinv_machine_quit(fixture->machine);
        wait_until(fixture->exits == 1);
        g_assert_cmpint(fixture->kind, ==, DINV_MACHINE_EXIT_QUIT);
    }
}

/* QEMU refuses to start: its own words come out. */
static void test_real_refuses(Fixture *fixture) {
    fixture->config.mtu = 10000000;
    if (start_real(fixture, code_halt, sizeof(code_halt))) {
        wait_until(fixture->exits == 1);
        g_assert_cmpint(fixture->kind, ==, DINV_MACHINE_EXIT_DIED);
        g_assert_nonnull(strstr(fixture->message, "host_mtu"));
    }
}

static const Case cases[] = {
    {"/launcher/machine-qemu-real/poweroff", test_real_poweroff},
    {"/launcher/machine-qemu-real/reset", test_real_reset},
    {"/launcher/machine-qemu-real/quit", test_real_quit},
    {"/launcher/machine-qemu-real/refuses", test_real_refuses},
};

int main(int argc, char **argv) {
    program = (char *)"qemu-system-x86_64";
    return run_cases(argc, argv, cases, G_N_ELEMENTS(cases));
}
