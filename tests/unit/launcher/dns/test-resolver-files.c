/* SPDX-License-Identifier: MIT */
/* resolv.conf and hosts, as they are and as they should not be. */
#include "launcher/dns/resolver-files.h"

#include "launcher/dns/query.h"
#include "tests/unit/lib/scratch.h"

static char *servers_of(const DinvDnsResolverFiles *files) {
    GString *text = g_string_new(NULL);
    for (guint i = 0; i < files->servers->len; i++) {
        g_autofree char *server =
            g_socket_connectable_to_string(g_ptr_array_index(files->servers, i));
        g_string_append_printf(text, "%s%s", i > 0 ? " " : "", server);
    }
    return g_string_free(text, FALSE);
}

static char *words_of(GStrv words) {
    return g_strjoinv(" ", words);
}

static char *addresses_of(const DinvDnsResolverFiles *files, const char *name) {
    const GPtrArray *addresses = g_hash_table_lookup(files->hosts, name);
    GString *text = g_string_new(NULL);
    for (guint i = 0; addresses != NULL && i < addresses->len; i++) {
        g_autofree char *address = g_inet_address_to_string(g_ptr_array_index(addresses, i));
        g_string_append_printf(text, "%s%s", i > 0 ? " " : "", address);
    }
    return g_string_free(text, FALSE);
}

static void test_resolv_conf(void) {
    static const struct {
        const char *text;
        const char *servers;
        const char *search;
        const char *options;
    } cases[] = {
        {NULL, "127.0.0.1:53", "", ""},
        {"", "127.0.0.1:53", "", ""},
        {"nameserver 127.0.0.11\noptions ndots:0\n", "127.0.0.11:53", "", "ndots:0"},
        {"# nameserver 192.0.2.1\n;nameserver 192.0.2.2\n  nameserver\t192.0.2.3 # x\r\n",
         "192.0.2.3:53", "", ""},
        /* The loopback is device 1. */
        {"nameserver 192.0.2.1\nnameserver 2001:db8::1\nnameserver fe80::1%lo\nnameserver "
         "192.0.2.4",
         "192.0.2.1:53 [2001:db8::1]:53 [fe80::1%1]:53", "", ""},
        {"nameserver nonsense\nnameserver\nnameserver 192.0.2.300\nnameserver 192.0.2.1 more\n",
         "192.0.2.1:53", "", ""},
        {"search old.example\n  search  a.example\tb.example \nsearching c.example\n"
         "options edns0\noptions trust-ad timeout:1\n",
         "127.0.0.1:53", "a.example b.example", "edns0 trust-ad timeout:1"},
        {"search a.example\ndomain b.example\n", "127.0.0.1:53", "b.example", ""},
        {"search a\x01z caf\xc3\xa9.example ok.example\n", "127.0.0.1:53", "ok.example", ""},
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(DinvDnsResolverFiles) files =
            dinv_dns_resolver_files_parse(cases[i].text, NULL, DINV_DNS_PORT);
        g_autofree char *servers = servers_of(files);
        g_autofree char *search = words_of(files->search);
        g_autofree char *options = words_of(files->options);
        g_test_message("case %u", i);
        g_assert_cmpstr(servers, ==, cases[i].servers);
        g_assert_cmpstr(search, ==, cases[i].search);
        g_assert_cmpstr(options, ==, cases[i].options);
    }
}

static void test_hosts(void) {
    g_autoptr(DinvDnsResolverFiles) files = dinv_dns_resolver_files_parse(
        NULL,
        "127.0.0.1 localhost mine\n::1 localhost\nff02::1 all-nodes\n0.0.0.0 blocked\n"
        "192.0.2.1\tDB.Example db # not this\n2001:db8::1 db.example\n192.0.2.1 \n"
        "nonsense db.example\n192.0.2.2 db.example",
        DINV_DNS_PORT);
    g_autofree char *one = addresses_of(files, "db.example");
    g_autofree char *alias = addresses_of(files, "db");
    g_assert_cmpstr(one, ==, "192.0.2.1 2001:db8::1 192.0.2.2");
    g_assert_cmpstr(alias, ==, "192.0.2.1");
    g_assert_cmpuint(g_hash_table_size(files->hosts), ==, 2);
}

/* Files that somebody filled by mistake. */
static void test_bounds(void) {
    g_autoptr(GString) resolv_conf = g_string_new("search");
    g_autoptr(GString) hosts = g_string_new(NULL);
    for (guint i = 0; i < 10000; i++) {
        g_string_append_printf(resolv_conf, " d%u.example", i);
        g_string_append_printf(hosts, "192.0.2.1 h%u\n192.0.2.%u one\n", i, i % 256);
    }
    for (guint i = 0; i < 1000; i++) {
        g_string_append_printf(resolv_conf, "\nnameserver 192.0.2.1\noptions o%u", i);
    }
    g_autoptr(DinvDnsResolverFiles) files =
        dinv_dns_resolver_files_parse(resolv_conf->str, hosts->str, DINV_DNS_PORT);
    g_assert_cmpuint(files->servers->len, ==, DINV_DNS_SERVERS_MAX);
    g_assert_cmpuint(g_strv_length(files->search), ==, 64);
    g_assert_cmpuint(g_strv_length(files->options), ==, 64);
    g_assert_cmpuint(g_hash_table_size(files->hosts), ==, 4096);
    g_autofree char *one = addresses_of(files, "one");
    g_auto(GStrv) addresses = g_strsplit(one, " ", -1);
    g_assert_cmpuint(g_strv_length(addresses), ==, 8);
}

static void test_missing_files(void) {
    Scratch scratch;
    scratch_make(&scratch);
    g_autofree char *resolv_conf = scratch_path(&scratch, "resolv.conf");
    g_autofree char *hosts = scratch_path(&scratch, "hosts");
    g_autoptr(DinvDnsResolverFiles) none = dinv_dns_resolver_files_read(resolv_conf, hosts, 5353);
    g_autofree char *servers = servers_of(none);
    g_assert_cmpstr(servers, ==, "127.0.0.1:5353");
    scratch_write(&scratch, "resolv.conf", "nameserver 192.0.2.9\n");
    scratch_write(&scratch, "hosts", "192.0.2.7 seven\n");
    g_autoptr(DinvDnsResolverFiles) both = dinv_dns_resolver_files_read(resolv_conf, hosts, 5353);
    g_autofree char *seven = addresses_of(both, "seven");
    g_assert_cmpstr(seven, ==, "192.0.2.7");
    scratch_remove(&scratch);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/launcher/resolver-files/resolv-conf", test_resolv_conf);
    g_test_add_func("/launcher/resolver-files/hosts", test_hosts);
    g_test_add_func("/launcher/resolver-files/bounds", test_bounds);
    g_test_add_func("/launcher/resolver-files/missing-files", test_missing_files);
    return g_test_run();
}
