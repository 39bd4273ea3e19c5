/* SPDX-License-Identifier: MIT */
/* What preflight says to people: a list of lines, each with a status and, if need be, a remedy. */
#pragma once

#include <glib.h>

typedef enum {
    DINV_PREFLIGHT_OK,
    DINV_PREFLIGHT_NOTE, /* good, and said at a start all the same */
    DINV_PREFLIGHT_WARNING,
    DINV_PREFLIGHT_FAILED
} DinvPreflightStatus;

typedef struct {
    const char *name; /* "acceleration" */
    DinvPreflightStatus status;
    char *text;   /* a sentence without a full stop */
    char *remedy; /* what to do, or NULL */
} DinvPreflightLine;

typedef struct {
    GPtrArray *lines; /* of DinvPreflightLine*, in the order of a start */
} DinvPreflightReport;

/* An empty report. */
DinvPreflightReport *dinv_preflight_report_new(void);
/* NULL is ignored. */
void dinv_preflight_report_free(DinvPreflightReport *report);

/* Adds a line. `name` is a static string; `text` and `remedy` (may be NULL) are taken over. */
void dinv_preflight_report_add(DinvPreflightReport *report, const char *name,
                               DinvPreflightStatus status, char *text, char *remedy);
