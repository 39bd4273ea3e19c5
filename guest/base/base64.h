/* SPDX-License-Identifier: MIT */
/* base64: bytes that came as text, which is the entropy in `configure`. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Decodes base64 (RFC 4648, section 4, padded) of `len` characters into at most `cap` bytes. The
 * number of bytes, -EINVAL (not base64) or -ENOSPC. `bytes` may hold a part on failure. */
ssize_t dinv_base64_decode(const char *text, size_t len, uint8_t *bytes, size_t cap);
