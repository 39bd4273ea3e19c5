/* SPDX-License-Identifier: MIT */
#include <arpa/inet.h>
#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "ext4/create.h"
#include "ext4/info.h"
#include "launcher/cli/doctor.h"
#include "launcher/cli/help.h"
#include "launcher/machine/virtiofsd.h"
#include "launcher/preflight/checks.h"
#include "launcher/preflight/preflight.h"
#include "launcher/settings/settings.h"
#include "launcher/state/directory.h"
#include "tests/unit/lib/scratch.h"
#include "tests/unit/lib/tcp-port.h"

#define MEBI (G_GUINT64_CONSTANT(1) << 20)

/* A config under which all is well, in a directory of its own. */
typedef struct {
    Scratch scratch;
    DinvConfig *config;
    DinvPreflightHost host;
    DinvPreflight result;
    GError *error;
    char *kvm_device;
} Fixture;

/* What marks a bzImage, in 1 KiB. */
static void fill_bzimage(char bytes[static 1024]) {
    static const char magic[] = {'H', 'd', 'r', 'S'};

    memset(bytes, 0, 1024);
    bytes[0x1fe] = 0x55;
    bytes[0x1ff] = (char)0xaa;
    memcpy(bytes + 0x202, magic, sizeof magic);
}

static void write_bytes(const char *path, const char *bytes, gsize length) {
    g_autoptr(GError) error = NULL;

    g_file_set_contents(path, bytes, (gssize)length, &error);
    g_assert_no_error(error);
}

static void write_rootfs(const char *path, const char *label) {
    DinvExt4Options options = {.size_bytes = 8 * MEBI, .label = label, .read_only = TRUE};
    g_autoptr(GError) error = NULL;

    (void)g_unlink(path);
    g_assert_true(dinv_ext4_create(path, &options, &error));
    g_assert_no_error(error);
}

/* A program that says `text` to whatever it is asked. */
static void write_program(const char *path, const char *text) {
    g_autofree char *script = g_strdup_printf("#!/bin/sh\n%s\n", text);

    write_bytes(path, script, strlen(script));
    g_assert_cmpint(chmod(path, 0755), ==, 0);
}

static void set_text(char **field, char *text) {
    g_free(*field);
    *field = text;
}

static void set_up(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    const char *const environment[] = {NULL};
    DinvHostLimits limits = {.cpus_online = 2, .memory_total = 4096 * MEBI};
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    char kernel[1024];
    char *no_words[] = {NULL};
    char **words = no_words;
    int count = 0;
    DinvConfig *config;

    scratch_make(&fixture->scratch);
    scratch_write(&fixture->scratch, "proc/meminfo",
                  "MemTotal: 16777216 kB\nMemAvailable: 8388608 kB\n");
    config = dinv_settings_load_with_limits(environment, &count, &words, dinv_cli_verb_has_flag,
                                            &limits, warnings, NULL);
    g_assert_nonnull(config);
    config->accel = DINV_ACCEL_TCG;
    set_text(&config->state_dir, scratch_path(&fixture->scratch, "state"));
    set_text(&config->config_dir, scratch_path(&fixture->scratch, "docker"));
    set_text(&config->socket_path, scratch_path(&fixture->scratch, "run/docker.sock"));
    set_text(&config->kernel, scratch_path(&fixture->scratch, "kernel"));
    set_text(&config->rootfs, scratch_path(&fixture->scratch, "rootfs.ext4"));
    set_text(&config->qemu, scratch_path(&fixture->scratch, "qemu"));
    fill_bzimage(kernel);
    write_bytes(config->kernel, kernel, sizeof kernel);
    write_rootfs(config->rootfs, "dinv-root-1");
    write_program(config->qemu, "echo 'QEMU emulator version 9.1.2 (Debian 1:9.1.2)'");
    fixture->config = config;
    fixture->kvm_device = scratch_path(&fixture->scratch, "kvm");
    fixture->host =
        (DinvPreflightHost){.kvm_device = fixture->kvm_device, .root = fixture->scratch.path};
}

static void tear_down(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    dinv_preflight_clear(&fixture->result);
    g_clear_error(&fixture->error);
    dinv_config_free(fixture->config);
    g_free(fixture->kvm_device);
    scratch_remove(&fixture->scratch);
}

