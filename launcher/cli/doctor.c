/* SPDX-License-Identifier: MIT */
/* The verb `doctor`: shows what preflight found, and makes nothing. */
#include "launcher/cli/doctor.h"

#include <stdlib.h>

static const char *mark_of(DinvPreflightStatus status) {
    switch (status) {
    case DINV_PREFLIGHT_OK:
    case DINV_PREFLIGHT_NOTE:
        return "OK";
    case DINV_PREFLIGHT_WARNING:
        return "--";
    case DINV_PREFLIGHT_FAILED:
        return "!!";
    }
    g_assert_not_reached();
}

void dinv_cli_doctor_print(const DinvPreflightReport *report, FILE *stream) {
    for (guint i = 0; i < report->lines->len; i++) {
        const DinvPreflightLine *line = report->lines->pdata[i];
        fprintf(stream, "%s  %-15s  %s\n", mark_of(line->status), line->name, line->text);
        if (line->remedy != NULL) {
            fprintf(stream, "    %-15s  remedy: %s\n", "", line->remedy);
        }
    }
}

int dinv_cli_doctor(const DinvConfig *config) {
    DinvPreflight preflight = {0};
    gboolean good = dinv_preflight(config, FALSE, &preflight, NULL);
    for (guint i = 0; config->notes != NULL && i < config->notes->len; i++) {
        dinv_preflight_report_add(preflight.report, "state directory", DINV_PREFLIGHT_NOTE,
                                  g_strdup(config->notes->pdata[i]), NULL);
    }
    dinv_cli_doctor_print(preflight.report, stdout);
    puts(good ? "dinv run would work." : "dinv run would not work.");
    dinv_preflight_clear(&preflight);
    if (fflush(stdout) != 0) {
        good = FALSE;
    }
    return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
