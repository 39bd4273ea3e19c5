/* SPDX-License-Identifier: MIT */
/* Hears of changes by rtnetlink, and compares all networks with the plan at each of them. */
#include "launcher/network/watch.h"

#include <errno.h>
#include <gio/gio.h>
#include <glib-unix.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <unistd.h>

#include "launcher/base/log.h"

struct DinvNetworkWatch {
    const DinvEngineNetworkPlan *plan;
    GHashTable *told; /* the sentences without the device, as a set */
    int fd;
    guint source;
};

/* What is told once: a network that goes and comes again has another device then. */
static char *without_device(const char *text) {
    const char *device = g_strrstr(text, " on ");
    return device != NULL ? g_strndup(text, (gsize)(device - text)) : g_strdup(text);
}

/* Returns how many are new. */
static guint compare_networks(DinvNetworkWatch *watch, const GArray *outer, gboolean tell) {
    guint count = 0;
    for (guint part = DINV_ENGINE_NETWORK_PLAN_SLIRP; part <= DINV_ENGINE_NETWORK_PLAN_POOLS;
         part++) {
        g_autoptr(GPtrArray) conflicts =
            dinv_engine_network_plan_list_conflicts(watch->plan, part, outer);
        for (guint i = 0; i < conflicts->len; i++) {
            const char *text = g_ptr_array_index(conflicts, i);
            if (!g_hash_table_add(watch->told, without_device(text))) {
                continue;
            }
            count++;
            if (tell) {
                dinv_log(DINV_LOG_WARNING,
                         "%s; containers there may not be reached, and get no answers from "
                         "published ports, until dinv is restarted and chooses others",
                         text);
            }
        }
    }
    return count;
}

guint dinv_network_watch_compare(DinvNetworkWatch *watch, const GArray *outer) {
    return compare_networks(watch, outer, TRUE);
}

/* The messages only say that something has changed; what there is now is looked up. */
static gboolean network_on_change(gint fd, GIOCondition condition, gpointer user) {
    DinvNetworkWatch *watch = user;
    char message[8192];
    ssize_t len;
    (void)condition;
    do { /* ENOBUFS: some were lost, which is all the same here */
        len = recv(fd, message, sizeof message, MSG_DONTWAIT);
    } while (len > 0 || (len < 0 && (errno == EINTR || errno == ENOBUFS)));
    if (len == 0 || (errno != EAGAIN && errno != EWOULDBLOCK)) {
        dinv_log(DINV_LOG_WARNING, "networks joined from now on are not compared, ignoring");
        watch->source = 0;
        return G_SOURCE_REMOVE;
    }
    g_autoptr(GArray) outer = dinv_host_network_list(NULL);
    (void)dinv_network_watch_compare(watch, outer);
    return G_SOURCE_CONTINUE;
}

DinvNetworkWatch *dinv_network_watch_new(const DinvEngineNetworkPlan *plan, GError **error) {
    struct sockaddr_nl address = {.nl_family = AF_NETLINK,
                                  .nl_groups = RTMGRP_IPV4_IFADDR | RTMGRP_IPV4_ROUTE};
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof address) < 0) {
        int failure = errno;
        g_set_error(error, G_IO_ERROR, (gint)g_io_error_from_errno(failure),
                    "cannot watch the networks: %s", g_strerror(failure));
        if (fd >= 0) {
            (void)close(fd);
        }
        return NULL;
    }
    DinvNetworkWatch *watch = g_new0(DinvNetworkWatch, 1);
    watch->plan = plan;
    watch->told = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    watch->fd = fd;
    watch->source = g_unix_fd_add(fd, G_IO_IN, network_on_change, watch);
    g_autoptr(GArray) outer = dinv_host_network_list(NULL);
    (void)compare_networks(watch, outer, FALSE); /* preflight has told those */
    return watch;
}

void dinv_network_watch_free(DinvNetworkWatch *watch) {
    if (watch == NULL) {
        return;
    }
    g_clear_handle_id(&watch->source, g_source_remove);
    (void)close(watch->fd);
    g_hash_table_unref(watch->told);
    g_free(watch);
}
