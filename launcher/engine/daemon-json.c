/* SPDX-License-Identifier: MIT */
/* Parses what json-c and dockerd both take, and reads or takes out the keys that concern dinv. */
#include "launcher/engine/daemon-json.h"

#include <string.h>

#include "launcher/base/text.h"
#include "launcher/engine/options.h"
#include "launcher/settings/types.h"

G_DEFINE_QUARK(dinv - daemon - json - error - quark, dinv_engine_daemon_json_error)

#define DEPTH_MAX 32
#define POOLS_MAX 256u

static gboolean is_blank(const char *text, gsize length) {
    for (gsize i = 0; i < length; i++) {
        if (!g_ascii_isspace(text[i])) {
            return FALSE;
        }
    }
    return TRUE;
}

/* Line and column of a byte, both counted from 1. */
static char *describe_place(const char *text, gsize offset) {
    guint line = 1;
    guint column = 1;
    for (gsize i = 0; i < offset; i++) {
        column = text[i] == '\n' ? 1 : column + 1;
        line += text[i] == '\n';
    }
    return g_strdup_printf("line %u, column %u", line, column);
}

/* What json-c takes all the same when it is strict: names in single quotes, NaN and Infinity, "1.",
 * control characters in strings. dockerd would take none of it in the file, but some in what is
 * written from it here. Only for a text that json-c has taken; NULL if there is none, else what is
 * at `*place`. */
static const char *find_extension(const char *text, gsize length, gsize *place) {
    gboolean in_string = FALSE;
    for (gsize i = 0; i < length; i++) {
        const char *found = NULL;
        if (in_string && text[i] == '\\') {
            i++;
        } else if (in_string && (guchar)text[i] < ' ') {
            found = "control character in a string";
        } else if (text[i] == '"') {
            in_string = !in_string;
        } else if (!in_string && text[i] == '\'') {
            found = "single quote";
        } else if (!in_string && (text[i] == 'N' || text[i] == 'I')) {
            found = "NaN or Infinity";
        } else if (!in_string && text[i] == '.' &&
                   !(i + 1 < length && g_ascii_isdigit(text[i + 1]))) {
            found = "no digit after the point";
        }
        if (found != NULL) {
            *place = i;
            return found;
        }
    }
    return NULL;
}

/* The value at the beginning of `text`, which ends at `*end`, where also `*problem` is. */
static struct json_object *parse_value(const char *text, gsize length, gsize *end,
                                       const char **problem) {
    struct json_tokener *tokener = json_tokener_new_ex(DEPTH_MAX);
    json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
    struct json_object *value = json_tokener_parse_ex(tokener, text, (int)length);
    enum json_tokener_error result = json_tokener_get_error(tokener);
    *end = MIN(json_tokener_get_parse_end(tokener), length);
    *problem = NULL;
    if (result == json_tokener_continue) { /* cut off, or a number that could go on */
        value = json_tokener_parse_ex(tokener, "", -1);
        *end = length;
        if (json_tokener_get_error(tokener) != json_tokener_success) {
            *problem = "it ends too early";
        }
    } else if (result != json_tokener_success) {
        *problem = json_tokener_error_desc(result);
    }
    json_tokener_free(tokener);
    if (*problem == NULL) {
        *problem = find_extension(text, *end, end);
    }
    if (*problem == NULL && !is_blank(text + *end, length - *end)) {
        *problem = "text after the end";
    }
    return value;
}

static struct json_object *parse_object(const char *text, gsize length, GError **error) {
    gsize end;
    const char *problem;
    struct json_object *value = parse_value(text, length, &end, &problem);
    if (problem == NULL && json_object_is_type(value, json_type_object)) {
        return value;
    }
    if (problem == NULL) {
        g_set_error(error, DINV_ENGINE_DAEMON_JSON_ERROR, DINV_ENGINE_DAEMON_JSON_ERROR_SYNTAX,
                    "holds %s, not a JSON object ({…})",
                    json_type_to_name(json_object_get_type(value)));
    } else {
        g_autofree char *place = describe_place(text, end);
        g_set_error(error, DINV_ENGINE_DAEMON_JSON_ERROR, DINV_ENGINE_DAEMON_JSON_ERROR_SYNTAX,
                    "is not JSON (%s: %s)", place, problem);
    }
    json_object_put(value);
    return NULL;
}

