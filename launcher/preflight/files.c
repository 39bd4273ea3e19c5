/* SPDX-License-Identifier: MIT */
/* The programs and images that a start needs: QEMU, kernel, initramfs, root file system. */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ext4/info.h"
#include "launcher/preflight/checks.h"

#define QEMU_MAJOR       7u
#define QEMU_MINOR       2u
#define QEMU_DEADLINE_MS G_GINT64_CONSTANT(10000)
#define QEMU_OUTPUT_MAX  4096u

/* The boot protocol's magic numbers (Documentation/arch/x86/boot.rst). */
#define BZIMAGE_FLAG_OFFSET  0x1fe
#define BZIMAGE_MAGIC_OFFSET 0x202

#define XEN_NOTE_PVH_ENTRY 18u /* XEN_ELFNOTE_PHYS32_ENTRY */

gboolean dinv_preflight_parse_qemu_version(const char *text, guint *major, guint *minor) {
    static const char prefix[] = "QEMU emulator version ";
    char *end;
    guint64 first;
    guint64 second;

    if (!g_str_has_prefix(text, prefix) || !g_ascii_isdigit(text[sizeof prefix - 1])) {
        return FALSE;
    }
    first = g_ascii_strtoull(text + sizeof prefix - 1, &end, 10);
    if (*end != '.' || !g_ascii_isdigit(end[1])) {
        return FALSE;
    }
    second = g_ascii_strtoull(end + 1, NULL, 10);
    if (first > G_MAXUINT16 || second > G_MAXUINT16) {
        return FALSE;
    }
    *major = (guint)first;
    *minor = (guint)second;
    return TRUE;
}

/* Reads from `fd` into `text` until its end, a full buffer, or the deadline; FALSE for the last. */
static gboolean read_until_end(int fd, char *text, gsize size) {
    gint64 deadline = g_get_monotonic_time() + QEMU_DEADLINE_MS * 1000;
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    gsize length = 0;

    text[0] = '\0';
    while (length < size - 1) {
        gint64 left = (deadline - g_get_monotonic_time()) / 1000;
        int ready = left <= 0 ? 0 : poll(&poll_fd, 1, (int)left);
        ssize_t count;

        if (ready < 0 && errno == EINTR) {
            continue;
        }
        if (ready <= 0) {
            return FALSE;
        }
        count = read(fd, text + length, size - 1 - length);
        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count <= 0) {
            return TRUE;
        }
        length += (gsize)count;
        text[length] = '\0';
    }
    return TRUE;
}

/* Runs `program --version`; what it said, or NULL. */
static char *ask_qemu_version(const char *program, GError **error) {
    const char *arguments[] = {program, "--version", NULL};
    g_autofree char *text = g_malloc(QEMU_OUTPUT_MAX);
    gboolean answered;
    GPid pid;
    int output;
    int status;

    if (!g_spawn_async_with_pipes(NULL, (char **)arguments, NULL,
                                  G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_STDERR_TO_DEV_NULL, NULL,
                                  NULL, &pid, NULL, &output, NULL, error)) {
        return NULL;
    }
    answered = read_until_end(output, text, QEMU_OUTPUT_MAX);
    close(output);
    kill(pid, SIGKILL); /* it has said what it had to say, or never will */
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
        ;
    }
    g_spawn_close_pid(pid);
    if (!answered) {
        g_set_error(error, DINV_PREFLIGHT_ERROR, DINV_PREFLIGHT_ERROR_FAILED,
                    "does not answer to --version");
        return NULL;
    }
    return g_steal_pointer(&text);
}

void dinv_preflight_check_qemu(const DinvConfig *config, DinvPreflight *result) {
    const char *name = "qemu";
    g_autofree char *program = g_find_program_in_path(config->qemu);
    g_autofree char *text = NULL;
    g_autoptr(GError) error = NULL;
    guint major;
    guint minor;

    if (program == NULL) {
        dinv_preflight_add(
            result, name, DINV_CHECK_FAILED,
            g_strdup_printf("DINV_QEMU: \"%s\" is not a program", config->qemu),
            g_strdup("install it (Debian: qemu-system-x86), or set DINV_QEMU to its path"));
        return;
    }
    text = ask_qemu_version(program, &error);
    if (text == NULL || !dinv_preflight_parse_qemu_version(text, &major, &minor)) {
        dinv_preflight_add(
            result, name, DINV_CHECK_FAILED,
            g_strdup_printf("DINV_QEMU: \"%s\" %s", program,
                            text == NULL ? error->message : "does not say which QEMU it is"),
            g_strdup("set DINV_QEMU to a qemu-system-x86_64"));
        return;
    }
    if (major < QEMU_MAJOR || (major == QEMU_MAJOR && minor < QEMU_MINOR)) {
        dinv_preflight_add(
            result, name, DINV_CHECK_FAILED,
            g_strdup_printf("DINV_QEMU: \"%s\" is version %u.%u, too old", program, major, minor),
            g_strdup_printf("install QEMU %u.%u or later", QEMU_MAJOR, QEMU_MINOR));
        return;
    }
    result->qemu_major = major;
    result->qemu_minor = minor;
    dinv_preflight_add(result, name, DINV_CHECK_OK,
                       g_strdup_printf("%s, version %u.%u", program, major, minor), NULL);
}

