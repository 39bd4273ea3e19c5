/* SPDX-License-Identifier: MIT */
/* What dockerd is given: daemon.json, certificates, proxies, arguments. */
#include "launcher/preflight/checks.h"

#define NAME "engine"

void dinv_preflight_check_engine(const DinvPreflightHost *host, const DinvConfig *config,
                                 DinvPreflight *result) {
    g_auto(GStrv) environment = g_get_environ();
    g_autoptr(GError) error = NULL;
    DinvEngineConfig *engine = dinv_engine_config_read(config, host->root, environment, &error);
    result->findings.engine = engine;
    if (engine == NULL) {
        dinv_preflight_report_add(result->report, NAME, DINV_PREFLIGHT_FAILED,
                                  g_strdup(error->message),
                                  g_strdup("correct it, or take it away (daemon.json and certs.d "
                                           "are read from DINV_CONFIG_DIR)"));
        return;
    }
    for (guint i = 0; i < engine->warnings->len; i++) {
        dinv_preflight_report_add(result->report, NAME, DINV_PREFLIGHT_WARNING,
                                  g_strdup(engine->warnings->pdata[i]), NULL);
    }
    if (engine->text[0] != '\0') {
        dinv_preflight_report_add(result->report, NAME, DINV_PREFLIGHT_OK, g_strdup(engine->text),
                                  NULL);
    }
}
