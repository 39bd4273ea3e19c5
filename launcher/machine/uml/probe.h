/* SPDX-License-Identifier: MIT */
/*
 * Whether User-Mode Linux works here: it is started as far as its first program, which makes
 * another process and powers off. That takes whatever the outer container may refuse: seccomp
 * filters or ptrace, executable memory of a file without a name. It runs in the cage that the
 * machine will have (cage.h), the narrow one first: whether the kernel opens files by itself is
 * known by that.
 */
#pragma once

#include "launcher/settings/config.h"

typedef enum {
    DINV_UML_WORKS,
    DINV_UML_MISSING, /* there is no kernel for it */
    DINV_UML_BROKEN,
} DinvUmlVerdictKind;

typedef struct {
    DinvUmlVerdictKind kind;
    char *text;           /* a sentence without a full stop */
    char *remedy;         /* what to do; NULL when it works */
    gboolean opens_files; /* as DinvMachineUmlPlan */
    char *confinement;    /* what is in force, a comma list (cage.h); NULL unless it works */
} DinvUmlVerdict;

/* Tests the kernel config->uml_kernel in the mode config->uml, with the root image. Blocks for a
 * quarter of a second, twice if it does not work, or a few seconds at the most; runs the default
 * main context meanwhile, in which nothing else may be yet. *verdict is to be cleared. */
void dinv_uml_probe(const DinvConfig *config, DinvUmlVerdict *verdict);

/* What the test has shown. */
typedef struct {
    gboolean timed_out;
    int wait_status;
    const char *error;   /* what it said on stderr */
    const char *console; /* and as a kernel */
} DinvUmlObservation;

/* The verdict on it, to be cleared; pure. */
void dinv_uml_interpret(const DinvConfig *config, const DinvUmlObservation *seen,
                        DinvUmlVerdict *verdict);

/* Frees the texts of *verdict. */
void dinv_uml_verdict_clear(DinvUmlVerdict *verdict);
