/* SPDX-License-Identifier: MIT */
/* Judges the mounts that were named or found, by what was seen of each. */
#include "launcher/plan/mounts.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "launcher/mounts/auto.h"
#include "launcher/plan/acceleration.h"
#include "launcher/state/choice.h"
#include "wire/mounts.h"

typedef struct {
    const DinvConfig *config;
    const DinvPlanFindings *findings;
    GPtrArray *shown; /* of DinvMountSpec*, borrowed: what the guest gets so far */
} Judge;

/* --- May it be shown? --- */

/* The directory that the guest must not get with `source`, or NULL. Through the state directory it
 * would write to the disk that it runs on; through the kernel's and the devices' to what the outer
 * container is made of. These can also not be read as files are. */
static const char *find_forbidden(const DinvPlanFindings *findings, const char *source,
                                  gboolean readonly) {
    for (guint i = 0; i < findings->kernel_directories->len; i++) {
        const char *directory = findings->kernel_directories->pdata[i];
        if (dinv_path_is_within(source, directory) ||
            (!readonly && dinv_path_is_within(directory, source))) {
            return directory;
        }
    }
    return !readonly && (dinv_path_is_within(source, findings->state_dir) ||
                         dinv_path_is_within(findings->state_dir, source))
               ? findings->state_dir
               : NULL;
}

/* What is the matter with a file, or NULL. */
static char *find_file_problem(const DinvPlanMountFinding *found) {
    const char *hidden = dinv_mount_hidden(found->spec->target, TRUE);
    if (!S_ISREG(found->mode)) {
        return g_strdup("is neither a directory nor a file");
    }
    if (found->bytes > DINV_MOUNT_FILE_MAX) {
        return g_strdup_printf("is a file of more than %u MiB; mount its directory",
                               DINV_MOUNT_FILE_MAX >> 20);
    }
    return hidden != NULL ? g_strdup_printf("would hide a file in %s of the guest", hidden) : NULL;
}

/* What is the matter with a mount, wherever it is to be, or NULL. */
static char *find_mount_problem(const Judge *judge, const DinvPlanMountFinding *found) {
    if (found->error == ETIMEDOUT) {
        return g_strdup("is on a file system that does not answer");
    }
    if (found->error != 0) {
        return g_strdup(found->error == ENOENT ? "does not exist" : g_strerror(found->error));
    }
    char *problem = S_ISDIR(found->mode) ? NULL : find_file_problem(found);
    if (problem != NULL) {
        return problem;
    }
    if (!found->is_readable) {
        return g_strdup("may not be read by this user");
    }
    const char *forbidden = find_forbidden(judge->findings, found->resolved, found->spec->readonly);
    if (forbidden != NULL) {
        g_autofree char *text = dinv_path_to_text(forbidden);
        gboolean is_inside = dinv_path_is_within(found->resolved, forbidden);
        return g_strdup_printf("would give the guest %s%s", text,
                               is_inside ? "" : ", which lies in it");
    }
    return NULL;
}

/* What of dinv itself a mount that was found is there for, or NULL: the user means it so. */
static const char *find_own(const Judge *judge, const DinvPlanMountFinding *found) {
    const DinvConfig *config = judge->config;
    const char *target = found->spec->target;
    if (found->is_scratch) {
        return "is memory of the container's own (docker run --tmpfs); DINV_MOUNTS can name it";
    }
    if (dinv_path_is_within(judge->findings->socket_path, target)) {
        return "holds the engine's socket";
    }
    if (config->tls_directory != NULL && (dinv_path_is_within(config->tls_directory, target) ||
                                          dinv_path_is_within(target, config->tls_directory))) {
        return "holds the engine's certificates and keys";
    }
    if (config->tls_key != NULL && dinv_path_is_within(config->tls_key, target)) {
        return "holds the engine's key for TLS";
    }
    return strcmp(target, DINV_STATE_ENGINE_VOLUME) == 0 &&
                   dinv_path_is_within(judge->findings->state_dir, target)
               ? "holds the state directory"
               : NULL;
}

/* Why a mount that was found must stay outside, or NULL. */
static char *find_auto_problem(const Judge *judge, const DinvPlanMountFinding *found) {
    const DinvConfig *config = judge->config;
    const char *target = found->spec->target;
    const char *hidden = dinv_mount_hidden(target, TRUE);
    if (judge->shown->len >= DINV_WIRE_MOUNTS_MAX) {
        return g_strdup_printf("is more than the %u that the machine has room for",
                               DINV_WIRE_MOUNTS_MAX);
    }
    if (hidden != NULL) {
        return g_strdup_printf("would hide %s of the guest", hidden);
    }
    if (config->volume_path != NULL && dinv_path_is_within(config->volume_path, target)) {
        return g_strdup("would hide the private volume (DINV_VOLUME_PATH)");
    }
    return find_mount_problem(judge, found);
}

