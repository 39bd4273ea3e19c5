# SPDX-License-Identifier: MIT
"""A program on a pseudo-terminal of its own, and what a person does there: type, read, resize."""

import codecs
import fcntl
import os
import re
import select
import signal
import struct
import subprocess
import termios
import time

from .waiting import Expired


class Terminal:
    """Runs `argv` as the foreground of a new terminal of `rows` × `columns`."""

    def __init__(self, argv, environment=None, rows=24, columns=80):
        self.master, slave = os.openpty()
        self.output = ''
        self._decoder = codecs.getincrementaldecoder('utf-8')('replace')
        self._position = 0
        self.resize(rows, columns)

        def own_terminal():
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen(argv, env=environment, stdin=slave, stdout=slave,
                                        stderr=slave, start_new_session=True,
                                        preexec_fn=own_terminal)
        os.close(slave)

    def resize(self, rows, columns):
        """As a terminal emulator does; the kernel sends SIGWINCH to the foreground."""
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack('HHHH', rows, columns, 0, 0))

    def send(self, text):
        os.write(self.master, text.encode())

    def expect(self, pattern, deadline=60):
        """Reads until the regular expression matches what has come since the last match; returns
        the match. Carriage returns are dropped before."""
        end = time.monotonic() + deadline
        while True:
            match = re.search(pattern, self.output[self._position:])
            if match:
                self._position += match.end()
                return match
            left = end - time.monotonic()
            if left <= 0 or not self._read(left):
                why = 'in time' if time.monotonic() >= end else 'before the end of the output'
                raise Expired(f'{pattern!r} did not come {why}; what came: '
                              f'{self.output[self._position:][-2000:]!r}')

    def wait(self, deadline=60):
        """Reads to the end of the output; returns the exit status as a shell would show it."""
        end = time.monotonic() + deadline
        while self._read(max(0.0, end - time.monotonic())):
            if time.monotonic() >= end:
                raise Expired(f'{self.process.args[0]} still writes after {deadline:g} s')
        status = self.process.wait(max(1.0, end - time.monotonic()))
        return 128 - status if status < 0 else status

    def close(self):
        """Ends the program if it still runs, and gives the terminal back."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(30)
        if self.master >= 0:
            os.close(self.master)
            self.master = -1

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _read(self, seconds):
        """Takes what has come, waiting for it; False at the end of the output or when none came."""
        readable, _, _ = select.select([self.master], [], [], seconds)
        if not readable:
            return False
        try:
            data = os.read(self.master, 65536)
        except OSError:  # EIO: the last process on the terminal has gone
            return False
        self.output += self._decoder.decode(data).replace('\r', '')
        return bool(data)
