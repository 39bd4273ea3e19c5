/* SPDX-License-Identifier: MIT */
/* Starts the kernel for a moment, collects what it says, and finds the sentence in it. */
#include "launcher/machine/uml/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launcher/machine/process.h"
#include "launcher/machine/uml/argv.h"
#include "launcher/machine/uml/cage.h"
#include "launcher/machine/uml/placement.h"

/* A machine where this takes longer is one where nothing works. */
#define DEADLINE_MS 10000u
#define CONSOLE_MAX 16384u
#define READ_CHUNK  4096u

typedef struct {
    GString *console;
    gboolean has_ended;
    gboolean timed_out;
    int wait_status;
    DinvConfinement in_force;
} Test;

void dinv_uml_verdict_clear(DinvUmlVerdict *verdict) {
    g_clear_pointer(&verdict->text, g_free);
    g_clear_pointer(&verdict->remedy, g_free);
    g_clear_pointer(&verdict->confinement, g_free);
}

/* ---- what it means ---- */

/* The line that says most: a panic's reason, else the last one. NULL if there is none. To be
 * freed. */
static char *find_sentence(const char *text) {
    static const char panic[] = "Kernel panic - not syncing: ";
    const char *found = strstr(text, panic);
    if (found != NULL) {
        found += sizeof panic - 1;
        return g_strstrip(g_strndup(found, strcspn(found, "\n")));
    }
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (guint i = g_strv_length(lines); i > 0; i--) {
        if (*g_strstrip(lines[i - 1]) != '\0') {
            return g_strdup(lines[i - 1]);
        }
    }
    return NULL;
}

/* How it ended, for the end of a sentence. To be freed. */
static char *describe_end(const DinvUmlObservation *seen) {
    if (seen->timed_out) {
        return g_strdup_printf("it had not ended after %u s", DEADLINE_MS / 1000u);
    }
    if (WIFSIGNALED(seen->wait_status)) {
        return g_strdup_printf("killed by signal %d", WTERMSIG(seen->wait_status));
    }
    return g_strdup_printf("ended with status %d", WEXITSTATUS(seen->wait_status));
}

void dinv_uml_interpret(const DinvConfig *config, const DinvUmlObservation *seen,
                        DinvUmlVerdict *verdict) {
    const char *mode = config->uml == DINV_UML_PTRACE ? "ptrace" : "seccomp";
    *verdict = (DinvUmlVerdict){.kind = DINV_UML_WORKS};
    if (!seen->timed_out && WIFEXITED(seen->wait_status) && WEXITSTATUS(seen->wait_status) == 0) {
        verdict->text = g_strdup_printf("User-Mode Linux works (%s)", mode);
        return;
    }
    g_autofree char *of_kernel = find_sentence(seen->console);
    g_autofree char *of_program = find_sentence(seen->error);
    g_autofree char *end = describe_end(seen);
    const char *said = of_kernel != NULL ? of_kernel : of_program;
    verdict->kind = DINV_UML_BROKEN;
    verdict->text = g_strdup_printf("User-Mode Linux (%s) does not work: %s%s%s%s", mode,
                                    said != NULL ? said : end, said != NULL ? " (" : "",
                                    said != NULL ? end : "", said != NULL ? ")" : "");
    verdict->remedy = g_strdup_printf(
        "use a container runtime that allows it (Docker's default seccomp profile does), or "
        "DINV_UML=%s",
        config->uml == DINV_UML_PTRACE ? "seccomp" : "ptrace");
}

/* ---- the test ---- */

static void probe_on_gone(DinvMachineProcess *process G_GNUC_UNUSED, int wait_status,
                          gpointer user) {
    Test *test = user;
    test->has_ended = TRUE;
    test->wait_status = wait_status;
}

static gboolean probe_on_deadline(gpointer user) {
    ((Test *)user)->timed_out = TRUE;
    return G_SOURCE_REMOVE;
}

/* What there is to read now; beyond CONSOLE_MAX it is dropped. */
static void read_console(int fd, GString *console) {
    char bytes[READ_CHUNK];
    for (ssize_t n; (n = read(fd, bytes, sizeof bytes)) > 0;) {
        gsize room = CONSOLE_MAX - console->len;
        g_string_append_len(console, bytes, (gssize)MIN((gsize)n, room));
    }
}

static gboolean probe_on_console(int fd, GIOCondition condition, gpointer user) {
    read_console(fd, ((Test *)user)->console);
    return (condition & G_IO_IN) != 0 ? G_SOURCE_CONTINUE : G_SOURCE_REMOVE;
}

/* The descriptors that it has: the root image, its end of the console, those of its cage. */
enum { TEST_ROOT = DINV_MACHINE_PROCESS_FIRST_FD, TEST_CONSOLE, TEST_CAGE };

