/* SPDX-License-Identifier: MIT */
/*
 * request: the line by which a port proxy asks the agent to publish its port (publish.h has
 * the conversation). No I/O.
 */
#pragma once

#include <json-c/json.h>
#include <stddef.h>

/* Lines in both directions are shorter than this, the newline counted. */
enum { DINV_PUBLISH_LINE_SIZE = 512 };

/* Writes the line, with its newline. Its length, or -EMSGSIZE. */
int dinv_ports_request_format(char line[DINV_PUBLISH_LINE_SIZE], const char *protocol,
                              const char *address, unsigned port, const char *container);

/* The fields that a line (without its newline) has to have, each of its type, and no others; what
 * is in them is for the launcher to judge. NULL if it has not. Owned by the caller. */
struct json_object *dinv_ports_request_parse(const char *line, size_t len);
