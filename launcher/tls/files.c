/* SPDX-License-Identifier: MIT */
/* Keys and certificates by GnuTLS: as files, new, and looked into. */
#include "launcher/tls/files.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <gnutls/crypto.h>

#include "launcher/base/directories.h"
#include "launcher/base/input-file.h"

/* What every client takes, and a handshake does not take long with. */
#define KEY_BITS 2048u

G_DEFINE_QUARK(dinv - tls - error - quark, dinv_tls_error)

#define TEXT_MAX   ((gsize)256 * 1024)
#define KEY_ID_MAX 64u
/* As docker:dind: the most that every client accepts. */
#define LIFETIME_S (G_GINT64_CONSTANT(825) * 24 * 3600)
/* What tells a CA of dinv's from others that may have its name: an extension that no client looks
 * at. Its number is a random one below that for experiments, iso.org.dod.internet.experimental, as
 * dinv has no registered one; its value is the UTF8String "dinv" (X.690, 8.23). */
#define MARK_OID "1.3.6.1.3.1867204133"
static const guint8 mark_value[] = {0x0c, 4, 'd', 'i', 'n', 'v'};

/* Clocks need not agree to the second. */
#define BACKDATED_S 3600

void dinv_tls_identity_clear(DinvTlsIdentity *identity) {
    for (guint i = 0; i < identity->count; i++) {
        gnutls_x509_crt_deinit(identity->certificates[i]);
    }
    g_free(identity->certificates);
    if (identity->key != NULL) {
        gnutls_x509_privkey_deinit(identity->key);
    }
    *identity = (DinvTlsIdentity){0};
}

/* --- Files --- */

static gboolean set_io_error(GError **error, const char *what, const char *path) {
    int code = errno;
    g_set_error(error, DINV_TLS_ERROR, DINV_TLS_ERROR_IO, "cannot %s \"%s\": %s", what, path,
                g_strerror(code));
    return FALSE;
}

gboolean dinv_tls_read_text(const char *path, char **text, GError **error) {
    g_autoptr(GError) problem = NULL;
    gsize length = 0;
    g_autofree char *read = dinv_input_file_read(path, TEXT_MAX, &length, &problem);
    *text = NULL;
    if (read == NULL && !g_error_matches(problem, G_IO_ERROR, G_IO_ERROR_NOT_FOUND)) {
        gboolean is_invalid = g_error_matches(problem, G_IO_ERROR, G_IO_ERROR_NOT_REGULAR_FILE) ||
                              g_error_matches(problem, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
        g_set_error(error, DINV_TLS_ERROR, is_invalid ? DINV_TLS_ERROR_INVALID : DINV_TLS_ERROR_IO,
                    "\"%s\" %s%s", path, is_invalid ? "is not a PEM file: it " : "",
                    problem->message);
        return FALSE;
    }
    *text = length > 0 ? g_steal_pointer(&read) : NULL;
    return TRUE;
}

static gboolean pem_write_all(int fd, const char *text, mode_t mode) {
    gsize length = strlen(text);
    while (length > 0) {
        ssize_t put = write(fd, text, length);
        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put <= 0) {
            return FALSE;
        }
        text += put;
        length -= (gsize)put;
    }
    return fchmod(fd, mode) == 0 && fsync(fd) == 0;
}

gboolean dinv_tls_write_text(const char *path, mode_t mode, const char *text, GError **error) {
    g_autofree char *directory = g_path_get_dirname(path);
    g_autofree char *name = g_path_get_basename(path);
    g_autofree char *temporary = g_strdup_printf("%s/.%s.new", directory, name);
    /* Left by a crash, perhaps; and never through a link that somebody laid. */
    (void)unlink(temporary);
    int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) {
        return set_io_error(error, "write", path);
    }
    gboolean good = pem_write_all(fd, text, mode);
    int code = errno;
    good = close(fd) == 0 && good;
    if (!good || rename(temporary, path) < 0) {
        errno = good ? errno : code;
        (void)set_io_error(error, "write", path);
        (void)unlink(temporary);
        return FALSE;
    }
    dinv_directory_sync(directory);
    return TRUE;
}

/* --- PEM --- */

static gboolean set_tls_error(GError **error, int code, const char *what) {
    g_set_error(error, DINV_TLS_ERROR, DINV_TLS_ERROR_FAILED, "cannot %s: %s", what,
                gnutls_strerror(code));
    return FALSE;
}