/* Whether `count` bytes at `offset` lie within `length`; offsets come from the file. */
static gboolean is_inside(guint64 offset, guint64 count, gsize length) {
    return offset <= length && count <= length - offset;
}

/* Whether the notes in bytes[offset…] name a PVH entry point. */
static gboolean has_pvh_note(const guint8 *bytes, guint64 offset, guint64 size) {
    guint64 end = offset + size;

    while (is_inside(offset, sizeof(Elf64_Nhdr), end)) {
        Elf64_Nhdr note;
        guint64 name;

        memcpy(&note, bytes + offset, sizeof note);
        name = offset + sizeof note;
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
    gboolean pvh = FALSE;

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

/* Adds the line of a file that can be opened and read, or why not. */
static gboolean check_readable(const char *name, const char *setting, const char *path,
                               DinvPreflight *result) {
    g_autofree char *problem = NULL;

    if (g_file_test(path, G_FILE_TEST_IS_DIR)) {
        problem = g_strdup("is a directory");
    } else if (access(path, R_OK) < 0) {
        problem = g_strdup(errno == ENOENT ? "does not exist" : g_strerror(errno));
    }
    if (problem == NULL) {
        return TRUE;
    }
    dinv_preflight_add(
        result, name, DINV_CHECK_FAILED, g_strdup_printf("%s: \"%s\" %s", setting, path, problem),
        g_strdup_printf("set %s to a file that can be read (in a checkout, make images makes "
                        "kernel and root image)",
                        setting));
    return FALSE;
}

void dinv_preflight_check_kernel(const DinvConfig *config, DinvPreflight *result) {
    const char *name = "kernel";
    g_autoptr(GMappedFile) file = NULL;
    g_autoptr(GError) error = NULL;
    const char *problem;
    gboolean is_elf;

    if (config->initrd != NULL) {
        if (check_readable("initramfs", "DINV_INITRD", config->initrd, result)) {
            dinv_preflight_add(result, "initramfs", DINV_CHECK_OK, g_strdup(config->initrd), NULL);
        }
    }
    if (!check_readable(name, "DINV_KERNEL", config->kernel, result)) {
        return;
    }
    file = g_mapped_file_new(config->kernel, FALSE, &error);
    if (file == NULL) {
        dinv_preflight_add(result, name, DINV_CHECK_FAILED,
                           g_strdup_printf("DINV_KERNEL: %s", error->message), NULL);
        return;
    }
    problem = dinv_preflight_judge_kernel((const guint8 *)g_mapped_file_get_contents(file),
                                          g_mapped_file_get_length(file), &is_elf);
    if (problem != NULL) {
        dinv_preflight_add(result, name, DINV_CHECK_FAILED,
                           g_strdup_printf("DINV_KERNEL: \"%s\" %s", config->kernel, problem),
                           g_strdup("set DINV_KERNEL to a vmlinux with PVH, or to a bzImage"));
    } else {
        dinv_preflight_add(result, name, DINV_CHECK_OK,
                           g_strdup_printf("%s, %s", config->kernel, is_elf ? "ELF" : "bzImage"),
                           NULL);
    }
}

void dinv_preflight_check_rootfs(const DinvConfig *config, DinvPreflight *result) {
    const char *name = "root image";
    g_autoptr(GError) error = NULL;
    DinvExt4ImageInfo info = {0};

    if (!check_readable(name, "DINV_ROOTFS", config->rootfs, result)) {
        return;
    }
    if (!dinv_ext4_image_check_rootfs(config->rootfs, &info, &error)) {
        dinv_preflight_add(result, name, DINV_CHECK_FAILED,
                           g_strdup_printf("DINV_ROOTFS: %s", error->message), NULL);
        return;
    }
    dinv_preflight_add(result, name, DINV_CHECK_OK,
                       g_strdup_printf("%s, %s, %" G_GUINT64_FORMAT " MiB", config->rootfs,
                                       info.label, info.filesystem_bytes >> 20),
                       NULL);
}
