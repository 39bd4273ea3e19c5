/* SPDX-License-Identifier: MIT */
/*
 * The guest's clock. Nothing in the guest asks for the time: it would drift, and be late by as long
 * as the machine stood still or the host slept. So it is told every half minute, and at once when
 * the clock here was set or the host woke up.
 */
#include <errno.h>
#include <glib-unix.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "launcher/base/log.h"
#include "launcher/vm/configuration.h"
#include "launcher/vm/internal.h"
#include "wire/verbs.h"

#define TIMEOUT_MS       60000u
#define INTERVAL_SECONDS 30
/* Where instructions are counted the guest's clock falls behind whenever it has work. */
#define ICOUNT_INTERVAL_SECONDS 5

/* Sets the timer, which is cancelled when CLOCK_REALTIME jumps. If that happens just now the call
 * says so, but the timer is set. */
static gboolean clock_arm(const DinvVm *vm) {
    struct itimerspec next = {0};
    (void)clock_gettime(CLOCK_REALTIME, &next.it_value);
    next.it_value.tv_sec += vm->plan->qemu.icount ? ICOUNT_INTERVAL_SECONDS : INTERVAL_SECONDS;
    return timerfd_settime(vm->clock_fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &next,
                           NULL) == 0 ||
           errno == ECANCELED;
}

static void clock_on_told(struct json_object *reply, const GError *error, gpointer user) {
    DinvVm *vm = user;
    (void)reply;
    vm->clock_asked = FALSE;
    if (error != NULL &&
        !g_error_matches(error, DINV_VM_CONTROL_ERROR, DINV_VM_CONTROL_ERROR_CLOSED)) {
        g_autofree char *printable = dinv_log_printable_line(error->message);
        dinv_log(DINV_LOG_DEBUG, "the guest's clock was not set: %s, ignoring", printable);
    }
}

static gboolean clock_on_due(gint fd, GIOCondition condition, gpointer user) {
    DinvVm *vm = user;
    (void)condition;
    guint64 expirations = 0;
    (void)!read(fd, &expirations, sizeof expirations); /* or ECANCELED, a reason like the other */
    dinv_vm_tell_time(vm);
    if (clock_arm(vm)) {
        return G_SOURCE_CONTINUE;
    }
    vm->clock_source = 0;
    return G_SOURCE_REMOVE;
}

void dinv_vm_tell_time(DinvVm *vm) {
    /* What is not answered yet is not asked twice: a guest that stands still finds one of them. */
    if (vm->clock_asked || vm->exited || vm->paused != NULL || vm->state < DINV_VM_ENGINE ||
        vm->state > DINV_VM_READY) {
        return;
    }
    struct json_object *fields = json_object_new_object();
    dinv_vm_configuration_add_time(fields);
    vm->clock_asked = TRUE;
    dinv_vm_control_request(vm->control, DINV_WIRE_VERB_SETTIME, fields, TIMEOUT_MS, clock_on_told,
                            vm);
}

void dinv_vm_start_clock(DinvVm *vm) {
    vm->clock_fd = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK | TFD_CLOEXEC);
    if (vm->clock_fd < 0 || !clock_arm(vm)) {
        dinv_log(DINV_LOG_WARNING, "no timer for the guest's clock: %s; it may drift, ignoring",
                 g_strerror(errno));
        return;
    }
    vm->clock_source = g_unix_fd_add(vm->clock_fd, G_IO_IN, clock_on_due, vm);
}

void dinv_vm_stop_clock(DinvVm *vm) {
    g_clear_handle_id(&vm->clock_source, g_source_remove);
    if (vm->clock_fd >= 0) {
        (void)close(vm->clock_fd);
        vm->clock_fd = -1;
    }
}
