/* SPDX-License-Identifier: MIT */
/* Where the state directory is when no setting says so. */
#pragma once

#include "launcher/settings/config.h"

/* Where docker-in-docker images have the engine's data, and their users a volume for it. */
#define DINV_STATE_ENGINE_VOLUME "/var/lib/docker"

/* Puts the state directory into that volume, in a folder of its own, if one is mounted there, it
 * can be written, and there is no disk yet at the usual place. What else is in the volume is let
 * be. Says so in config->notes. Looks only, and makes nothing; the answer stays the same once the
 * disk is made. `root` is put before all paths ("": nothing). */
void dinv_state_choose(DinvConfig *config, const char *root);
