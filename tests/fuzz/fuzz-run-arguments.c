/* SPDX-License-Identifier: MIT */
/*
 * The words behind `dinv run`, a line each, and what of them is left for dockerd; and each as the
 * URL of a proxy. What must hold: no crash, the three parts are in order and lose nothing, nothing
 * that is dinv's own is passed on.
 */
#include <stdint.h>
#include <string.h>

#include "launcher/engine/options.h"
#include "launcher/engine/proxies.h"
#include "launcher/settings/run-arguments.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_rest(char *const *words) {
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    g_auto(GStrv) once = dinv_engine_options_filter(words, dinv_engine_options_kept(), warnings);
    for (const DinvEngineOption *option = dinv_engine_options_kept(); option->flag != NULL;
         option++) {
        g_autoptr(GPtrArray) values = dinv_engine_options_list(once, option->flag);
        g_assert(values->len == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    g_autofree char *text = g_strndup((const char *)data, size);
    g_auto(GStrv) words = g_strsplit(text, "\n", -1);
    int count = (int)g_strv_length(words);
    DinvSettingsRunArguments arguments;
    dinv_settings_run_arguments_split(count, words, &arguments);
    g_assert(arguments.own >= 0 && arguments.own <= count);
    if (arguments.command == NULL) {
        g_assert(arguments.own == count && arguments.dockerd_count == 0);
    } else {
        g_assert(arguments.dockerd >= words + arguments.own);
        g_assert(arguments.command >= arguments.dockerd + arguments.dockerd_count);
        g_assert(arguments.command <= words + count);
    }
    check_rest(words);
    for (int i = 0; i < count; i++) {
        g_autofree char *once = dinv_engine_proxies_translate(words[i], "10.0.2.2");
        g_autofree char *twice = dinv_engine_proxies_translate(once, "10.0.2.2");
        g_assert(strcmp(once, twice) == 0);
    }
    return 0;
}
