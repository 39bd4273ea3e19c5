/* SPDX-License-Identifier: MIT */
/* Text that somebody else wrote, and is to be shown or passed on. */
#pragma once

#include <glib.h>

/* Whether `text` is UTF-8 without control characters other than those of `allowed` ("" or, for
 * instance, "\t\n"). */
gboolean dinv_text_is_printable(const char *text, const char *allowed);
