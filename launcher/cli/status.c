/* SPDX-License-Identifier: MIT */
/* The verb `status`. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "launcher/cli/cli.h"
#include "launcher/cli/launcher-client.h"
#include "launcher/cli/output.h"
#include "launcher/state/launcher-socket.h"

static gint64 int_of(struct json_object *object, const char *key) {
    return json_object_get_int64(dinv_cli_json_get(object, key));
}

/* The figures are the guest's: they need not make sense. */
static void print_size(const char *label, gint64 free_bytes, gint64 total) {
    guint64 most = (guint64)MAX(total, 0);
    guint64 used = most - MIN((guint64)MAX(free_bytes, 0), most);
    g_autofree char *used_text = g_format_size_full(used, G_FORMAT_SIZE_IEC_UNITS);
    g_autofree char *total_text = g_format_size_full(most, G_FORMAT_SIZE_IEC_UNITS);
    printf("%-10s %s of %s used\n", label, used_text, total_text);
}

/* The guest's view, and what the image takes outside. */
static void print_disk(const char *label, struct json_object *image, gint64 used, gint64 total) {
    g_autofree char *allocated =
        g_format_size_full((guint64)MAX(int_of(image, "allocated"), 0), G_FORMAT_SIZE_IEC_UNITS);
    print_size(label, total - CLAMP(used, 0, MAX(total, 0)), total);
    printf("%-10s %s outside, in %s\n", "", allocated, dinv_cli_json_text(image, "file"));
}

static void print_ports(struct json_object *ports) {
    for (gsize i = 0; i < json_object_array_length(ports); i++) {
        struct json_object *port = json_object_array_get_idx(ports, i);
        printf("%-10s %s:%" G_GINT64_FORMAT "/%s -> guest %" G_GINT64_FORMAT "\n",
               i == 0 ? "Ports" : "", dinv_cli_json_text(port, "address"),
               int_of(port, "host_port"), dinv_cli_json_text(port, "protocol"),
               int_of(port, "guest_port"));
    }
}

static void print_mounts(struct json_object *mounts) {
    for (gsize i = 0; i < json_object_array_length(mounts); i++) {
        struct json_object *mount = json_object_array_get_idx(mounts, i);
        printf("%-10s %s -> %s%s\n", i == 0 ? "Mounts" : "", dinv_cli_json_text(mount, "source"),
               dinv_cli_json_text(mount, "target"),
               json_object_get_boolean(dinv_cli_json_get(mount, "readonly")) ? " (read-only)" : "");
    }
}

/* The TCP ports; the unix socket stands beside the engine's version. */
static void print_endpoints(struct json_object *endpoints) {
    gsize count =
        json_object_is_type(endpoints, json_type_array) ? json_object_array_length(endpoints) : 0;
    for (gsize i = 0; i < count; i++) {
        struct json_object *endpoint = json_object_array_get_idx(endpoints, i);
        const char *address = dinv_cli_json_text(endpoint, "address");
        if (g_str_has_prefix(address, "tcp://")) {
            printf("%-10s and on %s, %s\n", "", address,
                   json_object_get_boolean(dinv_cli_json_get(endpoint, "tls"))
                       ? "TLS, to clients with a certificate"
                       : "without TLS, to everyone");
        }
    }
}

static void print_status(struct json_object *status) {
    struct json_object *guest = dinv_cli_json_get(status, "guest");
    struct json_object *network = dinv_cli_json_get(status, "network");
    printf("%-10s %s (dinv %s, pid %" G_GINT64_FORMAT ", started %.0f s ago)\n", "State",
           dinv_cli_json_text(status, "state"), dinv_cli_json_text(status, "version"),
           int_of(status, "pid"), json_object_get_double(dinv_cli_json_get(status, "uptime_s")));
    if (dinv_cli_json_get(status, "paused") != NULL) {
        printf("%-10s %s\n", "Paused", dinv_cli_json_text(status, "paused"));
    }
    printf("%-10s Docker %s on %s\n", "Engine", dinv_cli_json_text(status, "engine"),
           dinv_cli_json_text(status, "socket"));
    print_endpoints(dinv_cli_json_get(status, "endpoints"));
    printf("%-10s %s, %" G_GINT64_FORMAT " CPUs, Linux %s\n", "Machine",
           dinv_cli_json_text(status, "accel"), int_of(status, "cpus"),
           dinv_cli_json_text(status, "guest_kernel"));
    if (guest != NULL) {
        print_size("Memory", int_of(guest, "memory_available"), int_of(guest, "memory_total"));
        print_disk("Disk", dinv_cli_json_get(status, "disk"), int_of(guest, "disk_used"),
                   int_of(guest, "disk_total"));
        if (dinv_cli_json_get(status, "volume") != NULL) {
            print_disk("Volume", dinv_cli_json_get(status, "volume"), int_of(guest, "volume_used"),
                       int_of(guest, "volume_total"));
        }
    }
    if (network != NULL) {
        printf("%-10s %s\n", "Network", dinv_cli_json_text(network, "text"));
    }
    print_ports(dinv_cli_json_get(status, "ports"));
    print_mounts(dinv_cli_json_get(status, "mounts"));
    if (int_of(guest, "mounts_fallback") > 0) {
        printf("%-10s %" G_GINT64_FORMAT " of them slower: the guest's kernel lacks an option\n",
               "", int_of(guest, "mounts_fallback"));
    }
}

int dinv_cli_status(const DinvConfig *config, int argc, char **argv) {
    gboolean as_json = FALSE;
    if (!dinv_cli_parse_json_option("status", argc, argv, &as_json)) {
        return DINV_EXIT_FAILED;
    }
    struct json_object *status = dinv_cli_launcher_ask(config, DINV_STATE_LAUNCHER_VERB_STATUS);
    if (status == NULL) {
        return EXIT_FAILURE;
    }
    if (as_json) {
        puts(json_object_to_json_string_ext(status, JSON_C_TO_STRING_PRETTY));
    } else {
        print_status(status);
    }
    json_object_put(status);
    return dinv_cli_flush("status") ? EXIT_SUCCESS : EXIT_FAILURE;
}
