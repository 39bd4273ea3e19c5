/* SPDX-License-Identifier: MIT */
/* What may be shown in the guest. Root there writes as this process does. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "launcher/preflight-checks.h"
#include "launcher/settings-types.h"

/* Without links, as far as it is there yet. */
static char *resolve(const char *path) {
    g_autofree char *there = g_strdup(path);
    char real[PATH_MAX];

    while (realpath(there, real) == NULL) {
        char *parent = g_path_get_dirname(there);

        if (strcmp(parent, there) == 0) {
            g_free(parent);
            return g_strdup(path);
        }
        g_free(there);
        there = parent;
    }
    return g_build_filename(real, path + strlen(there), NULL);
}

/* The directory that the guest must not get with `source`, or NULL. Through the state directory it
 * would write to the disk that it runs on; through the kernel's and the devices' to what the outer
 * container is made of. These can also not be read as files are. */
static const char *find_forbidden(const char *source, const char *state_dir, gboolean readonly) {
    static const char *const kernels[] = {"/proc", "/sys", "/dev"};

    for (guint i = 0; i < G_N_ELEMENTS(kernels); i++) {
        if (dinv_path_is_within(source, kernels[i]) ||
            (!readonly && dinv_path_is_within(kernels[i], source))) {
            return kernels[i];
        }
    }
    return !readonly && (dinv_path_is_within(source, state_dir) ||
                         dinv_path_is_within(state_dir, source))
               ? state_dir
               : NULL;
}

static char *find_problem(const DinvMountSpec *mount, const char *state_dir) {
    g_autofree char *source = resolve(mount->source);
    const char *forbidden = find_forbidden(source, state_dir, mount->readonly);
    struct stat status;

    if (stat(mount->source, &status) < 0) {
        return g_strdup(errno == ENOENT ? "does not exist" : g_strerror(errno));
    }
    if (!S_ISDIR(status.st_mode)) {
        return g_strdup("is not a directory");
    }
    if (access(mount->source, R_OK | X_OK) < 0) {
        return g_strdup("may not be read by this user");
    }
    if (forbidden != NULL) {
        return g_strdup_printf("would give the guest %s%s", forbidden,
                               dinv_path_is_within(source, forbidden) ? "" : ", which lies in it");
    }
    return NULL;
}

void dinv_preflight_check_mounts(const DinvConfig *config, DinvPreflight *result) {
    g_autofree char *state_dir = resolve(config->state_dir);

    for (guint i = 0; i < config->mounts->len; i++) {
        const DinvMountSpec *mount = config->mounts->pdata[i];
        g_autofree char *problem = find_problem(mount, state_dir);

        if (problem != NULL) {
            dinv_preflight_add(result, "mount", DINV_CHECK_FAILED,
                               g_strdup_printf("DINV_MOUNTS: \"%s\" %s", mount->source, problem),
                               g_strdup("name a directory of the container (docker run -v "
                                        "SOURCE:TARGET gives it one)"));
        } else {
            dinv_preflight_add(result, "mount", DINV_CHECK_OK,
                               g_strdup_printf("%s on %s%s", mount->source, mount->target,
                                               mount->readonly ? ", read-only" : ""),
                               NULL);
        }
    }
}