static struct json_object *get_key(struct json_object *object, const char *key) {
    struct json_object *value = NULL;
    (void)json_object_object_get_ex(object, key, &value);
    return value;
}

static gboolean read_bip(DinvEngineDaemonJson *file, GError **error) {
    struct json_object *value = get_key(file->object, "bip");
    const char *text = json_object_get_string(value);
    if (value == NULL || text[0] == '\0') {
        return TRUE;
    }
    if (!dinv_settings_parse_bridge_address(text, &file->bip, error)) {
        g_prefix_error(error, "\"bip\": ");
        return FALSE;
    }
    return TRUE;
}

/* {"base": "10.10.0.0/16", "size": 24}; of IPv6 there is nothing to plan. */
static gboolean read_pool(DinvEngineDaemonJson *file, struct json_object *pool, GError **error) {
    struct json_object *base =
        json_object_is_type(pool, json_type_object) ? get_key(pool, "base") : NULL;
    DinvIpv4Network network;
    if (!json_object_is_type(base, json_type_string)) {
        g_set_error(error, DINV_ENGINE_DAEMON_JSON_ERROR, DINV_ENGINE_DAEMON_JSON_ERROR_VALUE,
                    "\"default-address-pools\": an item is {\"base\": \"10.10.0.0/16\", \"size\": "
                    "24}");
        return FALSE;
    }
    const char *text = json_object_get_string(base);
    if (strchr(text, ':') != NULL) {
        return TRUE;
    }
    if (!dinv_ipv4_network_parse(text, &network)) {
        g_set_error(error, DINV_ENGINE_DAEMON_JSON_ERROR, DINV_ENGINE_DAEMON_JSON_ERROR_VALUE,
                    "\"default-address-pools\": \"%s\" is not a network (such as 10.10.0.0/16)",
                    text);
        return FALSE;
    }
    network = dinv_ipv4_network_of(&network);
    g_array_append_val(file->pools, network);
    return TRUE;
}

static gboolean read_pools(DinvEngineDaemonJson *file, GError **error) {
    struct json_object *pools = get_key(file->object, "default-address-pools");
    if (pools == NULL) {
        return TRUE;
    }
    if (!json_object_is_type(pools, json_type_array) ||
        json_object_array_length(pools) > POOLS_MAX) {
        g_set_error(error, DINV_ENGINE_DAEMON_JSON_ERROR, DINV_ENGINE_DAEMON_JSON_ERROR_VALUE,
                    "\"default-address-pools\": an array of at most %u items is expected",
                    POOLS_MAX);
        return FALSE;
    }
    for (gsize i = 0; i < json_object_array_length(pools); i++) {
        if (!read_pool(file, json_object_array_get_idx(pools, i), error)) {
            return FALSE;
        }
    }
    return TRUE;
}

static gboolean is_plain_text(struct json_object *value) {
    const char *text = json_object_get_string(value);
    return json_object_is_type(value, json_type_string) && dinv_text_is_printable(text, "") &&
           strlen(text) == (gsize)json_object_get_string_len(value);
}

