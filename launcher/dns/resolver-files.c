/* SPDX-License-Identifier: MIT */
/* Parsing. How much is taken of either file is bounded, whatever it says. */
#include "launcher/dns/resolver-files.h"

#include <string.h>

#include "launcher/dns/query.h"

/* Bounds for files that somebody fills by mistake. */
#define WORDS_MAX 64u
#define HOSTS_MAX 4096u
/* Addresses of one name: their answer fits into a datagram of 512 bytes, which all clients take. */
#define ADDRESSES_MAX 8u

/* A line without its comment, as words. */
static GStrv split_line(char *line, const char *comment_signs) {
    line[strcspn(line, comment_signs)] = '\0';
    g_auto(GStrv) fields = g_strsplit_set(line, " \t\r", -1);
    g_autoptr(GStrvBuilder) words = g_strv_builder_new();
    for (guint i = 0; fields[i] != NULL; i++) {
        if (fields[i][0] != '\0') {
            g_strv_builder_add(words, fields[i]);
        }
    }
    return g_strv_builder_end(words);
}

/* Addresses with a zone (fe80::1%eth0) are understood, too. */
static void add_server(DinvDnsResolverFiles *files, const char *text, guint16 port) {
    GSocketAddress *address = g_inet_socket_address_new_from_string(text, port);
    if (address != NULL && files->servers->len < DINV_DNS_SERVERS_MAX) {
        g_ptr_array_add(files->servers, address);
    } else {
        g_clear_object(&address);
    }
}

/* Whether the text is one word of printable ASCII: words end up in JSON and in a file of
 * the guest. */
static gboolean is_word(const char *text) {
    for (; *text != '\0'; text++) {
        if (!g_ascii_isgraph(*text)) {
            return FALSE;
        }
    }
    return TRUE;
}

static void add_words(GPtrArray *to, GStrv words) {
    for (guint i = 1; words[i] != NULL && to->len < WORDS_MAX; i++) {
        if (is_word(words[i])) {
            g_ptr_array_add(to, g_strdup(words[i]));
        }
    }
}

static GStrv to_strv(GPtrArray *words) {
    g_ptr_array_add(words, NULL);
    return (GStrv)g_ptr_array_free(words, FALSE);
}

static void parse_resolv_conf(DinvDnsResolverFiles *files, const char *text, guint16 port) {
    GPtrArray *search = g_ptr_array_new_with_free_func(g_free);
    GPtrArray *options = g_ptr_array_new_with_free_func(g_free);
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (guint i = 0; lines[i] != NULL; i++) {
        g_auto(GStrv) words = split_line(lines[i], "#;");
        if (words[0] == NULL || words[1] == NULL) {
            continue;
        }
        if (strcmp(words[0], "nameserver") == 0) {
            add_server(files, words[1], port);
        } else if (strcmp(words[0], "search") == 0 || strcmp(words[0], "domain") == 0) {
            /* Of several such lines the last one counts, while options add up. */
            g_ptr_array_set_size(search, 0);
            add_words(search, words);
        } else if (strcmp(words[0], "options") == 0) {
            add_words(options, words);
        }
    }
    files->search = to_strv(search);
    files->options = to_strv(options);
    if (files->servers->len == 0) {
        add_server(files, "127.0.0.1", port);
    }
}

static void add_host(GHashTable *hosts, const char *name, GInetAddress *address) {
    g_autofree char *key = g_ascii_strdown(name, -1);
    GPtrArray *addresses = g_hash_table_lookup(hosts, key);
    if (addresses == NULL) {
        addresses = g_ptr_array_new_with_free_func(g_object_unref);
        g_hash_table_insert(hosts, g_steal_pointer(&key), addresses);
    }
    if (addresses->len < ADDRESSES_MAX) {
        g_ptr_array_add(addresses, g_object_ref(address));
    }
}

static void parse_hosts(DinvDnsResolverFiles *files, const char *text) {
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (guint i = 0; lines[i] != NULL; i++) {
        g_auto(GStrv) words = split_line(lines[i], "#");
        g_autoptr(GInetAddress) address =
            words[0] != NULL ? g_inet_address_new_from_string(words[0]) : NULL;
        if (address == NULL || g_inet_address_get_is_loopback(address) ||
            g_inet_address_get_is_multicast(address) || g_inet_address_get_is_any(address)) {
            continue;
        }
        for (guint j = 1; words[j] != NULL && g_hash_table_size(files->hosts) < HOSTS_MAX; j++) {
            add_host(files->hosts, words[j], address);
        }
    }
}

static void host_addresses_free(gpointer addresses) {
    g_ptr_array_unref(addresses);
}

DinvDnsResolverFiles *dinv_dns_resolver_files_parse(const char *resolv_conf, const char *hosts,
                                                    guint16 port) {
    DinvDnsResolverFiles *files = g_new0(DinvDnsResolverFiles, 1);
    files->servers = g_ptr_array_new_with_free_func(g_object_unref);
    files->hosts = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, host_addresses_free);
    parse_resolv_conf(files, resolv_conf != NULL ? resolv_conf : "", port);
    parse_hosts(files, hosts != NULL ? hosts : "");
    return files;
}

DinvDnsResolverFiles *dinv_dns_resolver_files_read(const char *resolv_conf, const char *hosts,
                                                   guint16 port) {
    g_autofree char *resolv_conf_text = NULL;
    g_autofree char *hosts_text = NULL;
    (void)g_file_get_contents(resolv_conf, &resolv_conf_text, NULL, NULL);
    (void)g_file_get_contents(hosts, &hosts_text, NULL, NULL);
    return dinv_dns_resolver_files_parse(resolv_conf_text, hosts_text, port);
}

void dinv_dns_resolver_files_free(DinvDnsResolverFiles *files) {
    if (files == NULL) {
        return;
    }
    g_ptr_array_unref(files->servers);
    g_strfreev(files->search);
    g_strfreev(files->options);
    g_hash_table_unref(files->hosts);
    g_free(files);
}
