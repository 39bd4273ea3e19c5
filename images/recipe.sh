# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# What the recipes (kernel/build, rootfs/base, rootfs/engine, assemble) share: messages, the cache
# directory, temporary directories, locks, and a private view of the Debian archive.
#
# The private view is an apt root of its own in the cache directory. It reads trixie whatever the
# machine itself runs, needs no root, and touches nothing of the machine's apt but its proxy and
# timeout settings. Messages go to stderr; a recipe's stdout is its result, a path.

set -euo pipefail
umask 022
export LC_ALL=C

recipe_path=$(realpath -- "$0")
readonly recipe_path recipe_name=${recipe_path##*/images/}
readonly debian_suite=trixie
readonly debian_mirror=http://deb.debian.org/debian
readonly debian_security_mirror=http://deb.debian.org/debian-security
readonly lists_lifetime_minutes=1440

say() {
    printf 'dinv images/%s: %s\n' "$recipe_name" "$*" >&2
}

die() {
    say "$*"
    exit 1
}

# need PROGRAM PACKAGE ...: stops with the list of what is missing.
need() {
    local missing=()
    while (($# > 0)); do
        command -v "$1" >/dev/null || missing+=("$2")
        shift 2
    done
    ((${#missing[@]} == 0)) ||
        die "missing here: ${missing[*]} (images/install-dependencies installs all that is needed)"
}

# --- Temporary directories, removed however the recipe ends

temporary_directories=()
child_process=

recipe_cleanup() {
    local status=$?
    trap '' INT TERM HUP
    if [[ -n $child_process ]]; then
        kill "$child_process" 2>/dev/null || true
        wait "$child_process" 2>/dev/null || true
    fi
    ((${#temporary_directories[@]} == 0)) || rm -rf -- "${temporary_directories[@]}"
    exit "$status"
}
trap recipe_cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

# make_temporary_directory VARIABLE PARENT: a new directory; its path goes into VARIABLE.
make_temporary_directory() {
    local -n made=$1
    made=$(mktemp -d -- "$2/dinv-${recipe_name##*/}.XXXXXX")
    temporary_directories+=("$made")
}

# --- The cache: shared by all checkouts of a user, keyed by content, safe to delete

cache_directory=${DINV_CACHE_DIR:-${XDG_CACHE_HOME:-${HOME:?HOME is not set; set DINV_CACHE_DIR}/.cache}/dinv}
[[ $cache_directory == /* ]] || cache_directory=$PWD/$cache_directory
mkdir -p -- "$cache_directory" || die "cannot make the cache directory $cache_directory; set DINV_CACHE_DIR"

# take_lock FILE WHAT: waits until no other process holds FILE. Held until the recipe ends, or closes
# lock_descriptor.
take_lock() {
    exec {lock_descriptor}>>"$1"
    if ! flock --nonblock "$lock_descriptor"; then
        say "another process is busy with $2, waiting for it"
        flock "$lock_descriptor"
    fi
}

# key_of: 16 hex digits that stand for the text on stdin.
key_of() {
    sha256sum | cut -c1-16
}

# file_hash FILE
file_hash() {
    sha256sum -- "$1" | cut -d' ' -f1
}

# put_copy SOURCE TARGET: a copy that appears at once or not at all, and keeps its time when it is
# the same as before.
put_copy() {
    [[ -d $(dirname -- "$2") ]] || die "--output $2: there is no directory $(dirname -- "$2")"
    cmp -s -- "$1" "$2" && return 0
    local partial
    partial=$(mktemp -- "$2.XXXXXX")
    if ! cp --reflink=auto -- "$1" "$partial"; then
        rm -f -- "$partial"
        die "cannot write $2"
    fi
    chmod 644 -- "$partial"
    mv -f -- "$partial" "$2"
}

# keep_newest COUNT FILE...: removes all but the newest COUNT of these files.
keep_newest() {
    local count=$1 old
    shift
    while IFS= read -r -d '' old; do
        rm -f -- "$old"
    done < <(stat --printf '%Y %n\0' -- "$@" 2>/dev/null | sort -z -rn | tail -z -n "+$((count + 1))" |
        sed -z 's/^[0-9]* //')
}

# --- The Debian archive

archive_suite=$debian_suite
apt_directory=$cache_directory/apt-$archive_suite

# archive_use_backports: from here on the view is one of the backports alone, beside the other.
archive_use_backports() {
    archive_suite=$debian_suite-backports
    apt_directory=$cache_directory/apt-$archive_suite
}

# The machine's own settings of how to reach an archive: proxies, timeouts, clock checks.
inherited_apt_settings() {
    apt-config dump | grep -iE '^Acquire::(http|https|socks|ForceIPv|Check-|Queue)' || true
}

apt_configuration() {
    inherited_apt_settings
    cat <<SETTINGS
Dir::State "$apt_directory";
Dir::State::status "$apt_directory/status";
Dir::Cache "$apt_directory/cache";
Dir::Etc::main "/dev/null";
Dir::Etc::parts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::Etc::sourcelist "$apt_directory/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Log "$apt_directory/log";
APT::Architecture "amd64";
APT::Architectures { "amd64"; };
APT::Sandbox::User "root";
APT::Install-Recommends "false";
Acquire::Languages "none";
Acquire::http::Timeout "15";
Acquire::Retries "1";
SETTINGS
}

apt_sources() {
    local keyring
    for keyring in /usr/share/keyrings/debian-archive-keyring.{pgp,gpg} ''; do
        [[ -e $keyring ]] && break
    done
    [[ -n $keyring ]] || die "missing here: debian-archive-keyring"
    cat <<SOURCES
deb [signed-by=$keyring] $debian_mirror $archive_suite main
SOURCES
    [[ $archive_suite == "$debian_suite" ]] || return 0
    cat <<SOURCES
deb [signed-by=$keyring] $debian_mirror $debian_suite-updates main
deb [signed-by=$keyring] $debian_security_mirror $debian_suite-security main
SOURCES
}

archive_lock=

# archive_open: makes the view ready for the functions below and holds it until archive_close.
# Fails if the archive cannot be reached and no earlier lists are there.
archive_open() {
    [[ -z $archive_lock ]] || return 0
    need apt-get apt dpkg-deb dpkg flock util-linux
    mkdir -p -- "$apt_directory"/{lists/partial,cache/archives/partial,log}
    take_lock "$apt_directory/dinv.lock" "the package lists"
    archive_lock=$lock_descriptor
    [[ -e $apt_directory/status ]] || : >"$apt_directory/status"
    (umask 077 && apt_configuration >"$apt_directory/apt.conf")
    apt_sources >"$apt_directory/sources.list"
    archive_refresh "${DINV_REFRESH:+now}"
}

archive_close() {
    [[ -n $archive_lock ]] || return 0
    exec {archive_lock}>&-
    archive_lock=
}

# is_younger FILE MINUTES
is_younger() {
    [[ -n $(find "$1" -mmin "-$2" 2>/dev/null) ]]
}

# archive_refresh [now]: reads the package lists again when they are a day old, or now. An archive
# that did not answer is not asked again at once, so that a machine without a network waits for it
# once and not in every recipe.
archive_refresh() {
    local stamp=$apt_directory/refreshed failure=$apt_directory/failed
    if [[ ${1-} != now ]]; then
        ! is_younger "$stamp" "$lists_lifetime_minutes" || return 0
        if is_younger "$failure" 2; then
            [[ -e $stamp ]]
            return
        fi
    fi
    say "reading the package lists of Debian $archive_suite"
    if archive_apt apt-get -qq --error-on=any update; then
        rm -f -- "$failure"
        : >"$stamp"
        return 0
    fi
    : >"$failure"
    [[ -e $stamp ]] || return 1
    say "the Debian archive cannot be reached; going on with the lists of $(date -r "$stamp" +%F)"
}

# archive_apt COMMAND...: an apt command on the private view; its stdout is kept, its chatter is not.
archive_apt() {
    APT_CONFIG=$apt_directory/apt.conf "$@"
}

# archive_plan PACKAGE...: file names (name_version_architecture.deb) of the packages and all that
# they depend on, sorted.
archive_plan() {
    archive_apt apt-get -qq --print-uris install "$@" | sed -n "s/^'[^']*' \([^ ]*\.deb\) .*/\1/p" | sort
}

# archive_fetch_closure DIRECTORY PACKAGE...: downloads what archive_plan names into DIRECTORY.
archive_fetch_closure() {
    local directory=$1
    shift
    mkdir -p -- "$directory/partial"
    archive_retry archive_apt apt-get -qq -y --download-only \
        -o "Dir::Cache::archives=$directory" install "$@" >/dev/null
}

# archive_fetch DIRECTORY PACKAGE[=VERSION]: downloads this one package into DIRECTORY.
archive_fetch() {
    (cd -- "$1" && archive_retry archive_apt apt-get -qq download "$2" >/dev/null)
}

# A list that is some hours old may name files the archive no longer has: once more with new lists.
archive_retry() {
    "$@" && return 0
    archive_refresh now && "$@"
}

# archive_candidate PACKAGE: the version apt would take.
archive_candidate() {
    archive_apt apt-cache policy "$1" | sed -n 's/^  Candidate: //p'
}
