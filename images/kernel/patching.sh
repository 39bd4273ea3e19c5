# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# How images/kernel/build applies patches. Sourced after recipe.sh.
#
# The head of a patch, up to a line "---", may have lines "Option: CONFIG_…=…" (what it makes possible,
# asked for only with it) and has, if the kernel can do without it, "Cost-without: …".

# patch_field PATCH NAME: the lines "NAME: text" in the head of a patch.
patch_field() {
    sed -n "/^---\$/q; s/^$2: //p" "$1"
}

# apply_patches TREE LOG OPTIONS NEEDED PATCH...: what a patch makes possible goes to the file OPTIONS. One
# that does not apply stops the build if NEEDED is yes; otherwise it is left out, and the user is told.
apply_patches() {
    local tree=$1 log=$2 options=$3 needed=$4 patch
    shift 4
    for patch; do
        if patch -d "$tree" -p1 --fuzz=0 --dry-run <"$patch" >>"$log" 2>&1; then
            patch -d "$tree" -p1 --fuzz=0 --no-backup-if-mismatch <"$patch" >>"$log" 2>&1
            patch_field "$patch" Option >>"$options"
        elif [[ $needed == no ]]; then
            say "${patch##*/} does not apply to this version of linux and is left out;" \
                "without it $(patch_field "$patch" Cost-without)"
        else
            tail -n 20 "$log" >&2
            die "${patch##*/} does not apply to this version of linux"
        fi
    done
}
