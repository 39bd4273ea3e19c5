/* SPDX-License-Identifier: MIT */
/*
 * request: the line by which a port proxy asks the agent to publish its port (publish.h has
 * the conversation). No I/O.
 */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>

/* Lines in both directions are shorter than this, the newline counted. */
enum { DINV_PUBLISH_LINE_SIZE = 512 };

/* What is asked for. Strings are borrowed. */
typedef struct {
    const char *protocol;
    const char *address;   /* of the outer container */
    unsigned port;         /* there */
    unsigned guest_port;   /* where what comes in arrives, at the guest's own IPv4 address */
    bool is_guests;        /* the guest has the address as well, and serves there */
    bool is_shared;        /* guest_port is served already; by the same container, it is hoped */
    const char *container; /* address and port */
} DinvPortsWish;

/* Writes the line, with its newline. Its length, or -EMSGSIZE. */
int dinv_ports_request_format(char line[DINV_PUBLISH_LINE_SIZE], const DinvPortsWish *wish);

/* The fields that a line (without its newline) has to have, each of its type, and no others; what
 * is in them is for the launcher to judge. NULL if it has not. Owned by the caller. */
struct json_object *dinv_ports_request_parse(const char *line, size_t len);
