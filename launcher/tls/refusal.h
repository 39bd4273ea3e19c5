/* SPDX-License-Identifier: MIT */
/* Why a client was not let in, in words for the log. */
#pragma once

#include <glib.h>
#include <gnutls/gnutls.h>

/* Why the handshake of `session` failed with GnuTLS's error `code`: a sentence without a subject
 * ("showed no certificate"). `plain_alert` is one that the client sent unencrypted; -1: none. NULL
 * for clients that only hung up, as port scans do. Transfer full. */
char *dinv_tls_refusal_to_string(gnutls_session_t session, int code, int plain_alert);
