/* SPDX-License-Identifier: MIT */
/* What clients hear that came to an engine which will not be there. */
#pragma once

#include "launcher/vm/endpoints.h"

/* Tells every client of `endpoints` that waits, or comes while others are told, why there is no
 * engine: `reason`, as the error message of Docker's API. Returns at once if nobody waits, else
 * when nobody has come for a moment, after at most three seconds. Runs the default GMainContext,
 * in which nothing else is at work. Clients with TLS are let in only where the certificates were
 * loaded; others find their connection closed when the endpoints are freed. */
void dinv_vm_refuse_clients(DinvVmEndpoints *endpoints, const char *reason);
