/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation. Every field goes through one of a few take_* functions, which check its type
 * and syntax. The first complaint is kept in the Reader with the path of the field, and from then
 * on every take_* does nothing, so that the functions that know the shape of the message need no
 * error paths of their own. Strings that end up in lines of files or in environment blocks may not
 * hold control characters, whoever sent them.
 */
#include "guest/configuration/configuration.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest/base/base64.h"
#include "guest/base/message.h"
#include "mountinfo/mountinfo.h"
#include "wire/control.h"
#include "wire/mounts.h"

enum { DEADLINE_DEFAULT_MS = 120000 };

typedef struct {
    int error;
    char *reason;
    size_t reason_size;
} Reader;

static void complain(Reader *reader, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void complain(Reader *reader, const char *format, ...) {
    if (reader->error != 0) {
        return;
    }
    reader->error = -EBADMSG;
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(reader->reason, reader->reason_size, format, arguments);
    va_end(arguments);
}

/* The field, or NULL if it is missing, null, or an earlier one was wrong. */
static struct json_object *field(const Reader *reader, struct json_object *object,
                                 const char *name) {
    struct json_object *value = NULL;
    if (reader->error == 0) {
        (void)json_object_object_get_ex(object, name, &value);
    }
    return value;
}

static bool is_printable(const char *text, size_t len) {
    for (size_t index = 0; index < len; index++) {
        if ((unsigned char)text[index] < ' ' || text[index] == 0x7f) {
            return false;
        }
    }
    return true;
}

/* A copy of a string value without control characters; NULL (and a complaint) if it is not one. */
static char *take_string(Reader *reader, struct json_object *value, const char *name) {
    if (reader->error != 0) {
        return NULL;
    }
    if (!json_object_is_type(value, json_type_string)) {
        complain(reader, "%s: a string is expected", name);
        return NULL;
    }
    const char *text = json_object_get_string(value);
    if (!is_printable(text, (size_t)json_object_get_string_len(value))) {
        complain(reader, "%s: control characters are not allowed", name);
        return NULL;
    }
    char *copy = strdup(text);
    if (copy == NULL) {
        complain(reader, "%s: out of memory", name);
    }
    return copy;
}

/* The same for a word: not empty, no blanks. */
static char *take_word(Reader *reader, struct json_object *value, const char *name) {
    char *text = take_string(reader, value, name);
    if (text != NULL && (text[0] == '\0' || strchr(text, ' ') != NULL)) {
        complain(reader, "%s: \"%.100s\" is not a single word", name, text);
    }
    return text;
}

/* The same for an absolute path without "." and ".." components, in which \ooo stands for a byte
 * that JSON or we have no place for. */
static char *take_path(Reader *reader, struct json_object *value, const char *name) {
    char *path = take_string(reader, value, name);
    if (path == NULL) {
        return NULL;
    }
    dinv_mountinfo_unescape(path);
    bool good = path[0] == '/' && path[1] != '\0' && strlen(path) < 4096;
    for (const char *at = path; good && (at = strchr(at, '/')) != NULL;) {
        size_t len = strcspn(++at, "/");
        good = (len != 1 || at[0] != '.') && (len != 2 || strncmp(at, "..", 2) != 0);
    }
    if (!good) {
        complain(reader, "%s: \"%.100s\" is not an absolute path below /", name, path);
    }
    return path;
}

static int64_t take_integer(Reader *reader, struct json_object *value, const char *name,
                            int64_t lowest, int64_t highest) {
    if (reader->error != 0) {
        return 0;
    }
    if (!json_object_is_type(value, json_type_int)) {
        complain(reader, "%s: an integer is expected", name);
        return 0;
    }
    int64_t number = json_object_get_int64(value);
    if (number < lowest || number > highest) {
        complain(reader, "%s: %lld is not between %lld and %lld", name, (long long)number,
                 (long long)lowest, (long long)highest);
        return 0;
    }
    return number;
}

/* The length of an array field (0 if it is missing); complains about anything else. */
static size_t take_array(Reader *reader, struct json_object *value, const char *name) {
    if (reader->error != 0 || value == NULL) {
        return 0;
    }
    if (!json_object_is_type(value, json_type_array)) {
        complain(reader, "%s: an array is expected", name);
        return 0;
    }
    size_t count = json_object_array_length(value);
    if (count > DINV_WIRE_CONTROL_LIST_MAX) {
        complain(reader, "%s: %zu elements are more than %d", name, count,
                 DINV_WIRE_CONTROL_LIST_MAX);
        return 0;
    }
    return count;
}

static void *allocate(Reader *reader, size_t count, size_t size) {
    void *memory = calloc(count, size);
    if (memory == NULL) {
        complain(reader, "out of memory");
    }
    return memory;
}

typedef char *(*TakeText)(Reader *reader, struct json_object *value, const char *name);

static char **take_list(Reader *reader, struct json_object *object, const char *key,
                        const char *name, TakeText take) {
    struct json_object *array = field(reader, object, key);
    size_t count = take_array(reader, array, name);
    char **list = allocate(reader, count + 1, sizeof *list);
    for (size_t index = 0; list != NULL && index < count; index++) {
        list[index] = take(reader, json_object_array_get_idx(array, index), name);
    }
    return list;
}

static struct in_addr take_address(Reader *reader, struct json_object *value, const char *name) {
    struct in_addr address = {0};
    char *text = take_string(reader, value, name);
    if (text != NULL && inet_pton(AF_INET, text, &address) != 1) {
        complain(reader, "%s: \"%.100s\" is not an IPv4 address", name, text);
    }
    free(text);
    return address;
}

/* An address of either family, as text. */
static char *take_any_address(Reader *reader, struct json_object *value, const char *name) {
    char *text = take_string(reader, value, name);
    struct in6_addr address;
    if (text != NULL && inet_pton(AF_INET, text, &address) != 1 &&
        inet_pton(AF_INET6, text, &address) != 1) {
        complain(reader, "%s: \"%.100s\" is not an address", name, text);
    }
    return text;
}

static bool expect_object(Reader *reader, struct json_object *value, const char *name) {
    if (reader->error == 0 && !json_object_is_type(value, json_type_object)) {
        complain(reader, "%s: an object is expected", name);
    }
    return reader->error == 0;
}

static void take_hosts(Reader *reader, struct json_object *object,
                       DinvNetworkConfiguration *network) {
    struct json_object *array = field(reader, object, "hosts");
    size_t count = take_array(reader, array, "network.hosts");
    network->hosts = allocate(reader, count + 1, sizeof *network->hosts);
    for (size_t index = 0; network->hosts != NULL && index < count; index++) {
        struct json_object *entry = json_object_array_get_idx(array, index);
        if (!expect_object(reader, entry, "network.hosts")) {
            return;
        }
        DinvHostEntry *host = &network->hosts[network->host_count++];
        host->name = take_word(reader, field(reader, entry, "name"), "network.hosts.name");
        host->address =
            take_any_address(reader, field(reader, entry, "address"), "network.hosts.address");
    }
}

static void take_resolver(Reader *reader, struct json_object *object,
                          DinvNetworkConfiguration *network) {
    struct json_object *resolver = field(reader, object, "resolver");
    if (resolver != NULL && expect_object(reader, resolver, "network.resolver")) {
        network->resolver =
            take_address(reader, field(reader, resolver, "address"), "network.resolver.address");
        network->resolver_port = (uint16_t)take_integer(reader, field(reader, resolver, "port"),
                                                        "network.resolver.port", 1, UINT16_MAX);
    }
}

static void take_network(Reader *reader, struct json_object *body,
                         DinvNetworkConfiguration *network) {
    struct json_object *object = field(reader, body, "network");
    if (object != NULL && !expect_object(reader, object, "network")) {
        return;
    }
    network->present = object != NULL;
    /* Without a network the lists are still made, empty. */
    struct json_object *empty = object == NULL ? json_object_new_object() : NULL;
    struct json_object *from = object != NULL ? object : empty;
    if (network->present) {
        network->address = take_address(reader, field(reader, from, "address"), "network.address");
        network->prefix =
            (unsigned)take_integer(reader, field(reader, from, "prefix"), "network.prefix", 1, 32);
        if (field(reader, from, "gateway") != NULL) {
            network->gateway =
                take_address(reader, field(reader, from, "gateway"), "network.gateway");
        }
        if (field(reader, from, "mtu") != NULL) {
            network->mtu = (unsigned)take_integer(reader, field(reader, from, "mtu"), "network.mtu",
                                                  576, 65535);
        }
    }
    network->dns = take_list(reader, from, "dns", "network.dns", take_any_address);
    network->search = take_list(reader, from, "search", "network.search", take_word);
    network->options = take_list(reader, from, "options", "network.options", take_word);
    take_hosts(reader, from, network);
    take_resolver(reader, from, network);
    json_object_put(empty);
}

/* -1 if it is not given. */
static uint32_t take_id(Reader *reader, struct json_object *object, const char *key,
                        const char *name) {
    struct json_object *value = field(reader, object, key);
    return value != NULL ? (uint32_t)take_integer(reader, value, name, 0, UINT32_MAX - 1)
                         : UINT32_MAX;
}

static void take_disks(Reader *reader, struct json_object *body, DinvConfiguration *to) {
    struct json_object *array = field(reader, body, "disks");
    size_t count = take_array(reader, array, "disks");
    to->disks = allocate(reader, count + 1, sizeof *to->disks);
    for (size_t index = 0; to->disks != NULL && index < count; index++) {
        struct json_object *entry = json_object_array_get_idx(array, index);
        if (!expect_object(reader, entry, "disks")) {
            return;
        }
        DinvDiskConfiguration *disk = &to->disks[to->disk_count++];
        disk->serial = take_word(reader, field(reader, entry, "serial"), "disks.serial");
        disk->target = take_path(reader, field(reader, entry, "target"), "disks.target");
        disk->uid = take_id(reader, entry, "uid", "disks.uid");
        disk->gid = take_id(reader, entry, "gid", "disks.gid");
    }
}

static void take_mount(Reader *reader, struct json_object *entry, DinvMountConfiguration *mount) {
    mount->driver = take_word(reader, field(reader, entry, "driver"), "mounts.driver");
    if (mount->driver != NULL && strcmp(mount->driver, DINV_WIRE_MOUNT_DRIVER_9P) != 0 &&
        strcmp(mount->driver, DINV_WIRE_MOUNT_DRIVER_VIRTIOFS) != 0) {
        complain(reader, "mounts.driver: \"%.100s\" is neither 9p nor virtiofs", mount->driver);
    }
    mount->tag = take_word(reader, field(reader, entry, "tag"), "mounts.tag");
    struct json_object *file = field(reader, entry, "file");
    if (file != NULL) {
        mount->file = take_word(reader, file, "mounts.file");
        if (mount->file != NULL && (mount->file[0] == '.' || strchr(mount->file, '/') != NULL)) {
            complain(reader, "mounts.file: \"%.100s\" is not the name of a file", mount->file);
        }
    }
    mount->target = take_path(reader, field(reader, entry, "target"), "mounts.target");
    struct json_object *options = field(reader, entry, "options");
    if (options != NULL) {
        mount->options = take_string(reader, options, "mounts.options");
    } else {
        mount->options = allocate(reader, 1, 1);
    }
    struct json_object *fallback = field(reader, entry, "fallback_options");
    if (fallback != NULL) {
        mount->fallback_options = take_string(reader, fallback, "mounts.fallback_options");
    }
    struct json_object *readonly = field(reader, entry, "readonly");
    if (readonly != NULL && !json_object_is_type(readonly, json_type_boolean)) {
        complain(reader, "mounts.readonly: true or false is expected");
    }
    mount->readonly = json_object_get_boolean(readonly);
}

static void take_mounts(Reader *reader, struct json_object *body, DinvConfiguration *to) {
    struct json_object *inodes = field(reader, body, "inodes_max");
    if (inodes != NULL) {
        to->inodes_max = (uint64_t)take_integer(reader, inodes, "inodes_max", 1, INT32_MAX);
    }
    struct json_object *array = field(reader, body, "mounts");
    size_t count = take_array(reader, array, "mounts");
    to->mounts = allocate(reader, count + 1, sizeof *to->mounts);
    for (size_t index = 0; to->mounts != NULL && index < count; index++) {
        struct json_object *entry = json_object_array_get_idx(array, index);
        if (!expect_object(reader, entry, "mounts")) {
            return;
        }
        take_mount(reader, entry, &to->mounts[to->mount_count++]);
    }
}

/* Text of a file: what the others may not hold, such as newlines, but no NUL. */
static char *take_text(Reader *reader, struct json_object *value, const char *name) {
    if (reader->error != 0) {
        return NULL;
    }
    if (!json_object_is_type(value, json_type_string) ||
        strlen(json_object_get_string(value)) != (size_t)json_object_get_string_len(value)) {
        complain(reader, "%s: a string without NUL is expected", name);
        return NULL;
    }
    char *copy = strdup(json_object_get_string(value));
    if (copy == NULL) {
        complain(reader, "%s: out of memory", name);
    }
    return copy;
}

static void take_files(Reader *reader, struct json_object *body, DinvConfiguration *to) {
    struct json_object *array = field(reader, body, "files");
    size_t count = take_array(reader, array, "files");
    to->files = allocate(reader, count + 1, sizeof *to->files);
    for (size_t index = 0; to->files != NULL && index < count; index++) {
        struct json_object *entry = json_object_array_get_idx(array, index);
        if (!expect_object(reader, entry, "files")) {
            return;
        }
        DinvFileConfiguration *file = &to->files[to->file_count++];
        file->path = take_path(reader, field(reader, entry, "path"), "files.path");
        file->text = take_text(reader, field(reader, entry, "text"), "files.text");
        file->mode =
            (mode_t)take_integer(reader, field(reader, entry, "mode"), "files.mode", 0, 0777);
    }
}

static void take_dockerd(Reader *reader, struct json_object *body, DinvConfiguration *to) {
    struct json_object *object = field(reader, body, "dockerd");
    to->dockerd_deadline_ms = DEADLINE_DEFAULT_MS;
    if (object == NULL) {
        to->dockerd_args = allocate(reader, 1, sizeof *to->dockerd_args);
        return;
    }
    if (!expect_object(reader, object, "dockerd")) {
        return;
    }
    to->dockerd_args = take_list(reader, object, "args", "dockerd.args", take_string);
    struct json_object *deadline = field(reader, object, "deadline_ms");
    if (deadline != NULL) {
        to->dockerd_deadline_ms =
            (uint32_t)take_integer(reader, deadline, "dockerd.deadline_ms", 1, 86400000);
    }
}

/* What dockerd was told of its log, whatever that is: if it is nonsense, dockerd says so. */
static void take_containerd(Reader *reader, struct json_object *body, DinvConfiguration *to) {
    struct json_object *object = field(reader, body, "containerd");
    if (object == NULL || !expect_object(reader, object, "containerd")) {
        return;
    }
    const char *level = json_object_get_string(field(reader, object, "log_level"));
    const char *format = json_object_get_string(field(reader, object, "log_format"));
    to->containerd_logging.level = level != NULL ? dinv_engine_containerd_find_level(level) : NULL;
    to->containerd_logging.json = format != NULL && strcmp(format, "json") == 0;
}

static void take_environment(Reader *reader, struct json_object *body, DinvConfiguration *to) {
    struct json_object *object = field(reader, body, "environment");
    size_t count = 0;
    if (object != NULL && expect_object(reader, object, "environment")) {
        count = (size_t)json_object_object_length(object);
    }
    if (count > DINV_WIRE_CONTROL_LIST_MAX) {
        complain(reader, "environment: %zu variables are more than %d", count,
                 DINV_WIRE_CONTROL_LIST_MAX);
    }
    to->environment = allocate(reader, count + 1, sizeof *to->environment);
    if (count == 0 || reader->error != 0) {
        return;
    }
    size_t index = 0;
    json_object_object_foreach(object, name, value) {
        if (name[0] == '\0' || strchr(name, '=') != NULL || !is_printable(name, strlen(name))) {
            complain(reader, "environment: \"%.100s\" is not the name of a variable", name);
        }
        char *text = take_string(reader, value, "environment");
        if (text != NULL && asprintf(&to->environment[index], "%s=%s", name, text) >= 0) {
            index++;
        }
        free(text);
    }
}

static void take_entropy(Reader *reader, struct json_object *body, DinvConfiguration *to) {
    struct json_object *value = field(reader, body, "entropy");
    if (value == NULL) {
        return;
    }
    char *text = take_string(reader, value, "entropy");
    if (text == NULL) {
        return;
    }
    size_t len = strlen(text);
    to->entropy = len <= DINV_WIRE_CONTROL_ENTROPY_MAX ? allocate(reader, len + 1, 1) : NULL;
    ssize_t decoded =
        to->entropy != NULL ? dinv_base64_decode(text, len, to->entropy, len) : -EINVAL;
    if (decoded < 0) {
        complain(reader, "entropy: this is not base64 of at most %d characters",
                 DINV_WIRE_CONTROL_ENTROPY_MAX);
    } else {
        to->entropy_len = (size_t)decoded;
    }
    explicit_bzero(text, len);
    free(text);
}

bool dinv_configuration_parse_time(struct json_object *value, struct timespec *time) {
    struct json_object *seconds;
    struct json_object *nanoseconds;
    if (!json_object_is_type(value, json_type_object) ||
        !json_object_object_get_ex(value, "sec", &seconds) ||
        !json_object_is_type(seconds, json_type_int)) {
        return false;
    }
    int64_t sec = json_object_get_int64(seconds);
    int64_t nsec = 0;
    if (json_object_object_get_ex(value, "nsec", &nanoseconds)) {
        if (!json_object_is_type(nanoseconds, json_type_int)) {
            return false;
        }
        nsec = json_object_get_int64(nanoseconds);
    }
    /* The kernel refuses years it cannot count in nanoseconds. */
    if (sec <= 0 || sec > INT64_MAX / 1000000000 / 2 || nsec < 0 || nsec > 999999999) {
        return false;
    }
    *time = (struct timespec){.tv_sec = (time_t)sec, .tv_nsec = (long)nsec};
    return true;
}

static void take_scalars(Reader *reader, struct json_object *body, DinvConfiguration *to) {
    struct json_object *version = field(reader, body, "protocol");
    int64_t protocol = take_integer(reader, version, "protocol", 0, INT32_MAX);
    if (reader->error == 0 && protocol != DINV_WIRE_CONTROL_VERSION) {
        complain(reader, "protocol: version %d of the launcher is not %d of the guest",
                 (int)protocol, DINV_WIRE_CONTROL_VERSION);
        reader->error = -EPROTONOSUPPORT;
    }
    struct json_object *hostname = field(reader, body, "hostname");
    if (hostname != NULL) {
        to->hostname = take_word(reader, hostname, "hostname");
        if (to->hostname != NULL && strlen(to->hostname) > 64) {
            complain(reader, "hostname: \"%.100s\" is longer than 64 characters", to->hostname);
        }
    }
    struct json_object *time = field(reader, body, "time");
    if (time != NULL && !dinv_configuration_parse_time(time, &to->time)) {
        complain(reader, "time: {\"sec\": seconds since 1970, \"nsec\": …} is expected");
    }
}

int dinv_configuration_parse(struct json_object *body, DinvConfiguration **configuration,
                             char *reason, size_t reason_size) {
    Reader reader = {.reason = reason, .reason_size = reason_size};
    DinvConfiguration *result = calloc(1, sizeof *result);
    if (result == NULL) {
        complain(&reader, "out of memory");
        return reader.error;
    }
    take_scalars(&reader, body, result);
    take_entropy(&reader, body, result);
    take_network(&reader, body, &result->network);
    take_disks(&reader, body, result);
    take_mounts(&reader, body, result);
    take_files(&reader, body, result);
    take_dockerd(&reader, body, result);
    take_containerd(&reader, body, result);
    take_environment(&reader, body, result);
    if (reader.error != 0) {
        dinv_configuration_free(result);
        return reader.error;
    }
    *configuration = result;
    return 0;
}

static void free_list(char **list) {
    for (char **item = list; list != NULL && *item != NULL; item++) {
        free(*item);
    }
    free(list);
}

int dinv_configuration_set_resolver(DinvConfiguration *configuration, struct json_object *body,
                                    char *reason, size_t reason_size) {
    Reader reader = {.reason = reason, .reason_size = reason_size};
    DinvNetworkConfiguration *network = &configuration->network;
    char **search = take_list(&reader, body, "search", "search", take_word);
    char **options = take_list(&reader, body, "options", "options", take_word);
    if (reader.error != 0) {
        free_list(search);
        free_list(options);
        return reader.error;
    }
    free_list(network->search);
    free_list(network->options);
    network->search = search;
    network->options = options;
    return 0;
}

void dinv_configuration_free(DinvConfiguration *configuration) {
    if (configuration == NULL) {
        return;
    }
    free(configuration->hostname);
    if (configuration->entropy != NULL) {
        explicit_bzero(configuration->entropy, configuration->entropy_len);
    }
    free(configuration->entropy);
    DinvNetworkConfiguration *network = &configuration->network;
    free_list(network->dns);
    free_list(network->search);
    free_list(network->options);
    for (size_t index = 0; index < network->host_count; index++) {
        free(network->hosts[index].name);
        free(network->hosts[index].address);
    }
    free(network->hosts);
    for (size_t index = 0; index < configuration->disk_count; index++) {
        free(configuration->disks[index].serial);
        free(configuration->disks[index].target);
    }
    free(configuration->disks);
    for (size_t index = 0; index < configuration->mount_count; index++) {
        free(configuration->mounts[index].driver);
        free(configuration->mounts[index].tag);
        free(configuration->mounts[index].file);
        free(configuration->mounts[index].target);
        free(configuration->mounts[index].options);
        free(configuration->mounts[index].fallback_options);
    }
    free(configuration->mounts);
    for (size_t index = 0; index < configuration->file_count; index++) {
        free(configuration->files[index].path);
        free(configuration->files[index].text);
    }
    free(configuration->files);
    free_list(configuration->dockerd_args);
    free_list(configuration->environment);
    free(configuration);
}
