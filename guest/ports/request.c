/* SPDX-License-Identifier: MIT */
/* Both directions of the line in one place, so that proxy and agent cannot differ. */
#include "guest/ports/request.h"

#include <errno.h>
#include <stdio.h>

#include "guest/base/message.h"

int dinv_ports_request_format(char line[DINV_PUBLISH_LINE_SIZE], const DinvPortsWish *wish) {
    struct json_object *request = json_object_new_object();
    json_object_object_add(request, "protocol", json_object_new_string(wish->protocol));
    json_object_object_add(request, "address", json_object_new_string(wish->address));
    json_object_object_add(request, "port", json_object_new_int((int)wish->port));
    json_object_object_add(request, "guest_port", json_object_new_int((int)wish->guest_port));
    json_object_object_add(request, "is_guests", json_object_new_boolean(wish->is_guests));
    json_object_object_add(request, "is_shared", json_object_new_boolean(wish->is_shared));
    json_object_object_add(request, "container", json_object_new_string(wish->container));
    int len = snprintf(line, DINV_PUBLISH_LINE_SIZE, "%s\n",
                       json_object_to_json_string_ext(request, JSON_C_TO_STRING_PLAIN));
    json_object_put(request);
    return len < DINV_PUBLISH_LINE_SIZE ? len : -EMSGSIZE;
}

static int copy_field(struct json_object *to, struct json_object *from, const char *key,
                      json_type type) {
    struct json_object *value;
    if (!json_object_object_get_ex(from, key, &value) || !json_object_is_type(value, type)) {
        return -EBADMSG;
    }
    return json_object_object_add(to, key, json_object_get(value));
}

struct json_object *dinv_ports_request_parse(const char *line, size_t len) {
    struct json_object *asked = dinv_json_parse_object(line, len);
    struct json_object *fields = json_object_new_object();
    if (asked == NULL || copy_field(fields, asked, "protocol", json_type_string) < 0 ||
        copy_field(fields, asked, "address", json_type_string) < 0 ||
        copy_field(fields, asked, "port", json_type_int) < 0 ||
        copy_field(fields, asked, "guest_port", json_type_int) < 0 ||
        copy_field(fields, asked, "is_guests", json_type_boolean) < 0 ||
        copy_field(fields, asked, "is_shared", json_type_boolean) < 0 ||
        copy_field(fields, asked, "container", json_type_string) < 0) {
        json_object_put(fields);
        fields = NULL;
    }
    json_object_put(asked);
    return fields;
}
