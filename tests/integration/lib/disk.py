# SPDX-License-Identifier: MIT
"""What e2fsck, the oracle, says of a data disk that nobody uses at the moment."""

import os
import re

from . import artefacts
from .dinv import run

# All that `e2fsck -p` may do to a file system whose machine was cut off: none of it is a damage. Only a
# private volume has no lost+found.
_AFTER_A_CRASH = re.compile(
    r'.*: (recovering journal|Clearing orphaned inode .*|Setting free (inodes|blocks) count to .*'
    r'|\d+/\d+ files .*|Superblock .*_summary.*)'
    r'|dinv-volume: /lost\+found not found\.  CREATED\.')


def expect_clean(image):
    """As an orderly end leaves it."""
    run([artefacts.tool('e2fsck'), '-fn', image], deadline=120).expect(0)


def expect_sound_after_crash(image, work):
    """On a copy: the journal replays, and nothing else is to be repaired."""
    copy = os.path.join(work, 'copy.img')
    artefacts.copy_sparse(image, copy)
    try:
        replayed = run([artefacts.tool('e2fsck'), '-fp', copy], deadline=120)
        assert replayed.status in (0, 1), replayed
        strange = [line for line in (replayed.out + replayed.err).splitlines()
                   if line.strip() and not _AFTER_A_CRASH.fullmatch(line)]
        assert not strange, f'e2fsck -p had more to do than a replay: {strange}'
        expect_clean(copy)
    finally:
        os.unlink(copy)
