/* SPDX-License-Identifier: MIT */
/* The disks, mounts and files that are to be there before dockerd starts. */
#include <stdlib.h>
#include <string.h>

#include "guest/configuration/sections.h"
#include "wire/mounts.h"

/* -1 if it is not given. */
static uint32_t take_id(DinvConfigurationReader *reader, struct json_object *object,
                        const char *key, const char *name) {
    struct json_object *value = dinv_configuration_field(reader, object, key);
    return value != NULL
               ? (uint32_t)dinv_configuration_take_integer(reader, value, name, 0, UINT32_MAX - 1)
               : UINT32_MAX;
}

static void take_disk(DinvConfigurationReader *reader, struct json_object *entry, void *element) {
    DinvDiskConfiguration *disk = element;
    disk->serial = dinv_configuration_take_word(
        reader, dinv_configuration_field(reader, entry, "serial"), "disks.serial");
    disk->target = dinv_configuration_take_path(
        reader, dinv_configuration_field(reader, entry, "target"), "disks.target");
    disk->uid = take_id(reader, entry, "uid", "disks.uid");
    disk->gid = take_id(reader, entry, "gid", "disks.gid");
}

static void take_driver_and_source(DinvConfigurationReader *reader, struct json_object *entry,
                                   DinvMountConfiguration *mount) {
    mount->driver = dinv_configuration_take_word(
        reader, dinv_configuration_field(reader, entry, "driver"), "mounts.driver");
    if (mount->driver != NULL && strcmp(mount->driver, DINV_WIRE_MOUNT_DRIVER_9P) != 0 &&
        strcmp(mount->driver, DINV_WIRE_MOUNT_DRIVER_VIRTIOFS) != 0) {
        dinv_configuration_reject(reader, "mounts.driver", mount->driver,
                                  "is neither 9p nor virtiofs");
    }
    mount->tag = dinv_configuration_take_word(
        reader, dinv_configuration_field(reader, entry, "tag"), "mounts.tag");
    struct json_object *file = dinv_configuration_field(reader, entry, "file");
    if (file != NULL) {
        mount->file = dinv_configuration_take_word(reader, file, "mounts.file");
        if (mount->file != NULL && (mount->file[0] == '.' || strchr(mount->file, '/') != NULL)) {
            dinv_configuration_reject(reader, "mounts.file", mount->file,
                                      "is not the name of a file");
        }
    }
}

static void take_mount(DinvConfigurationReader *reader, struct json_object *entry, void *element) {
    DinvMountConfiguration *mount = element;
    take_driver_and_source(reader, entry, mount);
    mount->target = dinv_configuration_take_path(
        reader, dinv_configuration_field(reader, entry, "target"), "mounts.target");
    struct json_object *options = dinv_configuration_field(reader, entry, "options");
    mount->options = options != NULL
                         ? dinv_configuration_take_string(reader, options, "mounts.options")
                         : dinv_configuration_allocate(reader, 1, 1);
    struct json_object *fallback = dinv_configuration_field(reader, entry, "fallback_options");
    if (fallback != NULL) {
        mount->fallback_options =
            dinv_configuration_take_string(reader, fallback, "mounts.fallback_options");
    }
    mount->readonly = dinv_configuration_take_boolean(
        reader, dinv_configuration_field(reader, entry, "readonly"), "mounts.readonly");
}

static void take_file(DinvConfigurationReader *reader, struct json_object *entry, void *element) {
    DinvFileConfiguration *file = element;
    file->path = dinv_configuration_take_path(
        reader, dinv_configuration_field(reader, entry, "path"), "files.path");
    file->text = dinv_configuration_take_text(
        reader, dinv_configuration_field(reader, entry, "text"), "files.text");
    file->mode = (mode_t)dinv_configuration_take_integer(
        reader, dinv_configuration_field(reader, entry, "mode"), "files.mode", 0, 0777);
}

void dinv_configuration_take_storage(DinvConfigurationReader *reader, struct json_object *body,
                                     DinvConfiguration *to) {
    to->disks = dinv_configuration_take_objects(reader, body, "disks", "disks", sizeof *to->disks,
                                                take_disk, &to->disk_count);
    struct json_object *inodes = dinv_configuration_field(reader, body, "inodes_max");
    if (inodes != NULL) {
        to->inodes_max =
            (uint64_t)dinv_configuration_take_integer(reader, inodes, "inodes_max", 1, INT32_MAX);
    }
    to->mounts = dinv_configuration_take_objects(reader, body, "mounts", "mounts",
                                                 sizeof *to->mounts, take_mount, &to->mount_count);
    to->files = dinv_configuration_take_objects(reader, body, "files", "files", sizeof *to->files,
                                                take_file, &to->file_count);
}

void dinv_configuration_clear_storage(DinvConfiguration *configuration) {
    for (size_t index = 0; index < configuration->disk_count; index++) {
        free(configuration->disks[index].serial);
        free(configuration->disks[index].target);
    }
    free(configuration->disks);
    for (size_t index = 0; index < configuration->mount_count; index++) {
        free(configuration->mounts[index].driver);
        free(configuration->mounts[index].tag);
        free(configuration->mounts[index].file);
        free(configuration->mounts[index].target);
        free(configuration->mounts[index].options);
        free(configuration->mounts[index].fallback_options);
    }
    free(configuration->mounts);
    for (size_t index = 0; index < configuration->file_count; index++) {
        free(configuration->files[index].path);
        free(configuration->files[index].text);
    }
    free(configuration->files);
}
