#!/bin/sh
# SPDX-License-Identifier: MIT
#
# docker:dind's start script by its name: `dinv run` knows what stands behind it. POSIX, as people
# also start it with sh.

set -eu
exec dinv run dockerd-entrypoint.sh "$@"
