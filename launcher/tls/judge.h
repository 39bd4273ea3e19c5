/* SPDX-License-Identifier: MIT */
/*
 * What store.c has read of a directory of certificates, and what is to be made of it. Of no use
 * outside the room.
 */
#pragma once

#include "launcher/tls/files.h"

#define DINV_TLS_ROLES 3u

/* One of the three directories. */
typedef struct {
    char *directory;
    char *key_path;
    char *certificate_path;
    char *ca_path; /* NULL in ca/ */
    DinvTlsIdentity identity;
    char *ca_text; /* of ca_path; NULL if it is missing */
    /* The judgement. */
    gboolean new_key;
    gboolean new_certificate;
    gboolean new_ca_text;
    gboolean can_wait; /* the certificate does for now */
} DinvTlsPart;

typedef struct {
    const char *directory; /* borrowed, as all that is not in `parts` */
    const char *const *names;
    DinvTlsPart parts[DINV_TLS_ROLES]; /* by DinvTlsRole */
    gboolean managed_elsewhere;        /* there is no CA key, and server/ is whole */
    GPtrArray *notes;                  /* of sentences (char *); NULL: not wanted */
    GPtrArray *warnings;
} DinvTlsFindings;

/* Decides what has to be made or signed anew, and adds sentences about it to notes and warnings;
 * changes nothing on the disk. FALSE with a DINV_TLS_ERROR if what is there cannot be used. The
 * certificates are whatever lies in the directory, and not trusted. */
gboolean dinv_tls_findings_judge(DinvTlsFindings *found, GError **error);

gboolean dinv_tls_part_has_certificate(const DinvTlsPart *part);
/* Whether there is anything to be made. */
gboolean dinv_tls_part_needs_writing(const DinvTlsPart *part);
