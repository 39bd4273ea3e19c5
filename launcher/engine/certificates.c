/* SPDX-License-Identifier: MIT */
/* Finds certificates in PEM text without understanding them, and the files with such text. */
#include "launcher/engine/certificates.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "launcher/base/input-file.h"

G_DEFINE_QUARK(dinv - certificates - error - quark, dinv_engine_certificates_error)

#define BEGIN "-----BEGIN CERTIFICATE-----"
#define END   "-----END CERTIFICATE-----"

#define LOCAL_DIRECTORY  "/usr/local/share/ca-certificates"
#define SYSTEM_DIRECTORY "/etc/ssl/certs"
#define FILE_MAX_BYTES   (4u << 20)
#define DEPTH_MAX        8u
#define FILES_MAX        4096u
#define LINE_LENGTH      64u

DinvEngineCertificates *dinv_engine_certificates_new(void) {
    DinvEngineCertificates *certificates = g_new(DinvEngineCertificates, 1);
    certificates->pem = g_string_new(NULL);
    certificates->known = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    return certificates;
}

void dinv_engine_certificates_free(DinvEngineCertificates *certificates) {
    if (certificates != NULL) {
        g_string_free(certificates->pem, TRUE);
        g_hash_table_unref(certificates->known);
        g_free(certificates);
    }
}

guint dinv_engine_certificates_count(const DinvEngineCertificates *certificates) {
    return g_hash_table_size(certificates->known);
}

/* The base64 between the marks without white space, or NULL if it is none. */
static char *take_base64(const char *bytes, gsize length) {
    g_autoptr(GString) text = g_string_sized_new(length);
    for (gsize i = 0; i < length; i++) {
        if (g_ascii_isalnum(bytes[i]) || (bytes[i] != '\0' && strchr("+/=", bytes[i]) != NULL)) {
            g_string_append_c(text, bytes[i]);
        } else if (!g_ascii_isspace(bytes[i])) {
            return NULL;
        }
    }
    return text->len > 0 && text->len % 4 == 0 ? g_string_free(g_steal_pointer(&text), FALSE)
                                               : NULL;
}

static void append_pem(GString *pem, const char *base64) {
    g_string_append(pem, BEGIN "\n");
    for (gsize left = strlen(base64); left > 0;) {
        gsize part = MIN(left, LINE_LENGTH);
        g_string_append_len(pem, base64, (gssize)part);
        g_string_append_c(pem, '\n');
        base64 += part;
        left -= part;
    }
    g_string_append(pem, END "\n");
}

gboolean dinv_engine_certificates_add(DinvEngineCertificates *certificates, const char *bytes,
                                      gsize length, guint *found, GError **error) {
    const char *end = bytes + length;
    *found = 0;
    for (const char *at = bytes;
         (at = memmem(at, (gsize)(end - at), BEGIN, strlen(BEGIN))) != NULL;) {
        at += strlen(BEGIN);
        const char *behind = memmem(at, (gsize)(end - at), END, strlen(END));
        g_autofree char *base64 = behind != NULL ? take_base64(at, (gsize)(behind - at)) : NULL;
        if (base64 == NULL) {
            continue;
        }
        ++*found;
        if (g_hash_table_contains(certificates->known, base64)) {
            continue;
        }
        append_pem(certificates->pem, base64);
        g_hash_table_add(certificates->known, g_steal_pointer(&base64));
        if (certificates->pem->len > DINV_ENGINE_CERTIFICATES_MAX_BYTES) {
            g_set_error(error, DINV_ENGINE_CERTIFICATES_ERROR,
                        DINV_ENGINE_CERTIFICATES_ERROR_TOO_LARGE,
                        "the certificates are more than %u KiB with it",
                        DINV_ENGINE_CERTIFICATES_MAX_BYTES >> 10);
            return FALSE;
        }
    }
    return TRUE;
}

/* --- The outer container's files --- */

typedef struct {
    DinvEngineCertificates *certificates;
    GPtrArray *warnings;
    guint files;
} Collection;

static gboolean add_certificate_file(Collection *collection, const char *what, const char *path,
                                     GError **error) {
    g_autoptr(GError) failure = NULL;
    gsize length = 0;
    guint found = 0;
    g_autofree char *bytes = dinv_input_file_read(path, FILE_MAX_BYTES, &length, &failure);
    if (bytes == NULL) {
        g_ptr_array_add(collection->warnings, g_strdup_printf("%s: \"%s\" %s, ignoring it", what,
                                                              path, failure->message));
        return TRUE;
    }
    if (!dinv_engine_certificates_add(collection->certificates, bytes, length, &found, error)) {
        g_prefix_error(error, "%s: \"%s\": ", what, path);
        return FALSE;
    }
    if (found == 0) {
        g_ptr_array_add(collection->warnings,
                        g_strdup_printf("%s: \"%s\" holds no certificate in PEM form, ignoring it",
                                        what, path));
    }
    return TRUE;
}