static gboolean run(Fixture *fixture) {
    gboolean good;

    g_clear_error(&fixture->error);
    good = dinv_preflight_on(&fixture->host, fixture->config, &fixture->result, &fixture->error);
    g_assert_true(good == (fixture->error == NULL));
    return good;
}

/* The first line of that name and status, or NULL. */
static const DinvCheck *find_line(const Fixture *fixture, const char *name,
                                  DinvCheckStatus status) {
    for (guint i = 0; i < fixture->result.checks->len; i++) {
        const DinvCheck *check = fixture->result.checks->pdata[i];

        if (strcmp(check->name, name) == 0 && check->status == status) {
            return check;
        }
    }
    return NULL;
}

/* The run fails, by the line `name` that says `text` and has a remedy; and it has changed nothing.
 */
static void assert_failed(Fixture *fixture, const char *name, const char *text) {
    const DinvCheck *check;

    g_assert_false(run(fixture));
    check = find_line(fixture, name, DINV_CHECK_FAILED);
    g_assert_nonnull(check);
    g_test_message("%s; %s", check->text, check->remedy);
    g_assert_nonnull(strstr(check->text, text));
    g_assert_error(fixture->error, DINV_PREFLIGHT_ERROR, DINV_PREFLIGHT_ERROR_FAILED);
    g_assert_true(g_str_has_prefix(fixture->error->message, check->text));
    g_assert_false(g_file_test(fixture->config->state_dir, G_FILE_TEST_EXISTS));
}

static void test_good(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    g_assert_true(run(fixture));
    for (guint i = 0; i < fixture->result.checks->len; i++) {
        const DinvCheck *check = fixture->result.checks->pdata[i];

        g_test_message("%s: %s", check->name, check->text);
        g_assert_true(check->status == DINV_CHECK_OK ||
                      strcmp(check->name, "state directory") == 0);
    }
    g_assert_cmpuint(fixture->result.qemu_major, ==, 9);
    g_assert_cmpuint(fixture->result.qemu_minor, ==, 1);
    g_assert_false(fixture->result.use_kvm);
    g_assert_false(g_file_test(fixture->config->state_dir, G_FILE_TEST_EXISTS));
    g_assert_false(g_file_test(fixture->config->socket_path, G_FILE_TEST_EXISTS));
}

static void test_emulated_twice(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    const DinvCheck *check;

    g_assert_true(run(fixture));
    g_assert_false(fixture->result.icount);
    fixture->host.is_emulated = TRUE;
    g_assert_true(run(fixture));
    g_assert_true(fixture->result.icount);
    check = find_line(fixture, "acceleration", DINV_CHECK_WARNING);
    g_assert_nonnull(check);
    g_assert_nonnull(strstr(check->text, "CPU is itself emulated"));
    g_assert_nonnull(strstr(check->remedy, "DINV_BOOT_TIMEOUT"));
}

static void test_auto_without_kvm(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    const DinvCheck *check;

    fixture->config->accel = DINV_ACCEL_AUTO;
    g_assert_true(run(fixture));
    check = find_line(fixture, "acceleration", DINV_CHECK_WARNING);
    g_assert_nonnull(check);
    g_assert_nonnull(strstr(check->text, "going on with emulation (TCG), which is slow"));
    g_assert_nonnull(strstr(check->remedy, "--device /dev/kvm"));
    g_assert_false(fixture->result.use_kvm);
}

static void test_kvm_without_kvm(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    fixture->config->accel = DINV_ACCEL_KVM;
    assert_failed(fixture, "acceleration", "DINV_ACCEL is kvm, but ");
    g_assert_nonnull(strstr(fixture->error->message, "--device /dev/kvm"));
}

static void test_qemu_missing(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    set_text(&fixture->config->qemu, g_strdup("no-such-qemu"));
    assert_failed(fixture, "qemu", "\"no-such-qemu\" is not a program");
    g_assert_cmpuint(fixture->result.qemu_major, ==, 0);
}

static void test_qemu_old(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    write_program(fixture->config->qemu, "echo QEMU emulator version 7.1.0");
    assert_failed(fixture, "qemu", "version 7.1, too old");
}

