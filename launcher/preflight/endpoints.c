/* SPDX-License-Identifier: MIT */
/* Where the engine is to answer: the unix socket, the TCP ports, and the certificates for them. */
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "launcher/base/directories.h"
#include "launcher/base/unix-socket.h"
#include "launcher/preflight/checks.h"
#include "launcher/tls/files.h"
#include "launcher/tls/store.h"

/* --- The unix socket --- */

static void report_socket_problem(DinvPreflightReport *report, char *text, const char *remedy) {
    dinv_preflight_report_add(report, "socket", DINV_PREFLIGHT_FAILED, text, g_strdup(remedy));
}

/* Whether what is at `path` can be replaced, or nothing is; else adds a line. */
static gboolean check_old_socket(const char *path, DinvPreflightReport *report) {
    struct stat status;
    if (lstat(path, &status) < 0) {
        if (errno == ENOENT) {
            return TRUE;
        }
        report_socket_problem(
            report,
            g_strdup_printf("DINV_SOCKET: \"%s\" cannot be used: %s", path, g_strerror(errno)),
            "set DINV_SOCKET to another path");
        return FALSE;
    }
    int live = S_ISSOCK(status.st_mode) ? dinv_unix_socket_is_alive(path) : -ENOTSOCK;
    if (live == 0) {
        return TRUE;
    }
    report_socket_problem(
        report,
        live == 1 ? g_strdup_printf("DINV_SOCKET: something answers at \"%s\" already", path)
        : live == -ENOTSOCK
            ? g_strdup_printf("DINV_SOCKET: \"%s\" is there and is not a socket", path)
            : g_strdup_printf("DINV_SOCKET: \"%s\" cannot be used: %s", path, g_strerror(-live)),
        "remove it (is the host's docker.sock mounted there?), or set DINV_SOCKET to another path");
    return FALSE;
}

void dinv_preflight_check_socket(const DinvConfig *config, DinvPreflight *result) {
    const char *path = config->socket_path;
    g_autofree char *parent = g_path_get_dirname(path);
    g_autofree char *directory = dinv_directory_nearest(parent);
    if (!check_old_socket(path, result->report)) {
        return;
    }
    if (access(directory, W_OK | X_OK) < 0) {
        report_socket_problem(result->report,
                              g_strdup_printf("DINV_SOCKET: cannot write to \"%s\": %s", directory,
                                              g_strerror(errno)),
                              "set DINV_SOCKET to a path where this user may write, or give the "
                              "container a tmpfs there (docker run --tmpfs /run)");
        return;
    }
    dinv_preflight_report_add(result->report, "socket", DINV_PREFLIGHT_OK, g_strdup(path), NULL);
}

/* --- TCP --- */

/* Adds a line if `address` cannot be listened on. */
static gboolean check_port(const char *setting, const DinvTcpAddress *address,
                           DinvPreflightReport *report) {
    g_autoptr(GError) error = NULL;
    int fd = dinv_tcp_listen(address, 1, &error);
    if (fd >= 0) {
        close(fd);
        return TRUE;
    }
    dinv_preflight_report_add(
        report, "tcp", DINV_PREFLIGHT_FAILED, g_strdup_printf("%s: %s", setting, error->message),
        g_strdup_printf("set %s to a free port, or stop who uses it", setting));
    return FALSE;
}

static void add_texts(GPtrArray *texts, DinvPreflightStatus status, DinvPreflightReport *report) {
    for (guint i = 0; i < texts->len; i++) {
        dinv_preflight_report_add(report, "certificates", status, g_strdup(texts->pdata[i]), NULL);
    }
}

static gboolean check_certificates(const DinvConfig *config, DinvPreflightReport *report) {
    g_auto(GStrv) names = dinv_tls_list_names((const char *const *)config->tls_names);
    g_autoptr(GPtrArray) notes = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GError) error = NULL;
    if (!dinv_tls_store_check(config->tls_directory, (const char *const *)names, notes, warnings,
                              &error)) {
        gboolean io = g_error_matches(error, DINV_TLS_ERROR, DINV_TLS_ERROR_IO);
        dinv_preflight_report_add(
            report, "certificates", DINV_PREFLIGHT_FAILED,
            g_strdup_printf("DINV_TLS_CERTDIR: %s", error->message),
            io ? g_strdup_printf("give the container a volume there (docker run -v NAME:%s), "
                                 "writable for the user it runs as",
                                 config->tls_directory)
               : NULL);
        return FALSE;
    }
    add_texts(notes, DINV_PREFLIGHT_OK, report);
    add_texts(warnings, DINV_PREFLIGHT_WARNING, report);
    return TRUE;
}

void dinv_preflight_check_endpoints(const DinvConfig *config, DinvPreflight *result) {
    DinvPreflightReport *report = result->report;
    if (config->plaintext.port != 0 &&
        check_port("DINV_PLAINTEXT_PORT", &config->plaintext, report)) {
        g_autofree char *address = dinv_tcp_address_to_string(&config->plaintext);
        dinv_preflight_report_add(
            report, "tcp", DINV_PREFLIGHT_OK,
            g_strdup_printf("%s, without TLS: to everyone who reaches it", address), NULL);
    }
    if (config->tls_directory != NULL && check_port("DINV_TLS_PORT", &config->tls, report) &&
        check_certificates(config, report)) {
        g_autofree char *address = dinv_tcp_address_to_string(&config->tls);
        dinv_preflight_report_add(
            report, "tcp", DINV_PREFLIGHT_OK,
            g_strdup_printf("%s, with TLS: to clients with a certificate of \"%s\"", address,
                            config->tls_directory),
            NULL);
    }
}