static gnutls_datum_t datum_of(const char *text) {
    return (gnutls_datum_t){.data = (unsigned char *)text, .size = (unsigned)strlen(text)};
}

static gboolean identity_read_key(const char *path, gnutls_x509_privkey_t *key, GError **error) {
    g_autofree char *text = NULL;
    gnutls_x509_privkey_t parsed = NULL;
    if (!dinv_tls_read_text(path, &text, error)) {
        return FALSE;
    }
    if (text == NULL) {
        return TRUE;
    }
    gnutls_datum_t datum = datum_of(text);
    int code = gnutls_x509_privkey_init(&parsed);
    if (code >= 0) {
        code = gnutls_x509_privkey_import2(parsed, &datum, GNUTLS_X509_FMT_PEM, NULL, 0);
    }
    gnutls_memset(text, 0, strlen(text));
    if (code < 0) {
        gnutls_x509_privkey_deinit(parsed);
        g_set_error(error, DINV_TLS_ERROR, DINV_TLS_ERROR_INVALID,
                    "\"%s\" is not a private key in PEM form without a passphrase (%s)", path,
                    gnutls_strerror(code));
        return FALSE;
    }
    *key = parsed;
    return TRUE;
}

static gboolean identity_read_certificates(const char *path, DinvTlsIdentity *identity,
                                           GError **error) {
    g_autofree char *text = NULL;
    if (!dinv_tls_read_text(path, &text, error)) {
        return FALSE;
    }
    if (text == NULL) {
        return TRUE;
    }
    gnutls_datum_t datum = datum_of(text);
    gnutls_x509_crt_t *list = NULL;
    unsigned count = 0;
    int code = gnutls_x509_crt_list_import2(&list, &count, &datum, GNUTLS_X509_FMT_PEM, 0);
    if (code < 0) {
        g_set_error(error, DINV_TLS_ERROR, DINV_TLS_ERROR_INVALID,
                    "\"%s\" is not a certificate in PEM form (%s)", path, gnutls_strerror(code));
        return FALSE;
    }
    identity->certificates = g_new0(gnutls_x509_crt_t, count);
    identity->count = count;
    for (unsigned i = 0; i < count; i++) {
        identity->certificates[i] = list[i];
    }
    gnutls_free(list);
    return TRUE;
}

gboolean dinv_tls_identity_read(DinvTlsIdentity *identity, const char *key_path,
                                const char *certificate_path, GError **error) {
    DinvTlsIdentity read = {0};
    if (!identity_read_key(key_path, &read.key, error) ||
        !identity_read_certificates(certificate_path, &read, error)) {
        dinv_tls_identity_clear(&read);
        return FALSE;
    }
    *identity = read;
    return TRUE;
}

static char *take_pem(gnutls_datum_t *datum) {
    char *text = g_strndup((const char *)datum->data, datum->size);
    gnutls_memset(datum->data, 0, datum->size);
    gnutls_free(datum->data);
    return text;
}

char *dinv_tls_key_to_text(gnutls_x509_privkey_t key, GError **error) {
    gnutls_datum_t datum = {0};
    int code = gnutls_x509_privkey_export2(key, GNUTLS_X509_FMT_PEM, &datum);
    if (code < 0) {
        (void)set_tls_error(error, code, "write a private key");
        return NULL;
    }
    return take_pem(&datum);
}

char *dinv_tls_certificate_to_text(gnutls_x509_crt_t certificate, GError **error) {
    gnutls_datum_t datum = {0};
    int code = gnutls_x509_crt_export2(certificate, GNUTLS_X509_FMT_PEM, &datum);
    if (code < 0) {
        (void)set_tls_error(error, code, "write a certificate");
        return NULL;
    }
    return take_pem(&datum);
}

/* --- New ones --- */

gnutls_x509_privkey_t dinv_tls_key_new(GError **error) {
    gnutls_x509_privkey_t key = NULL;
    int code = gnutls_x509_privkey_init(&key);
    if (code >= 0) {
        code = gnutls_x509_privkey_generate(key, GNUTLS_PK_RSA, KEY_BITS, 0);
    }
    if (code < 0) {
        gnutls_x509_privkey_deinit(key);
        (void)set_tls_error(error, code, "make a private key");
        return NULL;
    }
    return key;
}

