/* SPDX-License-Identifier: MIT */
/*
 * daemon.json. What must hold: no crash, exactly one of result and error, what is passed on has
 * none of dinv's own keys, and is taken when it is read once more.
 */
#include <stdint.h>
#include <string.h>

#include "launcher/engine/daemon-json.h"
#include "launcher/engine/options.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    g_autoptr(GError) error = NULL;
    g_autoptr(DinvEngineDaemonJson) file =
        dinv_engine_daemon_json_parse((const char *)data, size, &error);

    g_assert((file == NULL) == (error != NULL));
    if (file == NULL) {
        g_assert(g_utf8_validate(error->message, -1, NULL));
        return 0;
    }
    for (const DinvEngineOption *option = dinv_engine_options_kept(); option->flag != NULL;
         option++) {
        g_assert(option->key == NULL || !dinv_engine_daemon_json_has(file, option->key));
    }
    g_assert(file->bip.prefix <= 32);
    const char *text = json_object_to_json_string_ext(file->object, JSON_C_TO_STRING_PLAIN);
    g_autoptr(DinvEngineDaemonJson) again = dinv_engine_daemon_json_parse(text, strlen(text), NULL);
    g_assert(again != NULL || strlen(text) > DINV_ENGINE_DAEMON_JSON_MAX_BYTES);
    return 0;
}
