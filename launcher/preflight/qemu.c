/* SPDX-License-Identifier: MIT */
/* The program QEMU: whether it is there, and which version of it. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launcher/preflight/checks.h"

#define NAME                  "qemu"
#define QEMU_MAJOR            7u
#define QEMU_MINOR            2u
#define QEMU_DEADLINE_MS      G_GINT64_CONSTANT(10000)
#define QEMU_OUTPUT_MAX_BYTES 4096u

gboolean dinv_preflight_parse_qemu_version(const char *text, guint *major, guint *minor) {
    static const char prefix[] = "QEMU emulator version ";
    if (!g_str_has_prefix(text, prefix) || !g_ascii_isdigit(text[sizeof prefix - 1])) {
        return FALSE;
    }
    char *end = NULL;
    guint64 first = g_ascii_strtoull(text + sizeof prefix - 1, &end, 10);
    if (*end != '.' || !g_ascii_isdigit(end[1])) {
        return FALSE;
    }
    guint64 second = g_ascii_strtoull(end + 1, NULL, 10);
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
        if (ready < 0 && errno == EINTR) {
            continue;
        }
        if (ready <= 0) {
            return FALSE;
        }
        ssize_t count = read(fd, text + length, size - 1 - length);
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

/* Runs `program --version`; what it said (untrusted, at most QEMU_OUTPUT_MAX_BYTES), or NULL. */
static char *ask_qemu_version(const char *program, GError **error) {
    const char *arguments[] = {program, "--version", NULL};
    g_autofree char *text = g_malloc(QEMU_OUTPUT_MAX_BYTES);
    GPid pid = 0;
    int output = -1;
    if (!g_spawn_async_with_pipes(NULL, (char **)arguments, NULL,
                                  G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_STDERR_TO_DEV_NULL, NULL,
                                  NULL, &pid, NULL, &output, NULL, error)) {
        return NULL;
    }
    gboolean answered = read_until_end(output, text, QEMU_OUTPUT_MAX_BYTES);
    close(output);
    kill(pid, SIGKILL); /* it has said what it had to say, or never will */
    int status = 0;
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
    DinvPreflightReport *report = result->report;
    g_autofree char *program = g_find_program_in_path(config->qemu);
    if (program == NULL) {
        dinv_preflight_report_add(
            report, NAME, DINV_PREFLIGHT_FAILED,
            g_strdup_printf("DINV_QEMU: \"%s\" is not a program", config->qemu),
            g_strdup("install it (Debian: qemu-system-x86), or set DINV_QEMU to its path"));
        return;
    }
    g_autoptr(GError) error = NULL;
    g_autofree char *text = ask_qemu_version(program, &error);
    guint major = 0;
    guint minor = 0;
    if (text == NULL || !dinv_preflight_parse_qemu_version(text, &major, &minor)) {
        const char *problem = text == NULL ? error->message : "does not say which QEMU it is";
        dinv_preflight_report_add(report, NAME, DINV_PREFLIGHT_FAILED,
                                  g_strdup_printf("DINV_QEMU: \"%s\" %s", program, problem),
                                  g_strdup("set DINV_QEMU to a qemu-system-x86_64"));
        return;
    }
    if (major < QEMU_MAJOR || (major == QEMU_MAJOR && minor < QEMU_MINOR)) {
        dinv_preflight_report_add(
            report, NAME, DINV_PREFLIGHT_FAILED,
            g_strdup_printf("DINV_QEMU: \"%s\" is version %u.%u, too old", program, major, minor),
            g_strdup_printf("install QEMU %u.%u or later", QEMU_MAJOR, QEMU_MINOR));
        return;
    }
    result->findings.qemu_major = major;
    result->findings.qemu_minor = minor;
    dinv_preflight_report_add(report, NAME, DINV_PREFLIGHT_OK,
                              g_strdup_printf("%s, version %u.%u", program, major, minor), NULL);
}
