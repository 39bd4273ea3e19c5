/* SPDX-License-Identifier: MIT */
/* The list behind the report. */
#include "launcher/preflight/report.h"

static void line_free(gpointer data) {
    DinvPreflightLine *line = data;
    g_free(line->text);
    g_free(line->remedy);
    g_free(line);
}

DinvPreflightReport *dinv_preflight_report_new(void) {
    DinvPreflightReport *report = g_new0(DinvPreflightReport, 1);
    report->lines = g_ptr_array_new_with_free_func(line_free);
    return report;
}

void dinv_preflight_report_free(DinvPreflightReport *report) {
    if (report == NULL) {
        return;
    }
    g_ptr_array_unref(report->lines);
    g_free(report);
}

void dinv_preflight_report_add(DinvPreflightReport *report, const char *name,
                               DinvPreflightStatus status, char *text, char *remedy) {
    DinvPreflightLine *line = g_new(DinvPreflightLine, 1);
    *line = (DinvPreflightLine){.name = name, .status = status, .text = text, .remedy = remedy};
    g_ptr_array_add(report->lines, line);
}
