/* SPDX-License-Identifier: MIT */
/* What `dinv status` shows of a vm. */
#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

#include "launcher/base/json-text.h"
#include "launcher/base/log.h"
#include "launcher/settings/types.h"
#include "launcher/vm/internal.h"
#include "wire/paths.h"
#include "wire/verbs.h"

#define STATS_TIMEOUT_MS 2000u

static struct json_object *describe_phases(const DinvVm *vm) {
    struct json_object *phases = json_object_new_array();
    for (guint i = 0; i < vm->phases->len; i++) {
        const DinvVmPhase *phase = &g_array_index(vm->phases, DinvVmPhase, i);
        struct json_object *item = json_object_new_object();
        dinv_json_add_string(item, "name", phase->name);
        json_object_object_add(item, "seconds", json_object_new_double(phase->seconds));
        json_object_array_add(phases, item);
    }
    return phases;
}

/* What an image takes of the file system that it lies on. NULL if there is no such image. */
static struct json_object *describe_image(const char *path, const char *target) {
    struct stat status;
    if (path == NULL || stat(path, &status) < 0) {
        return NULL;
    }
    struct json_object *image = json_object_new_object();
    dinv_json_add_string(image, "file", path);
    dinv_json_add_string(image, "target", target);
    dinv_json_add_number(image, "size", (guint64)status.st_size);
    dinv_json_add_number(image, "allocated", (guint64)status.st_blocks * 512);
    return image;
}

static struct json_object *describe_mounts(const GPtrArray *specs) {
    struct json_object *mounts = json_object_new_array();
    for (guint i = 0; specs != NULL && i < specs->len; i++) {
        const DinvMountSpec *spec = g_ptr_array_index(specs, i);
        g_autofree char *source = dinv_path_to_text(spec->source);
        g_autofree char *target = dinv_path_to_text(spec->target);
        struct json_object *item = json_object_new_object();
        dinv_json_add_string(item, "source", source);
        dinv_json_add_string(item, "target", target);
        json_object_object_add(item, "readonly", json_object_new_boolean(spec->readonly));
        json_object_array_add(mounts, item);
    }
    return mounts;
}

static struct json_object *describe_network(const DinvVm *vm) {
    const DinvEngineNetworkPlan *plan = vm->network;
    struct json_object *network = json_object_new_object();
    struct json_object *pools = json_object_new_array();
    g_autofree char *slirp = dinv_ipv4_network_to_string(&plan->slirp);
    g_autofree char *bridge = dinv_ipv4_network_to_string(&plan->bridge);
    g_autofree char *text = dinv_engine_network_plan_to_string(plan);
    for (guint i = 0; i < plan->pools->len; i++) {
        g_autofree char *pool = dinv_ipv4_network_to_string(
            &g_array_index(plan->pools, DinvEngineAddressPool, i).network);
        json_object_array_add(pools, json_object_new_string(pool));
    }
    dinv_json_add_string(network, "slirp", slirp);
    dinv_json_add_string(network, "bridge", bridge);
    json_object_object_add(network, "pools", pools);
    dinv_json_add_string(network, "text", text);
    dinv_json_add_number(network, "mtu", vm->plan->config->mtu);
    if (vm->usernet != NULL) {
        dinv_json_add_number(network, "pid", (guint64)dinv_network_usernet_get_pid(vm->usernet));
        dinv_json_add_string(network, "confined_by",
                             dinv_network_usernet_get_features(vm->usernet));
    }
    return network;
}

static struct json_object *describe_relay(const DinvVm *vm) {
    DinvRelayStats stats = {0};
    if (vm->relay != NULL) {
        dinv_vm_relay_get_stats(vm->relay, &stats);
    }
    struct json_object *relay = json_object_new_object();
    dinv_json_add_number(relay, "streams", stats.streams);
    dinv_json_add_number(relay, "opened_total", stats.opened_total);
    dinv_json_add_number(relay, "bytes_in", stats.bytes_in);
    dinv_json_add_number(relay, "bytes_out", stats.bytes_out);
    dinv_json_add_number(relay, "memory", stats.memory);
    return relay;
}

/* QEMU's own word on KVM; null where there is none. */
static struct json_object *describe_kvm(const DinvVm *vm) {
    DinvMachineKvmState state = dinv_machine_get_kvm_state(vm->machine);
    return state == DINV_MACHINE_KVM_UNKNOWN
               ? NULL
               : json_object_new_boolean(state == DINV_MACHINE_KVM_ENABLED);
}

