#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The client's side, as in docker:cli: runs a command, with DOCKER_HOST and the variables for TLS set
# for the engine of a container called `docker` where nothing else is set and no engine is here.
# `docker` may be left out in front of its flags and commands. POSIX, as people also start it with sh.

set -eu

# Whether there is what a client needs for TLS.
has_certificates() {
    [ -n "$certificates" ] && [ -s "$certificates/ca.pem" ] && [ -s "$certificates/cert.pem" ] &&
        [ -s "$certificates/key.pem" ]
}

find_engine() {
    [ -z "${DOCKER_HOST-}" ] && [ ! -S /var/run/docker.sock ] || return 0
    if [ -n "${DOCKER_TLS_VERIFY-}" ] || has_certificates; then
        export DOCKER_HOST=tcp://docker:2376
    else
        export DOCKER_HOST=tcp://docker:2375
    fi
}

find_certificates() {
    case ${DOCKER_HOST-} in
    tcp:*) ;;
    *) return 0 ;;
    esac
    if [ -z "${DOCKER_TLS_VERIFY-}${DOCKER_CERT_PATH-}" ] && has_certificates; then
        export DOCKER_TLS_VERIFY=1 DOCKER_CERT_PATH="$certificates"
    fi
}

# The image sets it for the engine in this container.
forget_own_ports() {
    case ${DOCKER_HOST-} in
    tcp:*) [ "${TESTCONTAINERS_HOST_OVERRIDE-}" != localhost ] || unset TESTCONTAINERS_HOST_OVERRIDE ;;
    esac
}

# Not set means docker:dind's own place, set but empty no TLS.
certificates=${DOCKER_TLS_CERTDIR-/certs}
[ -z "$certificates" ] || certificates=$certificates/client
find_engine
find_certificates
forget_own_ports
[ $# -gt 0 ] || set -- sh
case $1 in
-*) set -- docker "$@" ;;
*) ! docker help "$1" >/dev/null 2>&1 || set -- docker "$@" ;;
esac
exec "$@"
