/* SPDX-License-Identifier: MIT */
/*
 * What may be shown in the guest, and the list of it. Root there writes as this process does. A
 * mount that was asked for and cannot be is a failure; one that "auto" has found is left out, with
 * a line.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "launcher/base/directories.h"
#include "launcher/machine/virtiofsd.h"
#include "launcher/mounts/auto.h"
#include "launcher/preflight/checks.h"
#include "launcher/settings/types.h"
#include "wire/mounts.h"

typedef struct {
    const DinvConfig *config;
    DinvPreflight *result;
    DinvMountTable table; /* of the outer container; empty if it cannot be read */
    char *state_dir;
    char *socket;
    GPtrArray *kernels; /* directories of the kernel's; borrowed */
} Context;

static void context_set_up(Context *context, const char *root) {
    static const char *const always[] = {"/proc", "/sys", "/dev"};
    g_autofree char *path = g_strconcat(root, "/proc/self/mountinfo", NULL);
    g_autofree char *text = NULL;
    gsize length = 0;

    context->state_dir = dinv_directory_resolve(context->config->state_dir);
    context->socket = dinv_directory_resolve(context->config->socket_path);
    context->kernels = g_ptr_array_new();
    for (guint i = 0; i < G_N_ELEMENTS(always); i++) {
        g_ptr_array_add(context->kernels, (gpointer)always[i]);
    }
    if (!g_file_get_contents(path, &text, &length, NULL) ||
        dinv_mountinfo_parse(text, length, &context->table) < 0) {
        return;
    }
    for (gsize i = 0; i < context->table.count; i++) {
        if (dinv_mount_is_of_kernel(&context->table.mounts[i])) {
            g_ptr_array_add(context->kernels, context->table.mounts[i].target);
        }
    }
}

static void context_clear(Context *context) {
    dinv_mountinfo_clear(&context->table);
    g_free(context->state_dir);
    g_free(context->socket);
    g_ptr_array_unref(context->kernels);
}

/* ---- may it be shown ---- */

/* The directory that the guest must not get with `source`, or NULL. Through the state directory it
 * would write to the disk that it runs on; through the kernel's and the devices' to what the outer
 * container is made of. These can also not be read as files are. */
static const char *find_forbidden(const Context *context, const char *source, gboolean readonly) {
    for (guint i = 0; i < context->kernels->len; i++) {
        const char *directory = context->kernels->pdata[i];

        if (dinv_path_is_within(source, directory) ||
            (!readonly && dinv_path_is_within(directory, source))) {
            return directory;
        }
    }
    return !readonly && (dinv_path_is_within(source, context->state_dir) ||
                         dinv_path_is_within(context->state_dir, source))
               ? context->state_dir
               : NULL;
}

/* What is the matter with a file, or NULL. */
static char *find_file_problem(const DinvMountSpec *mount, const struct stat *status) {
    const char *hidden = dinv_mount_hidden(mount->target, TRUE);

    if (!S_ISREG(status->st_mode)) {
        return g_strdup("is neither a directory nor a file");
    }
    if (status->st_size > (off_t)DINV_MOUNT_FILE_MAX) {
        return g_strdup_printf("is a file of more than %u MiB; mount its directory",
                               DINV_MOUNT_FILE_MAX >> 20);
    }
    return hidden != NULL ? g_strdup_printf("would hide a file in %s of the guest", hidden) : NULL;
}

/* What is the matter with a mount, or NULL. Sets is_file. */
static char *find_problem(const Context *context, DinvMountSpec *mount) {
    g_autofree char *source = dinv_directory_resolve(mount->source);
    const char *forbidden = find_forbidden(context, source, mount->readonly);
    struct stat status;

    if (stat(mount->source, &status) < 0) {
        return g_strdup(errno == ENOENT ? "does not exist" : g_strerror(errno));
    }
    mount->is_file = !S_ISDIR(status.st_mode);
    if (mount->is_file) {
        char *problem = find_file_problem(mount, &status);

        if (problem != NULL) {
            return problem;
        }
    }
    if (access(mount->source, mount->is_file ? R_OK : R_OK | X_OK) < 0) {
        return g_strdup("may not be read by this user");
    }
    if (forbidden != NULL) {
        g_autofree char *text = dinv_path_to_text(forbidden);

        return g_strdup_printf("would give the guest %s%s", text,
                               dinv_path_is_within(source, forbidden) ? "" : ", which lies in it");
    }
    return NULL;
}

/* Why a mount that was found must stay outside, or NULL. */
static char *find_auto_problem(const Context *context, DinvMountSpec *mount) {
    const DinvConfig *config = context->config;
    const char *hidden = dinv_mount_hidden(mount->target, TRUE);

    if (hidden != NULL) {
        return g_strdup_printf("would hide %s of the guest", hidden);
    }
    if (dinv_path_is_within(context->socket, mount->target)) {
        return g_strdup("holds the engine's socket");
    }
    if (config->tls_directory != NULL &&
        (dinv_path_is_within(config->tls_directory, mount->target) ||
         dinv_path_is_within(mount->target, config->tls_directory))) {
        return g_strdup("holds the engine's certificates and keys");
    }
    if (config->volume_path != NULL && dinv_path_is_within(config->volume_path, mount->target)) {
        return g_strdup("would hide the private volume (DINV_VOLUME_PATH)");
    }
    return find_problem(context, mount);
}

