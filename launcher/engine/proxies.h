/* SPDX-License-Identifier: MIT */
/*
 * The proxies that the outer container was given (HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY, in
 * either case), and each as it is reached from within the guest.
 */
#pragma once

#include <glib.h>

/* Those of `environment`, as NAME=value; NULL with a message that names the variable if one of them
 * is not of the kind that an environment in the guest can have. Transfer full. */
char **dinv_engine_proxies_find(char *const *environment, GError **error);

/* The proxy as the guest reaches it: the host is replaced by `gateway` where it is one of the outer
 * container's loopback addresses ("http://user@localhost:3128/"). Transfer full. */
char *dinv_engine_proxies_translate(const char *proxy, const char *gateway);
