# SPDX-License-Identifier: MIT
"""What a CI job has in its workspace: an image with git and GNU tar (TAR) to work on it, a git repository, an
archive of many small files, and how a tree of files looks from outside and from inside.
"""

import hashlib
import io
import os
import random
import re
import stat
import subprocess
import tarfile

from . import artefacts
from .docker import busybox_tar

IMAGE = 'dinv-test/workspace:latest'
# The shell of busybox would run its own tar, which does not give directories their times.
TAR = '/usr/local/bin/tar'
# Two that differ in a byte which is not UTF-8, two that a Mac would take for one.
ODD_NAMES = (b'a b', b' ', b'a\nb', b'a\tb', b'a\\b', b"it's", b'"quoted"', b'-rf', b'$(id)', b'*', b'%s',
             b'a;b:c,d', b'.hidden', b'a.', b'\xff\xfe', b'\xff\xfd', b'\xc3\xbc', b'u\xcc\x88', b'n' * 255)
IN_ONE_DIRECTORY = 50
DEPTH = 40
EPOCH = 1_600_000_000
OWNERS = (0, 1000, 65534)
SOME_FILES = 20  # as many are links, hard links, and hold more than a page


def image_tar():
    """The busybox of the other tests with this machine's git and tar, and the libraries they name."""
    memory = io.BytesIO(busybox_tar())
    names = {}
    for program in ('git', 'tar'):
        path = artefacts.tool(program)
        names[f'usr/local/bin/{program}'] = path
        listed = subprocess.run(['ldd', path], stdout=subprocess.PIPE, check=True, text=True).stdout
        names.update((library.lstrip('/'), library) for library in re.findall(r'(/\S+) \(0x', listed))
    with tarfile.open(fileobj=memory, mode='a') as tar:
        for name, path in sorted(names.items()):
            tar.add(os.path.realpath(path), arcname=name)
        link = tarfile.TarInfo('usr/local/bin/git-upload-pack')
        link.type, link.linkname = tarfile.SYMTYPE, 'git'
        tar.addfile(link)
    return memory.getvalue()


# --- an archive of many small files

def _text(raw):
    return raw.decode('utf-8', 'surrogateescape')


class _Archive:
    def __init__(self, tar, owners):
        self.tar = tar
        self.owners = owners
        self.random = random.Random(5)
        self.count = 0

    def add(self, name, kind=tarfile.REGTYPE, mode=0o644, size=0, link=''):
        info = tarfile.TarInfo(name)
        info.type, info.mode, info.size, info.linkname = kind, mode, size, link
        info.uid = info.gid = self.owners[self.count % len(self.owners)]
        info.mtime = EPOCH + self.count * 7919
        self.tar.addfile(info, io.BytesIO(self.random.randbytes(size)))
        self.count += 1

    def directory(self, name, mode=0o755):
        self.add(name, tarfile.DIRTYPE, mode)

    def small_files(self, count):
        for number in range(count):
            at = f'tree/{number // IN_ONE_DIRECTORY:03}'
            if number % IN_ONE_DIRECTORY == 0:
                self.directory(at)
            mode = (0o644, 0o755, 0o600)[number % 3]
            self.add(f'{at}/{number:05}', mode=mode, size=self.random.randrange(2048))

    def special_files(self):
        self.directory('tree/special', 0o2775)
        for raw in ODD_NAMES:
            self.add('tree/special/' + _text(raw), mode=0o444, size=10)
        for number in range(SOME_FILES):
            self.add(f'tree/special/large-{number}', mode=0o4755, size=self.random.randrange(200_000))
            self.add(f'tree/special/link-{number}', tarfile.SYMTYPE, 0o777, link=f'../{number:03}/nowhere')
            self.add(f'tree/special/hard-{number}', tarfile.LNKTYPE, link=f'tree/000/{number:05}')
        deep = 'tree/special'
        for number in range(DEPTH):
            deep += f'/{number:020}'
            self.directory(deep, 0o700)
        self.add(f'{deep}/file', size=10)


def write_archive(path, count, owners):
    """`count` small files and some special ones below tree/, which belong to the `owners` by turns."""
    with tarfile.open(path, 'w', format=tarfile.GNU_FORMAT, encoding='utf-8', errors='surrogateescape') as tar:
        archive = _Archive(tar, owners)
        archive.directory('tree')
        archive.small_files(count)
        archive.special_files()


# --- how a tree looks

class View:
    """`entries` is {path: (kind, mode, owner, group, seconds of its mtime, content)}, where the content is a
    checksum, or where a symbolic link leads; `hard_links` the sets of paths that are the same file."""

    def __init__(self):
        self.entries = {}
        self.hard_links = set()

    def difference(self, other):
        """Lines for a person; none if both are the same."""
        paths = sorted(self.entries.keys() | other.entries.keys())
        lines = [f'{path!r}: {self.entries.get(path)} and {other.entries.get(path)}' for path in paths
                 if self.entries.get(path) != other.entries.get(path)]
        return lines + [f'hard links of one side only: {sorted(links)!r}' for links in self.hard_links ^ other.hard_links]