static void test_qemu_other(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    write_program(fixture->config->qemu, "echo hello");
    assert_failed(fixture, "qemu", "does not say which QEMU it is");
    write_program(fixture->config->qemu, "exit 1");
    assert_failed(fixture, "qemu", "does not say which QEMU it is");
    write_program(fixture->config->qemu, "yes QEMU emulator version 8.0");
    g_assert_true(run(fixture)); /* its endless answer is cut off */
    write_bytes(fixture->config->qemu,
                "\x7f"
                "ELF",
                4);
    assert_failed(fixture, "qemu", "");
}

static void test_qemu_version_text(void) {
    guint major = 0;
    guint minor = 0;

    g_assert_true(dinv_preflight_parse_qemu_version("QEMU emulator version 10.0", &major, &minor));
    g_assert_cmpuint(major, ==, 10);
    g_assert_cmpuint(minor, ==, 0);
    g_assert_false(dinv_preflight_parse_qemu_version("", &major, &minor));
    g_assert_false(dinv_preflight_parse_qemu_version("QEMU emulator version ", &major, &minor));
    g_assert_false(dinv_preflight_parse_qemu_version("QEMU emulator version 8", &major, &minor));
    g_assert_false(dinv_preflight_parse_qemu_version("QEMU emulator version 8.x", &major, &minor));
    g_assert_false(dinv_preflight_parse_qemu_version("QEMU emulator version -8.1", &major, &minor));
    g_assert_false(
        dinv_preflight_parse_qemu_version("QEMU emulator version 70000.1", &major, &minor));
}

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
    gboolean is_elf;
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

static void test_memory(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    fixture->config->memory_bytes = 9000 * MEBI;
    g_assert_true(run(fixture));
    g_assert_nonnull(
        strstr(find_line(fixture, "memory", DINV_CHECK_WARNING)->text, "8192 MiB are"));
    fixture->config->memory_bytes = 20000 * MEBI;
    g_assert_true(run(fixture));
    g_assert_nonnull(
        strstr(find_line(fixture, "memory", DINV_CHECK_WARNING)->text, "the machine's memory is"));
    scratch_write(&fixture->scratch, "proc/self/cgroup", "0::/\n");
    scratch_write(&fixture->scratch, "proc/self/mountinfo",
                  "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
    scratch_write(&fixture->scratch, "sys/fs/cgroup/memory.max", "1073741824\n");
    fixture->config->memory_bytes = 1024 * MEBI;
    g_assert_true(run(fixture));
    g_assert_nonnull(strstr(find_line(fixture, "memory", DINV_CHECK_WARNING)->text,
                            "the container's memory limit is 1024 MiB"));
    fixture->config->memory_bytes = 768 * MEBI; /* the default for that limit */
    g_assert_true(run(fixture));
    g_assert_nonnull(find_line(fixture, "memory", DINV_CHECK_OK));
    scratch_write(&fixture->scratch, "sys/fs/cgroup/memory.max", "67108864\n");
    assert_failed(fixture, "memory", "limit is 64 MiB, too small");
}

static void test_mounts(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    g_autofree char *missing = scratch_path(&fixture->scratch, "missing");
    g_autofree char *text = g_strdup_printf("%s:/a:ro;%s:/b:ro", fixture->scratch.path, missing);

    g_assert_true(dinv_settings_parse_mounts(text, fixture->config->mounts,
                                             &fixture->config->mounts_auto, NULL));
    assert_failed(fixture, "mount", "/missing\" does not exist");
    scratch_write(&fixture->scratch, "missing", "");
    g_assert_true(run(fixture));
    g_assert_true(((const DinvMountSpec *)fixture->result.mounts->pdata[1])->is_file);
    g_assert_cmpint(truncate(missing, DINV_MOUNT_FILE_MAX + 1), ==, 0);
    assert_failed(fixture, "mount",
                  "/missing\" is a file of more than 16 MiB; mount its directory");
    g_assert_cmpint(g_unlink(missing), ==, 0);
    g_assert_cmpint(mkfifo(missing, 0600), ==, 0);
    assert_failed(fixture, "mount", "/missing\" is neither a directory nor a file");
    g_assert_cmpint(g_unlink(missing), ==, 0);
    g_assert_cmpint(g_mkdir(missing, 0755), ==, 0);
    g_assert_true(run(fixture));
}

/* Writable, the state directory and what it lies in are the guest's own ground; the kernel's files
 * are nobody's. */
static void test_forbidden_mounts(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    g_autofree char *inside = g_build_filename(fixture->config->state_dir, "inside", NULL);
    g_autofree char *beside = g_strconcat(fixture->config->state_dir, "-beside", NULL);
    g_autofree char *link = scratch_path(&fixture->scratch, "link");
    const struct {
        const char *source;
        const char *options;
        gboolean good;
    } cases[] = {
        {"/", "", FALSE},
        {"/", ":ro", TRUE},
        {"/proc", ":ro", FALSE},
        {"/sys/kernel", ":ro", FALSE},
        {"/dev", "", FALSE},
        {fixture->config->state_dir, "", FALSE},
        {inside, "", FALSE},
        {fixture->config->state_dir, ":ro", TRUE},
        {beside, "", TRUE},
        {link, "", FALSE},
        {fixture->scratch.path, "", FALSE},
    };

    const DinvCheck *check;

    g_assert_true(run(fixture));
    /* Before the state directory is made, too. */
    g_assert_true(dinv_settings_parse_mounts("/:/a", fixture->config->mounts,
                                             &fixture->config->mounts_auto, NULL));
    assert_failed(fixture, "mount", "would give the guest ");
    g_assert_cmpint(g_mkdir_with_parents(inside, 0755), ==, 0);
    g_assert_cmpint(g_mkdir(beside, 0755), ==, 0);
    g_assert_cmpint(symlink(inside, link), ==, 0);
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *text = g_strdup_printf("%s:/a%s", cases[i].source, cases[i].options);

        g_ptr_array_set_size(fixture->config->mounts, 0);
        g_assert_true(dinv_settings_parse_mounts(text, fixture->config->mounts,
                                                 &fixture->config->mounts_auto, NULL));
        g_test_message("%s", text);
        g_ptr_array_set_size(fixture->result.checks, 0);
        dinv_preflight_check_mounts(&fixture->host, fixture->config, &fixture->result);
        check = fixture->result.checks->pdata[0];
        g_assert_cmpint(check->status, ==, cases[i].good ? DINV_CHECK_OK : DINV_CHECK_FAILED);
        g_assert_true(cases[i].good || strstr(check->text, "would give the guest ") != NULL);
    }
}