/* ---- the list ---- */

static void add_mount(const Context *context, DinvMountSpec *mount) {
    g_autofree char *source = dinv_path_to_text(mount->source);
    g_autofree char *target = dinv_path_to_text(mount->target);

    if (mount->is_file && !mount->readonly) {
        mount->readonly = TRUE;
        dinv_preflight_add(
            context->result, "mount", DINV_CHECK_WARNING,
            g_strdup_printf("%s is a file: the guest has a copy that follows it, read-only",
                            source),
            g_strdup("mount its directory where the guest is to write to it"));
    } else {
        dinv_preflight_add(
            context->result, "mount", DINV_CHECK_OK,
            g_strdup_printf("%s on %s%s", source, target, mount->readonly ? ", read-only" : ""),
            NULL);
    }
    g_ptr_array_add(context->result->mounts, mount);
}

static void add_named(const Context *context) {
    for (guint i = 0; i < context->config->mounts->len; i++) {
        g_autoptr(DinvMountSpec) mount = dinv_mount_spec_copy(context->config->mounts->pdata[i]);
        g_autofree char *source = dinv_path_to_text(mount->source);
        g_autofree char *problem = find_problem(context, mount);

        if (problem == NULL) {
            add_mount(context, g_steal_pointer(&mount));
            continue;
        }
        dinv_preflight_add(context->result, "mount", DINV_CHECK_FAILED,
                           g_strdup_printf("DINV_MOUNTS: \"%s\" %s", source, problem),
                           g_strdup("name a directory or a file of the container (docker run -v "
                                    "SOURCE:TARGET gives it one)"));
    }
}

static gboolean is_target(const GPtrArray *mounts, const char *target) {
    for (guint i = 0; i < mounts->len; i++) {
        if (strcmp(((const DinvMountSpec *)mounts->pdata[i])->target, target) == 0) {
            return TRUE;
        }
    }
    return FALSE;
}

/* What the launcher itself reads and hands on. */
static gboolean is_for_us(const DinvConfig *config, const char *target) {
    return config->config_dir != NULL && dinv_path_is_within(target, config->config_dir);
}

static void add_found(const Context *context) {
    g_autoptr(GPtrArray) found = dinv_mount_auto_list(&context->table, context->state_dir);
    const GPtrArray *mounts = context->result->mounts;

    for (guint i = 0; i < found->len; i++) {
        g_autoptr(DinvMountSpec) mount = dinv_mount_spec_copy(found->pdata[i]);
        g_autofree char *path = dinv_path_to_text(mount->source);
        g_autofree char *problem = NULL;

        if (is_target(mounts, mount->target) || dinv_mount_is_seen_through(mount, mounts) ||
            is_for_us(context->config, mount->target)) {
            continue;
        }
        problem = mounts->len >= DINV_WIRE_MOUNTS_MAX
                      ? g_strdup_printf("is more than the %u that the machine has room for",
                                        DINV_WIRE_MOUNTS_MAX)
                      : find_auto_problem(context, mount);
        if (problem == NULL) {
            add_mount(context, g_steal_pointer(&mount));
            continue;
        }
        dinv_preflight_add(context->result, "mount", DINV_CHECK_WARNING,
                           g_strdup_printf("%s is not shown in the guest: it %s", path, problem),
                           NULL);
    }
}

static gint compare_targets(gconstpointer a, gconstpointer b) {
    const DinvMountSpec *const *left = a;
    const DinvMountSpec *const *right = b;

    return strcmp((*left)->target, (*right)->target);
}

static void choose_driver(const Context *context) {
    DinvPreflight *result = context->result;
    DinvMountDriver wanted = context->config->mount_driver;
    g_autofree char *reason = NULL;

    result->use_virtiofs = FALSE;
    if (wanted == DINV_MOUNT_9P || result->mounts->len == 0) {
        return;
    }
    result->use_virtiofs = dinv_machine_virtiofsd_find(&result->virtiofsd, &reason);
    if (result->use_virtiofs) {
        dinv_preflight_add(result, "mount", DINV_CHECK_OK,
                           g_strdup_printf("served by %s", result->virtiofsd.program), NULL);
    } else if (wanted == DINV_MOUNT_VIRTIOFS) {
        dinv_preflight_add(result, "mount", DINV_CHECK_FAILED,
                           g_strdup_printf("DINV_MOUNT_DRIVER is virtiofs, but %s", reason),
                           g_strdup("use DINV_MOUNT_DRIVER=auto or 9p"));
    } else {
        dinv_preflight_add(result, "mount", DINV_CHECK_OK,
                           g_strdup_printf("served over 9p: %s", reason), NULL);
    }
}

void dinv_preflight_check_mounts(const DinvPreflightHost *host, const DinvConfig *config,
                                 DinvPreflight *result) {
    Context context = {.config = config, .result = result};

    g_clear_pointer(&result->mounts, g_ptr_array_unref);
    result->mounts = g_ptr_array_new_with_free_func((GDestroyNotify)dinv_mount_spec_free);
    context_set_up(&context, host->root);
    add_named(&context);
    if (config->mounts_auto) {
        add_found(&context);
    }
    choose_driver(&context);
    /* A path is mounted before what lies in it. */
    g_ptr_array_sort(result->mounts, compare_targets);
    context_clear(&context);
}
