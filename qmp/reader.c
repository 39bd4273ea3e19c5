/* SPDX-License-Identifier: MIT */
/* A tokener of json-c that is never given more than one message may have. */
#include "qmp/reader.h"

#include "qmp/client.h"

struct DinvQmpReader {
    struct json_tokener *tokener;
    gsize message_len; /* bytes of the current message so far; 0: between messages */
};

DinvQmpReader *dinv_qmp_reader_new(void) {
    DinvQmpReader *reader = g_new0(DinvQmpReader, 1);
    reader->tokener = json_tokener_new_ex(DINV_QMP_DEPTH_MAX);
    g_assert(reader->tokener != NULL);
    /* What follows a complete message is the next one, not an error of this one. */
    json_tokener_set_flags(reader->tokener,
                           JSON_TOKENER_STRICT | JSON_TOKENER_ALLOW_TRAILING_CHARS);
    return reader;
}

void dinv_qmp_reader_free(DinvQmpReader *reader) {
    if (reader == NULL) {
        return;
    }
    json_tokener_free(reader->tokener);
    g_free(reader);
}

gboolean dinv_qmp_reader_is_inside(const DinvQmpReader *reader) {
    return reader->message_len > 0;
}

/* A few bytes of garbage, made fit for a message. */
static char *printable(const char *bytes, gsize len) {
    char *text = g_strndup(bytes, MIN(len, 24));
    for (char *c = text; *c != '\0'; c++) {
        if (!g_ascii_isprint(*c)) {
            *c = '?';
        }
    }
    return text;
}

/* Skips white space between messages; FALSE when what follows cannot begin an object. A number or
 * a bare word would otherwise keep the tokener waiting for its end. */
static gboolean begin_message(const char **bytes, gsize *len, GError **error) {
    while (*len > 0 && g_ascii_isspace(**bytes)) {
        (*bytes)++;
        (*len)--;
    }
    if (*len > 0 && **bytes != '{') {
        g_autofree char *text = printable(*bytes, *len);
        g_set_error(error, DINV_QMP_ERROR, DINV_QMP_ERROR_PROTOCOL,
                    "QMP: expected a JSON object, got \"%s\"", text);
        return FALSE;
    }
    return TRUE;
}

gboolean dinv_qmp_reader_next(DinvQmpReader *reader, const char **bytes, gsize *len,
                              struct json_object **message, GError **error) {
    if (reader->message_len == 0 && !begin_message(bytes, len, error)) {
        return FALSE;
    }
    if (*len == 0) {
        *message = NULL;
        return TRUE;
    }
    /* Never more than the limit goes in, so a message that is not complete then is too large. */
    gsize piece = MIN(*len, DINV_QMP_MESSAGE_MAX - reader->message_len);
    struct json_object *object = json_tokener_parse_ex(reader->tokener, *bytes, (int)piece);
    enum json_tokener_error status = json_tokener_get_error(reader->tokener);
    if (status == json_tokener_success) {
        gsize used = json_tokener_get_parse_end(reader->tokener);
        *bytes += used;
        *len -= used;
        reader->message_len = 0;
        json_tokener_reset(reader->tokener);
        *message = object;
        return TRUE;
    }
    if (status != json_tokener_continue) {
        g_set_error(error, DINV_QMP_ERROR, DINV_QMP_ERROR_PROTOCOL, "QMP: malformed JSON: %s",
                    json_tokener_error_desc(status));
        return FALSE;
    }
    reader->message_len += piece;
    if (reader->message_len >= DINV_QMP_MESSAGE_MAX) {
        g_set_error(error, DINV_QMP_ERROR, DINV_QMP_ERROR_TOO_LARGE,
                    "QMP: a message is larger than %" G_GSIZE_FORMAT " bytes",
                    DINV_QMP_MESSAGE_MAX);
        return FALSE;
    }
    *bytes += piece;
    *len -= piece;
    *message = NULL;
    return TRUE;
}
