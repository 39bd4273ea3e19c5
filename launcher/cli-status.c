/* SPDX-License-Identifier: MIT */
/* The verbs `status` and `health`. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "launcher/admin.h"
#include "launcher/cli.h"

#define PING_TIMEOUT_MS 5000

void dinv_cli_complain(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    (void)fprintf(stderr, "dinv: %s\n", text);
}

static struct json_object *get(struct json_object *object, const char *key) {
    struct json_object *value = NULL;
    return json_object_object_get_ex(object, key, &value) ? value : NULL;
}

static const char *text_of(struct json_object *object, const char *key) {
    const char *text = json_object_get_string(get(object, key));
    return text != NULL ? text : "-";
}

static gint64 int_of(struct json_object *object, const char *key) {
    return json_object_get_int64(get(object, key));
}

struct json_object *dinv_cli_ask(const DinvConfig *config, const char *verb) {
    g_autoptr(GError) error = NULL;
    struct json_object *request = json_object_new_object();
    json_object_object_add(request, "verb", json_object_new_string(verb));
    struct json_object *answer = NULL;
    int fd = dinv_admin_call(config->state_dir, request, &answer, &error);
    if (fd < 0) {
        dinv_cli_complain("%s", error->message);
        return NULL;
    }
    (void)close(fd);
    return answer;
}

gboolean dinv_cli_flush(const char *what) {
    if (fflush(stdout) != 0 || ferror(stdout) != 0) {
        dinv_cli_complain("cannot write the %s: %s", what, g_strerror(errno));
        return FALSE;
    }
    return TRUE;
}

/* The figures are the guest's: they need not make sense. */
static void print_size(const char *label, gint64 free_bytes, gint64 total) {
    guint64 most = (guint64)MAX(total, 0);
    guint64 used = most - MIN((guint64)MAX(free_bytes, 0), most);
    g_autofree char *used_text = g_format_size_full(used, G_FORMAT_SIZE_IEC_UNITS);
    g_autofree char *total_text = g_format_size_full(most, G_FORMAT_SIZE_IEC_UNITS);
    printf("%-10s %s of %s used\n", label, used_text, total_text);
}

static void print_ports(struct json_object *ports) {
    for (gsize i = 0; i < json_object_array_length(ports); i++) {
        struct json_object *port = json_object_array_get_idx(ports, i);
        printf("%-10s %s:%" G_GINT64_FORMAT "/%s -> guest %" G_GINT64_FORMAT "\n",
               i == 0 ? "Ports" : "", text_of(port, "address"), int_of(port, "host_port"),
               text_of(port, "protocol"), int_of(port, "guest_port"));
    }
}

static void print_mounts(struct json_object *mounts) {
    for (gsize i = 0; i < json_object_array_length(mounts); i++) {
        struct json_object *mount = json_object_array_get_idx(mounts, i);
        printf("%-10s %s -> %s%s\n", i == 0 ? "Mounts" : "", text_of(mount, "source"),
               text_of(mount, "target"),
               json_object_get_boolean(get(mount, "readonly")) ? " (read-only)" : "");
    }
}

static void print_status(struct json_object *status) {
    struct json_object *guest = get(status, "guest");
    struct json_object *network = get(status, "network");
    printf("%-10s %s (dinv %s, pid %" G_GINT64_FORMAT ", started %.0f s ago)\n", "State",
           text_of(status, "state"), text_of(status, "version"), int_of(status, "pid"),
           json_object_get_double(get(status, "uptime_s")));
    printf("%-10s Docker %s on %s\n", "Engine", text_of(status, "engine"),
           text_of(status, "socket"));
    printf("%-10s %s, %" G_GINT64_FORMAT " CPUs, Linux %s\n", "Machine", text_of(status, "accel"),
           int_of(status, "cpus"), text_of(status, "guest_kernel"));
    if (guest != NULL) {
        print_size("Memory", int_of(guest, "memory_available"), int_of(guest, "memory_total"));
        print_size("Disk", int_of(guest, "disk_free"), int_of(guest, "disk_total"));
    }
    if (network != NULL) {
        printf("%-10s guest %s, docker0 %s\n", "Network", text_of(network, "slirp"),
               text_of(network, "bridge"));
    }
    print_ports(get(status, "ports"));
    print_mounts(get(status, "mounts"));
}

int dinv_cli_status(const DinvConfig *config, int argc, char **argv) {
    gboolean as_json = argc == 1 && strcmp(argv[0], "--json") == 0;
    if (argc > 0 && !as_json) {
        dinv_cli_complain("status: \"%s\" is not known; the only option is --json", argv[0]);
        return DINV_EXIT_FAILED;
    }
    struct json_object *status = dinv_cli_ask(config, "status");
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

/* Asks the engine for /_ping on the socket at `path`: what any client of it would meet. */
static gboolean ping(const char *path) {
    static const char request[] = "GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n";
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (g_strlcpy(address.sun_path, path, sizeof address.sun_path) >= sizeof address.sun_path) {
        return FALSE;
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    gboolean answered = FALSE;
    struct timeval limit = {.tv_sec = PING_TIMEOUT_MS / 1000};
    char answer[64] = "";
    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0 &&
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) == 0 &&
        connect(fd, (struct sockaddr *)&address, sizeof address) == 0 &&
        send(fd, request, sizeof request - 1, MSG_NOSIGNAL) == (ssize_t)sizeof request - 1 &&
        recv(fd, answer, 12, MSG_WAITALL) == 12) {
        answered = g_str_has_prefix(answer, "HTTP/1.") && g_str_has_suffix(answer, " 200");
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    return answered;
}

int dinv_cli_health(const DinvConfig *config) {
    struct json_object *status = dinv_cli_ask(config, "status");
    if (status == NULL) {
        return EXIT_FAILURE;
    }
    int result = EXIT_FAILURE;
    if (strcmp(text_of(status, "state"), "ready") != 0) {
        dinv_cli_complain("not healthy: the state is \"%s\"", text_of(status, "state"));
    } else if (!ping(text_of(status, "socket"))) {
        dinv_cli_complain("not healthy: the engine does not answer on \"%s\"",
                          text_of(status, "socket"));
    } else {
        puts("healthy");
        result = EXIT_SUCCESS;
    }
    json_object_put(status);
    return result;
}
