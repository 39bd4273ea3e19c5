/* SPDX-License-Identifier: MIT */
/* The verb `logs`: dockerd's log through the relay, the console's from the state directory. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "launcher/base/log.h"
#include "launcher/cli/cli.h"
#include "launcher/cli/launcher-client.h"
#include "launcher/cli/output.h"
#include "launcher/state/launcher-socket.h"

#define FOLLOW_INTERVAL_US 250000u
#define LINE_MAX_BYTES     65536u

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

/* Stdout. On a terminal the guest's text is made printable, line by line; elsewhere it is passed on
 * as it is. */
typedef struct {
    gboolean terminal;
    GString *line; /* the beginning of one */
} Output;

static gboolean write_stdout(const char *bytes, gsize length) {
    if (fwrite(bytes, 1, length, stdout) != length || fflush(stdout) != 0) {
        dinv_cli_complain("cannot write the log: %s", g_strerror(errno));
        return FALSE;
    }
    return TRUE;
}

static gboolean output_put_line(Output *output) {
    for (gsize i = 0; i < output->line->len; i++) {
        char *c = &output->line->str[i];
        if (*c == '\0') {
            *c = ' ';
        }
    }
    g_autofree char *printable = dinv_log_printable(output->line->str);
    g_string_truncate(output->line, 0);
    return write_stdout(printable, strlen(printable));
}

static gboolean output_write(Output *output, const char *bytes, gsize length) {
    if (!output->terminal) {
        return write_stdout(bytes, length);
    }
    gboolean good = TRUE;
    for (gsize i = 0; i < length && good; i++) {
        g_string_append_c(output->line, bytes[i]);
        if (bytes[i] == '\n' || output->line->len >= LINE_MAX_BYTES) {
            good = output_put_line(output);
        }
    }
    return good;
}

static void output_init(Output *output) {
    output->terminal = isatty(STDOUT_FILENO) == 1;
    output->line = g_string_new(NULL);
}

/* Ends with the status of the verb. */
static int output_end(Output *output, gboolean good) {
    good = good && output_put_line(output);
    g_string_free(output->line, TRUE);
    return good ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* Copies until the end; FALSE after a complaint. */
static gboolean copy_out(Output *output, int fd) {
    char chunk[65536];
    ssize_t got = 0;
    while ((got = read(fd, chunk, sizeof chunk)) != 0) {
        if (got < 0 && errno != EINTR) {
            dinv_cli_complain("cannot read the log: %s", g_strerror(errno));
            return FALSE;
        }
        if (got > 0 && !output_write(output, chunk, (gsize)got)) {
            return FALSE;
        }
    }
    return TRUE;
}

static gboolean was_log_replaced(int fd, const char *path) {
    struct stat opened;
    struct stat named;
    return fstat(fd, &opened) == 0 && stat(path, &named) == 0 &&
           (opened.st_ino != named.st_ino || opened.st_dev != named.st_dev);
}

static int open_log(const char *path) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        dinv_cli_complain("cannot read \"%s\": %s", path, g_strerror(errno));
    }
    return fd;
}

/* The file outlives the VM, so that the end of a dead one can be read. Following ends with the
 * launcher; a file that was rotated or made anew is read to its end first, then the new one. */
static int show_console(const DinvConfig *config, gboolean follow) {
    g_autofree char *path = g_build_filename(config->state_dir, "console.log", NULL);
    Output output;
    int fd = open_log(path);
    if (fd < 0) {
        return EXIT_FAILURE;
    }
    output_init(&output);
    gboolean good = copy_out(&output, fd);
    while (good && follow && dinv_cli_launcher_is_running(config->state_dir)) {
        g_usleep(FOLLOW_INTERVAL_US);
        gboolean replaced = was_log_replaced(fd, path);
        good = copy_out(&output, fd);
        if (good && replaced) {
            (void)close(fd);
            fd = open_log(path);
            good = fd >= 0 && copy_out(&output, fd);
        }
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    return output_end(&output, good);
}

static int show_dockerd(const DinvConfig *config, gboolean follow) {
    struct json_object *argument = json_object_new_object();
    json_object_object_add(argument, "name", json_object_new_string("dockerd"));
    json_object_object_add(argument, "follow", json_object_new_boolean(follow));
    struct json_object *request = json_object_new_object();
    json_object_object_add(request, "verb", json_object_new_string(DINV_STATE_LAUNCHER_VERB_LOG));
    json_object_object_add(request, "argument", argument);
    struct json_object *answer = NULL;
    g_autoptr(GError) error = NULL;
    int fd = dinv_cli_launcher_call(config->state_dir, request, &answer, &error);
    if (fd < 0) {
        dinv_cli_complain("%s", error->message);
        return EXIT_FAILURE;
    }
    json_object_put(answer);
    Output output;
    output_init(&output);
    gboolean good = copy_out(&output, fd);
    (void)close(fd);
    return output_end(&output, good);
}

int dinv_cli_logs(const DinvConfig *config, int argc, char **argv) {
    LogsOptions options = {0};
    if (!parse_options(argc, argv, &options)) {
        return DINV_EXIT_FAILED;
    }
    return options.console ? show_console(config, options.follow)
                           : show_dockerd(config, options.follow);
}