def view_outside(directory):
    """What is in `directory`."""
    view, by_inode = View(), {}
    for folder, directories, files in os.walk(directory):
        for name in (*directories, *files):
            path = os.path.join(folder, name)
            relative = os.path.relpath(path, directory)
            status = os.lstat(path)
            kind, content = 'directory', None
            if stat.S_ISLNK(status.st_mode):
                kind, content = 'link', os.readlink(path)
            elif stat.S_ISREG(status.st_mode):
                kind = 'file'
                with open(path, 'rb') as file:
                    content = hashlib.sha256(file.read()).hexdigest()
                by_inode.setdefault(status.st_ino, set()).add(relative)
            view.entries[relative] = (kind, stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid,
                                      int(status.st_mtime), content)
    view.hard_links = {frozenset(paths) for paths in by_inode.values() if len(paths) > 1}
    return view


# Reads every byte of `tree`; an archive with numeric owners, and mtimes of whole seconds.
PACK = f'{TAR} -c --format=gnu --numeric-owner -f - tree'


def view_archive(archive):
    """The same of what an archive holds, such as that of PACK."""
    view, by_name = View(), {}
    kinds = {tarfile.DIRTYPE: 'directory', tarfile.SYMTYPE: 'link', tarfile.REGTYPE: 'file'}
    with tarfile.open(fileobj=io.BytesIO(archive), encoding='utf-8', errors='surrogateescape') as tar:
        for info in tar:
            content = None
            if info.issym():
                content = info.linkname
            elif not info.isdir():
                with tar.extractfile(info) as file:
                    content = hashlib.sha256(file.read()).hexdigest()
                by_name.setdefault(info.linkname if info.islnk() else info.name, set()).add(info.name)
            view.entries[info.name] = view.entries[info.linkname] if info.islnk() else (
                kinds[info.type], info.mode, info.uid, info.gid, int(info.mtime), content)
    view.hard_links = {frozenset(paths) for paths in by_name.values() if len(paths) > 1}
    return view


# --- changes, and a repository

def _rewrite(path):
    with open(path, 'r+b') as file:
        size = len(file.read())
        file.seek(0)
        file.write(b'x' * size)


def _grow(path):
    with open(path, 'ab') as file:
        file.write(b'one more line\n')


def _replace(path):
    with open(path + '.new', 'wb') as file:
        file.write(b'another file\n')
    os.replace(path + '.new', path)


def _rename(path):
    os.rename(path, path + '.renamed')


CHANGES = (_rewrite, _grow, _replace, _rename, lambda path: os.truncate(path, 0), lambda path: os.chmod(path, 0o640),
           os.unlink)


def change_some(directory, count):
    """Changes `count` of the small files, one way or another."""
    names = [os.path.join(folder, name) for folder, _, files in os.walk(directory)
             for name in files if name.isdigit()]
    for number, path in enumerate(sorted(names)[::len(names) // count][:count]):
        CHANGES[number % len(CHANGES)](path)


def git(directory, *words, user):
    """git outside, as `user` with its own configuration only; answers its output, stripped."""
    drop = ['setpriv', '--reuid', str(user), '--regid', str(user), '--clear-groups'] if user != os.geteuid() else []
    identity = [word for name in ('name', 'email') for word in ('-c', f'user.{name}=ci')]
    done = subprocess.run([*drop, artefacts.tool('git'), *identity, '-C', directory, *words], check=True,
                          env={'PATH': '/usr/bin:/bin', 'HOME': '/nonexistent', 'GIT_CONFIG_NOSYSTEM': '1'},
                          stdout=subprocess.PIPE)
    return done.stdout.decode('utf-8', 'replace').strip()


def make_repository(directory, count, user):
    """A repository of `user` with `count` files, in a new directory."""
    for number in range(count):
        folder = os.path.join(directory, f'src/{number // IN_ONE_DIRECTORY:03}')
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, f'{number}.c'), 'w', encoding='utf-8') as file:
            file.write(f'int number_{number}(void);\n' * (1 + number % 20))
        os.chmod(file.name, 0o755 if number % 10 == 0 else 0o644)
    os.symlink('src/000', os.path.join(directory, 'first'))
    for folder, directories, files in os.walk(directory):
        for name in ('.', *directories, *files):
            os.lchown(os.path.join(folder, name), user, user)
    git(directory, 'init', '--quiet', '--initial-branch', 'main', user=user)
    git(directory, 'add', '.', user=user)
    git(directory, 'commit', '--quiet', '--message', 'all', user=user)
    git(directory, 'gc', '--quiet', user=user)
