/* SPDX-License-Identifier: MIT */
/* The verb `dinv image`: build, info, data. */
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ext4/create.h"
#include "ext4/info.h"
#include "ext4/rootfs.h"
#include "launcher/cli/cli.h"
#include "launcher/cli/output.h"

#define GUEST_PATH "/sbin/dinv-guest"
#define PROXY_PATH "/sbin/dinv-port-proxy"

static int image_complain(GError *error) {
    dinv_cli_complain("%s", error->message);
    g_error_free(error);
    return DINV_EXIT_FAILED;
}

/* Parses `argv` (with argv[0] the name of the action) in place; the words left over are *rest, to
 * be freed with g_strfreev. */
static gboolean parse_image_options(int argc, char **argv, const GOptionEntry *entries,
                                    const char *parameters, char ***rest, GError **error) {
    g_autofree char *name = g_strdup_printf("dinv image %s", argv[0]);
    g_autoptr(GOptionContext) context = g_option_context_new(parameters);
    g_auto(GStrv) words = g_new0(char *, (gsize)argc + 1);
    words[0] = g_steal_pointer(&name);
    for (int i = 1; i < argc; i++) {
        words[i] = g_strdup(argv[i]);
    }
    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse_strv(context, &words, error)) {
        return FALSE;
    }
    *rest = g_strdupv(words + 1);
    return TRUE;
}

static gboolean no_words_left(char **rest, GError **error) {
    if (rest[0] == NULL) {
        return TRUE;
    }
    g_set_error(error, DINV_EXT4_IMAGE_ERROR, DINV_EXT4_IMAGE_ERROR_FAILED,
                "\"%s\" is not understood", rest[0]);
    return FALSE;
}

static gboolean is_option_given(const char *option, const char *value, GError **error) {
    if (value != NULL && value[0] != '\0') {
        return TRUE;
    }
    g_set_error(error, DINV_EXT4_IMAGE_ERROR, DINV_EXT4_IMAGE_ERROR_FAILED,
                "%s is missing (\"dinv image --help\" tells more)", option);
    return FALSE;
}

/* The reproducible-builds convention; 0: not set. */
static gboolean source_date(gint64 *seconds, GError **error) {
    const char *text = g_getenv("SOURCE_DATE_EPOCH");
    guint64 value = 0;
    if (text != NULL && !g_ascii_string_to_unsigned(text, 10, 1, G_MAXUINT32, &value, NULL)) {
        g_set_error(error, DINV_EXT4_IMAGE_ERROR, DINV_EXT4_IMAGE_ERROR_FAILED,
                    "SOURCE_DATE_EPOCH: \"%s\" is not a number of seconds (1-%u)", text,
                    G_MAXUINT32);
        return FALSE;
    }
    *seconds = (gint64)value;
    return TRUE;
}

typedef struct {
    char *base;
    char *base_sha512;
    char **engines;
    char *guest;
    char *output;
} BuildArguments;

