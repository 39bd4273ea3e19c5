/* SPDX-License-Identifier: MIT */
/* One function for each field of `configure`. */
#include "launcher/vm/configuration.h"

#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <time.h>

#include "launcher/base/files-limit.h"
#include "launcher/base/json-text.h"
#include "launcher/dns/forwarder.h"
#include "launcher/engine/options.h"
#include "launcher/machine/virtiofsd.h"
#include "launcher/mounts/spec.h"
#include "launcher/settings/types.h"
#include "launcher/vm/proxies.h"
#include "wire/control.h"
#include "wire/disks.h"
#include "wire/limits.h"
#include "wire/mounts.h"
#include "wire/paths.h"

#define ENTROPY_BYTES 64u
/* Unique local addresses (RFC 4193); the 40 bits say "dinv". */
#define IPV6_POOL_FORMAT "fd64:696e:7600:%x::/64"
#define IPV6_POOLS       16u
/* msize: the largest message of the driver. access=client: every user of the guest makes files of
 * their own. cache=revalidate is our kernel's (images/kernel/patches). Another kernel never looks
 * again at what it has cached of a file while that is open or mounted: a log that grows outside
 * would end where it was first read. So it gets directio: reading and writing go to the server, and
 * cache=mmap for shared writable mappings. */
#define MOUNT_OPTIONS          "msize=512000,cache=revalidate,access=client"
#define MOUNT_FALLBACK_OPTIONS "msize=512000,cache=mmap,directio,access=client"

void dinv_vm_configuration_add_time(struct json_object *object) {
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    struct json_object *time = json_object_new_object();
    json_object_object_add(time, "sec", json_object_new_int64(now.tv_sec));
    json_object_object_add(time, "nsec", json_object_new_int64(now.tv_nsec));
    json_object_object_add(object, "time", time);
}

static void add_entropy(struct json_object *object) {
    guint8 bytes[ENTROPY_BYTES];
    if (getrandom(bytes, sizeof bytes, 0) == (ssize_t)sizeof bytes) {
        g_autofree char *text = g_base64_encode(bytes, sizeof bytes);
        dinv_json_add_string(object, "entropy", text);
    }
}

/* Docker's resolver inside takes any ndots in the guest's resolv.conf for a user's wish that names
 * without a dot never leave, and the outer Docker writes one into every container on a network: the
 * names of all outer containers would be unknown. 1 is what the C library takes without. */
static gboolean is_for_guest(const char *option) {
    return strcmp(option, "ndots:0") != 0 && strcmp(option, "ndots:1") != 0;
}

static gboolean is_any(const char *word) {
    (void)word;
    return TRUE;
}

static struct json_object *make_list(const char *const *words,
                                     gboolean (*is_wanted)(const char *word)) {
    struct json_object *list = json_object_new_array();
    for (; *words != NULL; words++) {
        if (is_wanted(*words)) {
            json_object_array_add(list, json_object_new_string(*words));
        }
    }
    return list;
}

void dinv_vm_configuration_add_resolver(struct json_object *object,
                                        const DinvDnsResolverFiles *files) {
    json_object_object_add(object, "search", make_list((const char *const *)files->search, is_any));
    json_object_object_add(object, "options",
                           make_list((const char *const *)files->options, is_for_guest));
}

/* The outer container's names; the DNS forwarder knows them too, if there is one. */
static struct json_object *make_hosts(const char *gateway) {
    struct json_object *hosts = json_object_new_array();
    for (guint i = 0; i < DINV_DNS_OWN_NAMES; i++) {
        struct json_object *host = json_object_new_object();
        dinv_json_add_string(host, "name", dinv_dns_own_names[i]);
        dinv_json_add_string(host, "address", gateway);
        json_object_array_add(hosts, host);
    }
    return hosts;
}

