/* SPDX-License-Identifier: MIT */
/*
 * Parsers of the texts that settings are made of: choices (types.c), numbers (numbers.c), networks
 * (networks.c), TCP addresses and the names of certificates (tcp.c), lists of ports (ports.c) and
 * of mounts (mounts.c). All are pure: they look at the text only, never at the machine. Any text
 * may come, since daemon.json's values are read with these as well. Each leaves its output
 * untouched on failure and sets a DINV_SETTINGS_ERROR whose message quotes the offending part and
 * says what is accepted; the caller prefixes the name of the setting.
 */
#pragma once

#include "launcher/settings/config.h"

#define DINV_SETTINGS_ERROR (dinv_settings_error_quark())
GQuark dinv_settings_error_quark(void);

typedef enum {
    DINV_SETTINGS_ERROR_INVALID,  /* a value that is not of its type, or out of range */
    DINV_SETTINGS_ERROR_CONFLICT, /* values that cannot hold together */
    DINV_SETTINGS_ERROR_FLAG,     /* an unknown flag, or one without its value */
    DINV_SETTINGS_ERROR_HELP,     /* not a mistake: -h or --help was met */
} DinvSettingsError;

/* Each forward is a word on QEMU's command line and a socket in it. */
#define DINV_PORTS_MAX 1024u

/* "512M", "1.5G", "2GiB", "1048576": bytes. Suffixes K, M, G, T (powers of 1024, either case,
 * optionally followed by B or iB). `minimum` and `maximum` are inclusive. */
gboolean dinv_settings_parse_size(const char *text, guint64 minimum, guint64 maximum,
                                  guint64 *bytes, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* "8", "1.5", "500ms", "30s", "2m", "1h": milliseconds; a plain number is seconds. */
gboolean dinv_settings_parse_duration(const char *text, guint minimum_ms, guint maximum_ms,
                                      guint *milliseconds,
                                      GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* A decimal number without sign; `what` is what the message calls it: "a number of CPUs". */
gboolean dinv_settings_parse_number(const char *text, const char *what, guint64 minimum,
                                    guint64 maximum, guint64 *number,
                                    GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* An octal file mode, 0 to 0777, with or without leading zeros. */
gboolean dinv_settings_parse_mode(const char *text, mode_t *mode,
                                  GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* A word, and the enumeration's value that it stands for. A list ends with name NULL. */
typedef struct {
    const char *name;
    guint value;
} DinvSettingChoice;

/* One of `choices`. */
gboolean dinv_settings_parse_choice(const char *text, const DinvSettingChoice *choices,
                                    guint *value, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* "auto|kvm|tcg" with separator "|". Transfer full. */
char *dinv_settings_join_choices(const DinvSettingChoice *choices, const char *separator);

/* "8080;5000-5010;8443:443;5000-5010:6000-6010": appends to `ports` (of DinvPortForward). Items are
 * separated by semicolons, commas or white space. Refuses what overlaps an earlier item of the
 * text. */
gboolean dinv_settings_parse_ports(const char *text, DinvProtocol protocol, GArray *ports,
                                   GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Where something is to be mounted in the guest: absolute, in the way of nothing of the guest's
 * own; replaces and frees *path. */
gboolean dinv_settings_parse_guest_path(const char *text, char **path,
                                        GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* "/src;/data:/inner:ro;auto": appends to `mounts` (of DinvMountSpec*); *automatic says whether
 * "auto" was among them. Paths are normalised and may hold any byte (mounts.c). Refuses
 * relative paths, targets that would hide the guest's own system, and a target given twice. */
gboolean dinv_settings_parse_mounts(const char *text, GPtrArray *mounts, gboolean *automatic,
                                    GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* "10.0.2.0/24", a prefix from 8 to 27 and no host bits. */
gboolean dinv_settings_parse_subnet(const char *text, DinvIpv4Network *subnet,
                                    GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* "172.30.0.1/16", a prefix from 8 to 29, and neither the network's own nor its last address. */
gboolean dinv_settings_parse_bridge_address(const char *text, DinvIpv4Network *address,
                                            GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* "2375", "127.0.0.1:2375", "[::1]:2375". */
gboolean dinv_settings_parse_tcp_address(const char *text, DinvTcpAddress *address,
                                         GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* "DNS:ci.example.org,IP:192.0.2.7": replaces *names (NULL-terminated) by the items. */
gboolean dinv_settings_parse_certificate_names(const char *text, char ***names,
                                               GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* "512M", "1.5G", or bytes: the shortest text that dinv_settings_parse_size() reads back as
 * `bytes`. Transfer full. */
char *dinv_settings_format_size(guint64 bytes);
