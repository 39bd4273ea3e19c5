/* SPDX-License-Identifier: MIT */
/* The checks of kernel, initramfs and root image. */
#include <elf.h>
#include <unistd.h>

#include "launcher/preflight/checks.h"
#include "tests/unit/lib/preflight-fixture.h"

static void test_kernel(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    write_bytes(fixture->config->kernel, "text", 4);
    assert_failed(fixture, "kernel", "is neither an ELF vmlinux nor a bzImage");
    write_bytes(fixture->config->kernel, "", 0);
    assert_failed(fixture, "kernel", "is empty");
    g_assert_cmpint(g_unlink(fixture->config->kernel), ==, 0);
    assert_failed(fixture, "kernel", "does not exist");
    set_text(&fixture->config->kernel, g_strdup(fixture->scratch.path));
    assert_failed(fixture, "kernel", "is a directory");
}

static void test_initrd(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    fixture->config->initrd = scratch_path(&fixture->scratch, "initrd");
    assert_failed(fixture, "initramfs", "DINV_INITRD: ");
    write_bytes(fixture->config->initrd, "x", 1);
    g_assert_true(run(fixture));
}

/* The least ELF that can be started: one note segment with the PVH entry. */
typedef struct {
    Elf64_Ehdr header;
    Elf64_Phdr segment;
    Elf64_Nhdr other_note;
    char other_name[8];
    char other_text[4];
    Elf64_Nhdr note;
    char name[4];
    guint32 entry;
} TestElf;

static TestElf good_elf(void) {
    TestElf elf = {
        .header = {.e_machine = EM_X86_64,
                   .e_phoff = G_STRUCT_OFFSET(TestElf, segment),
                   .e_phentsize = sizeof(Elf64_Phdr),
                   .e_phnum = 1},
        .segment = {.p_type = PT_NOTE,
                    .p_offset = G_STRUCT_OFFSET(TestElf, other_note),
                    .p_filesz = sizeof(TestElf) - G_STRUCT_OFFSET(TestElf, other_note)},
        .other_note = {.n_namesz = 6, .n_descsz = 3, .n_type = 1},
        .other_name = "Linux",
        .note = {.n_namesz = 4, .n_descsz = 4, .n_type = 18},
        .name = "Xen",
    };
    memcpy(elf.header.e_ident, ELFMAG, SELFMAG);
    elf.header.e_ident[EI_CLASS] = ELFCLASS64;
    elf.header.e_ident[EI_DATA] = ELFDATA2LSB;
    return elf;
}

static const char *judge(const TestElf *elf, gsize length) {
    gboolean is_elf = FALSE;
    /* A copy of the exact length, so that a reader that goes past it is seen. */
    g_autofree guint8 *bytes = g_memdup2(elf, length);
    return dinv_preflight_judge_kernel(bytes, length, &is_elf);
}

static void test_elf(void) {
    TestElf elf = good_elf();
    g_assert_cmpstr(judge(&elf, sizeof elf), ==, NULL);
    for (gsize length = 4; length < sizeof elf; length++) {
        g_assert_nonnull(judge(&elf, length));
    }
    elf.header.e_machine = EM_AARCH64;
    g_assert_cmpstr(judge(&elf, sizeof elf), ==, "is an ELF file for another machine than x86-64");
    elf = good_elf();
    elf.note.n_type = 17;
    g_assert_nonnull(strstr(judge(&elf, sizeof elf), "without a PVH entry"));
    elf = good_elf();
    elf.other_note.n_descsz = G_MAXUINT32;
    g_assert_nonnull(strstr(judge(&elf, sizeof elf), "without a PVH entry"));
    elf = good_elf();
    elf.note.n_namesz = G_MAXUINT32;
    g_assert_nonnull(strstr(judge(&elf, sizeof elf), "without a PVH entry"));
    elf = good_elf();
    elf.segment.p_offset = G_MAXUINT64 - 2;
    g_assert_cmpstr(judge(&elf, sizeof elf), ==, "is cut off");
    elf = good_elf();
    elf.header.e_phoff = G_MAXUINT64 - 8;
    g_assert_cmpstr(judge(&elf, sizeof elf), ==, "is cut off");
    elf = good_elf();
    elf.header.e_phnum = 0;
    g_assert_nonnull(strstr(judge(&elf, sizeof elf), "without program headers"));
}

static void test_rootfs(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    g_assert_cmpint(truncate(fixture->config->rootfs, 1 << 20), ==, 0);
    assert_failed(fixture, "root image", "DINV_ROOTFS: ");
    write_rootfs(fixture->config->rootfs, "dinv-root-99");
    assert_failed(fixture, "root image", "99");
    write_rootfs(fixture->config->rootfs, "other");
    assert_failed(fixture, "root image", "DINV_ROOTFS: ");
    write_bytes(fixture->config->rootfs, "x", 1);
    assert_failed(fixture, "root image", "DINV_ROOTFS: ");
    g_assert_cmpint(g_unlink(fixture->config->rootfs), ==, 0);
    assert_failed(fixture, "root image", "does not exist");
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    PREFLIGHT_TEST("kernel/file", test_kernel);
    PREFLIGHT_TEST("kernel/initrd", test_initrd);
    g_test_add_func("/preflight/kernel/elf", test_elf);
    PREFLIGHT_TEST("root-image", test_rootfs);
    return g_test_run();
}
