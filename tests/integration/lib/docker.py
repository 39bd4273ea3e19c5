# SPDX-License-Identifier: MIT
"""The stock docker CLI on one socket, a small image made on the spot, and the engine's HTTP."""

import contextlib
import hashlib
import io
import os
import random
import socket
import subprocess
import tarfile

from . import artefacts
from .dinv import run
from .tap import equal
from .terminal import Terminal

BUSYBOX = 'dinv-test/busybox:latest'


class Docker:
    """`docker -H unix://SOCKET …`; its configuration is in `home`, not that of the user."""

    def __init__(self, socket_path, home):
        self.socket_path = socket_path
        self.environment = {
            'PATH': '/usr/local/bin:/usr/bin:/bin', 'HOME': home, 'LANG': 'C.UTF-8',
            'TERM': 'xterm', 'DOCKER_HOST': f'unix://{socket_path}', 'DOCKER_BUILDKIT': '0',
            'DOCKER_CONFIG': os.path.join(home, '.docker'), 'DOCKER_CLI_HINTS': 'false'}

    def argv(self, *words):
        return [artefacts.docker_cli(), *words]

    def try_(self, *words, stdin=b'', deadline=120, cwd=None):
        """Runs the CLI and returns the result, whatever it is."""
        return run(self.argv(*words), self.environment, stdin, deadline, cwd)

    def __call__(self, *words, stdin=b'', deadline=120, cwd=None):
        """Runs the CLI, which must succeed; returns what it wrote to stdout, stripped."""
        return self.try_(*words, stdin=stdin, deadline=deadline, cwd=cwd).expect(0).out.strip()

    def start(self, *words, **options):
        """The CLI as a process that goes on; stdin, stdout and stderr are pipes unless given."""
        pipes = {'stdin': subprocess.PIPE, 'stdout': subprocess.PIPE, 'stderr': subprocess.PIPE}
        return subprocess.Popen(self.argv(*words), env=self.environment, **{**pipes, **options})

    def terminal(self, *words, rows=24, columns=80):
        return Terminal(self.argv(*words), self.environment, rows, columns)

    def import_busybox(self):
        """Makes the image BUSYBOX in the engine; answers its name."""
        self('import', '--change', 'CMD ["sh"]', '-', BUSYBOX, stdin=busybox_tar(), deadline=180)
        return BUSYBOX

    @contextlib.contextmanager
    def gibibyte_in_use(self):
        """A container fills a GiB of memory before the block runs, and gives it up after it."""
        client = self.start('run', '--rm', '--interactive', '--tmpfs', '/t:size=1100m', BUSYBOX, 'sh', '-c',
                            'dd if=/dev/zero of=/t/x bs=1M count=1024 2>/dev/null; echo full; read end')
        try:
            equal(client.stdout.readline(), b'full\n', 'what the container says')
            yield
            client.communicate(b'end\n', timeout=60)
        finally:
            client.kill()
            client.wait()

    def connect(self, timeout=120):
        """A raw connection to the engine."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(timeout)
        connection.connect(self.socket_path)
        return connection

    def hijack(self, path):
        """POST on a new connection that becomes a raw stream; answers it after the engine's 101."""
        connection = self.connect()
        connection.sendall(f'POST {path} HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\n'
                           'Upgrade: tcp\r\nContent-Length: 0\r\n\r\n'.encode())
        head = b''
        while b'\r\n\r\n' not in head:
            byte = connection.recv(1)
            if not byte:
                raise AssertionError(f'{path}: the engine hung up after {head!r}')
            head += byte
        if not head.startswith(b'HTTP/1.1 101'):
            raise AssertionError(f'{path}: {head!r}')
        return connection


def busybox_tar():
    """A root file system of one static busybox with a link for every applet."""
    busybox = artefacts.static_busybox()
    applets = subprocess.run([busybox, '--list'], stdout=subprocess.PIPE, check=True).stdout
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode='w') as tar:
        for name in ('bin', 'dev', 'etc', 'proc', 'root', 'sys', 'tmp', 'usr', 'usr/bin', 'var'):
            folder = tarfile.TarInfo(name)
            folder.type = tarfile.DIRTYPE
            folder.mode = 0o1777 if name == 'tmp' else 0o755
            tar.addfile(folder)
        with open(busybox, 'rb') as file:
            _add_file(tar, 'bin/busybox', file.read(), 0o755)
        _add_file(tar, 'etc/passwd', b'root:x:0:0:root:/root:/bin/sh\n', 0o644)
        _add_file(tar, 'etc/group', b'root:x:0:\n', 0o644)
        for applet in applets.decode().split():
            if applet != 'busybox':
                link = tarfile.TarInfo(f'bin/{applet}')
                link.type = tarfile.SYMTYPE
                link.linkname = 'busybox'
                tar.addfile(link)
    return memory.getvalue()


def _add_file(tar, name, data, mode):
    info = tarfile.TarInfo(name)
    info.size = len(data)
    info.mode = mode
    tar.addfile(info, io.BytesIO(data))


def random_file(path, size, seed):
    """Writes `size` bytes that do not compress, the same every time; answers their SHA-256."""
    source = random.Random(seed)
    digest = hashlib.sha256()
    with open(path, 'wb') as file:
        while size > 0:
            piece = source.randbytes(min(size, 1 << 20))
            digest.update(piece)
            file.write(piece)
            size -= len(piece)
    return digest.hexdigest()


def file_sha256(path):
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        for piece in iter(lambda: file.read(1 << 20), b''):
            digest.update(piece)
    return digest.hexdigest()
