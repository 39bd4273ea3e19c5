/* SPDX-License-Identifier: MIT */
/* Lists of ports to forward. */
#include "launcher/settings/types.h"

/* A range of ports on both sides; one port is a range of length 1. */
typedef struct {
    guint first;
    guint last;
} PortRange;

static gboolean parse_port(const char *text, guint *port, GError **error) {
    guint64 value = 0;
    if (!dinv_settings_parse_number(text, "a port", 1, G_MAXUINT16, &value, error)) {
        return FALSE;
    }
    *port = (guint)value;
    return TRUE;
}

static gboolean parse_range(const char *text, PortRange *range, GError **error) {
    g_auto(GStrv) ends = g_strsplit(text, "-", 2);
    PortRange result = {0};
    if (ends[0] == NULL) { /* an empty text, as in "80:", is refused as no port */
        return parse_port(text, &result.first, error);
    }
    if (!parse_port(ends[0], &result.first, error)) {
        return FALSE;
    }
    result.last = result.first;
    if (ends[1] != NULL && !parse_port(ends[1], &result.last, error)) {
        return FALSE;
    }
    if (result.last < result.first) {
        g_set_error(error, DINV_SETTINGS_ERROR, DINV_SETTINGS_ERROR_INVALID,
                    "\"%s\" is a range that ends before it begins", text);
        return FALSE;
    }
    *range = result;
    return TRUE;
}

/* "8443:443", "5000-5010": the host's range and the guest's. */
static gboolean parse_port_item(const char *item, PortRange *host, PortRange *guest,
                                GError **error) {
    g_auto(GStrv) sides = g_strsplit(item, ":", 2);
    if (!parse_range(sides[0], host, error)) {
        return FALSE;
    }
    *guest = *host;
    if (sides[1] != NULL && !parse_range(sides[1], guest, error)) {
        return FALSE;
    }
    if (guest->last - guest->first != host->last - host->first) {
        g_set_error(error, DINV_SETTINGS_ERROR, DINV_SETTINGS_ERROR_INVALID,
                    "\"%s\" has %u ports outside and %u inside", item, host->last - host->first + 1,
                    guest->last - guest->first + 1);
        return FALSE;
    }
    return TRUE;
}

static gboolean ranges_meet(const PortRange *a, const PortRange *b) {
    return a->first <= b->last && b->first <= a->last;
}

/* What was read so far of one text: the items as written beside their ranges outside. */
typedef struct {
    char *const *items;
    PortRange *host;
} PortTable;

/* Whether item `last` may stand beside the earlier ones. */
static gboolean check_port_item(const PortTable *table, guint last, GError **error) {
    for (guint i = 0; i < last; i++) {
        if (ranges_meet(&table->host[i], &table->host[last])) {
            g_set_error(error, DINV_SETTINGS_ERROR, DINV_SETTINGS_ERROR_CONFLICT,
                        "port %u is in both \"%s\" and \"%s\"",
                        MAX(table->host[i].first, table->host[last].first), table->items[i],
                        table->items[last]);
            return FALSE;
        }
    }
    return TRUE;
}

/* The words of `text` between separators, without empty ones. */
static char **split_items(const char *text, const char *separators) {
    g_auto(GStrv) words = g_strsplit_set(text, separators, -1);
    g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
    for (gsize i = 0; words[i] != NULL; i++) {
        if (*g_strstrip(words[i]) != '\0') {
            g_strv_builder_add(builder, words[i]);
        }
    }
    return g_strv_builder_end(builder);
}

gboolean dinv_settings_parse_ports(const char *text, DinvProtocol protocol, GArray *ports,
                                   GError **error) {
    g_auto(GStrv) items = split_items(text, ";, \t\n");
    guint count = g_strv_length(items);
    g_autofree PortRange *host = g_new0(PortRange, MIN(count, DINV_PORTS_MAX));
    g_autofree PortRange *guest = g_new0(PortRange, MIN(count, DINV_PORTS_MAX));
    PortTable table = {.items = items, .host = host};
    guint total = 0;
    for (guint i = 0; i < count && total <= DINV_PORTS_MAX; i++) {
        if (i == DINV_PORTS_MAX) {
            total++;
            break;
        }
        if (!parse_port_item(items[i], &host[i], &guest[i], error) ||
            !check_port_item(&table, i, error)) {
            return FALSE;
        }
        total += host[i].last - host[i].first + 1;
    }
    if (total > DINV_PORTS_MAX) {
        g_set_error(error, DINV_SETTINGS_ERROR, DINV_SETTINGS_ERROR_INVALID,
                    "these are more than %u ports; "
                    "ports that containers publish need not be named here",
                    DINV_PORTS_MAX);
        return FALSE;
    }
    for (guint i = 0; i < count; i++) {
        for (guint offset = 0; offset <= host[i].last - host[i].first; offset++) {
            DinvPortForward forward = {.protocol = protocol,
                                       .host_port = (guint16)(host[i].first + offset),
                                       .guest_port = (guint16)(guest[i].first + offset)};
            g_array_append_val(ports, forward);
        }
    }
    return TRUE;
}
