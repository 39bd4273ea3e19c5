/* SPDX-License-Identifier: MIT */
/* The fields of each event. */
#include "guest/agent/events.h"

#include <sys/utsname.h>

#include "wire/control.h"
#include "wire/verbs.h"

static void add_text(struct json_object *fields, const char *key, const char *value) {
    json_object_object_add(fields, key, json_object_new_string(value));
}

static void add_time(struct json_object *fields, uint64_t time_us) {
    json_object_object_add(fields, "uptime_us", json_object_new_int64((int64_t)time_us));
}

void dinv_agent_event_hello(DinvAgentChannels *channels, uint64_t start_us) {
    struct utsname names = {0};
    (void)uname(&names);
    struct json_object *fields = json_object_new_object();
    json_object_object_add(fields, "protocol", json_object_new_int(DINV_WIRE_CONTROL_VERSION));
    add_text(fields, "version", DINV_VERSION);
    add_text(fields, "kernel", names.release);
    add_time(fields, start_us);
    dinv_agent_channels_send_event(channels, DINV_WIRE_EVENT_HELLO, fields);
}

void dinv_agent_event_phase(DinvAgentChannels *channels, const char *name) {
    struct json_object *fields = json_object_new_object();
    add_time(fields, dinv_boottime_us());
    add_text(fields, "name", name);
    dinv_agent_channels_send_event(channels, DINV_WIRE_EVENT_PHASE, fields);
}

void dinv_agent_event_damaged(DinvAgentChannels *channels, const char *serial) {
    struct json_object *fields = json_object_new_object();
    add_time(fields, dinv_boottime_us());
    add_text(fields, "disk", serial);
    dinv_agent_channels_send_event(channels, DINV_WIRE_EVENT_DAMAGED, fields);
}

void dinv_agent_event_ready(DinvAgentChannels *channels, const char *engine) {
    struct json_object *fields = json_object_new_object();
    add_time(fields, dinv_boottime_us());
    add_text(fields, "engine", engine);
    dinv_agent_channels_send_event(channels, DINV_WIRE_EVENT_READY, fields);
}

void dinv_agent_event_log(DinvAgentChannels *channels, DinvGuestLogLevel level, const char *text) {
    struct json_object *fields = json_object_new_object();
    add_text(fields, "level", dinv_guest_log_level_name(level));
    add_text(fields, "text", text);
    dinv_agent_channels_send_event(channels, DINV_WIRE_EVENT_LOG, fields);
}

void dinv_agent_event_failed(DinvAgentChannels *channels, const char *what, const char *text,
                             const char *log) {
    struct json_object *fields = json_object_new_object();
    add_text(fields, "what", what);
    add_text(fields, "text", text);
    if (log != NULL) {
        add_text(fields, "log", log);
    }
    dinv_agent_channels_send_event(channels, DINV_WIRE_EVENT_FAILED, fields);
}

void dinv_agent_event_exit(DinvAgentChannels *channels, bool clean) {
    struct json_object *fields = json_object_new_object();
    json_object_object_add(fields, "clean", json_object_new_boolean(clean));
    dinv_agent_channels_send_event(channels, DINV_WIRE_EVENT_EXIT, fields);
}
