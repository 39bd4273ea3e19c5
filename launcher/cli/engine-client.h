/* SPDX-License-Identifier: MIT */
/* The engine's own socket, as a client of it sees it. */
#pragma once

/* Connects to the socket at `path`: a descriptor that blocks for at most five seconds in each call,
 * to be closed by the caller, or -1. */
int dinv_cli_engine_connect(const char *path);