static struct json_object *describe_vm(const DinvVm *vm) {
    const DinvConfig *config = vm->plan->config;
    struct json_object *status = json_object_new_object();
    dinv_json_add_string(status, "state", dinv_vm_state_names[vm->state]);
    dinv_json_add_string(status, "unready", vm->unready);
    dinv_json_add_string(status, "version", DINV_VERSION);
    dinv_json_add_number(status, "pid", (guint64)getpid());
    dinv_json_add_number(status, "machine_pid", (guint64)dinv_machine_get_pid(vm->machine));
    dinv_json_add_string(status, "accel", dinv_machine_accel_name(vm->plan->accel));
    json_object_object_add(status, "kvm_enabled", describe_kvm(vm));
    dinv_json_add_number(status, "cpus", vm->plan->cpus);
    dinv_json_add_number(status, "memory_bytes", config->memory_bytes);
    dinv_json_add_number(status, "disk_bytes", config->disk_bytes);
    dinv_json_add_string(status, "machine",
                         vm->plan->accel == DINV_MACHINE_UML        ? "uml"
                         : config->machine == DINV_MACHINE_TYPE_Q35 ? "q35"
                                                                    : "microvm");
    dinv_json_add_string(status, "machine_confined_by", dinv_machine_get_confinement(vm->machine));
    dinv_json_add_string(status, "paused", vm->paused);
    json_object_object_add(status, "disk",
                           describe_image(vm->plan->data_image, DINV_WIRE_DATA_ROOT));
    json_object_object_add(status, "volume",
                           describe_image(vm->plan->volume_image, config->volume_path));
    dinv_json_add_string(status, "socket", config->socket_path);
    json_object_object_add(status, "endpoints",
                           vm->endpoints != NULL ? dinv_vm_endpoints_describe(vm->endpoints)
                                                 : json_object_new_array());
    dinv_json_add_string(status, "state_dir", config->state_dir);
    json_object_object_add(status, "uptime_s", json_object_new_double(dinv_log_elapsed()));
    json_object_object_add(status, "phases", describe_phases(vm));
    dinv_json_add_number(status, "guest_hello_us", (guint64)vm->guest_hello_us);
    dinv_json_add_string(status, "guest_version", vm->guest_version);
    dinv_json_add_string(status, "guest_kernel", vm->guest_kernel);
    dinv_json_add_string(status, "engine", vm->engine_version);
    json_object_object_add(status, "network", describe_network(vm));
    json_object_object_add(status, "ports",
                           vm->publisher != NULL ? dinv_network_publisher_describe(vm->publisher)
                                                 : json_object_new_array());
    json_object_object_add(status, "mounts", describe_mounts(vm->plan->mounts));
    json_object_object_add(status, "relay", describe_relay(vm));
    return status;
}

typedef struct {
    struct json_object *status;
    void (*callback)(struct json_object *status, gpointer user);
    gpointer user;
} StatusCall;

/* The known figures of the guest's answer: what else it says goes to nobody's terminal. */
static struct json_object *copy_figures(struct json_object *reply) {
    static const char *const keys[] = {
        "memory_total", "memory_available", "disk_total",   "disk_free",       "load1",
        "uptime_us",    "processes",        "relay_memory", "relay_streams",   "volume_total",
        "volume_free",  "disk_used",        "volume_used",  "mounts_fallback",
    };
    struct json_object *figures = json_object_new_object();
    for (guint i = 0; i < G_N_ELEMENTS(keys); i++) {
        struct json_object *value = NULL;
        if (!json_object_object_get_ex(reply, keys[i], &value)) {
            continue;
        }
        if (json_object_is_type(value, json_type_int)) {
            dinv_json_add_number(figures, keys[i], (guint64)MAX(json_object_get_int64(value), 0));
        } else if (json_object_is_type(value, json_type_double) &&
                   isfinite(json_object_get_double(value))) {
            json_object_object_add(figures, keys[i],
                                   json_object_new_double(json_object_get_double(value)));
        }
    }
    return figures;
}

static void status_on_stats(struct json_object *reply, const GError *error, gpointer user) {
    StatusCall *call = user;
    (void)error;
    json_object_object_add(call->status, "guest", reply != NULL ? copy_figures(reply) : NULL);
    call->callback(call->status, call->user);
    json_object_put(call->status);
    g_free(call);
}

void dinv_vm_get_status(DinvVm *vm, void (*callback)(struct json_object *status, gpointer user),
                        gpointer user) {
    StatusCall *call = g_new0(StatusCall, 1);
    call->status = describe_vm(vm);
    call->callback = callback;
    call->user = user;
    if (vm->state == DINV_VM_READY) {
        dinv_vm_control_request(vm->control, DINV_WIRE_VERB_STATS, NULL, STATS_TIMEOUT_MS,
                                status_on_stats, call);
    } else {
        status_on_stats(NULL, NULL, call);
    }
}
