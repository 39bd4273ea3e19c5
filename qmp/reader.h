/* SPDX-License-Identifier: MIT */
/*
 * The lower half of the QMP client: bytes from the socket, in any split, become JSON objects.
 * Private to the room. What the bytes say is untrusted: nesting and size of a message are limited.
 */
#pragma once

#include <glib.h>
#include <json-c/json.h>

typedef struct DinvQmpReader DinvQmpReader;

/* Largest message accepted, in bytes, white space around it not counted. */
#define DINV_QMP_MESSAGE_MAX ((gsize)10 * 1024 * 1024)
/* Deepest nesting of a message; QEMU's own replies stay under 10. */
#define DINV_QMP_DEPTH_MAX 64

DinvQmpReader *dinv_qmp_reader_new(void);
void dinv_qmp_reader_free(DinvQmpReader *reader);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DinvQmpReader, dinv_qmp_reader_free)

/* Takes the next message out of *bytes and moves *bytes and *len behind what was used. Returns TRUE
 * with *message set to a JSON object (owned by the caller) when one is complete, TRUE with NULL
 * when all bytes were used and more are needed, FALSE with DINV_QMP_ERROR_PROTOCOL or _TOO_LARGE;
 * the reader is then of no more use. */
gboolean dinv_qmp_reader_next(DinvQmpReader *reader, const char **bytes, gsize *len,
                              struct json_object **message,
                              GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Whether a message has begun and is not complete. */
gboolean dinv_qmp_reader_is_inside(const DinvQmpReader *reader);
