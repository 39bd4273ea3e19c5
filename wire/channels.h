/* SPDX-License-Identifier: MIT */
/*
 * The byte streams between launcher and guest. On a machine with virtio-serial they are ports with
 * a name; on another one the kernel's command line says which terminal each is, "NAME=ttyS0".
 */
#pragma once

#define DINV_WIRE_CONTROL_PORT "dinv.control"
#define DINV_WIRE_RELAY_PORT   "dinv.relay"

#define DINV_WIRE_CONTROL_PARAMETER DINV_WIRE_CONTROL_PORT
#define DINV_WIRE_RELAY_PARAMETER   DINV_WIRE_RELAY_PORT