static const DinvMountSpec *find_mount(Fixture *fixture, const char *target) {
    for (guint i = 0; i < fixture->result.mounts->len; i++) {
        const DinvMountSpec *mount = fixture->result.mounts->pdata[i];

        if (strcmp(mount->target, target) == 0) {
            return mount;
        }
    }
    return NULL;
}

static guint count_lines(const Fixture *fixture, const char *name, DinvCheckStatus status) {
    guint count = 0;

    for (guint i = 0; i < fixture->result.checks->len; i++) {
        const DinvCheck *check = fixture->result.checks->pdata[i];

        count += strcmp(check->name, name) == 0 && check->status == status ? 1 : 0;
    }
    return count;
}

/* Of what is mounted, what can be shown is: the rest is left out with a line, and is no failure. */
static void test_auto_mounts(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    static const char *const names[] = {"a", "a/b", "c;d", "sock", "host", "named"};
    g_autoptr(GString) table = g_string_new("1 0 8:1 / / rw - ext4 /dev/sda1 rw\n");
    g_autofree char *named = scratch_path(&fixture->scratch, "m/named");
    g_autofree char *nested = scratch_path(&fixture->scratch, "m/a/b");
    g_autofree char *odd = scratch_path(&fixture->scratch, "m/c;d");
    g_autofree char *text = g_strdup_printf("%s:/elsewhere;%s:ro", named, named);
    const DinvCheck *check;

    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *path = g_strdup_printf("%s/m/%s", fixture->scratch.path, names[i]);

        g_assert_cmpint(g_mkdir_with_parents(path, 0755), ==, 0);
        g_string_append_printf(table, "%u 1 8:1 /x %s rw - ext4 /dev/sda1 rw\n", 10 + i, path);
    }
    g_string_append_printf(table, "30 14 0:5 / %s/m/host/proc rw - proc proc rw\n",
                           fixture->scratch.path);
    g_string_append(table, "31 1 8:1 /x /etc/dinv-test rw - ext4 /dev/sda1 rw\n"
                           "32 1 8:1 /x /no/such/dinv-test rw - ext4 /dev/sda1 rw\n");
    scratch_write(&fixture->scratch, "proc/self/mountinfo", table->str);
    g_free(fixture->config->socket_path);
    fixture->config->socket_path = scratch_path(&fixture->scratch, "m/sock/docker.sock");
    g_assert_true(run(fixture));
    g_assert_cmpuint(fixture->result.mounts->len, ==, 0); /* not without "auto" */
    g_assert_true(dinv_settings_parse_mounts(text, fixture->config->mounts,
                                             &fixture->config->mounts_auto, NULL));
    fixture->config->mounts_auto = TRUE;
    g_assert_true(run(fixture));
    g_assert_cmpuint(fixture->result.mounts->len, ==, 4);
    g_assert_nonnull(find_mount(fixture, "/elsewhere"));
    g_assert_true(find_mount(fixture, named)->readonly); /* as it was asked for */
    g_assert_nonnull(find_mount(fixture, odd));
    g_assert_null(find_mount(fixture, nested)); /* seen through m/a */
    for (guint i = 1; i < fixture->result.mounts->len; i++) {
        const DinvMountSpec *before = fixture->result.mounts->pdata[i - 1];
        const DinvMountSpec *after = fixture->result.mounts->pdata[i];

        g_assert_cmpstr(before->target, <, after->target);
    }
    check = find_line(fixture, "mount", DINV_CHECK_WARNING);
    g_assert_nonnull(strstr(check->text, "/etc/dinv-test is not shown in the guest: it would hide "
                                         "/etc of the guest"));
    g_assert_cmpuint(count_lines(fixture, "mount", DINV_CHECK_WARNING), ==, 4);
}