static void certificate_add_name(gnutls_x509_crt_t certificate, const char *name) {
    guint8 address[sizeof(struct in6_addr)];
    int code = 0;
    if (g_str_has_prefix(name, "DNS:")) {
        const char *host = name + strlen("DNS:");
        code = gnutls_x509_crt_set_subject_alt_name(certificate, GNUTLS_SAN_DNSNAME, host,
                                                    (unsigned)strlen(host), GNUTLS_FSAN_APPEND);
    } else {
        const char *text = name + strlen("IP:");
        unsigned size =
            strchr(text, ':') != NULL ? sizeof(struct in6_addr) : sizeof(struct in_addr);
        if (inet_pton(size == sizeof address ? AF_INET6 : AF_INET, text, address) == 1) {
            code = gnutls_x509_crt_set_subject_alt_name(certificate, GNUTLS_SAN_IPADDRESS, address,
                                                        size, GNUTLS_FSAN_APPEND);
        }
    }
    if (code < 0) {
        g_debug("tls: the name %s is left out: %s", name, gnutls_strerror(code));
    }
}

static int certificate_set_subject(gnutls_x509_crt_t certificate, DinvTlsRole role,
                                   const char *common_name, const char *const *names) {
    int code = gnutls_x509_crt_set_version(certificate, 3);
    if (code >= 0) {
        code = gnutls_x509_crt_set_dn_by_oid(certificate, GNUTLS_OID_X520_COMMON_NAME, 0,
                                             common_name, (unsigned)strlen(common_name));
    }
    if (code >= 0) {
        code = gnutls_x509_crt_set_basic_constraints(certificate, role == DINV_TLS_CA, -1);
    }
    if (code >= 0) {
        code = gnutls_x509_crt_set_key_usage(
            certificate, role == DINV_TLS_CA
                             ? GNUTLS_KEY_KEY_CERT_SIGN | GNUTLS_KEY_CRL_SIGN
                             : GNUTLS_KEY_DIGITAL_SIGNATURE | GNUTLS_KEY_KEY_ENCIPHERMENT);
    }
    if (code >= 0 && role != DINV_TLS_CA) {
        code = gnutls_x509_crt_set_key_purpose_oid(
            certificate,
            role == DINV_TLS_SERVER ? GNUTLS_KP_TLS_WWW_SERVER : GNUTLS_KP_TLS_WWW_CLIENT, 0);
    }
    if (code >= 0 && role == DINV_TLS_CA) {
        code = gnutls_x509_crt_set_extension_by_oid(certificate, MARK_OID, mark_value,
                                                    sizeof mark_value, 0);
    }
    for (gsize i = 0; names != NULL && names[i] != NULL; i++) {
        certificate_add_name(certificate, names[i]);
    }
    return code;
}

static int set_serial_and_time(gnutls_x509_crt_t certificate) {
    guint8 serial[16];
    time_t now = (time_t)(g_get_real_time() / G_USEC_PER_SEC);
    int code = gnutls_rnd(GNUTLS_RND_NONCE, serial, sizeof serial);
    serial[0] = (serial[0] & 0x7f) | 0x40; /* positive, and never shorter */
    if (code >= 0) {
        code = gnutls_x509_crt_set_serial(certificate, serial, sizeof serial);
    }
    if (code >= 0) {
        code = gnutls_x509_crt_set_activation_time(certificate, now - BACKDATED_S);
    }
    if (code >= 0) {
        code = gnutls_x509_crt_set_expiration_time(certificate, (time_t)(now + LIFETIME_S));
    }
    return code;
}

/* Binds the key to the certificate, and the certificate to its issuer, by their ids. */
static int certificate_set_key(gnutls_x509_crt_t certificate, gnutls_x509_privkey_t key,
                               const DinvTlsIdentity *issuer) {
    guint8 id[KEY_ID_MAX];
    size_t size = sizeof id;
    unsigned critical;
    int code = gnutls_x509_crt_set_key(certificate, key);
    if (code >= 0) {
        code = gnutls_x509_crt_get_key_id(certificate, 0, id, &size);
    }
    if (code >= 0) {
        code = gnutls_x509_crt_set_subject_key_id(certificate, id, size);
    }
    size = sizeof id;
    if (code >= 0 && issuer != NULL &&
        gnutls_x509_crt_get_subject_key_id(issuer->certificates[0], id, &size, &critical) >= 0) {
        code = gnutls_x509_crt_set_authority_key_id(certificate, id, size);
    }
    return code;
}

