/* SPDX-License-Identifier: MIT */
/* What dockerd is given: daemon.json, certificates, proxies, arguments. */
#include "launcher/preflight/checks.h"

void dinv_preflight_check_engine(const DinvPreflightHost *host, const DinvConfig *config,
                                 DinvPreflight *result) {
    const char *name = "engine";
    g_auto(GStrv) environment = g_get_environ();
    g_autoptr(GError) error = NULL;

    result->engine = dinv_engine_config_read(config, host->root, environment, &error);
    if (result->engine == NULL) {
        dinv_preflight_add(result, name, DINV_CHECK_FAILED, g_strdup(error->message),
                           g_strdup("correct it, or take it away (daemon.json and certs.d are read "
                                    "from DINV_CONFIG_DIR)"));
        return;
    }
    for (guint i = 0; i < result->engine->warnings->len; i++) {
        dinv_preflight_add(result, name, DINV_CHECK_WARNING,
                           g_strdup(result->engine->warnings->pdata[i]), NULL);
    }
    if (result->engine->text[0] != '\0') {
        dinv_preflight_add(result, name, DINV_CHECK_OK, g_strdup(result->engine->text), NULL);
    }
}
