# SPDX-License-Identifier: MIT
"""The User-Mode Linux kernel by itself, without dinv: it boots the product's root file system, and
its first process is a shell script of the test's.

For a kernel without its patches DINV_TEST_UML_TMPDIR names a tmpfs that is large enough."""

import contextlib
import os
import signal
import socket
import subprocess
import threading

from . import artefacts
from .waiting import until

BOOT_DEADLINE = 120
_PROLOGUE = '''
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t tmpfs tmp /tmp
export PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
'''


class Uml:
    """One run. `script` is what the first process does; `disk` is a file that it has as /dev/ubdc.
    `lines` channels are /dev/ttyS0 and on in it and the sockets `channel` here. Whatever the script
    says is in `said`."""

    def __init__(self, session, script, disk=None, lines=0, memory='256M', arguments=()):
        self.work = os.path.join(session.work, f'uml-{os.urandom(4).hex()}')
        os.mkdir(self.work)
        self.said = []
        self.channel = []
        console, theirs = socket.socketpair()
        # By its descriptor: the kernel's command line has no place for a path with blanks.
        root = open(artefacts.rootfs(), 'rb')
        passed = [theirs, root]
        command = [
            artefacts.uml_kernel(), f'mem={memory}', f'ubd0rc=/proc/self/fd/{root.fileno()}',
            f'ubd1r={self._script_disk(script)}', 'root=/dev/ubda', 'ro', 'init=/bin/sh',
            f'uml_dir={self.work}/', 'seccomp=on', 'noreboot', 'panic=1', 'loglevel=4',
            f'con0=null,fd:{theirs.fileno()}', *arguments]
        if disk:
            command.append(f'ubd2={disk}')
        for number in range(lines):
            mine, other = socket.socketpair()
            self.channel.append(mine)
            passed.append(other)
            command.append(f'ssl{number}=fd:{other.fileno()}')
        self._log = open(os.path.join(self.work, 'log'), 'wb')
        self.process = subprocess.Popen(
            [*command, '--', '/dev/ubdb'], stdin=subprocess.DEVNULL, stdout=self._log,
            stderr=self._log, pass_fds=[end.fileno() for end in passed], cwd=self.work,
            env={'TMPDIR': os.environ.get('DINV_TEST_UML_TMPDIR', '/no-such-directory')})
        for end in passed:
            end.close()
        self._reader = threading.Thread(target=self._read, args=[console], daemon=True)
        self._reader.start()

    def _script_disk(self, script):
        text = (_PROLOGUE + script + '\npoweroff -f\n').encode()
        path = os.path.join(self.work, 'script')
        with open(path, 'wb') as file:
            # Nothing but a shell reads it, which takes the end of the last sector for empty lines.
            file.write(text.ljust(-(-len(text) // 4096) * 4096, b'\n'))
        return path

    def _read(self, console):
        with console, console.makefile('r', errors='replace', newline='\n') as text:
            for line in text:
                self.said.append(line.strip())

    def wait_for(self, word, deadline=BOOT_DEADLINE):
        """The first line that begins with `word`, without it."""
        def look():
            for line in self.said:
                if line.startswith(word):
                    return [line[len(word):].strip()]
            if self.process.poll() is not None:
                raise AssertionError(f'ended with {self.process.returncode}\n{self.explain()}')
            return None
        try:
            return until(look, deadline, f'{word!r} on the console')[0]
        except AssertionError as error:
            raise AssertionError(f'{error}\n{self.explain()}') from error

    def log(self):
        with open(os.path.join(self.work, 'log'), encoding='utf-8', errors='replace') as file:
            return file.read()

    def explain(self):
        return '\n'.join([*self.said[-40:], self.log()[-2000:]])

    def memory_blocks(self):
        """Bytes that its memory takes from the host."""
        directory = f'/proc/{self.process.pid}/fd'
        for name in os.listdir(directory):
            path = os.path.join(directory, name)
            if os.readlink(path).startswith('/memfd:uml-memory'):
                return os.stat(path).st_blocks * 512
        raise AssertionError('none of its files is a memfd for the memory')

    def stubs(self):
        """The processes that are processes of the guest."""
        path = f'/proc/{self.process.pid}/task/{self.process.pid}/children'
        pids = []
        for task in os.listdir(f'/proc/{self.process.pid}/task'):
            try:
                with open(path.replace(f'task/{self.process.pid}', f'task/{task}'), encoding='ascii') as file:
                    pids += map(int, file.read().split())
            except (FileNotFoundError, ProcessLookupError):
                pass  # the thread has ended
        return pids

    def end(self):
        """After power-off; the exit status."""
        return self.process.wait(30)

    def close(self):
        for end in self.channel:
            end.close()
        for pid in [*(self.stubs() if self.process.poll() is None else []), self.process.pid]:
            if pid != self.process.pid or self.process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self.process.wait(30)
        self._reader.join(30)
        self._log.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
