/* SPDX-License-Identifier: MIT */
/* The services that the guest offers to streams of the relay (docs/relay-protocol.md). */
#pragma once

#define DINV_WIRE_SERVICE_DOCKER "docker" /* the engine's socket */
#define DINV_WIRE_SERVICE_EXEC   "exec"   /* a program in the guest itself */
#define DINV_WIRE_SERVICE_LOG    "log"    /* what the engine has said */
