/* SPDX-License-Identifier: MIT */
/*
 * The room wire: what both sides of the VM's border must agree on, each thing in one place. Names,
 * numbers and limits only, in headers without code, so that launcher, guest and images compile the
 * same text. What one side decides alone may not enter; how the relay talks is relay's own.
 *
 * control.h: the control channel (docs/control-protocol.md).
 */
#pragma once

/* Goes up when one side can no longer talk to the other's former version. */
#define DINV_WIRE_CONTROL_VERSION 1

/* Bytes of one line, without its newline. */
#define DINV_WIRE_CONTROL_LINE_MAX 1048576u
/* How deep the JSON of a line may be nested. */
#define DINV_WIRE_CONTROL_DEPTH_MAX 16
/* Bytes that wait for a peer that does not read; beyond that further messages are lost. */
#define DINV_WIRE_CONTROL_QUEUE_MAX (4u << 20)

/* In `configure`: elements of one list, and characters of entropy in base64. */
#define DINV_WIRE_CONTROL_LIST_MAX    512
#define DINV_WIRE_CONTROL_ENTROPY_MAX 4096
/* Characters of a zone's rules in base64: 64 KiB of them. */
#define DINV_WIRE_CONTROL_ZONE_MAX 87384
