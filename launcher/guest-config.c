/* SPDX-License-Identifier: MIT */
#include "launcher/guest-config.h"

#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "launcher/control.h"

#define ENTROPY_BYTES 64u
/* The largest message the 9p client asks for (facts: the driver caps it), and the cache mode that
 * keeps close-to-open consistency while shared writable mappings work. */
#define MOUNT_OPTIONS "msize=512000,cache=mmap,access=any"

static void add_string(struct json_object *object, const char *key, const char *value) {
    json_object_object_add(object, key, json_object_new_string(value));
}

static struct json_object *make_time(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    struct json_object *time = json_object_new_object();
    json_object_object_add(time, "sec", json_object_new_int64(now.tv_sec));
    json_object_object_add(time, "nsec", json_object_new_int64(now.tv_nsec));
    return time;
}

static void add_entropy(struct json_object *object) {
    guint8 bytes[ENTROPY_BYTES];
    if (getrandom(bytes, sizeof bytes, 0) == (ssize_t)sizeof bytes) {
        g_autofree char *text = g_base64_encode(bytes, sizeof bytes);
        add_string(object, "entropy", text);
    }
}

/* Words after `keyword` in a resolv.conf. As resolv.conf(5) has it, of several lines with search
 * domains the last one counts, and options add up. */
static struct json_object *resolv_words(const char *resolv_conf, const char *keyword,
                                        gboolean adds_up) {
    struct json_object *words = json_object_new_array();
    g_auto(GStrv) lines = g_strsplit(resolv_conf != NULL ? resolv_conf : "", "\n", -1);
    for (guint i = 0; lines[i] != NULL; i++) {
        g_auto(GStrv) fields = g_strsplit_set(g_strstrip(lines[i]), " \t", -1);
        if (fields[0] == NULL || strcmp(fields[0], keyword) != 0) {
            continue;
        }
        if (!adds_up) {
            json_object_put(words);
            words = json_object_new_array();
        }
        for (guint j = 1; fields[j] != NULL; j++) {
            if (fields[j][0] != '\0') {
                json_object_array_add(words, json_object_new_string(fields[j]));
            }
        }
    }
    return words;
}

static struct json_object *make_network(const DinvNetworkPlan *plan, const char *resolv_conf) {
    struct json_object *network = json_object_new_object();
    g_autofree char *guest = dinv_network_host_to_string(&plan->slirp, 15);
    g_autofree char *gateway = dinv_network_host_to_string(&plan->slirp, 2);
    g_autofree char *resolver = dinv_network_host_to_string(&plan->slirp, 3);
    add_string(network, "address", guest);
    json_object_object_add(network, "prefix", json_object_new_int((int)plan->slirp.prefix));
    add_string(network, "gateway", gateway);
    json_object_object_add(network, "mtu", json_object_new_int(1500));
    struct json_object *dns = json_object_new_array();
    json_object_array_add(dns, json_object_new_string(resolver));
    json_object_object_add(network, "dns", dns);
    json_object_object_add(network, "search", resolv_words(resolv_conf, "search", FALSE));
    json_object_object_add(network, "options", resolv_words(resolv_conf, "options", TRUE));
    struct json_object *host = json_object_new_object();
    add_string(host, "name", "host.docker.internal");
    add_string(host, "address", gateway);
    struct json_object *hosts = json_object_new_array();
    json_object_array_add(hosts, host);
    json_object_object_add(network, "hosts", hosts);
    return network;
}

static struct json_object *make_disks(void) {
    struct json_object *disk = json_object_new_object();
    add_string(disk, "serial", "dinv-data");
    add_string(disk, "target", "/var/lib/docker");
    struct json_object *disks = json_object_new_array();
    json_object_array_add(disks, disk);
    return disks;
}

static struct json_object *make_mounts(const DinvConfig *config) {
    struct json_object *mounts = json_object_new_array();
    for (guint i = 0; i < config->mounts->len; i++) {
        const DinvMountSpec *spec = g_ptr_array_index(config->mounts, i);
        g_autofree char *tag = g_strdup_printf("dinv%u", i);
        struct json_object *mount = json_object_new_object();
        add_string(mount, "driver", "9p");
        add_string(mount, "tag", tag);
        add_string(mount, "target", spec->target);
        add_string(mount, "options", MOUNT_OPTIONS);
        json_object_object_add(mount, "readonly", json_object_new_boolean(spec->readonly));
        json_object_array_add(mounts, mount);
    }
    return mounts;
}

static void add_argument(struct json_object *args, const char *format, ...) G_GNUC_PRINTF(2, 3);
static void add_argument(struct json_object *args, const char *format, ...) {
    va_list values;
    va_start(values, format);
    g_autofree char *text = g_strdup_vprintf(format, values);
    va_end(values);
    json_object_array_add(args, json_object_new_string(text));
}

static struct json_object *make_dockerd(const DinvConfig *config, const DinvNetworkPlan *plan) {
    struct json_object *args = json_object_new_array();
    if (dinv_config_dockerd_option(config, "--bip") == NULL &&
        dinv_config_dockerd_option(config, "--bridge") == NULL &&
        dinv_config_dockerd_option(config, "-b") == NULL) {
        g_autofree char *address = dinv_network_address_to_string(&plan->bridge);
        add_argument(args, "--bip=%s/%u", address, plan->bridge.prefix);
    }
    if (dinv_config_dockerd_option(config, "--default-address-pool") == NULL) {
        for (guint i = 0; i < plan->pools->len; i++) {
            const DinvAddressPool *pool = &g_array_index(plan->pools, DinvAddressPool, i);
            g_autofree char *base = dinv_network_to_string(&pool->network);
            add_argument(args, "--default-address-pool=base=%s,size=%u", base, pool->piece);
        }
    }
    /* What --add-host NAME:host-gateway means: the outer container, not the guest. */
    if (dinv_config_dockerd_option(config, "--host-gateway-ip") == NULL) {
        g_autofree char *gateway = dinv_network_host_to_string(&plan->slirp, 2);
        add_argument(args, "--host-gateway-ip=%s", gateway);
    }
    for (guint i = 0; config->dockerd_args[i] != NULL; i++) {
        add_argument(args, "%s", config->dockerd_args[i]);
    }
    struct json_object *dockerd = json_object_new_object();
    json_object_object_add(dockerd, "args", args);
    json_object_object_add(dockerd, "deadline_ms",
                           json_object_new_int64((gint64)config->boot_timeout_ms));
    return dockerd;
}

struct json_object *dinv_guest_config_new(const DinvConfig *config, const DinvNetworkPlan *network,
                                          const char *hostname, const char *resolv_conf) {
    struct json_object *body = json_object_new_object();
    json_object_object_add(body, "protocol", json_object_new_int(DINV_CONTROL_PROTOCOL));
    add_string(body, "hostname", hostname);
    json_object_object_add(body, "time", make_time());
    add_entropy(body);
    json_object_object_add(body, "network", make_network(network, resolv_conf));
    json_object_object_add(body, "disks", make_disks());
    json_object_object_add(body, "mounts", make_mounts(config));
    json_object_object_add(body, "dockerd", make_dockerd(config, network));
    json_object_object_add(body, "environment", json_object_new_object());
    return body;
}
