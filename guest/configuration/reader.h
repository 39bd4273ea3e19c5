/* SPDX-License-Identifier: MIT */
/*
 * reader: typed fields of the launcher's JSON, with complaints that name the field. Only the files
 * of this room include it.
 *
 * Theory of operation. Every field goes through one of a few take functions, which check its type
 * and syntax. The first complaint is kept in the reader, and from then on every function does
 * nothing, so that those that know the shape of the message need no error paths of their own.
 * Strings that end up in lines of files or in environment blocks may not hold control characters,
 * whoever sent them.
 *
 * A `value` may be NULL (missing, or null in the JSON), `name` is the path of the field for the
 * complaint. What is returned is the caller's to free; NULL and 0 after a complaint.
 */
#pragma once

#include <json-c/json.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    int error;    /* 0, or -errno of the first complaint */
    char *reason; /* where its sentence goes */
    size_t reason_size;
} DinvConfigurationReader;

/* A complaint that the field is wrong (-EBADMSG). */
void dinv_configuration_complain(DinvConfigurationReader *reader, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* A complaint that quotes the beginning of the value: NAME: "TEXT" WHAT. */
void dinv_configuration_reject(DinvConfigurationReader *reader, const char *name, const char *text,
                               const char *what);

/* The field, borrowed; NULL if it is missing or null, or an earlier one was wrong. */
struct json_object *dinv_configuration_field(const DinvConfigurationReader *reader,
                                             struct json_object *object, const char *name);
/* Whether it is an object and no earlier field was wrong; complains about anything else. */
bool dinv_configuration_expect_object(DinvConfigurationReader *reader, struct json_object *value,
                                      const char *name);
bool dinv_configuration_is_printable(const char *text, size_t len);

/* `count` zeroed elements; complains when out of memory. */
void *dinv_configuration_allocate(DinvConfigurationReader *reader, size_t count, size_t size);

/* A string without control characters. */
char *dinv_configuration_take_string(DinvConfigurationReader *reader, struct json_object *value,
                                     const char *name);
/* A string without control characters that is not empty and has no blanks. */
char *dinv_configuration_take_word(DinvConfigurationReader *reader, struct json_object *value,
                                   const char *name);
/* An absolute path without "." and ".." components, in which \ooo stands for a byte that JSON or we
 * have no place for. */
char *dinv_configuration_take_path(DinvConfigurationReader *reader, struct json_object *value,
                                   const char *name);
/* Text of a file: anything but NUL. */
char *dinv_configuration_take_text(DinvConfigurationReader *reader, struct json_object *value,
                                   const char *name);
/* An IPv4 or IPv6 address as text. */
char *dinv_configuration_take_any_address(DinvConfigurationReader *reader,
                                          struct json_object *value, const char *name);
/* An IPv4 address. */
struct in_addr dinv_configuration_take_address(DinvConfigurationReader *reader,
                                               struct json_object *value, const char *name);
/* False if `value` is NULL: a field that is missing. */
bool dinv_configuration_take_boolean(DinvConfigurationReader *reader, struct json_object *value,
                                     const char *name);
/* An integer from `lowest` to `highest`. */
int64_t dinv_configuration_take_integer(DinvConfigurationReader *reader, struct json_object *value,
                                        const char *name, int64_t lowest, int64_t highest);

typedef char *(*DinvConfigurationTakeText)(DinvConfigurationReader *reader,
                                           struct json_object *value, const char *name);
/* The array object[key], each element taken by `take`: a list that ends in NULL, empty if the array
 * is missing. NULL only when out of memory; after a complaint it may hold a part. */
char **dinv_configuration_take_list(DinvConfigurationReader *reader, struct json_object *object,
                                    const char *key, const char *name,
                                    DinvConfigurationTakeText take);
void dinv_configuration_free_list(char **list);

/* Reads one object of an array into its zeroed element. */
typedef void (*DinvConfigurationTakeObject)(DinvConfigurationReader *reader,
                                            struct json_object *object, void *element);
/* The array object[key] of objects, each taken into an element of `size` bytes. *count is the
 * number of elements begun, the last of which may be incomplete after a complaint. NULL only when
 * out of memory. */
void *dinv_configuration_take_objects(DinvConfigurationReader *reader, struct json_object *object,
                                      const char *key, const char *name, size_t size,
                                      DinvConfigurationTakeObject take, size_t *count);