/* `fds` are the root image, and the kernel's end of the console. */
static DinvMachineProcess *start_test(const DinvConfig *config, const int *fds, Test *test,
                                      gboolean opens_files, GError **error) {
    static const int disks[] = {TEST_ROOT};
    gboolean use_ptrace = config->uml == DINV_UML_PTRACE;
    g_autoptr(DinvUmlPlacement) placement = dinv_uml_placement_new(1);
    DinvUmlCage cage;
    if (!dinv_uml_cage_init(&cage, config->uml_kernel, use_ptrace, opens_files, TEST_CAGE, disks,
                            G_N_ELEMENTS(disks), error)) {
        return NULL;
    }
    const DinvUmlFds numbers = {
        .root = TEST_ROOT, .console = TEST_CONSOLE, .cpuinfo = cage.cpuinfo};
    g_auto(GStrv) argv =
        dinv_uml_test_argv(use_ptrace, &numbers, dinv_uml_placement_get_pins(placement));
    g_autoptr(GArray) all = g_array_new(FALSE, FALSE, sizeof(int));
    g_array_append_vals(all, fds, TEST_CAGE - TEST_ROOT);
    return dinv_uml_cage_spawn(&cage, argv, all, &test->in_force, probe_on_gone, test, error);
}

/* Runs it to its end. */
static void run_test(const DinvConfig *config, const int *fds, int console_fd, gboolean opens_files,
                     Test *test, DinvUmlVerdict *verdict) {
    g_autoptr(GError) error = NULL;
    DinvMachineProcess *process = start_test(config, fds, test, opens_files, &error);
    if (process == NULL) {
        verdict->kind = DINV_UML_BROKEN;
        verdict->text =
            g_strdup_printf("DINV_UML_KERNEL: \"%s\" %s", config->uml_kernel, error->message);
        verdict->remedy = g_strdup("set DINV_UML_KERNEL to a kernel for User-Mode Linux");
        return;
    }
    guint deadline = g_timeout_add(DEADLINE_MS, probe_on_deadline, test);
    guint console =
        g_unix_fd_add(console_fd, G_IO_IN | G_IO_HUP | G_IO_ERR, probe_on_console, test);
    while (!test->has_ended && !test->timed_out) {
        (void)g_main_context_iteration(NULL, TRUE);
    }
    if (!test->timed_out) {
        (void)g_source_remove(deadline);
    }
    GSource *reader = g_main_context_find_source_by_id(NULL, console);
    if (reader != NULL) {
        g_source_destroy(reader);
    }
    read_console(console_fd, test->console);
    g_autofree char *said = g_utf8_make_valid(test->console->str, (gssize)test->console->len);
    const DinvUmlObservation seen = {.timed_out = test->timed_out,
                                     .wait_status = test->wait_status,
                                     .error = dinv_machine_process_get_stderr(process),
                                     .console = said};
    dinv_uml_interpret(config, &seen, verdict);
    dinv_machine_process_free(process);
    verdict->opens_files = opens_files;
    if (verdict->kind == DINV_UML_WORKS) {
        verdict->confinement = dinv_uml_cage_describe(&test->in_force, opens_files);
    }
}

static void set_problem(DinvUmlVerdict *verdict, DinvUmlVerdictKind kind, const char *setting,
                        const char *path, int number) {
    verdict->kind = kind;
    verdict->text = g_strdup_printf("%s: \"%s\" %s", setting, path,
                                    number == ENOENT ? "does not exist" : g_strerror(number));
    verdict->remedy = g_strdup_printf("set %s to a file that can be read (in a checkout, make "
                                      "images makes it)",
                                      setting);
}

/* FALSE if there is no use in another try. */
static gboolean try_kernel(const DinvConfig *config, int root, gboolean opens_files,
                           DinvUmlVerdict *verdict) {
    int pair[2];
    dinv_uml_verdict_clear(verdict);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
        set_problem(verdict, DINV_UML_BROKEN, "User-Mode Linux", "a socket pair", errno);
        return FALSE;
    }
    (void)g_unix_set_fd_nonblocking(pair[0], TRUE, NULL);
    Test test = {.console = g_string_new(NULL)};
    run_test(config, (const int[]){root, pair[1]}, pair[0], opens_files, &test, verdict);
    g_string_free(test.console, TRUE);
    (void)close(pair[0]);
    (void)close(pair[1]);
    return test.has_ended && verdict->kind == DINV_UML_BROKEN;
}

void dinv_uml_probe(const DinvConfig *config, DinvUmlVerdict *verdict) {
    *verdict = (DinvUmlVerdict){.kind = DINV_UML_BROKEN};
    if (access(config->uml_kernel, X_OK) < 0) {
        set_problem(verdict, DINV_UML_MISSING, "DINV_UML_KERNEL", config->uml_kernel, errno);
        return;
    }
    int root = open(config->rootfs, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (root < 0) {
        set_problem(verdict, DINV_UML_BROKEN, "DINV_ROOTFS", config->rootfs, errno);
        return;
    }
    if (try_kernel(config, root, FALSE, verdict)) {
        (void)try_kernel(config, root, TRUE, verdict);
    }
    (void)close(root);
}