/* A bound socket of the kernel's choice of port. */
static int take_port(int type, guint16 *port) {
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

    g_assert_cmpint(bind(fd, (struct sockaddr *)&address, sizeof address), ==, 0);
    g_assert_true(type != SOCK_STREAM || listen(fd, 1) == 0);
    g_assert_cmpint(getsockname(fd, (struct sockaddr *)&address, &length), ==, 0);
    *port = ntohs(address.sin_port);
    return fd;
}

static void test_plaintext(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    g_autofree char *taken = NULL;
    guint16 port = tcp_port_find_free();
    int fd;

    fixture->config->plaintext.port = port;
    g_assert_true(run(fixture));
    g_assert_nonnull(strstr(find_line(fixture, "tcp", DINV_CHECK_OK)->text, "without TLS"));
    fd = tcp_port_take(&fixture->config->plaintext.port);
    taken =
        g_strdup_printf("DINV_PLAINTEXT_PORT: cannot listen on tcp://*:%u: Address already in use",
                        (guint)fixture->config->plaintext.port);
    assert_failed(fixture, "tcp", taken);
    close(fd);
}

/* The certificates are looked at, and nothing is made; what is wrong is said with its remedy. */
static void test_certificates(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    fixture->config->tls_directory = scratch_path(&fixture->scratch, "certs");
    fixture->config->tls.port = tcp_port_find_free();
    g_assert_true(run(fixture));
    g_assert_nonnull(strstr(find_line(fixture, "tcp", DINV_CHECK_OK)->text, "with TLS"));
    g_assert_false(g_file_test(fixture->config->tls_directory, G_FILE_TEST_EXISTS));
    scratch_write(&fixture->scratch, "certs/ca/cert.pem", "no certificate\n");
    assert_failed(fixture, "certificates", "ca/cert.pem\" is not a certificate in PEM form");
    g_assert_true(g_str_has_prefix(fixture->error->message, "DINV_TLS_CERTDIR: "));
    scratch_write(&fixture->scratch, "certs/ca/cert.pem", "");
    int taken = tcp_port_take(&fixture->config->tls.port);
    assert_failed(fixture, "tcp", "DINV_TLS_PORT: cannot listen on tcp://*:");
    close(taken);
}

static void test_port_taken(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    static const int types[] = {SOCK_STREAM, SOCK_DGRAM};
    static const char *const names[] = {"DINV_TCP_PORTS", "DINV_UDP_PORTS"};

    for (gsize i = 0; i < G_N_ELEMENTS(types); i++) {
        DinvPortForward forward = {.protocol = (DinvProtocol)i, .guest_port = 80};
        int fd = take_port(types[i], &forward.host_port);
        g_autofree char *text =
            g_strdup_printf("%s: port %u is taken", names[i], forward.host_port);

        g_array_set_size(fixture->config->ports, 0);
        g_array_append_val(fixture->config->ports, forward);
        assert_failed(fixture, "port", text);
        close(fd);
        g_assert_true(run(fixture));
        g_assert_true(run(fixture)); /* the check itself leaves nothing behind */
    }
}

