/* SPDX-License-Identifier: MIT */
/* The verb `logs`: dockerd's log through the relay, the console's from the state directory. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "launcher/admin.h"
#include "launcher/cli.h"

#define FOLLOW_INTERVAL_US 250000u

typedef struct {
    gboolean follow;
    gboolean console;
} LogsOptions;

static gboolean parse_options(int argc, char **argv, LogsOptions *options) {
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "-f") == 0 || strcmp(argv[i], "--follow") == 0) {
            options->follow = TRUE;
        } else if (strcmp(argv[i], "console") == 0) {
            options->console = TRUE;
        } else if (strcmp(argv[i], "dockerd") != 0) {
            dinv_cli_complain("logs: \"%s\" is not a log; there are \"console\" and \"dockerd\"",
                              argv[i]);
            return FALSE;
        }
    }
    return TRUE;
}

/* Copies to stdout until the end; FALSE when stdout is gone. */
static gboolean copy_out(int fd) {
    char chunk[65536];
    ssize_t got = 0;
    while ((got = read(fd, chunk, sizeof chunk)) > 0 || (got < 0 && errno == EINTR)) {
        if (got > 0 && fwrite(chunk, 1, (size_t)got, stdout) != (size_t)got) {
            return FALSE;
        }
        (void)fflush(stdout);
    }
    return fflush(stdout) == 0;
}

static gboolean launcher_runs(const DinvConfig *config) {
    struct json_object *request = json_object_new_object();
    json_object_object_add(request, "verb", json_object_new_string("status"));
    struct json_object *status = NULL;
    int fd = dinv_admin_call(config->state_dir, request, &status, NULL);
    if (fd < 0) {
        return FALSE;
    }
    json_object_put(status);
    (void)close(fd);
    return TRUE;
}

static gboolean was_replaced(FILE *file, const char *path) {
    struct stat opened;
    struct stat named;
    return fstat(fileno(file), &opened) == 0 && stat(path, &named) == 0 &&
           (opened.st_ino != named.st_ino || opened.st_dev != named.st_dev);
}

/* The file outlives the VM, so that the end of a dead one can be read. Following ends with the
 * launcher; a file that was rotated or made anew is opened again. */
static int show_console(const DinvConfig *config, gboolean follow) {
    g_autofree char *path = g_build_filename(config->state_dir, "console.log", NULL);
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        dinv_cli_complain("cannot read \"%s\": %s", path, g_strerror(errno));
        return EXIT_FAILURE;
    }
    gboolean open_ended = copy_out(fileno(file));
    while (follow && open_ended && launcher_runs(config)) {
        g_usleep(FOLLOW_INTERVAL_US);
        open_ended = copy_out(fileno(file));
        if (was_replaced(file, path) && (file = freopen(path, "re", file)) == NULL) {
            return EXIT_FAILURE;
        }
    }
    (void)fclose(file);
    return EXIT_SUCCESS;
}

static int show_dockerd(const DinvConfig *config, gboolean follow) {
    struct json_object *argument = json_object_new_object();
    json_object_object_add(argument, "name", json_object_new_string("dockerd"));
    json_object_object_add(argument, "follow", json_object_new_boolean(follow));
    struct json_object *request = json_object_new_object();
    json_object_object_add(request, "verb", json_object_new_string("log"));
    json_object_object_add(request, "argument", argument);
    struct json_object *answer = NULL;
    g_autoptr(GError) error = NULL;
    int fd = dinv_admin_call(config->state_dir, request, &answer, &error);
    if (fd < 0) {
        dinv_cli_complain("%s", error->message);
        return EXIT_FAILURE;
    }
    json_object_put(answer);
    gboolean copied = copy_out(fd);
    (void)close(fd);
    return copied ? EXIT_SUCCESS : EXIT_FAILURE;
}

int dinv_cli_logs(const DinvConfig *config, int argc, char **argv) {
    LogsOptions options = {0};
    if (!parse_options(argc, argv, &options)) {
        return DINV_EXIT_FAILED;
    }
    return options.console ? show_console(config, options.follow)
                           : show_dockerd(config, options.follow);
}