gnutls_x509_crt_t dinv_tls_certificate_new(DinvTlsRole role, const char *common_name,
                                           const char *const *names, gnutls_x509_privkey_t key,
                                           const DinvTlsIdentity *issuer, GError **error) {
    gnutls_x509_crt_t certificate = NULL;
    int code = gnutls_x509_crt_init(&certificate);
    if (code >= 0) {
        code = certificate_set_subject(certificate, role, common_name, names);
    }
    if (code >= 0) {
        code = set_serial_and_time(certificate);
    }
    if (code >= 0) {
        code = certificate_set_key(certificate, key, issuer);
    }
    if (code >= 0) { /* with a digest that suits the issuer's key */
        code = gnutls_x509_crt_sign2(certificate,
                                     issuer != NULL ? issuer->certificates[0] : certificate,
                                     issuer != NULL ? issuer->key : key, GNUTLS_DIG_UNKNOWN, 0);
    }
    if (code < 0) {
        gnutls_x509_crt_deinit(certificate);
        (void)set_tls_error(error, code, "make a certificate");
        return NULL;
    }
    return certificate;
}

/* --- What is in them --- */

static char *name_to_text(int type, const guint8 *name, gsize size) {
    char text[INET6_ADDRSTRLEN];
    if (type == GNUTLS_SAN_DNSNAME) {
        g_autofree char *host = g_strndup((const char *)name, size);
        g_autofree char *lower = g_ascii_strdown(host, -1);
        return g_strconcat("DNS:", lower, NULL);
    }
    if (type == GNUTLS_SAN_IPADDRESS &&
        (size == sizeof(struct in_addr) || size == sizeof(struct in6_addr)) &&
        inet_ntop(size == sizeof(struct in_addr) ? AF_INET : AF_INET6, name, text, sizeof text) !=
            NULL) {
        return g_strconcat("IP:", text, NULL);
    }
    return NULL;
}

char **dinv_tls_certificate_get_names(gnutls_x509_crt_t certificate) {
    g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
    for (unsigned i = 0;; i++) {
        guint8 name[256];
        size_t size = sizeof name;
        int type = gnutls_x509_crt_get_subject_alt_name(certificate, i, name, &size, NULL);
        if (type == GNUTLS_E_SHORT_MEMORY_BUFFER) {
            continue; /* longer than any name of a host */
        }
        if (type < 0) {
            return g_strv_builder_end(builder);
        }
        g_autofree char *text = name_to_text(type, name, size);
        if (text != NULL) {
            g_strv_builder_add(builder, text);
        }
    }
}

char *dinv_tls_certificate_get_common_name(gnutls_x509_crt_t certificate) {
    char name[256];
    size_t size = sizeof name;
    int code =
        gnutls_x509_crt_get_dn_by_oid(certificate, GNUTLS_OID_X520_COMMON_NAME, 0, 0, name, &size);
    return code < 0 ? NULL : g_strndup(name, size);
}

gboolean dinv_tls_certificate_is_marked(gnutls_x509_crt_t certificate) {
    guint8 value[sizeof mark_value];
    size_t size = sizeof value;
    return gnutls_x509_crt_get_extension_by_oid(certificate, MARK_OID, 0, value, &size, NULL) >=
               0 &&
           size == sizeof mark_value && memcmp(value, mark_value, size) == 0;
}

gboolean dinv_tls_key_fits(gnutls_x509_privkey_t key, gnutls_x509_crt_t certificate) {
    guint8 of_key[KEY_ID_MAX];
    guint8 of_certificate[KEY_ID_MAX];
    size_t key_size = sizeof of_key;
    size_t certificate_size = sizeof of_certificate;
    return gnutls_x509_privkey_get_key_id(key, 0, of_key, &key_size) >= 0 &&
           gnutls_x509_crt_get_key_id(certificate, 0, of_certificate, &certificate_size) >= 0 &&
           key_size == certificate_size && memcmp(of_key, of_certificate, key_size) == 0;
}
