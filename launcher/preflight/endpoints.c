/* SPDX-License-Identifier: MIT */
/* Where the engine is to answer: the unix socket, the TCP ports, and the certificates for them. */
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "launcher/base/directories.h"
#include "launcher/base/unix-socket.h"
#include "launcher/engine/serving.h"
#include "launcher/preflight/checks.h"
#include "launcher/tls/files.h"
#include "launcher/tls/server.h"
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

static void check_socket(const char *path, gboolean is_bound, DinvPreflightReport *report) {
    g_autofree char *parent = g_path_get_dirname(path);
    g_autofree char *directory = dinv_directory_nearest(parent);
    if (!is_bound && !check_old_socket(path, report)) {
        return;
    }
    if (!is_bound && access(directory, W_OK | X_OK) < 0) {
        report_socket_problem(report,
                              g_strdup_printf("DINV_SOCKET: cannot write to \"%s\": %s", directory,
                                              g_strerror(errno)),
                              "set DINV_SOCKET to a path where this user may write, or give the "
                              "container a tmpfs there (docker run --tmpfs /run)");
        return;
    }
    dinv_preflight_report_add(report, "socket", DINV_PREFLIGHT_OK, g_strdup(path), NULL);
}

void dinv_preflight_check_socket(const DinvPreflightHost *host, const DinvConfig *config,
                                 DinvPreflight *result) {
    check_socket(config->socket_path, host->is_bound, result->report);
    for (guint i = 0; config->more_sockets != NULL && i < config->more_sockets->len; i++) {
        check_socket(config->more_sockets->pdata[i], host->is_bound, result->report);
    }
}

/* --- TCP --- */

/* Adds a line if the port cannot be listened on. */
static gboolean check_port(const DinvConfigPort *port, DinvPreflightReport *report) {
    g_autoptr(GError) error = NULL;
    int fd = dinv_tcp_listen(&port->address, 1, &error);
    if (fd >= 0) {
        close(fd);
        return TRUE;
    }
    dinv_preflight_report_add(
        report, "tcp", DINV_PREFLIGHT_FAILED,
        g_strdup_printf("%s: %s", port->setting, error->message),
        g_strdup_printf("set %s to a free port, or stop who uses it", port->setting));
    return FALSE;
}

static void add_texts(GPtrArray *texts, DinvPreflightStatus status, DinvPreflightReport *report) {
    for (guint i = 0; i < texts->len; i++) {
        dinv_preflight_report_add(report, "certificates", status, g_strdup(texts->pdata[i]), NULL);
    }
}

static gboolean check_store(const DinvConfig *config, DinvPreflightReport *report) {
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

/* Of files that dockerd's options name nothing is made: they can be used, or not. */
static gboolean check_files(const DinvConfig *config, DinvPreflightReport *report) {
    g_auto(DinvTlsFiles) files = dinv_engine_serving_get_files(config);
    g_autoptr(GError) error = NULL;
    g_autoptr(DinvTlsServer) server = dinv_tls_server_new(&files, NULL, NULL, &error);
    if (server == NULL) {
        dinv_preflight_report_add(
            report, "certificates", DINV_PREFLIGHT_FAILED, g_strdup(error->message),
            g_strdup("name others with --tlscacert, --tlscert and --tlskey, or set "
                     "DOCKER_TLS_CERTDIR=/certs, where they are made"));
    }
    return server != NULL;
}

/* Whose clients are let in at a port. Transfer full. */
static char *describe_clients(const DinvConfig *config, gboolean tls) {
    if (!tls) {
        return g_strdup("without TLS: to everyone who reaches it");
    }
    if (config->tls_any_client) {
        return g_strdup("with TLS: to everyone who reaches it");
    }
    g_auto(DinvTlsFiles) files = dinv_engine_serving_get_files(config);
    return g_strdup_printf("with TLS: to clients with a certificate of \"%s\"",
                           config->tls_directory != NULL ? config->tls_directory : files.ca);
}

void dinv_preflight_check_endpoints(const DinvPreflightHost *host, const DinvConfig *config,
                                    DinvPreflight *result) {
    DinvPreflightReport *report = result->report;
    g_autoptr(GArray) ports = dinv_config_list_ports(config);
    gboolean certificates_are_good = TRUE;
    gboolean are_checked = FALSE;
    for (guint i = 0; i < ports->len; i++) {
        const DinvConfigPort *port = &g_array_index(ports, DinvConfigPort, i);
        if (!host->is_bound && !check_port(port, report)) {
            continue;
        }
        if (port->tls && !are_checked) {
            are_checked = TRUE;
            certificates_are_good = config->tls_directory != NULL ? check_store(config, report)
                                                                  : check_files(config, report);
        }
        if (!port->tls || certificates_are_good) {
            g_autofree char *address = dinv_tcp_address_to_string(&port->address);
            g_autofree char *clients = describe_clients(config, port->tls);
            dinv_preflight_report_add(report, "tcp", DINV_PREFLIGHT_OK,
                                      g_strdup_printf("%s, %s", address, clients), NULL);
        }
    }
}