typedef struct {
    const char *what;   /* how messages call the place */
    gboolean recursive; /* with what is below, and of all only *.crt */
    gboolean mounted;   /* only files on another mount than those in not_on */
    guint64 not_on[2];
} Place;

/* The id of the mount that the file is on; 0 if it cannot be told. */
static guint64 get_mount(const char *path) {
    struct statx status;
    return statx(AT_FDCWD, path, 0, STATX_MNT_ID, &status) == 0 &&
                   (status.stx_mask & STATX_MNT_ID) != 0
               ? status.stx_mnt_id
               : 0;
}

static gboolean is_certificate_file(const Place *place, const char *name, const char *path) {
    guint64 mount = place->mounted ? get_mount(path) : 0;
    return place->mounted ? mount != 0 && mount != place->not_on[0] && mount != place->not_on[1]
                          : !place->recursive || g_str_has_suffix(name, ".crt");
}

/* In the order of names, so that the same files make the same text. Links are followed, as those of
 * mounted secrets must be; a place that is not there has nothing. */
static gboolean add_certificate_directory(Collection *collection, const Place *place,
                                          const char *path, guint depth, GError **error) {
    g_autoptr(GPtrArray) names = dinv_input_directory_list(path);
    for (guint i = 0; i < names->len && collection->files < FILES_MAX; i++) {
        const char *name = g_ptr_array_index(names, i);
        g_autofree char *child = g_build_filename(path, name, NULL);
        struct stat status;
        if (stat(child, &status) < 0) {
            continue; /* a link to nowhere */
        }
        collection->files++;
        gboolean good = TRUE;
        if (S_ISREG(status.st_mode) && is_certificate_file(place, name, child)) {
            good = add_certificate_file(collection, place->what, child, error);
        } else if (S_ISDIR(status.st_mode) && place->recursive && depth < DEPTH_MAX) {
            good = add_certificate_directory(collection, place, child, depth + 1, error);
        }
        if (!good) {
            return FALSE;
        }
    }
    return TRUE;
}

static gboolean add_variables(Collection *collection, char *const *environment, GError **error) {
    const char *file = g_environ_getenv((char **)environment, "SSL_CERT_FILE");
    const char *directories = g_environ_getenv((char **)environment, "SSL_CERT_DIR");
    const Place place = {.what = "SSL_CERT_DIR"};
    g_auto(GStrv) paths = g_strsplit(directories != NULL ? directories : "", ":", -1);
    if (file != NULL && file[0] != '\0' &&
        !add_certificate_file(collection, "SSL_CERT_FILE", file, error)) {
        return FALSE;
    }
    for (guint i = 0; paths[i] != NULL; i++) {
        if (paths[i][0] != '\0' &&
            !add_certificate_directory(collection, &place, paths[i], 0, error)) {
            return FALSE;
        }
    }
    return TRUE;
}

/* What the image has there the guest has too, in /etc or behind a link to /usr/share; what the user
 * puts there is a mount. */
static gboolean add_mounted(Collection *collection, const char *root, GError **error) {
    g_autofree char *directory = g_strconcat(root, SYSTEM_DIRECTORY, NULL);
    g_autofree char *etc = g_strconcat(root, "/etc", NULL);
    g_autofree char *share = g_strconcat(root, "/usr/share", NULL);
    const Place place = {.what = "mounted certificates",
                         .mounted = TRUE,
                         .not_on = {get_mount(etc), get_mount(share)}};
    return add_certificate_directory(collection, &place, directory, 0, error);
}

DinvEngineCertificates *dinv_engine_certificates_collect(const char *root, char *const *environment,
                                                         GPtrArray *warnings, GError **error) {
    static const Place local = {.what = "certificate authorities", .recursive = TRUE};
    g_autoptr(DinvEngineCertificates) certificates = dinv_engine_certificates_new();
    g_autofree char *directory = g_strconcat(root, LOCAL_DIRECTORY, NULL);
    Collection collection = {.certificates = certificates, .warnings = warnings};
    if (!add_certificate_directory(&collection, &local, directory, 0, error) ||
        !add_variables(&collection, environment, error) || !add_mounted(&collection, root, error)) {
        return NULL;
    }
    return g_steal_pointer(&certificates);
}
