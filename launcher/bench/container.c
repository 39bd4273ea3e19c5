/* SPDX-License-Identifier: MIT */
/* What a docker client would say to the engine. */
#include "launcher/bench/container.h"

#include <gio/gio.h>
#include <json-c/json.h>
#include <string.h>

#include "launcher/base/json-text.h"
#include "launcher/bench/http.h"

#define IMAGE      "dinv-bench"
#define PORT       "80/tcp"
#define JSON_DEPTH 32

static char *call(DinvBench *bench, const char *method, const char *path, const char *body,
                  gsize length, GError **error) {
    return dinv_bench_http_call(&bench->watch, bench->config->socket_path, method, path, body,
                                length, error);
}

gboolean dinv_bench_image_import(DinvBench *bench, const char *tar, gsize length, GError **error) {
    /* What goes wrong in the middle stands in the answer's text; the image is missed later then. */
    g_autofree char *answer = call(
        bench, "POST", "/images/create?fromSrc=-&repo=" IMAGE "&tag=latest", tar, length, error);
    return answer != NULL;
}

static struct json_object *describe(const DinvBenchContainer *container) {
    struct json_object *words = json_object_new_array();
    for (gsize i = 0; container->command[i] != NULL; i++) {
        json_object_array_add(words, json_object_new_string(container->command[i]));
    }
    struct json_object *host = json_object_new_object();
    json_object_object_add(host, "AutoRemove", json_object_new_boolean(TRUE));
    if (!container->is_logged) {
        struct json_object *log = json_object_new_object();
        dinv_json_add_string(log, "Type", "none");
        json_object_object_add(host, "LogConfig", log);
    }
    struct json_object *body = json_object_new_object();
    if (container->port != 0) {
        g_autofree char *number = g_strdup_printf("%u", container->port);
        struct json_object *binding = json_object_new_object();
        dinv_json_add_string(binding, "HostPort", number);
        struct json_object *bindings = json_object_new_array();
        json_object_array_add(bindings, binding);
        struct json_object *ports = json_object_new_object();
        json_object_object_add(ports, PORT, bindings);
        json_object_object_add(host, "PortBindings", ports);
        struct json_object *exposed = json_object_new_object();
        json_object_object_add(exposed, PORT, json_object_new_object());
        json_object_object_add(body, "ExposedPorts", exposed);
    }
    dinv_json_add_string(body, "Image", IMAGE ":latest");
    json_object_object_add(body, "Cmd", words);
    json_object_object_add(body, "AttachStdout", json_object_new_boolean(TRUE));
    json_object_object_add(body, "HostConfig", host);
    return body;
}

/* The ID in the answer to a container's creation; it is to stand in paths, so it has to be one. */
static char *parse_id(const char *answer) {
    struct json_object *parsed = dinv_json_text_parse(answer, strlen(answer), JSON_DEPTH);
    struct json_object *id = NULL;
    if (json_object_is_type(parsed, json_type_object)) {
        (void)json_object_object_get_ex(parsed, "Id", &id);
    }
    char *text = g_strdup(id != NULL ? json_object_get_string(id) : "");
    json_object_put(parsed);
    if (*text == '\0' || text[strspn(text, "0123456789abcdef")] != '\0') {
        g_clear_pointer(&text, g_free);
    }
    return text;
}

char *dinv_bench_container_create(DinvBench *bench, const DinvBenchContainer *container,
                                  GError **error) {
    struct json_object *body = describe(container);
    const char *text = json_object_to_json_string_ext(body, JSON_C_TO_STRING_PLAIN);
    g_autofree char *answer = call(bench, "POST", "/containers/create", text, strlen(text), error);
    json_object_put(body);
    if (answer == NULL) {
        return NULL;
    }
    char *id = parse_id(answer);
    if (id == NULL) {
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_FAILED,
                            "the engine made a container without an ID");
    }
    return id;
}

int dinv_bench_container_ask(DinvBench *bench, const char *id, const char *action, GError **error) {
    g_autofree char *path = g_strdup_printf("/containers/%s/%s", id, action);
    return dinv_bench_http_send(&bench->watch, bench->config->socket_path, "POST", path, "", 0,
                                error);
}

gboolean dinv_bench_container_do(DinvBench *bench, const char *id, const char *action,
                                 GError **error) {
    int fd = dinv_bench_container_ask(bench, id, action, error);
    g_autofree char *answer = fd >= 0 ? dinv_bench_http_finish(&bench->watch, fd, error) : NULL;
    return answer != NULL;
}

gboolean dinv_bench_container_remove(DinvBench *bench, const char *id, GError **error) {
    g_autofree char *path = g_strdup_printf("/containers/%s?force=1", id);
    g_autofree char *answer = call(bench, "DELETE", path, "", 0, error);
    return answer != NULL;
}