static int listen_at(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    g_strlcpy(address.sun_path, path, sizeof address.sun_path);
    g_assert_cmpint(bind(fd, (struct sockaddr *)&address, sizeof address), ==, 0);
    g_assert_cmpint(listen(fd, 1), ==, 0);
    return fd;
}

/* The first finding about the inner networks, with these outside. */
static const DinvCheck *check_network(Fixture *fixture, const GArray *networks) {
    dinv_engine_config_free(fixture->result.engine);
    dinv_preflight_check_engine(&fixture->host, fixture->config, &fixture->result);
    g_ptr_array_set_size(fixture->result.checks, 0);
    dinv_preflight_check_network(fixture->config, networks, &fixture->result);
    return fixture->result.checks->pdata[0];
}

static void test_network(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    DinvHostNetwork outer[] = {{{DINV_IPV4(172, 17, 0, 0), 16}, "eth0"}};
    g_autoptr(GArray) networks = g_array_new(FALSE, FALSE, sizeof(DinvHostNetwork));
    const DinvCheck *check;

    g_array_append_vals(networks, outer, G_N_ELEMENTS(outer));
    g_assert_true(run(fixture));
    check = check_network(fixture, networks);
    g_assert_cmpint(check->status, ==, DINV_CHECK_OK);
    g_assert_cmpstr(check->text, ==,
                    "guest 10.0.2.0/24, docker0 172.18.0.1/16, inner networks from 172.31.0.0/16 "
                    "and 13 more");

    /* What the user wants must be free; what dinv had to take is only warned about. */
    fixture->config->bip = (DinvIpv4Network){DINV_IPV4(172, 17, 200, 1), 24};
    check = check_network(fixture, networks);
    g_assert_cmpint(check->status, ==, DINV_CHECK_FAILED);
    g_assert_cmpstr(check->text, ==,
                    "docker0's network (DINV_BIP), 172.17.200.0/24, overlaps 172.17.0.0/16 on eth0 "
                    "outside");
    g_assert_nonnull(check->remedy);
    fixture->config->bip = (DinvIpv4Network){0};
    for (guint first = 1; first < 224; first++) {
        DinvHostNetwork all = {{DINV_IPV4(first, 0, 0, 0), 8}, "eth0"};
        g_array_append_val(networks, all);
    }
    check = check_network(fixture, networks);
    g_assert_cmpint(check->status, ==, DINV_CHECK_WARNING);
}

static void test_socket(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    const char *path = fixture->config->socket_path;
    g_autofree char *directory = g_path_get_dirname(path);
    int fd;

    g_assert_cmpint(g_mkdir(directory, 0755), ==, 0);
    fd = listen_at(path);
    assert_failed(fixture, "socket", "something answers at");
    close(fd);
    g_assert_true(run(fixture)); /* stale: it will be replaced */
    g_assert_true(g_file_test(path, G_FILE_TEST_EXISTS));
    g_assert_cmpint(g_unlink(path), ==, 0);
    scratch_write(&fixture->scratch, "run/docker.sock", "");
    assert_failed(fixture, "socket", "is there and is not a socket");
    set_text(&fixture->config->socket_path,
             scratch_path(&fixture->scratch, "run/docker.sock/below"));
    assert_failed(fixture, "socket", "");
}

static void test_state_dir(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    g_autoptr(DinvState) disk = dinv_state_open(fixture->config, NULL);
    const DinvCheck *check;

    g_assert_nonnull(disk);
    g_assert_false(run(fixture));
    check = find_line(fixture, "state directory", DINV_CHECK_FAILED);
    g_assert_nonnull(strstr(check->text, "is in use by another dinv"));
    g_assert_nonnull(strstr(check->remedy, "DINV_STATE_DIR"));
}

