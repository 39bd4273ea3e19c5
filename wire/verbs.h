/* SPDX-License-Identifier: MIT */
/*
 * The words of the control channel (docs/control-protocol.md): verbs of requests, names of events
 * and of the phases of a start.
 */
#pragma once

/* Requests of the launcher. */
#define DINV_WIRE_VERB_CONFIGURE "configure"
#define DINV_WIRE_VERB_SHUTDOWN  "shutdown"
#define DINV_WIRE_VERB_SETTIME   "settime"
#define DINV_WIRE_VERB_RESOLVER  "resolver"
#define DINV_WIRE_VERB_STATS     "stats"

/* Requests of the guest. */
#define DINV_WIRE_VERB_PUBLISH   "publish"
#define DINV_WIRE_VERB_UNPUBLISH "unpublish"

/* Events of the guest. */
#define DINV_WIRE_EVENT_HELLO   "hello"
#define DINV_WIRE_EVENT_PHASE   "phase"
#define DINV_WIRE_EVENT_READY   "ready"
#define DINV_WIRE_EVENT_LOG     "log"
#define DINV_WIRE_EVENT_FAILED  "failed"
#define DINV_WIRE_EVENT_DAMAGED "damaged"
#define DINV_WIRE_EVENT_EXIT    "exit"

/* The names in DINV_WIRE_EVENT_PHASE. The launcher acts upon those of the check of a disk, and
 * measures the others. */
#define DINV_WIRE_PHASE_CONFIGURED      "configured"
#define DINV_WIRE_PHASE_CHECKING_DISK   "checking-disk"
#define DINV_WIRE_PHASE_DISK_CHECKED    "disk-checked"
#define DINV_WIRE_PHASE_DATA_MOUNTED    "data-mounted"
#define DINV_WIRE_PHASE_NETWORK_UP      "network-up"
#define DINV_WIRE_PHASE_DOCKERD_STARTED "dockerd-started"
#define DINV_WIRE_PHASE_ENGINE_READY    "engine-ready"
