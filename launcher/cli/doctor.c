/* SPDX-License-Identifier: MIT */
#include "launcher/cli/doctor.h"

#include <stdlib.h>

static const char *mark(DinvCheckStatus status) {
    switch (status) {
    case DINV_CHECK_OK:
        return "OK";
    case DINV_CHECK_WARNING:
        return "--";
    case DINV_CHECK_FAILED:
        return "!!";
    }
    g_assert_not_reached();
}

void dinv_cli_doctor_print(const DinvPreflight *preflight, FILE *stream) {
    for (guint i = 0; i < preflight->checks->len; i++) {
        const DinvCheck *check = preflight->checks->pdata[i];

        fprintf(stream, "%s  %-15s  %s\n", mark(check->status), check->name, check->text);
        if (check->remedy != NULL) {
            fprintf(stream, "    %-15s  remedy: %s\n", "", check->remedy);
        }
    }
}

int dinv_cli_doctor(const DinvConfig *config) {
    DinvPreflight preflight = {0};
    gboolean good = dinv_preflight(config, &preflight, NULL);

    dinv_cli_doctor_print(&preflight, stdout);
    puts(good ? "dinv run would work." : "dinv run would not work.");
    dinv_preflight_clear(&preflight);
    if (fflush(stdout) != 0) {
        good = FALSE;
    }
    return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
