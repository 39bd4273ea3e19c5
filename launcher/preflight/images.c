/* SPDX-License-Identifier: MIT */
/* The files that the guest is started from: kernel, initramfs, root image. */
#include "ext4/info.h"

#include <elf.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "launcher/preflight/checks.h"

/* The boot protocol's magic numbers (Documentation/arch/x86/boot.rst). */
#define BZIMAGE_FLAG_OFFSET  0x1fe
#define BZIMAGE_MAGIC_OFFSET 0x202

#define XEN_NOTE_PVH_ENTRY 18u /* XEN_ELFNOTE_PHYS32_ENTRY */

/* --- What a kernel image is, from its bytes --- */

/* Whether `count` bytes at `offset` lie within `length`; offsets come from the file. */
static gboolean is_inside(guint64 offset, guint64 count, gsize length) {
    return offset <= length && count <= length - offset;
}

/* Whether the notes in bytes[offset…] name a PVH entry point. */
static gboolean has_pvh_note(const guint8 *bytes, guint64 offset, guint64 size) {
    guint64 end = offset + size;
    while (is_inside(offset, sizeof(Elf64_Nhdr), end)) {
        Elf64_Nhdr note;
        memcpy(&note, bytes + offset, sizeof note);
        guint64 name = offset + sizeof note;
        if (!is_inside(name, note.n_namesz, end)) {
            return FALSE;
        }
        if (note.n_type == XEN_NOTE_PVH_ENTRY && note.n_namesz == 4 &&
            memcmp(bytes + name, "Xen", 4) == 0) {
            return TRUE;
        }
        offset = name + ((guint64)note.n_namesz + 3) / 4 * 4 + ((guint64)note.n_descsz + 3) / 4 * 4;
    }
    return FALSE;
}

static const char *judge_elf(const guint8 *bytes, gsize length) {
    Elf64_Ehdr header;
    if (length < sizeof header) {
        return "is cut off";
    }
    memcpy(&header, bytes, sizeof header);
    if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_ident[EI_DATA] != ELFDATA2LSB ||
        header.e_machine != EM_X86_64) {
        return "is an ELF file for another machine than x86-64";
    }
    if (header.e_phentsize != sizeof(Elf64_Phdr) || header.e_phnum == 0) {
        return "is an ELF file without program headers, not a kernel";
    }
    if (!is_inside(header.e_phoff, (guint64)header.e_phnum * sizeof(Elf64_Phdr), length)) {
        return "is cut off";
    }
    gboolean pvh = FALSE;
    for (guint i = 0; i < header.e_phnum; i++) {
        Elf64_Phdr segment;
        memcpy(&segment, bytes + header.e_phoff + i * sizeof segment, sizeof segment);
        if (!is_inside(segment.p_offset, segment.p_filesz, length)) {
            return "is cut off";
        }
        if (segment.p_type == PT_NOTE && has_pvh_note(bytes, segment.p_offset, segment.p_filesz)) {
            pvh = TRUE;
        }
    }
    return pvh ? NULL : "is an ELF file without a PVH entry, not a kernel built with CONFIG_PVH";
}

const char *dinv_preflight_judge_kernel(const guint8 *bytes, gsize length, gboolean *is_elf) {
    *is_elf = length >= SELFMAG && memcmp(bytes, ELFMAG, SELFMAG) == 0;
    if (*is_elf) {
        return judge_elf(bytes, length);
    }
    if (length == 0) {
        return "is empty";
    }
    if (length >= BZIMAGE_MAGIC_OFFSET + 4 && bytes[BZIMAGE_FLAG_OFFSET] == 0x55 &&
        bytes[BZIMAGE_FLAG_OFFSET + 1] == 0xaa &&
        memcmp(bytes + BZIMAGE_MAGIC_OFFSET, "HdrS", 4) == 0) {
        return NULL;
    }
    return "is neither an ELF vmlinux nor a bzImage";
}

/* --- The checks --- */

/* Whether the file can be opened and read; else adds the line that says why not. */
static gboolean check_readable(const char *name, const char *setting, const char *path,
                               DinvPreflightReport *report) {
    const char *problem = NULL;
    if (g_file_test(path, G_FILE_TEST_IS_DIR)) {
        problem = "is a directory";
    } else if (access(path, R_OK) < 0) {
        problem = errno == ENOENT ? "does not exist" : g_strerror(errno);
    }
    if (problem == NULL) {
        return TRUE;
    }
    dinv_preflight_report_add(
        report, name, DINV_PREFLIGHT_FAILED,
        g_strdup_printf("%s: \"%s\" %s", setting, path, problem),
        g_strdup_printf("set %s to a file that can be read (in a checkout, make images makes "
                        "kernel and root image)",
                        setting));
    return FALSE;
}

static void check_initramfs(const DinvConfig *config, DinvPreflightReport *report) {
    const char *name = "initramfs";
    if (config->initrd != NULL && check_readable(name, "DINV_INITRD", config->initrd, report)) {
        dinv_preflight_report_add(report, name, DINV_PREFLIGHT_OK, g_strdup(config->initrd), NULL);
    }
}

void dinv_preflight_check_kernel(const DinvConfig *config, DinvPreflight *result) {
    DinvPreflightReport *report = result->report;
    const char *name = "kernel";
    check_initramfs(config, report);
    if (!check_readable(name, "DINV_KERNEL", config->kernel, report)) {
        return;
    }
    g_autoptr(GError) error = NULL;
    g_autoptr(GMappedFile) file = g_mapped_file_new(config->kernel, FALSE, &error);
    if (file == NULL) {
        dinv_preflight_report_add(report, name, DINV_PREFLIGHT_FAILED,
                                  g_strdup_printf("DINV_KERNEL: %s", error->message), NULL);
        return;
    }
    gboolean is_elf = FALSE;
    const char *problem = dinv_preflight_judge_kernel(
        (const guint8 *)g_mapped_file_get_contents(file), g_mapped_file_get_length(file), &is_elf);
    if (problem != NULL) {
        dinv_preflight_report_add(
            report, name, DINV_PREFLIGHT_FAILED,
            g_strdup_printf("DINV_KERNEL: \"%s\" %s", config->kernel, problem),
            g_strdup("set DINV_KERNEL to a vmlinux with PVH, or to a bzImage"));
    } else {
        dinv_preflight_report_add(
            report, name, DINV_PREFLIGHT_OK,
            g_strdup_printf("%s, %s", config->kernel, is_elf ? "ELF" : "bzImage"), NULL);
    }
}

void dinv_preflight_check_rootfs(const DinvConfig *config, DinvPreflight *result) {
    DinvPreflightReport *report = result->report;
    const char *name = "root image";
    if (!check_readable(name, "DINV_ROOTFS", config->rootfs, report)) {
        return;
    }
    g_autoptr(GError) error = NULL;
    DinvExt4ImageInfo info = {0};
    if (!dinv_ext4_image_check_rootfs(config->rootfs, &info, &error)) {
        dinv_preflight_report_add(report, name, DINV_PREFLIGHT_FAILED,
                                  g_strdup_printf("DINV_ROOTFS: %s", error->message), NULL);
        return;
    }
    result->findings.rootfs_is_usable = TRUE;
    dinv_preflight_report_add(report, name, DINV_PREFLIGHT_OK,
                              g_strdup_printf("%s, %s, %" G_GUINT64_FORMAT " MiB", config->rootfs,
                                              info.label, info.filesystem_bytes >> 20),
                              NULL);
}