static struct json_object *make_network(const DinvEngineNetworkPlan *plan, guint mtu,
                                        const DinvDnsResolverFiles *files, guint16 resolver_port) {
    struct json_object *network = json_object_new_object();
    g_autofree char *guest = dinv_ipv4_network_host_to_string(&plan->slirp, 15);
    g_autofree char *gateway = dinv_ipv4_network_host_to_string(&plan->slirp, 2);
    g_autofree char *resolver = dinv_ipv4_network_host_to_string(&plan->slirp, 3);
    dinv_json_add_string(network, "address", guest);
    json_object_object_add(network, "prefix", json_object_new_int((int)plan->slirp.prefix));
    dinv_json_add_string(network, "gateway", gateway);
    json_object_object_add(network, "mtu", json_object_new_int((int)mtu));
    struct json_object *dns = json_object_new_array();
    json_object_array_add(dns, json_object_new_string(resolver));
    json_object_object_add(network, "dns", dns);
    if (resolver_port != 0) {
        struct json_object *at = json_object_new_object();
        dinv_json_add_string(at, "address", gateway);
        json_object_object_add(at, "port", json_object_new_int(resolver_port));
        json_object_object_add(network, "resolver", at);
    }
    dinv_vm_configuration_add_resolver(network, files);
    json_object_object_add(network, "hosts", make_hosts(gateway));
    return network;
}

static struct json_object *append_disk(struct json_object *disks, const char *serial,
                                       const char *target) {
    struct json_object *disk = json_object_new_object();
    dinv_json_add_string(disk, "serial", serial);
    dinv_json_add_string(disk, "target", target);
    json_object_array_add(disks, disk);
    return disk;
}

/* The disks that the guest mounts; the data disk is the first. */
static struct json_object *make_disks(const DinvConfig *config) {
    struct json_object *disks = json_object_new_array();
    (void)append_disk(disks, DINV_WIRE_DISK_DATA, DINV_WIRE_DATA_ROOT);
    if (config->volume_path != NULL) {
        struct json_object *volume = append_disk(disks, DINV_WIRE_DISK_VOLUME, config->volume_path);
        if (config->volume_uid != (uid_t)-1) {
            json_object_object_add(volume, "uid", json_object_new_int64(config->volume_uid));
        }
        if (config->volume_gid != (gid_t)-1) {
            json_object_object_add(volume, "gid", json_object_new_int64(config->volume_gid));
        }
    }
    return disks;
}

