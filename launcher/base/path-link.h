/* SPDX-License-Identifier: MIT */
/* A symbolic link that leads to a socket of this process for as long as it is there. */
#pragma once

#include <glib.h>

typedef struct DinvPathLink DinvPathLink;

/* Makes `path` lead to `target`, if nothing is at `path` but a link that leads nowhere or a socket
 * that nobody listens at. NULL if something else is there, or no link can be made. */
DinvPathLink *dinv_path_link_new(const char *path, const char *target);

/* Removes the link, if it still leads to the target. NULL is ignored. */
void dinv_path_link_free(DinvPathLink *link);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DinvPathLink, dinv_path_link_free)

/* Borrowed. */
const char *dinv_path_link_get_path(const DinvPathLink *link);
