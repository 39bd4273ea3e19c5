/* SPDX-License-Identifier: MIT */
/*
 * The program dinv-usernet: started for a moment, as the machine's network will be, so that it says
 * how it is confined here; and whether a ping can leave.
 */
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launcher/network/usernet.h"
#include "launcher/plan/confinement.h"
#include "launcher/preflight/checks.h"

#define NAME               "network process"
#define USERNET_ANSWER_MS  10000
#define USERNET_STDERR_MAX 1024u

/* Its sockets, ours first; -1: none. */
typedef struct {
    int frames[2];
    int control[2];
} Pairs;

static void close_one(int *fd) {
    if (*fd >= 0) {
        (void)close(*fd);
        *fd = -1;
    }
}

static void close_pairs(Pairs *pairs) {
    for (guint i = 0; i < 2; i++) {
        close_one(&pairs->frames[i]);
        close_one(&pairs->control[i]);
    }
}

/* The first message, in time; its length, 0 if there is none. */
static gsize hear_ready(int control, char message[DINV_USERNET_MESSAGE_MAX + 1]) {
    struct pollfd item = {.fd = control, .events = POLLIN};
    if (poll(&item, 1, USERNET_ANSWER_MS) != 1) {
        return 0;
    }
    ssize_t len = recv(control, message, DINV_USERNET_MESSAGE_MAX, MSG_DONTWAIT);
    return len > 0 ? (gsize)len : 0;
}

/* Ends it, and gives what it said on stderr, in one line. */
static char *end_process(GPid pid, int errors) {
    char text[USERNET_STDERR_MAX + 1];
    (void)kill(pid, SIGKILL);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
        ;
    }
    g_spawn_close_pid(pid);
    ssize_t len = read(errors, text, USERNET_STDERR_MAX);
    (void)close(errors);
    text[MAX(len, 0)] = '\0';
    return g_strstrip(dinv_log_printable_line(text));
}

/* Starts it; what is wrong, for a person, or NULL with the features found. */
static char *try_usernet(const char *program, const DinvConfig *config, char **features) {
    const DinvNetworkUsernetPlan plan = {
        .program = program, .network = "10.0.2.0/24", .mtu = config->mtu};
    g_auto(GStrv) argv = dinv_network_usernet_argv(&plan);
    Pairs pairs = {{-1, -1}, {-1, -1}};
    if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pairs.frames) < 0 ||
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pairs.control) < 0) {
        int number = errno;
        close_pairs(&pairs);
        return g_strdup_printf("cannot be tried: %s", g_strerror(number));
    }
    const int sources[] = {pairs.frames[1], pairs.control[1]};
    const int targets[] = {DINV_NETWORK_USERNET_FRAMES_FD, DINV_NETWORK_USERNET_CONTROL_FD};
    g_autoptr(GError) error = NULL;
    GPid pid = 0;
    int errors = -1;
    gboolean started = g_spawn_async_with_pipes_and_fds(
        NULL, (const char *const *)argv, NULL,
        G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_STDOUT_TO_DEV_NULL | G_SPAWN_CLOEXEC_PIPES, NULL, NULL,
        -1, -1, -1, sources, targets, G_N_ELEMENTS(sources), &pid, NULL, NULL, &errors, &error);
    if (!started) {
        close_pairs(&pairs);
        return g_strdup_printf("cannot be started: %s", error->message);
    }
    close_one(&pairs.frames[1]);
    close_one(&pairs.control[1]);
    char message[DINV_USERNET_MESSAGE_MAX + 1];
    DinvUsernetReply reply;
    gsize len = hear_ready(pairs.control[0], message);
    gboolean understood = len > 0 && dinv_usernet_reply_decode(message, len, &reply) == 0 &&
                          reply.type == DINV_USERNET_READY;
    g_autofree char *said = end_process(pid, errors);
    close_pairs(&pairs);
    if (!understood) {
        return g_strdup_printf("does not start as dinv's network does%s%s",
                               said[0] != '\0' ? ": " : "", said);
    }
    if (reply.version != DINV_USERNET_VERSION) {
        return g_strdup_printf("speaks version %u of the protocol, this dinv version %u",
                               reply.version, DINV_USERNET_VERSION);
    }
    *features = g_strdup(reply.features);
    return NULL;
}

static void report_features(const char *program, DinvPreflight *result) {
    const DinvPlanFindings *findings = &result->findings;
    g_autofree char *missing = dinv_plan_usernet_missing(findings);
    gboolean is_caged = dinv_plan_usernet_is_caged(findings);
    dinv_preflight_report_add(
        result->report, NAME, is_caged ? DINV_PREFLIGHT_OK : DINV_PREFLIGHT_WARNING,
        missing == NULL
            ? g_strdup_printf("%s, confined", program)
            : g_strdup_printf("%s is not confined by %s, which %s not to be had here", program,
                              missing, strchr(missing, ',') != NULL ? "are" : "is"),
        is_caged ? NULL : g_strdup("let the container have seccomp(2) and prctl(2)"));
}

/* The kernel lets only some groups ping without a privilege. */
static void report_ping(DinvPreflight *result) {
    if (result->findings.ping_error != 0) {
        dinv_preflight_report_add(
            result->report, NAME, DINV_PREFLIGHT_OK,
            g_strdup_printf("a ping from inside reaches the outer container only (%s)",
                            g_strerror(result->findings.ping_error)),
            g_strdup("docker run --sysctl net.ipv4.ping_group_range='0 2147483647' lets it out"));
    }
}

static int try_ping(void) {
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_ICMP);
    if (fd < 0) {
        return errno;
    }
    (void)close(fd);
    return 0;
}

void dinv_preflight_check_usernet(const DinvConfig *config, DinvPreflight *result) {
    g_autofree char *program = g_find_program_in_path(config->usernet);
    if (program == NULL) {
        dinv_preflight_report_add(
            result->report, NAME, DINV_PREFLIGHT_FAILED,
            g_strdup_printf("DINV_USERNET: \"%s\" is not a program", config->usernet),
            g_strdup("it is installed with dinv; set DINV_USERNET to its path"));
        return;
    }
    g_autofree char *problem = try_usernet(program, config, &result->findings.usernet_features);
    if (problem != NULL) {
        dinv_preflight_report_add(result->report, NAME, DINV_PREFLIGHT_FAILED,
                                  g_strdup_printf("DINV_USERNET: \"%s\" %s", program, problem),
                                  g_strdup("install dinv and dinv-usernet of the same version, and "
                                           "libslirp (Debian: libslirp0)"));
        return;
    }
    result->findings.ping_error = try_ping();
    report_features(program, result);
    report_ping(result);
}
