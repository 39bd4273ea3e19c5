/* SPDX-License-Identifier: MIT */
/*
 * utf8: text of unknown origin made fit for JSON, which is UTF-8 (RFC 3629): what is valid stays as
 * it is, the rest is replaced by U+FFFD, one for each maximal part of a sequence (Unicode, section
 * 3.9, as browsers do it). Not valid are overlong forms, surrogates, what is beyond U+10FFFF, and
 * here also NUL, which has no place in a C string.
 */
#pragma once

#include <stddef.h>

/* U+FFFD, and how much longer than its source a text with replacements can be. */
#define DINV_UTF8_REPLACEMENT "\xef\xbf\xbd"
#define DINV_UTF8_GROWTH      3u

/* Where a text that was cut off behind `len` bytes is to end: without the beginning of a character
 * that the cut has split, if there is one. */
size_t dinv_utf8_cut(const char *text, size_t len);

/* Copies `len` bytes as valid UTF-8 and a NUL into `to`, as many whole characters as `cap` bytes
 * have room for. The length of the copy. `cap` is at least 1; `to` and `text` do not overlap. */
size_t dinv_utf8_copy(char *to, size_t cap, const char *text, size_t len);

/* A copy of `len` bytes as valid UTF-8 with a NUL, the caller's to free. NULL if out of memory. */
char *dinv_utf8_make_valid(const char *text, size_t len);
