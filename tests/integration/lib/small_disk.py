# SPDX-License-Identifier: MIT
"""A small file system that can be filled: a tmpfs in a mount namespace of the test's own, so that
nothing is left of it however the test ends. Needs root."""

import ctypes
import os
import subprocess

_CLONE_NEWNS = 0x00020000


def can_be_made():
    return os.geteuid() == 0


class SmallDisk:
    """At `path`, which is made. From here on the test is in a mount namespace of its own."""

    def __init__(self, path, mebibytes):
        self.path = path
        self._ballast = os.path.join(path, 'ballast')
        os.makedirs(path)
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(_CLONE_NEWNS) != 0:
            raise OSError(ctypes.get_errno(), 'cannot make a mount namespace')
        subprocess.run(['mount', '--make-rprivate', '/'], check=True)
        subprocess.run(['mount', '-t', 'tmpfs', '-o', f'size={mebibytes}m,mode=700', 'tmpfs', path],
                       check=True)

    def free_bytes(self):
        status = os.statvfs(self.path)
        return status.f_bavail * status.f_frsize

    def fill(self, leave_bytes):
        """Takes all of the space but that much, until release()."""
        with open(self._ballast, 'wb') as file:
            os.posix_fallocate(file.fileno(), 0, self.free_bytes() - leave_bytes)

    def release(self):
        os.unlink(self._ballast)
