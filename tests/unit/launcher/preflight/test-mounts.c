/* SPDX-License-Identifier: MIT */
/* What may be shown in the guest: what preflight says of each mount, and the list that the plan
 * has. */
#include <sys/resource.h>
#include <unistd.h>

#include "launcher/machine/virtiofsd.h"
#include "launcher/preflight/checks.h"
#include "launcher/settings/types.h"
#include "tests/unit/lib/preflight-fixture.h"

static void test_mounts(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    g_autofree char *missing = scratch_path(&fixture->scratch, "missing");
    g_autofree char *text = g_strdup_printf("%s:/a:ro;%s:/b:ro", fixture->scratch.path, missing);
    g_assert_true(dinv_settings_parse_mounts(text, fixture->config->mounts,
                                             &fixture->config->mounts_auto, NULL));
    assert_failed(fixture, "mount", "/missing\" does not exist");
    scratch_write(&fixture->scratch, "missing", "");
    g_assert_true(run(fixture));
    g_assert_true(((const DinvMountSpec *)fixture->plan->mounts->pdata[1])->is_file);
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
        forget(fixture);
        dinv_preflight_look_at_mounts(&fixture->host, fixture->config, &fixture->result);
        dinv_preflight_check_mounts(fixture->config, &fixture->result);
        const DinvPreflightLine *line = fixture->result.report->lines->pdata[0];
        g_assert_cmpint(line->status, ==,
                        cases[i].good ? DINV_PREFLIGHT_OK : DINV_PREFLIGHT_FAILED);
        g_assert_true(cases[i].good || strstr(line->text, "would give the guest ") != NULL);
    }
}

static const DinvMountSpec *find_mount(Fixture *fixture, const char *target) {
    for (guint i = 0; i < fixture->plan->mounts->len; i++) {
        const DinvMountSpec *mount = fixture->plan->mounts->pdata[i];
        if (strcmp(mount->target, target) == 0) {
            return mount;
        }
    }
    return NULL;
}

static guint count_lines(const Fixture *fixture, const char *name, DinvPreflightStatus status) {
    guint count = 0;
    for (guint i = 0; i < fixture->result.report->lines->len; i++) {
        const DinvPreflightLine *line = fixture->result.report->lines->pdata[i];
        count += strcmp(line->name, name) == 0 && line->status == status ? 1 : 0;
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
    g_assert_cmpuint(fixture->plan->mounts->len, ==, 0); /* not without "auto" */
    g_assert_true(dinv_settings_parse_mounts(text, fixture->config->mounts,
                                             &fixture->config->mounts_auto, NULL));
    fixture->config->mounts_auto = TRUE;
    g_assert_true(run(fixture));
    g_assert_cmpuint(fixture->plan->mounts->len, ==, 4);
    g_assert_nonnull(find_mount(fixture, "/elsewhere"));
    g_assert_true(find_mount(fixture, named)->readonly); /* as it was asked for */
    g_assert_nonnull(find_mount(fixture, odd));
    g_assert_null(find_mount(fixture, nested)); /* seen through m/a */
    for (guint i = 1; i < fixture->plan->mounts->len; i++) {
        const DinvMountSpec *before = fixture->plan->mounts->pdata[i - 1];
        const DinvMountSpec *after = fixture->plan->mounts->pdata[i];
        g_assert_cmpstr(before->target, <, after->target);
    }
    const DinvPreflightLine *line = find_line(fixture, "mount", DINV_PREFLIGHT_WARNING);
    g_assert_nonnull(strstr(line->text, "/etc/dinv-test is not shown in the guest: it would hide "
                                        "/etc of the guest"));
    g_assert_cmpuint(count_lines(fixture, "mount", DINV_PREFLIGHT_WARNING), ==, 3);
    line = find_line(fixture, "mount", DINV_PREFLIGHT_NOTE);
    g_assert_nonnull(strstr(line->text, "is not shown in the guest: it holds the engine's socket"));
}

/* A limit cannot be raised again: in a process of its own. */
static void test_few_descriptors(void) {
    if (!g_test_subprocess()) {
        g_test_trap_subprocess(NULL, 0, G_TEST_SUBPROCESS_INHERIT_STDERR);
        g_test_trap_assert_passed();
        return;
    }
    const struct rlimit few = {.rlim_cur = 1024, .rlim_max = 1024};
    DinvMachineVirtiofsd found = {0};
    g_autofree char *reason = NULL;
    g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &few), ==, 0);
    g_assert_false(dinv_machine_virtiofsd_find(NULL, &found, &reason));
    g_assert_cmpstr(reason, ==,
                    "virtiofsd needs a limit of 8192 descriptors or more, which is 1024 here "
                    "(docker run --ulimit nofile=524288)");
}

/* A program that was chosen and is none is said by its name, and no other is taken. */
static void test_chosen_virtiofsd(void) {
    DinvMachineVirtiofsd found = {0};
    g_autofree char *reason = NULL;
    if (!dinv_machine_virtiofsd_find("/proc/self/exe", &found, &reason)) {
        /* Only with these capabilities does root get as far as to look at the program. */
        g_assert_cmpstr(reason, ==, "virtiofsd of root needs Docker's default capabilities");
        return;
    }
    g_assert_cmpstr(found.program, ==, "/proc/self/exe");
    g_assert_false(found.is_of_qemu);
    g_assert_true(geteuid() == 0 || found.squashes);
    g_assert_cmpuint(found.uid, ==, geteuid());
    g_assert_false(dinv_machine_virtiofsd_find("/no/virtiofsd", &found, &reason));
    g_assert_cmpstr(reason, ==, "DINV_VIRTIOFSD: \"/no/virtiofsd\" is not a program");
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    PREFLIGHT_TEST("mounts", test_mounts);
    PREFLIGHT_TEST("mounts/forbidden", test_forbidden_mounts);
    PREFLIGHT_TEST("mounts/auto", test_auto_mounts);
    g_test_add_func("/preflight/mounts/few-descriptors", test_few_descriptors);
    g_test_add_func("/preflight/mounts/chosen-virtiofsd", test_chosen_virtiofsd);
    return g_test_run();
}