/* `run` leaves it to dinv_state_open(), unless something else is wrong as well. */
static void test_damaged_disk(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    g_autofree char *image = g_build_filename(fixture->config->state_dir, "data.img", NULL);
    g_autoptr(GError) error = NULL;

    dinv_state_free(dinv_state_open(fixture->config, NULL));
    g_assert_true(g_file_set_contents(image, "damage", -1, NULL));
    g_assert_false(dinv_preflight_on(&fixture->host, fixture->config, &fixture->result, &error));
    g_assert_error(error, DINV_PREFLIGHT_ERROR, DINV_PREFLIGHT_ERROR_DISK);
    g_assert_nonnull(find_line(fixture, "state directory", DINV_CHECK_FAILED));
    g_clear_error(&error);
    set_text(&fixture->config->qemu, g_strdup("no-such-qemu"));
    g_assert_false(dinv_preflight_on(&fixture->host, fixture->config, &fixture->result, &error));
    g_assert_error(error, DINV_PREFLIGHT_ERROR, DINV_PREFLIGHT_ERROR_FAILED);
}

/* A limit cannot be raised again: in a process of its own. */
static void test_few_descriptors(void) {
    if (!g_test_subprocess()) {
        g_test_trap_subprocess(NULL, 0, G_TEST_SUBPROCESS_INHERIT_STDERR);
        g_test_trap_assert_passed();
        return;
    }
    const struct rlimit few = {.rlim_cur = 1024, .rlim_max = 1024};
    DinvMachineVirtiofsd found;
    g_autofree char *reason = NULL;
    g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &few), ==, 0);
    g_assert_false(dinv_machine_virtiofsd_find(&found, &reason));
    g_assert_cmpstr(reason, ==,
                    "virtiofsd needs a limit of 8192 descriptors or more, which is 1024 here "
                    "(docker run --ulimit nofile=524288)");
}

/* All findings are listed, not only the first. */
static void test_all_findings(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    set_text(&fixture->config->qemu, g_strdup("no-such-qemu"));
    g_assert_cmpint(g_unlink(fixture->config->kernel), ==, 0);
    assert_failed(fixture, "qemu", "no-such-qemu");
    g_assert_nonnull(find_line(fixture, "kernel", DINV_CHECK_FAILED));
    g_assert_nonnull(find_line(fixture, "root image", DINV_CHECK_OK));
}

static void test_doctor(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    g_autofree char *text = NULL;
    size_t length;
    FILE *stream = open_memstream(&text, &length);

    fixture->config->accel = DINV_ACCEL_AUTO;
    set_text(&fixture->config->qemu, g_strdup("no-such-qemu"));
    g_assert_false(run(fixture));
    dinv_cli_doctor_print(&fixture->result, stream);
    g_assert_cmpint(fclose(stream), ==, 0);
    g_assert_nonnull(strstr(text, "!!  qemu"));
    g_assert_nonnull(strstr(text, "OK  kernel"));
    g_assert_nonnull(strstr(text, "--  acceleration"));
    g_assert_nonnull(strstr(text, "remedy: install it (Debian: qemu-system-x86)"));
}

#define ADD(name, function)                                                                        \
    g_test_add("/preflight/" name, Fixture, NULL, set_up, function, tear_down)

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    ADD("good", test_good);
    ADD("acceleration/auto", test_auto_without_kvm);
    ADD("acceleration/kvm", test_kvm_without_kvm);
    ADD("acceleration/emulated-twice", test_emulated_twice);
    ADD("qemu/missing", test_qemu_missing);
    ADD("qemu/old", test_qemu_old);
    ADD("qemu/other", test_qemu_other);
    g_test_add_func("/preflight/qemu/version-text", test_qemu_version_text);
    ADD("kernel/file", test_kernel);
    ADD("kernel/initrd", test_initrd);
    g_test_add_func("/preflight/kernel/elf", test_elf);
    ADD("root-image", test_rootfs);
    ADD("memory", test_memory);
    ADD("mounts", test_mounts);
    ADD("mounts/forbidden", test_forbidden_mounts);
    ADD("mounts/auto", test_auto_mounts);
    g_test_add_func("/preflight/mounts/few-descriptors", test_few_descriptors);
    ADD("ports", test_port_taken);
    ADD("plaintext", test_plaintext);
    ADD("certificates", test_certificates);
    ADD("network", test_network);
    ADD("socket", test_socket);
    ADD("state-dir", test_state_dir);
    ADD("state-dir/damaged-disk", test_damaged_disk);
    ADD("all-findings", test_all_findings);
    ADD("doctor", test_doctor);
    return g_test_run();
}
