/* SPDX-License-Identifier: MIT */
/* Who is in, who is on trial, and how many refusals the log has shown in this minute. */
#include "launcher/tls/server.h"

#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "launcher/base/log.h"
#include "launcher/tls/connection.h"
#include "launcher/tls/files.h"

/* Refusals that reach the log in one window of time. */
#define LOG_LINES     5u
#define LOG_WINDOW_MS 60000u

/* TLS 1.2 and later, and of their ciphers those that GnuTLS takes as secure. */
#define PRIORITY "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:%SERVER_PRECEDENCE"

typedef struct {
    DinvTlsServer *server;
    DinvTlsConnection *connection;
    GList link; /* in `pending` or `open` */
    gboolean established;
    char peer[INET6_ADDRSTRLEN];
} Client;

struct DinvTlsServer {
    gnutls_certificate_credentials_t credentials;
    gnutls_priority_t priority;
    gboolean any_client; /* none has to show a certificate */
    GQueue pending;      /* of Client*, the oldest first */
    GQueue open;
    guint logged;       /* lines in this window */
    guint log_source;   /* the window's end */
    guint64 not_logged; /* in this window */
    void (*client)(int fd, gpointer user);
    gpointer user;
};

static gboolean tls_server_on_log_window(gpointer user) {
    DinvTlsServer *server = user;
    if (server->not_logged > 0) {
        dinv_log(DINV_LOG_WARNING, "refused %" G_GUINT64_FORMAT " more clients with TLS",
                 server->not_logged);
    }
    server->log_source = 0;
    server->logged = 0;
    server->not_logged = 0;
    return G_SOURCE_REMOVE;
}

static void log_refusal(DinvTlsServer *server, const char *peer, const char *reason) {
    if (server->log_source == 0) {
        server->log_source = g_timeout_add(LOG_WINDOW_MS, tls_server_on_log_window, server);
    }
    if (server->logged == LOG_LINES) {
        server->not_logged++;
        return;
    }
    server->logged++;
    dinv_log(DINV_LOG_WARNING, "refused a client with TLS: %s %s%s", peer, reason,
             server->logged == LOG_LINES ? "; not telling of more within this minute" : "");
}

static void tls_client_free(Client *client) {
    g_queue_unlink(client->established ? &client->server->open : &client->server->pending,
                   &client->link);
    dinv_tls_connection_free(client->connection);
    g_free(client);
}

static void tls_client_on_established(DinvTlsConnection *connection G_GNUC_UNUSED, int plain_fd,
                                      gpointer user) {
    Client *client = user;
    DinvTlsServer *server = client->server;
    g_queue_unlink(&server->pending, &client->link);
    g_queue_push_tail_link(&server->open, &client->link);
    client->established = TRUE;
    server->client(plain_fd, server->user);
}

static void tls_client_on_ended(DinvTlsConnection *connection G_GNUC_UNUSED, const char *refused,
                                gpointer user) {
    Client *client = user;
    if (refused != NULL) {
        log_refusal(client->server, client->peer, refused);
    }
    tls_client_free(client);
}

static void describe_peer(int fd, char *text, gsize size) {
    union {
        struct sockaddr any;
        struct sockaddr_in ipv4;
        struct sockaddr_in6 ipv6;
    } address = {0};
    socklen_t length = sizeof address;
    (void)g_strlcpy(text, "a client", size);
    if (getpeername(fd, &address.any, &length) < 0) {
        return;
    }
    if (address.any.sa_family == AF_INET) {
        (void)inet_ntop(AF_INET, &address.ipv4.sin_addr, text, (socklen_t)size);
    } else if (address.any.sa_family == AF_INET6) {
        (void)inet_ntop(AF_INET6, &address.ipv6.sin6_addr, text, (socklen_t)size);
        /* An IPv4 client of a socket for both. */
        if (IN6_IS_ADDR_V4MAPPED(&address.ipv6.sin6_addr)) {
            (void)inet_ntop(AF_INET, &address.ipv6.sin6_addr.s6_addr[12], text, (socklen_t)size);
        }
    }
}

void dinv_tls_server_take(DinvTlsServer *server, int fd) {
    static const DinvTlsConnectionCallbacks callbacks = {.established = tls_client_on_established,
                                                         .ended = tls_client_on_ended};
    if (server->pending.length >= DINV_TLS_PENDING_MAX) {
        Client *oldest = server->pending.head->data;
        log_refusal(server, oldest->peer, "is one of too many without a certificate yet");
        tls_client_free(oldest);
    }
    Client *client = g_new0(Client, 1);
    client->server = server;
    client->link.data = client;
    describe_peer(fd, client->peer, sizeof client->peer);
    client->connection =
        dinv_tls_connection_new(fd, server->credentials, server->priority, server->any_client,
                                DINV_TLS_HANDSHAKE_MS, &callbacks, client);
    if (client->connection == NULL) {
        g_free(client);
        return;
    }
    g_queue_push_tail_link(&server->pending, &client->link);
}

static gboolean tls_server_load(DinvTlsServer *server, const DinvTlsFiles *files, GError **error) {
    const char *failed = "set TLS up";
    int code = gnutls_priority_init(&server->priority, PRIORITY, NULL);
    if (code >= 0) {
        code = gnutls_certificate_allocate_credentials(&server->credentials);
    }
    if (code >= 0 && files->ca != NULL) {
        failed = files->ca;
        code = gnutls_certificate_set_x509_trust_file(server->credentials, files->ca,
                                                      GNUTLS_X509_FMT_PEM);
    }
    if (code >= 0) {
        failed = files->certificate;
        code = gnutls_certificate_set_x509_key_file(server->credentials, files->certificate,
                                                    files->key, GNUTLS_X509_FMT_PEM);
    }
    if (code < 0) {
        g_set_error(error, DINV_TLS_ERROR, DINV_TLS_ERROR_FAILED, "cannot use \"%s\": %s", failed,
                    gnutls_strerror(code));
        return FALSE;
    }
    return TRUE;
}

DinvTlsServer *dinv_tls_server_new(const DinvTlsFiles *files, void (*client)(int fd, gpointer user),
                                   gpointer user, GError **error) {
    g_autoptr(DinvTlsServer) server = g_new0(DinvTlsServer, 1);
    g_queue_init(&server->pending);
    g_queue_init(&server->open);
    server->client = client;
    server->user = user;
    server->any_client = files->ca == NULL;
    return tls_server_load(server, files, error) ? g_steal_pointer(&server) : NULL;
}

static void tls_clients_free(GQueue *clients) {
    while (clients->head != NULL) {
        tls_client_free(clients->head->data);
    }
}

void dinv_tls_server_drop_pending(DinvTlsServer *server) {
    tls_clients_free(&server->pending);
}

void dinv_tls_server_free(DinvTlsServer *server) {
    if (server == NULL) {
        return;
    }
    g_clear_handle_id(&server->log_source, g_source_remove);
    tls_clients_free(&server->pending);
    tls_clients_free(&server->open);
    if (server->credentials != NULL) {
        gnutls_certificate_free_credentials(server->credentials);
    }
    if (server->priority != NULL) {
        gnutls_priority_deinit(server->priority);
    }
    g_free(server);
}
