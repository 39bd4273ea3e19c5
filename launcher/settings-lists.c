/* SPDX-License-Identifier: MIT */
/* The settings that are lists: forwarded ports and mounts. */
#include "launcher/settings-types.h"

#include <string.h>

/* A range of ports on both sides; one port is a range of length 1. */
typedef struct {
    guint first;
    guint last;
} PortRange;

static gboolean parse_port(const char *text, guint *port, GError **error) {
    guint64 value;

    if (!dinv_parse_number(text, "a port", 1, G_MAXUINT16, &value, error)) {
        return FALSE;
    }
    *port = (guint)value;
    return TRUE;
}

static gboolean parse_range(const char *text, PortRange *range, GError **error) {
    g_auto(GStrv) ends = g_strsplit(text, "-", 2);
    PortRange result;

    if (ends[0] == NULL) { /* an empty text, as in "80:" */
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

/* What was read so far of one text: the items as written beside their ranges. */
typedef struct {
    char *const *items;
    PortRange *host;
    PortRange *guest;
} PortTable;

/* Whether item `last` may stand beside the earlier ones. */
static gboolean check_port_item(const PortTable *table, guint last, DinvProtocol protocol,
                                GError **error) {
    for (guint i = 0; i < last; i++) {
        if (ranges_meet(&table->host[i], &table->host[last])) {
            g_set_error(error, DINV_SETTINGS_ERROR, DINV_SETTINGS_ERROR_CONFLICT,
                        "port %u is in both \"%s\" and \"%s\"",
                        MAX(table->host[i].first, table->host[last].first), table->items[i],
                        table->items[last]);
            return FALSE;
        }
        /* SLIRP sends the replies of two UDP rules to one guest port out of the first of them. */
        if (protocol == DINV_PROTOCOL_UDP && ranges_meet(&table->guest[i], &table->guest[last])) {
            g_set_error(error, DINV_SETTINGS_ERROR, DINV_SETTINGS_ERROR_CONFLICT,
                        "UDP port %u of the guest is the target of both \"%s\" and \"%s\"",
                        MAX(table->guest[i].first, table->guest[last].first), table->items[i],
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

gboolean dinv_parse_ports(const char *text, DinvProtocol protocol, GArray *ports, GError **error) {
    g_auto(GStrv) items = split_items(text, ";, \t\n");
    guint count = g_strv_length(items);
    g_autofree PortRange *host = g_new0(PortRange, MIN(count, DINV_PORTS_MAX));
    g_autofree PortRange *guest = g_new0(PortRange, MIN(count, DINV_PORTS_MAX));
    PortTable table = {.items = items, .host = host, .guest = guest};
    guint total = 0;

    for (guint i = 0; i < count && total <= DINV_PORTS_MAX; i++) {
        if (i == DINV_PORTS_MAX) {
            total++;
            break;
        }
        if (!parse_port_item(items[i], &host[i], &guest[i], error) ||
            !check_port_item(&table, i, protocol, error)) {
            return FALSE;
        }
        total += host[i].last - host[i].first + 1;
    }
    if (total > DINV_PORTS_MAX) {
        g_set_error(error, DINV_SETTINGS_ERROR, DINV_SETTINGS_ERROR_INVALID,
                    "these are more than %u ports; ports that containers publish need not be named "
                    "here",
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

void dinv_mount_spec_free(DinvMountSpec *mount) {
    if (mount == NULL) {
        return;
    }
    g_free(mount->source);
    g_free(mount->target);
    g_free(mount);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC(DinvMountSpec, dinv_mount_spec_free)

gboolean dinv_path_is_within(const char *path, const char *directory) {
    gsize length = strlen(directory);

    if (strcmp(directory, "/") == 0) {
        return TRUE;
    }
    return strncmp(path, directory, length) == 0 && (path[length] == '\0' || path[length] == '/');
}

/* What of the guest's own a mount on `target` would hide, or NULL. */
static const char *hidden_by(const char *target) {
    /* May not be covered, whole or with a parent; a directory within them may. */
    static const char *const kept[] = {"/bin",  "/etc",     "/lib",     "/lib64",    "/run",
                                       "/sbin", "/usr/bin", "/usr/lib", "/usr/sbin", "/var/run"};
    /* Nothing in them either: the kernel's own, and the data disk. */
    static const char *const closed[] = {"/boot", "/dev", "/proc", "/sys", "/var/lib/docker"};

    for (gsize i = 0; i < G_N_ELEMENTS(kept); i++) {
        if (dinv_path_is_within(kept[i], target)) {
            return kept[i];
        }
    }
    for (gsize i = 0; i < G_N_ELEMENTS(closed); i++) {
        if (dinv_path_is_within(closed[i], target) || dinv_path_is_within(target, closed[i])) {
            return closed[i];
        }
    }
    return NULL;
}

static gboolean parse_path(const char *item, const char *text, char **path, GError **error) {
    if (!g_path_is_absolute(text)) {
        g_set_error(error, DINV_SETTINGS_ERROR, DINV_SETTINGS_ERROR_INVALID,
                    "\"%s\" in \"%s\" is not an absolute path (/source, /source:/target or "
                    "/source:/target:ro)",
                    text, item);
        return FALSE;
    }
    while (text[1] == '/') { /* two at the front would be kept, as POSIX allows them a meaning */
        text++;
    }
    *path = g_canonicalize_filename(text, "/");
    return TRUE;
}

gboolean dinv_parse_guest_path(const char *text, char **path, GError **error) {
    g_autofree char *normal = NULL;
    const char *hidden;

    if (text[0] != '/' || strpbrk(text, "\t\n") != NULL) {
        g_set_error(error, DINV_SETTINGS_ERROR, DINV_SETTINGS_ERROR_INVALID,
                    "\"%s\" is not an absolute path without tabs and newlines", text);
        return FALSE;
    }
    if (!parse_path(text, text, &normal, error)) {
        return FALSE;
    }
    hidden = hidden_by(normal);
    if (hidden != NULL) {
        g_set_error(error, DINV_SETTINGS_ERROR, DINV_SETTINGS_ERROR_CONFLICT,
                    "\"%s\" would hide %s of the guest; name a directory of its own, such as "
                    "/volume",
                    normal, hidden);
        return FALSE;
    }
    g_free(*path);
    *path = g_steal_pointer(&normal);
    return TRUE;
}

/* "/source[:/target][:ro|:rw]"; NULL on failure. */
static DinvMountSpec *parse_mount_item(const char *item, GError **error) {
    g_auto(GStrv) parts = g_strsplit(item, ":", -1);
    guint count = g_strv_length(parts);
    g_autoptr(DinvMountSpec) mount = g_new0(DinvMountSpec, 1);
    const char *hidden;

    if (count > 1 && (strcmp(parts[count - 1], "ro") == 0 || strcmp(parts[count - 1], "rw") == 0)) {
        mount->readonly = strcmp(parts[count - 1], "ro") == 0;
        count--;
    }
    if (count > 2) {
        g_set_error(error, DINV_SETTINGS_ERROR, DINV_SETTINGS_ERROR_INVALID,
                    "\"%s\" is not of the form /source, /source:/target or /source:/target:ro",
                    item);
        return NULL;
    }
    if (!parse_path(item, parts[0], &mount->source, error) ||
        !parse_path(item, parts[count - 1], &mount->target, error)) {
        return NULL;
    }
    hidden = hidden_by(mount->target);
    if (hidden != NULL) {
        g_set_error(error, DINV_SETTINGS_ERROR, DINV_SETTINGS_ERROR_CONFLICT,
                    "a mount on \"%s\" would hide %s of the guest; name another target, as in "
                    "\"%s:/mnt%s\"",
                    mount->target, hidden, mount->source, mount->source);
        return NULL;
    }
    return g_steal_pointer(&mount);
}

/* A target within another would need a directory made in the user's files, and depend on order. */
static gboolean check_mount_target(const GPtrArray *mounts, const DinvMountSpec *mount,
                                   GError **error) {
    for (guint i = 0; i < mounts->len; i++) {
        const DinvMountSpec *other = mounts->pdata[i];

        if (strcmp(other->target, mount->target) == 0) {
            g_set_error(error, DINV_SETTINGS_ERROR, DINV_SETTINGS_ERROR_CONFLICT,
                        "\"%s\" is the target of both \"%s\" and \"%s\"", mount->target,
                        other->source, mount->source);
            return FALSE;
        }
        if (dinv_path_is_within(other->target, mount->target) ||
            dinv_path_is_within(mount->target, other->target)) {
            g_set_error(error, DINV_SETTINGS_ERROR, DINV_SETTINGS_ERROR_CONFLICT,
                        "the targets \"%s\" and \"%s\" lie within one another", other->target,
                        mount->target);
            return FALSE;
        }
    }
    return TRUE;
}

gboolean dinv_parse_mounts(const char *text, GPtrArray *mounts, GError **error) {
    g_auto(GStrv) items = split_items(text, ";\n");
    g_autoptr(GPtrArray) parsed =
        g_ptr_array_new_with_free_func((GDestroyNotify)dinv_mount_spec_free);

    for (guint i = 0; items[i] != NULL; i++) {
        g_autoptr(DinvMountSpec) mount = parse_mount_item(items[i], error);

        if (mount == NULL || !check_mount_target(parsed, mount, error)) {
            return FALSE;
        }
        if (parsed->len == DINV_MOUNTS_MAX) {
            g_set_error(error, DINV_SETTINGS_ERROR, DINV_SETTINGS_ERROR_INVALID,
                        "these are more than %u mounts, the machine has no slots for them",
                        DINV_MOUNTS_MAX);
            return FALSE;
        }
        g_ptr_array_add(parsed, g_steal_pointer(&mount));
    }
    g_ptr_array_extend_and_steal(mounts, g_steal_pointer(&parsed));
    return TRUE;
}
