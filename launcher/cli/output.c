/* SPDX-License-Identifier: MIT */
/* Printing for all verbs. */
#include "launcher/cli/output.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

void dinv_cli_complain(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    (void)fprintf(stderr, "dinv: %s\n", text);
}

gboolean dinv_cli_flush(const char *what) {
    if (fflush(stdout) != 0 || ferror(stdout) != 0) {
        dinv_cli_complain("cannot write the %s: %s", what, g_strerror(errno));
        return FALSE;
    }
    return TRUE;
}

gboolean dinv_cli_parse_json_option(const char *verb, int argc, char **argv, gboolean *as_json) {
    *as_json = argc == 1 && strcmp(argv[0], "--json") == 0;
    if (argc > 0 && !*as_json) {
        dinv_cli_complain("%s: \"%s\" is not known; the only option is --json", verb, argv[0]);
        return FALSE;
    }
    return TRUE;
}

struct json_object *dinv_cli_json_get(struct json_object *object, const char *key) {
    struct json_object *value = NULL;
    return json_object_is_type(object, json_type_object) &&
                   json_object_object_get_ex(object, key, &value)
               ? value
               : NULL;
}

const char *dinv_cli_json_text(struct json_object *object, const char *key) {
    const char *text = json_object_get_string(dinv_cli_json_get(object, key));
    return text != NULL ? text : "-";
}
