/* SPDX-License-Identifier: MIT */
/* The engine's socket under the names that it has in the outer container. */
#pragma once

/* Gives `socket` each of `names` (NULL-terminated) as well, which take the place of a socket that
 * is there, and of nothing else. Hard links: a container that is shown a directory with one has it,
 * too. Another file system than that of `socket` cannot have one; what fails is logged. */
void dinv_engine_name_socket(const char *socket, char *const *names);