static void build_arguments_clear(BuildArguments *arguments) {
    g_free(arguments->base);
    g_free(arguments->base_sha512);
    g_strfreev(arguments->engines);
    g_free(arguments->guest);
    g_free(arguments->output);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(BuildArguments, build_arguments_clear)

static gboolean build(const BuildArguments *arguments, GError **error) {
    gsize engines = arguments->engines != NULL ? g_strv_length(arguments->engines) : 0;
    g_autofree DinvExt4RootfsLayer *layers = g_new0(DinvExt4RootfsLayer, engines + 1);
    layers[0] = (DinvExt4RootfsLayer){.path = arguments->base, .sha512 = arguments->base_sha512};
    for (gsize i = 0; i < engines; i++) {
        layers[i + 1] = (DinvExt4RootfsLayer){.path = arguments->engines[i]};
    }
    const DinvExt4RootfsEntry entries[] = {
        {.kind = DINV_EXT4_ROOTFS_FILE,
         .path = GUEST_PATH,
         .value = arguments->guest,
         .mode = 0755},
        {.kind = DINV_EXT4_ROOTFS_SYMLINK, .path = PROXY_PATH, .value = "dinv-guest"},
    };
    DinvExt4RootfsRecipe recipe = {
        .layers = layers,
        .layer_count = engines + 1,
        .entries = entries,
        .entry_count = G_N_ELEMENTS(entries),
        .output = arguments->output,
    };
    return source_date(&recipe.timestamp, error) && dinv_ext4_rootfs_build(&recipe, error);
}

static int run_build(int argc, char **argv) {
    g_auto(BuildArguments) arguments = {0};
    g_auto(GStrv) rest = NULL;
    GError *error = NULL;
    const GOptionEntry entries[] = {
        {"base", 0, 0, G_OPTION_ARG_FILENAME, &arguments.base,
         "The lowest layer: a tar archive or a directory", "BASE"},
        {"base-sha512", 0, 0, G_OPTION_ARG_STRING, &arguments.base_sha512,
         "Take BASE only with this checksum", "HEX"},
        {"engine", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &arguments.engines,
         "A layer above it (may be given several times)", "ENGINE"},
        {"guest", 0, 0, G_OPTION_ARG_FILENAME, &arguments.guest,
         "The program that becomes " GUEST_PATH, "FILE"},
        {"output", 0, 0, G_OPTION_ARG_FILENAME, &arguments.output,
         "The image; replaced when it exists", "FILE"},
        G_OPTION_ENTRY_NULL,
    };
    if (!parse_image_options(argc, argv, entries, "- make a root image", &rest, &error) ||
        !no_words_left(rest, &error) || !is_option_given("--base", arguments.base, &error) ||
        !is_option_given("--guest", arguments.guest, &error) ||
        !is_option_given("--output", arguments.output, &error) || !build(&arguments, &error)) {
        return image_complain(error);
    }
    DinvExt4ImageInfo info;
    if (!dinv_ext4_image_check_rootfs(arguments.output, &info, &error)) {
        return image_complain(error);
    }
    g_autofree char *size = dinv_ext4_image_size_text(info.file_bytes);
    (void)printf("%s: %s, %s, uuid %s\n", arguments.output, info.label, size, info.uuid);
    return EXIT_SUCCESS;
}

static const char *state_text(const DinvExt4ImageInfo *info) {
    if (info->truncated) {
        return "truncated";
    }
    if (info->has_errors) {
        return "has errors";
    }
    if (info->needs_recovery) {
        return "in use or not unmounted (its journal will be replayed)";
    }
    return info->clean ? "clean" : "not clean";
}

static void print_info(const char *path, const DinvExt4ImageInfo *info) {
    g_autofree char *size = dinv_ext4_image_size_text(info->filesystem_bytes);
    g_autofree char *file = dinv_ext4_image_size_text(info->file_bytes);
    g_autofree char *allocated = dinv_ext4_image_size_text(info->allocated_bytes);
    g_autofree char *free_size = dinv_ext4_image_size_text(info->free_bytes);
    (void)printf("%s: %s\n", path, dinv_ext4_image_kind_text(info->kind));
    (void)printf("  label       %s\n", info->label);
    (void)printf("  uuid        %s\n", info->uuid);
    (void)printf("  file system %s, %s free\n", size, free_size);
    (void)printf("  file        %s, takes %s\n", file, allocated);
    (void)printf("  journal     %s\n", info->has_journal ? "yes" : "no");
    (void)printf("  state       %s\n", state_text(info));
}

static json_object *info_to_json(const char *path, const DinvExt4ImageInfo *info) {
    g_autofree char *valid_path = g_utf8_make_valid(path, -1);
    json_object *object = json_object_new_object();
    json_object_object_add(object, "path", json_object_new_string(valid_path));
    json_object_object_add(object, "kind",
                           json_object_new_string(dinv_ext4_image_kind_text(info->kind)));
    json_object_object_add(object, "label", json_object_new_string(info->label));
    if (info->kind == DINV_EXT4_IMAGE_ROOTFS) {
        json_object_object_add(object, "format_version",
                               json_object_new_int64(info->rootfs_version));
    }
    json_object_object_add(object, "uuid", json_object_new_string(info->uuid));
    json_object_object_add(object, "filesystem_bytes",
                           json_object_new_uint64(info->filesystem_bytes));
    json_object_object_add(object, "file_bytes", json_object_new_uint64(info->file_bytes));
    json_object_object_add(object, "allocated_bytes",
                           json_object_new_uint64(info->allocated_bytes));
    json_object_object_add(object, "free_bytes", json_object_new_uint64(info->free_bytes));
    json_object_object_add(object, "made", json_object_new_int64(info->made));
    json_object_object_add(object, "journal", json_object_new_boolean(info->has_journal));
    json_object_object_add(object, "truncated", json_object_new_boolean(info->truncated));
    json_object_object_add(object, "clean", json_object_new_boolean(info->clean));
    json_object_object_add(object, "errors", json_object_new_boolean(info->has_errors));
    json_object_object_add(object, "needs_recovery", json_object_new_boolean(info->needs_recovery));
    return object;
}

/* Shows what can be read; a file that cannot fails the whole, after the others. */
static int show_files(char **files, gboolean json) {
    int status = EXIT_SUCCESS;
    json_object *array = json ? json_object_new_array() : NULL;
    for (char **file = files; *file != NULL; file++) {
        DinvExt4ImageInfo info;
        GError *error = NULL;
        if (!dinv_ext4_image_read_info(*file, &info, &error)) {
            status = image_complain(error);
        } else if (json) {
            json_object_array_add(array, info_to_json(*file, &info));
        } else {
            print_info(*file, &info);
        }
    }
    if (json) {
        (void)puts(json_object_to_json_string_ext(array, JSON_C_TO_STRING_PRETTY |
                                                             JSON_C_TO_STRING_NOSLASHESCAPE));
        json_object_put(array);
    }
    return status;
}

static int run_info(int argc, char **argv) {
    gboolean json = FALSE;
    g_auto(GStrv) files = NULL;
    GError *error = NULL;
    const GOptionEntry entries[] = {
        {"json", 0, 0, G_OPTION_ARG_NONE, &json, "As a JSON array, one object a file", NULL},
        G_OPTION_ENTRY_NULL,
    };
    if (!parse_image_options(argc, argv, entries, "FILE... - tell what image files are", &files,
                             &error) ||
        !is_option_given("the name of an image file", files[0], &error)) {
        return image_complain(error);
    }
    return show_files(files, json);
}

static gboolean parse_size(const char *text, guint64 *bytes, GError **error) {
    static const char units[] = "KMGT";
    char *end = NULL;
    guint64 number = g_ascii_strtoull(text, &end, 10);
    guint shift = 0;
    if (g_ascii_isdigit(text[0]) && *end != '\0') {
        const char *unit = strchr(units, g_ascii_toupper(*end));
        shift = unit != NULL ? 10 * (guint)(unit - units + 1) : 0;
        end += unit != NULL ? 1 : 0;
    }
    if (!g_ascii_isdigit(text[0]) || *end != '\0' || number == 0 ||
        number > (G_MAXUINT64 >> shift)) {
        g_set_error(error, DINV_EXT4_IMAGE_ERROR, DINV_EXT4_IMAGE_ERROR_FAILED,
                    "--size: \"%s\" is not a size (as 64G; K, M, G, T)", text);
        return FALSE;
    }
    *bytes = number << shift;
    return TRUE;
}

static int run_data(int argc, char **argv) {
    g_autofree char *size = NULL;
    g_autofree char *output = NULL;
    g_auto(GStrv) rest = NULL;
    guint64 bytes = 0;
    GError *error = NULL;
    const GOptionEntry entries[] = {
        {"size", 0, 0, G_OPTION_ARG_STRING, &size, "Its size, such as 64G; the file is sparse",
         "SIZE"},
        {"output", 0, 0, G_OPTION_ARG_FILENAME, &output, "The file; it must not exist", "FILE"},
        G_OPTION_ENTRY_NULL,
    };
    if (!parse_image_options(argc, argv, entries, "- make an empty data disk", &rest, &error) ||
        !no_words_left(rest, &error) || !is_option_given("--size", size, &error) ||
        !is_option_given("--output", output, &error) || !parse_size(size, &bytes, &error) ||
        !dinv_ext4_create_data_disk(output, bytes, &error)) {
        return image_complain(error);
    }
    return EXIT_SUCCESS;
}

int dinv_cli_image(int argc, char **argv) {
    static const struct {
        const char *name;
        int (*run)(int argc, char **argv);
    } actions[] = {{"build", run_build}, {"info", run_info}, {"data", run_data}};
    for (gsize i = 0; argc > 0 && i < G_N_ELEMENTS(actions); i++) {
        if (g_str_equal(argv[0], actions[i].name)) {
            return actions[i].run(argc, argv);
        }
    }
    dinv_cli_complain("image: %s%s%s; it can do build, info and data", argc > 0 ? "\"" : "",
                      argc > 0 ? argv[0] : "what shall be done is not said",
                      argc > 0 ? "\" is not understood" : "");
    return DINV_EXIT_FAILED;
}
