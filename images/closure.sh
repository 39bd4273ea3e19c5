# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# What the recipes that take single programs out of Debian packages share (rootfs/engine,
# container/runtime): packages -> tree -> stage -> tar. A stage holds the named files, the shared
# libraries they need, and a manifest; no package script is run. Comes after recipe.sh.

readonly library_directory=usr/lib/x86_64-linux-gnu
# Loaded already when a library names it.
readonly loader=ld-linux-x86-64.so.2

# --- Packages -> tree

# unpack DEBS TREE OWNERS: all packages into one tree; OWNERS gets "path package version" lines.
unpack() {
    local debs=$1 tree=$2 owners=$3 deb name
    # Some packages still name /lib and /sbin; in trixie these are links.
    mkdir -p "$tree"/usr/{bin,sbin,lib,lib64}
    for name in bin sbin lib lib64; do ln -s "usr/$name" "$tree/$name"; done
    for deb in "$debs"/*.deb; do
        dpkg-deb -x "$deb" "$tree"
        # shellcheck disable=SC2016 # dpkg's own variables
        name=$(dpkg-deb --showformat='${Package} ${Version}' -W "$deb")
        dpkg-deb --fsys-tarfile "$deb" | tar -t |
            sed -E 's,^\./,,; s,^(s?bin|lib|lib64)/,usr/\1/,; s,$,\t'"$name"',' >>"$owners"
    done
}

# --- Tree -> stage

stage='' tree='' taken=''

# take SOURCE [TARGET]: one regular file of the tree, links followed.
take() {
    local target=$stage/${2:-$1} mode=644
    [[ -e $tree/$1 ]] || die "$1 is not in the packages"
    [[ ! -x $tree/$1 ]] || mode=755
    mkdir -p "$(dirname "$target")"
    cp --preserve=timestamps --dereference "$tree/$1" "$target"
    chmod "$mode" "$target"
    printf '%s\t%s\n' "${2:-$1}" "$(realpath --relative-to="$tree" "$tree/$1")" >>"$taken"
}

# needed_by FILE: the shared libraries it names.
needed_by() {
    readelf -d "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]$/\1/p'
}

# take_libraries LIBRARY... -- FILE...: takes these libraries, which are loaded by name at run time, and
# all that they and the files need, until no new one turns up.
take_libraries() {
    local queue=() library
    while [[ $1 != -- ]]; do
        take "$library_directory/$1"
        queue+=("$stage/$library_directory/$1")
        shift
    done
    shift
    queue+=("$@")
    while ((${#queue[@]} > 0)); do
        local file=${queue[0]}
        queue=("${queue[@]:1}")
        while IFS= read -r library; do
            [[ $library != "$loader" && ! -e $stage/$library_directory/$library ]] || continue
            take "$library_directory/$library"
            queue+=("$stage/$library_directory/$library")
        done < <(needed_by "$file")
    done
}

# What update-ca-certificates would have made of all the certificates that Mozilla trusts.
join_certificates() {
    local bundle=$stage/etc/ssl/certs/ca-certificates.crt count
    mkdir -p "$stage/etc/ssl/certs"
    cat "$tree"/usr/share/ca-certificates/mozilla/*.crt >"$bundle"
    count=$(grep -c 'BEGIN CERTIFICATE' "$bundle" || true)
    ((count >= 50)) || die "only $count CA certificates in the ca-certificates package"
    printf 'etc/ssl/certs/ca-certificates.crt\tusr/sbin/update-ca-certificates\n' >>"$taken"
}

strip_programs() {
    local file
    for file in "$@"; do
        [[ $(readelf -SW "$file") != *' .symtab '* ]] || strip --strip-unneeded "$file"
    done
}

# Which file comes from which package, and every package's copyright notice.
write_manifest() {
    local owners=$1 directory=$stage/usr/share/dinv package rest
    mkdir -p "$directory/copyright"
    {
        printf '# file, bytes, Debian package, version\n'
        while IFS=$'\t' read -r file source; do
            printf '/%s\t%s\t%s\n' "$file" "$(stat -c %s "$stage/$file")" \
                "$(awk -F '\t' -v path="$source" '$1 == path { print $2; exit }' "$owners" | tr ' ' '\t')"
        done < <(sort "$taken")
    } >"$directory/manifest.txt"
    ! grep -P '\t$' "$directory/manifest.txt" >&2 || die "files that no package owns"
    while IFS=$'\t' read -r package rest; do
        cp --dereference "$tree/usr/share/doc/$package/copyright" "$directory/copyright/$package"
    done < <(grep -v '^#' "$directory/manifest.txt" | cut -f3 | sort -u)
    chmod 644 "$directory/copyright"/*
}

# pack TAR DIRECTORY...: one time for all files, that of the newest packaged one: the result depends on the packages alone.
pack() {
    local result=$1 newest
    shift
    newest=$(cut -f2 "$taken" | sort -u | (cd "$tree" && xargs -d '\n' stat -c %Y) | sort -n | tail -n 1)
    tar -C "$stage" --sort=name --format=gnu --owner=0 --group=0 --numeric-owner \
        --mtime="@$newest" -cf "$result" "$@"
}
