/* SPDX-License-Identifier: MIT */
/*
 * The launcher's end of the control channel (docs/control-protocol.md): events of the guest become
 * typed callbacks, requests get a reply or an error exactly once. The guest is not trusted: lines
 * are bounded, one that breaks the protocol is dropped, and texts are passed on as they came, to be
 * made printable before they meet a terminal.
 */
#pragma once

#include <gio/gio.h>
#include <json-c/json.h>

#include "launcher/settings/config.h"

typedef struct DinvVmControl DinvVmControl;

#define DINV_VM_CONTROL_ERROR (dinv_vm_control_error_quark())
GQuark dinv_vm_control_error_quark(void);
typedef enum {
    DINV_VM_CONTROL_ERROR_REFUSED, /* the guest answered with an error */
    DINV_VM_CONTROL_ERROR_TIMEOUT,
    DINV_VM_CONTROL_ERROR_CLOSED,
} DinvVmControlErrorCode;

/* Strings are borrowed for the call. Times are microseconds of the guest's CLOCK_BOOTTIME. */
typedef struct {
    void (*hello)(gint64 protocol, const char *version, const char *kernel, gint64 uptime_us,
                  gpointer user);
    void (*phase)(const char *name, gint64 uptime_us, gpointer user);
    void (*ready)(const char *engine, gint64 uptime_us, gpointer user);
    void (*log)(DinvLogLevel level, const char *text, gpointer user);
    /* `log` may be NULL. */
    void (*failed)(const char *what, const char *text, const char *log, gpointer user);
    void (*exiting)(gboolean clean, gpointer user);
    /* A request of the guest, with its fields in `message` (borrowed): to be answered once, now or
     * later, by dinv_vm_control_reply(). */
    void (*request)(gint64 id, const char *verb, struct json_object *message, gpointer user);
    /* The channel ended; every request was answered with ERROR_CLOSED before. */
    void (*closed)(gpointer user);
    /* The disk with this serial is beyond repair; `failed` follows. */
    void (*damaged)(const char *disk, gpointer user);
} DinvVmControlCallbacks;

/* `reply` is borrowed, NULL with `error` set if there is none. */
typedef void (*DinvVmControlReply)(struct json_object *reply, const GError *error, gpointer user);

/* Takes `fd`, a nonblocking stream socket. Runs in the default GMainContext. */
DinvVmControl *dinv_vm_control_new(int fd, const DinvVmControlCallbacks *callbacks, gpointer user);
/* Reads what still waits in the channel of a guest that is gone, without blocking. Runs callbacks,
 * `closed` among them. Not from within one of its callbacks. */
void dinv_vm_control_drain(DinvVmControl *control);
/* Must not be called from within one of its callbacks. Pending requests fail with
 * ERROR_CLOSED. */
void dinv_vm_control_free(DinvVmControl *control);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DinvVmControl, dinv_vm_control_free)

/* Answers a request of the guest: {"reply":id, "ok":true}, or with `error`, a sentence. */
void dinv_vm_control_reply(DinvVmControl *control, gint64 id, const char *error);

/* Sends {"id":…, "verb":verb, fields…}. `fields` (an object, may be NULL) is taken. `callback` (may
 * be NULL) runs later, never from within this call. */
void dinv_vm_control_request(DinvVmControl *control, const char *verb, struct json_object *fields,
                             guint timeout_ms, DinvVmControlReply callback, gpointer user);
