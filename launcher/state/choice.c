/* SPDX-License-Identifier: MIT */
/* Looks at mounts and at what is in them, and writes down what was decided. */
#include "launcher/state/choice.h"

#include <string.h>
#include <unistd.h>

#include "mountinfo/mountinfo.h"

#define FOLDER "dinv"

static gboolean is_mount_point(const char *root, const char *path) {
    g_autofree char *file = g_strconcat(root, "/proc/self/mountinfo", NULL);
    g_autofree char *text = NULL;
    gsize length = 0;
    DinvMountTable table = {0};
    if (!g_file_get_contents(file, &text, &length, NULL) ||
        dinv_mountinfo_parse(text, length, &table) != 0) {
        return FALSE;
    }
    const DinvMount *mount = dinv_mountinfo_find(&table, path);
    gboolean found = mount != NULL && strcmp(mount->target, path) == 0;
    dinv_mountinfo_clear(&table);
    return found;
}

/* A name in the directory that an engine of another kind has left there; NULL if there is none. */
static const char *find_foreign_data(const char *directory) {
    static const char *const names[] = {"overlay2", "image",   "containers", "containerd", "vfs",
                                        "btrfs",    "volumes", "buildkit",   "swarm"};
    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *path = g_build_filename(directory, names[i], NULL);
        if (g_file_test(path, G_FILE_TEST_EXISTS)) {
            return names[i];
        }
    }
    return NULL;
}

static void note(DinvConfig *config, char *text) {
    if (config->notes == NULL) {
        config->notes = g_ptr_array_new_with_free_func(g_free);
    }
    g_ptr_array_add(config->notes, text);
}

void dinv_state_choose(DinvConfig *config, const char *root) {
    g_autofree char *volume = g_strconcat(root, DINV_STATE_ENGINE_VOLUME, NULL);
    g_autofree char *usual_disk = g_build_filename(config->state_dir, "data.img", NULL);
    g_autofree char *chosen = g_build_filename(volume, FOLDER, NULL);
    if (config->state_dir_given || !is_mount_point(root, DINV_STATE_ENGINE_VOLUME)) {
        return;
    }
    const char *foreign = find_foreign_data(volume);
    if (g_file_test(usual_disk, G_FILE_TEST_EXISTS)) {
        note(config, g_strdup_printf("the engine's data stays in \"%s\", where it is already; the "
                                     "volume at \"%s\" is not used",
                                     config->state_dir, volume));
    } else if (access(volume, W_OK | X_OK) < 0) {
        note(config, g_strdup_printf("the volume at \"%s\" cannot be written: the engine's data is "
                                     "kept in \"%s\"",
                                     volume, config->state_dir));
    } else {
        note(config, g_strdup_printf("the engine's data is kept in \"%s\", in the volume that is "
                                     "mounted there (DINV_STATE_DIR is not set)",
                                     chosen));
        g_free(config->state_dir);
        config->state_dir = g_steal_pointer(&chosen);
    }
    if (foreign != NULL) {
        note(config, g_strdup_printf("\"%s\" has data of another Docker engine (%s), which stays "
                                     "as it is",
                                     volume, foreign));
    }
}