static struct json_object *make_mounts(const GPtrArray *specs, DinvVmShares shares) {
    struct json_object *mounts = json_object_new_array();
    for (guint i = 0; specs != NULL && i < specs->len; i++) {
        const DinvMountSpec *spec = g_ptr_array_index(specs, i);
        g_autofree char *index = g_strdup_printf("%u", i);
        g_autofree char *tag = spec->is_file ? g_strdup(DINV_WIRE_MOUNT_FILES_TAG)
                                             : g_strdup_printf(DINV_WIRE_MOUNT_TAG_FORMAT, i);
        g_autofree char *target = dinv_path_to_text(spec->target);
        struct json_object *mount = json_object_new_object();
        gboolean is_virtiofs = shares == DINV_VM_SHARES_VIRTIOFS_ALL ||
                               (shares == DINV_VM_SHARES_VIRTIOFS && !spec->is_file);
        dinv_json_add_string(mount, "driver",
                             is_virtiofs ? DINV_WIRE_MOUNT_DRIVER_VIRTIOFS
                                         : DINV_WIRE_MOUNT_DRIVER_9P);
        dinv_json_add_string(mount, "tag", tag);
        if (spec->is_file) {
            dinv_json_add_string(mount, "file", index);
        }
        dinv_json_add_string(mount, "target", target);
        if (!is_virtiofs) {
            dinv_json_add_string(mount, "options", MOUNT_OPTIONS);
            dinv_json_add_string(mount, "fallback_options", MOUNT_FALLBACK_OPTIONS);
        }
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

/* IPv4 as planned. IPv6 does not leave the guest, so any addresses will do. One pool for each
 * network: Docker 26 takes only the first piece of a larger one. */
static void add_pools(struct json_object *args, const DinvEngineNetworkPlan *plan) {
    for (guint i = 0; i < plan->pools->len; i++) {
        const DinvEngineAddressPool *pool = &g_array_index(plan->pools, DinvEngineAddressPool, i);
        g_autofree char *base = dinv_ipv4_network_to_string(&pool->network);
        add_argument(args, "--default-address-pool=base=%s,size=%u", base, pool->piece);
    }
    for (guint i = 0; plan->pools->len > 0 && i < IPV6_POOLS; i++) {
        add_argument(args, "--default-address-pool=base=" IPV6_POOL_FORMAT ",size=64", i);
    }
}

/* docker0 and new bridges get the size of the guest's link: packets between a container and the
 * outside are never taken apart inside then. */
static void add_mtu(struct json_object *args, const DinvEngineConfig *engine, guint mtu) {
    if (!dinv_engine_config_has(engine, "--mtu", "mtu")) {
        add_argument(args, "--mtu=%u", mtu);
    }
    if (!dinv_engine_config_has(engine, "--default-network-opt", "default-network-opts")) {
        add_argument(args, "--default-network-opt=bridge=com.docker.network.driver.mtu=%u", mtu);
    }
}

/* Where `docker run -v` inside may look for the engine's socket: at each path at which it is
 * outside, as far as the guest can have it there, which is where dockerd has it. */
static void add_socket(struct json_object *sockets, const char *path) {
    g_autofree char *whole = path != NULL ? g_canonicalize_filename(path, NULL) : NULL;
    if (whole != NULL &&
        (g_str_has_prefix(whole, "/run/") || g_str_has_prefix(whole, "/var/run/"))) {
        g_autofree char *text = dinv_path_to_text(whole);
        json_object_array_add(sockets, json_object_new_string(text));
    }
}

static struct json_object *make_sockets(const DinvConfig *config) {
    struct json_object *sockets = json_object_new_array();
    add_socket(sockets, config->socket_path);
    add_socket(sockets, config->socket_link);
    for (guint i = 0; config->more_sockets != NULL && i < config->more_sockets->len; i++) {
        add_socket(sockets, config->more_sockets->pdata[i]);
    }
    return sockets;
}

static gint64 limit_or_unlimited(rlim_t limit, gint64 most) {
    return limit == RLIM_INFINITY || (most > 0 && limit > (rlim_t)most) ? most : (gint64)limit;
}

/* Containers begin with the limits that this process has: those of the outer container, as they
 * would under a dockerd in it. */
static void add_limits(struct json_object *args, const DinvEngineConfig *engine) {
    static const struct {
        const char *name;
        int resource;
        gint64 most; /* -1: there is no most */
    } limits[] = {{"nofile", RLIMIT_NOFILE, DINV_WIRE_FILES_MOST},
                  {"nproc", RLIMIT_NPROC, -1},
                  {"core", RLIMIT_CORE, -1},
                  {"memlock", RLIMIT_MEMLOCK, -1}};
    if (engine->daemon_json != NULL &&
        dinv_engine_daemon_json_has(engine->daemon_json, "default-ulimits")) {
        return; /* dockerd takes no flag beside it */
    }
    for (guint i = 0; i < G_N_ELEMENTS(limits); i++) {
        struct rlimit limit = dinv_files_limit_get_given();
        if (limits[i].resource == RLIMIT_NOFILE ||
            getrlimit((__rlimit_resource_t)limits[i].resource, &limit) == 0) {
            add_argument(args, "--default-ulimit=%s=%" G_GINT64_FORMAT ":%" G_GINT64_FORMAT,
                         limits[i].name, limit_or_unlimited(limit.rlim_cur, limits[i].most),
                         limit_or_unlimited(limit.rlim_max, limits[i].most));
        }
    }
}

static struct json_object *make_dockerd(const DinvConfig *config, const DinvEngineConfig *engine,
                                        const DinvEngineNetworkPlan *plan) {
    struct json_object *args = json_object_new_array();
    if (!dinv_engine_config_has(engine, "--bip", "bip") &&
        !dinv_engine_config_has(engine, "--bridge", "bridge") &&
        !dinv_engine_config_has(engine, "-b", NULL)) {
        g_autofree char *address = dinv_ipv4_network_address_to_string(&plan->bridge);
        add_argument(args, "--bip=%s/%u", address, plan->bridge.prefix);
    }
    if (!plan->has_own_pools) {
        add_pools(args, plan);
    }
    add_mtu(args, engine, config->mtu);
    add_limits(args, engine);
    /* What --add-host NAME:host-gateway means: the outer container, not the guest. */
    if (!dinv_engine_config_has(engine, "--host-gateway-ip", "host-gateway-ip")) {
        g_autofree char *gateway = dinv_ipv4_network_host_to_string(&plan->slirp, 2);
        add_argument(args, "--host-gateway-ip=%s", gateway);
    }
    for (guint i = 0; engine->arguments[i] != NULL; i++) {
        add_argument(args, "%s", engine->arguments[i]);
    }
    struct json_object *dockerd = json_object_new_object();
    json_object_object_add(dockerd, "args", args);
    json_object_object_add(dockerd, "sockets", make_sockets(config));
    json_object_object_add(dockerd, "deadline_ms",
                           json_object_new_int64((gint64)config->boot_timeout_ms));
    return dockerd;
}

/* The last value of a flag, or that of the key in daemon.json; NULL if there is none. */
static const char *last_value(const DinvEngineConfig *engine, const char *flag, const char *key) {
    g_autoptr(GPtrArray) values = dinv_engine_options_list(engine->arguments, flag);
    struct json_object *value = NULL;
    if (values->len > 0) {
        return values->pdata[values->len - 1];
    }
    if (key != NULL && engine->daemon_json != NULL) {
        (void)json_object_object_get_ex(engine->daemon_json->object, key, &value);
    }
    return json_object_get_string(value);
}

/* What dockerd would tell a containerd that it started itself. */
static struct json_object *make_containerd(const DinvEngineConfig *engine) {
    const char *debug = last_value(engine, "--debug", "debug");
    const char *short_debug = last_value(engine, "-D", NULL);
    const char *level = last_value(engine, "--log-level", "log-level");
    const char *short_level = last_value(engine, "-l", NULL);
    const char *format = last_value(engine, "--log-format", "log-format");
    struct json_object *containerd = json_object_new_object();
    if (short_debug != NULL || (debug != NULL && strcmp(debug, "false") != 0)) {
        dinv_json_add_string(containerd, "log_level", "debug");
    } else if (level != NULL || short_level != NULL) {
        dinv_json_add_string(containerd, "log_level", level != NULL ? level : short_level);
    }
    if (format != NULL) {
        dinv_json_add_string(containerd, "log_format", format);
    }
    return containerd;
}

static struct json_object *make_files(const DinvEngineConfig *engine) {
    struct json_object *files = json_object_new_array();
    for (guint i = 0; i < engine->files->len; i++) {
        const DinvEngineFile *file = g_ptr_array_index(engine->files, i);
        struct json_object *item = json_object_new_object();
        dinv_json_add_string(item, "path", file->path);
        dinv_json_add_string(item, "text", file->text);
        json_object_object_add(item, "mode", json_object_new_int((int)file->mode));
        json_object_array_add(files, item);
    }
    return files;
}

static struct json_object *make_zone(const DinvEngineZone *zone) {
    struct json_object *object = json_object_new_object();
    g_autofree char *rules = g_base64_encode(zone->rules, zone->length);
    dinv_json_add_string(object, "name", zone->name);
    dinv_json_add_string(object, "rules", rules);
    return object;
}

static struct json_object *make_environment(const DinvEngineConfig *engine,
                                            const DinvEngineNetworkPlan *plan) {
    struct json_object *environment = json_object_new_object();
    g_auto(GStrv) variables = dinv_vm_proxies_for_engine(engine->proxies, plan);
    for (guint i = 0; variables[i] != NULL; i++) {
        g_auto(GStrv) pair = g_strsplit(variables[i], "=", 2);
        dinv_json_add_string(environment, pair[0], pair[1]);
    }
    return environment;
}

struct json_object *
dinv_vm_configuration_new(const DinvConfig *config, const DinvEngineConfig *engine,
                          const DinvEngineNetworkPlan *network, const GPtrArray *mounts,
                          DinvVmShares shares, const char *hostname,
                          const DinvDnsResolverFiles *files, guint16 resolver_port) {
    struct json_object *body = json_object_new_object();
    json_object_object_add(body, "protocol", json_object_new_int(DINV_WIRE_CONTROL_VERSION));
    dinv_json_add_string(body, "hostname", hostname);
    dinv_vm_configuration_add_time(body);
    add_entropy(body);
    json_object_object_add(body, "zone", make_zone(&engine->zone));
    json_object_object_add(body, "network",
                           make_network(network, config->mtu, files, resolver_port));
    json_object_object_add(body, "publish_listeners",
                           json_object_new_boolean(config->publish == DINV_PUBLISH_ON));
    json_object_object_add(body, "disks", make_disks(config));
    json_object_object_add(body, "mounts", make_mounts(mounts, shares));
    if (shares != DINV_VM_SHARES_9P) {
        json_object_object_add(body, "inodes_max",
                               json_object_new_int64(dinv_machine_virtiofsd_get_inodes_max()));
    }
    json_object_object_add(body, "dockerd", make_dockerd(config, engine, network));
    json_object_object_add(body, "containerd", make_containerd(engine));
    json_object_object_add(body, "files", make_files(engine));
    json_object_object_add(body, "environment", make_environment(engine, network));
    return body;
}