/* --- Which of them are? --- */

static gboolean is_target(const GPtrArray *mounts, const char *target) {
    for (guint i = 0; i < mounts->len; i++) {
        if (strcmp(((const DinvMountSpec *)mounts->pdata[i])->target, target) == 0) {
            return TRUE;
        }
    }
    return FALSE;
}

/* Whether a mount that was found needs no place of its own: the user gave its path to something
 * else, another mount shows it, or the launcher itself reads it and hands it on. */
static gboolean is_covered(const Judge *judge, const DinvMountSpec *spec) {
    const char *config_dir = judge->config->config_dir;
    return is_target(judge->shown, spec->target) ||
           dinv_mount_is_seen_through(spec, judge->shown) ||
           (config_dir != NULL && dinv_path_is_within(spec->target, config_dir));
}

static DinvPlanMount *judge_one(const Judge *judge, const DinvPlanMountFinding *found) {
    DinvPlanMount *mount = g_new0(DinvPlanMount, 1);
    mount->spec = dinv_mount_spec_copy(found->spec);
    mount->spec->is_file = found->error == 0 && !S_ISDIR(found->mode);
    if (!found->is_named && is_covered(judge, mount->spec)) {
        mount->verdict = DINV_PLAN_MOUNT_COVERED;
        return mount;
    }
    const char *own = found->is_named ? NULL : find_own(judge, found);
    if (own != NULL) {
        mount->verdict = DINV_PLAN_MOUNT_OWN;
        mount->problem = g_strdup(own);
        return mount;
    }
    mount->problem =
        found->is_named ? find_mount_problem(judge, found) : find_auto_problem(judge, found);
    if (mount->problem != NULL) {
        /* Kubernetes puts a Secret into each pod, and nobody has to do anything about it. */
        mount->verdict = found->is_named    ? DINV_PLAN_MOUNT_REFUSED
                         : found->is_memory ? DINV_PLAN_MOUNT_OWN
                                            : DINV_PLAN_MOUNT_LEFT_OUT;
    } else if (mount->spec->is_file && !mount->spec->readonly) {
        mount->verdict = DINV_PLAN_MOUNT_SHOWN_READONLY;
        mount->spec->readonly = TRUE;
    } else {
        mount->verdict = DINV_PLAN_MOUNT_SHOWN;
    }
    return mount;
}

static void plan_mount_free(gpointer data) {
    DinvPlanMount *mount = data;
    dinv_mount_spec_free(mount->spec);
    g_free(mount->problem);
    g_free(mount);
}

GPtrArray *dinv_plan_mounts(const DinvConfig *config, const DinvPlanFindings *findings) {
    g_autoptr(GPtrArray) shown = g_ptr_array_new();
    const Judge judge = {.config = config, .findings = findings, .shown = shown};
    GPtrArray *mounts = g_ptr_array_new_with_free_func(plan_mount_free);
    for (guint i = 0; i < findings->mounts->len; i++) {
        DinvPlanMount *mount = judge_one(&judge, findings->mounts->pdata[i]);
        g_ptr_array_add(mounts, mount);
        if (dinv_plan_mount_is_shown(mount)) {
            g_ptr_array_add(shown, mount->spec);
        }
    }
    return mounts;
}

gboolean dinv_plan_mount_is_shown(const DinvPlanMount *mount) {
    return mount->verdict == DINV_PLAN_MOUNT_SHOWN ||
           mount->verdict == DINV_PLAN_MOUNT_SHOWN_READONLY;
}

gboolean dinv_plan_mounts_are_shown(const GPtrArray *mounts) {
    gboolean any = FALSE;
    for (guint i = 0; i < mounts->len; i++) {
        any = any || dinv_plan_mount_is_shown(mounts->pdata[i]);
    }
    return any;
}

DinvPlanServer dinv_plan_mount_server(const DinvConfig *config, const DinvPlanFindings *findings,
                                      const GPtrArray *mounts) {
    if (!dinv_plan_mounts_are_shown(mounts)) {
        return DINV_PLAN_SERVER_NONE;
    }
    if (dinv_plan_accel_is_uml(dinv_plan_accel(config, findings))) {
        return DINV_PLAN_SERVER_VIRTIOFSD; /* it would not be, without */
    }
    if (config->mount_driver == DINV_MOUNT_9P) {
        return DINV_PLAN_SERVER_9P;
    }
    if (findings->virtiofsd_is_usable) {
        return DINV_PLAN_SERVER_VIRTIOFSD;
    }
    return config->mount_driver == DINV_MOUNT_VIRTIOFS ? DINV_PLAN_SERVER_MISSING
                                                       : DINV_PLAN_SERVER_9P_FALLBACK;
}
