/* SPDX-License-Identifier: MIT */
/* The byte streams between launcher and guest: names of virtio-serial ports. */
#pragma once

#define DINV_WIRE_CONTROL_PORT "dinv.control"
#define DINV_WIRE_RELAY_PORT   "dinv.relay"
