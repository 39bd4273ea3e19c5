/* SPDX-License-Identifier: MIT */
/* JSON that another program wrote: the guest, the engine in it, a dinv on the other end of a
 * socket. */
#pragma once

#include <glib.h>
#include <json-c/json.h>

/* The value that `text` is, nested no deeper than `depth`, with nothing but white space around it.
 * NULL if it is anything else (or null). Strings may hold any byte. Transfer full. */
struct json_object *dinv_json_text_parse(const char *text, gsize length,
                                         int depth) G_GNUC_WARN_UNUSED_RESULT;

/* Adds a string, or null for NULL, under `key`. */
void dinv_json_add_string(struct json_object *object, const char *key, const char *value);
/* Adds a number, at most G_MAXINT64. */
void dinv_json_add_number(struct json_object *object, const char *key, guint64 value);