/* Of the keys that dinv carries out itself: whether `value` is what dockerd would take. */
static gboolean check_served(const DinvEngineOption *option, struct json_object *value,
                             GError **error) {
    gboolean is_list = strcmp(option->key, "hosts") == 0;
    gboolean good = option->is_switch ? json_object_is_type(value, json_type_boolean)
                    : is_list         ? json_object_is_type(value, json_type_array)
                                      : is_plain_text(value);
    for (gsize i = 0; good && is_list && i < json_object_array_length(value); i++) {
        good = is_plain_text(json_object_array_get_idx(value, i));
    }
    if (!good) {
        g_set_error(error, DINV_ENGINE_DAEMON_JSON_ERROR, DINV_ENGINE_DAEMON_JSON_ERROR_VALUE,
                    "\"%s\": %s is expected", option->key,
                    option->is_switch ? "true or false"
                    : is_list ? "a list of addresses, such as [\"unix:///var/run/docker.sock\"],"
                              : "a text");
    }
    return good;
}

/* Removes the keys that dinv keeps to itself, with a warning for each that it does not carry
 * out. */
static gboolean take_out(DinvEngineDaemonJson *file, GError **error) {
    for (const DinvEngineOption *option = dinv_engine_options_kept(); option->flag != NULL;
         option++) {
        struct json_object *value = option->key != NULL ? get_key(file->object, option->key) : NULL;
        if (value == NULL) {
            continue;
        }
        if (option->reason != NULL) {
            g_ptr_array_add(file->warnings,
                            g_strdup_printf("\"%s\" is not passed on to dockerd: %s", option->key,
                                            option->reason));
        } else if (!check_served(option, value, error)) {
            return FALSE;
        } else {
            json_object_object_add(file->served, option->key, json_object_get(value));
        }
        json_object_object_del(file->object, option->key);
    }
    return TRUE;
}

static void warn_about_limits(DinvEngineDaemonJson *file) {
    struct json_object *value = get_key(file->object, "userland-proxy");
    if (value != NULL && !json_object_get_boolean(value)) {
        g_ptr_array_add(file->warnings,
                        g_strdup("with \"userland-proxy\": false only the ports of DINV_TCP_PORTS "
                                 "and DINV_UDP_PORTS are reachable from outside"));
    }
}

DinvEngineDaemonJson *dinv_engine_daemon_json_parse(const char *text, gsize length,
                                                    GError **error) {
    static const char byte_order_mark[] = "\xef\xbb\xbf";
    if (length >= 3 && memcmp(text, byte_order_mark, 3) == 0) {
        text += 3;
        length -= 3;
    }
    if (length > DINV_ENGINE_DAEMON_JSON_MAX_BYTES) {
        g_set_error(error, DINV_ENGINE_DAEMON_JSON_ERROR, DINV_ENGINE_DAEMON_JSON_ERROR_SYNTAX,
                    "has %" G_GSIZE_FORMAT " bytes, the most is %u", length,
                    DINV_ENGINE_DAEMON_JSON_MAX_BYTES);
        return NULL;
    }
    struct json_object *object =
        is_blank(text, length) ? json_object_new_object() : parse_object(text, length, error);
    if (object == NULL) {
        return NULL;
    }
    g_autoptr(DinvEngineDaemonJson) file = g_new0(DinvEngineDaemonJson, 1);
    file->object = object;
    file->served = json_object_new_object();
    file->pools = g_array_new(FALSE, FALSE, sizeof(DinvIpv4Network));
    file->warnings = g_ptr_array_new_with_free_func(g_free);
    if (!read_bip(file, error) || !read_pools(file, error) || !take_out(file, error)) {
        return NULL;
    }
    warn_about_limits(file);
    return g_steal_pointer(&file);
}

gboolean dinv_engine_daemon_json_has(const DinvEngineDaemonJson *file, const char *key) {
    return file != NULL && json_object_object_get_ex(file->object, key, NULL);
}

void dinv_engine_daemon_json_free(DinvEngineDaemonJson *file) {
    if (file != NULL) {
        json_object_put(file->object);
        json_object_put(file->served);
        g_clear_pointer(&file->pools, g_array_unref);
        g_clear_pointer(&file->warnings, g_ptr_array_unref);
        g_free(file);
    }
}
