# SPDX-License-Identifier: MIT
"""One running dinv: started in a directory of its own, waited for, looked into, and always ended.

Whatever happens to a test, its launcher and QEMU end with it: every object is registered and ended
at exit and on a signal, and the launcher gets SIGKILL by the kernel when the test is killed.
"""

import atexit
import ctypes
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import tempfile
import uuid

from . import artefacts
from .terminal import Terminal
from .waiting import Expired, until

# What runs the guest: uml (then DINV_TEST_UML may be ptrace), tcg or kvm.
ACCEL = os.environ.get('DINV_TEST_ACCEL', 'uml')

# Under emulation on a busy machine a start takes up to a minute; a hang is still found.
BOOT_DEADLINE = 240
STOP_DEADLINE = 90

# What may be in a state directory after an orderly end.
KEPT_FILES = re.compile(r'((data|volume)\.img(\.damaged-\w+)?|console\.log(\.\d+)?|dockerd\.log|lock)')

_instances = []


def instances():
    return list(_instances)


def end_all():
    """Ends every dinv of this process and removes its files."""
    for instance in instances():
        instance.end()


atexit.register(end_all)


class Result:
    """What a finished program left: exit status (128 + n for signal n), output, errors."""

    def __init__(self, argv, status, out, err):
        self.argv = argv
        self.status = 128 - status if status < 0 else status
        self.raw_out = out
        self.err = err.decode('utf-8', 'replace')

    @property
    def out(self):
        return self.raw_out.decode('utf-8', 'replace')

    def __str__(self):
        return (f'{" ".join(self.argv)}: status {self.status}\n'
                f'out: {self.out[-2000:]}\nerr: {self.err[-2000:]}')

    def expect(self, status):
        """Fails with all that is known when the exit status is another; returns itself."""
        if self.status != status:
            raise AssertionError(f'expected exit status {status}, {self}')
        return self


def run(argv, environment=None, stdin=b'', deadline=60, cwd=None):
    """Runs a program to its end. `stdin` is bytes or an open file."""
    feed = {'input': stdin} if isinstance(stdin, bytes) else {'stdin': stdin}
    done = subprocess.run(argv, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=deadline, cwd=cwd, check=False, **feed)
    return Result(argv, done.returncode, done.stdout, done.stderr)


def is_alive(pid):
    """Whether the process exists and is not merely waited for."""
    try:
        with open(f'/proc/{pid}/stat', encoding='utf-8', errors='replace') as file:
            return file.read().rpartition(')')[2].split()[0] not in 'ZX'
    except (OSError, IndexError):
        return False


def resident_bytes(pid):
    with open(f'/proc/{pid}/status', encoding='utf-8') as file:
        return int(re.search(r'VmRSS:\s+(\d+) kB', file.read()).group(1)) * 1024


def _die_with_parent():
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL, 0, 0, 0)


class Dinv:
    """A launcher with its settings. `name=value` settings are DINV_NAME; None takes one away.

    `directory` is that of an earlier one, to start again on the same state.
    """

    def __init__(self, directory=None, **settings):
        self.owns_directory = directory is None
        # Short: a unix socket's path has at most 107 bytes.
        self.directory = directory or tempfile.mkdtemp(prefix='dv-', dir='/tmp')
        self.state_dir = os.path.join(self.directory, 'state')
        self.socket = os.path.join(self.directory, 'docker.sock')
        self.temporary = os.path.join(self.directory, 'tmp')
        self.log_path = os.path.join(self.directory, 'dinv.log')
        self.token = uuid.uuid4().hex
        self.process = None
        self.terminal = None
        self._explained = 0
        os.makedirs(self.temporary, exist_ok=True)
        self.environment = self._environment(settings)
        _instances.append(self)

    def _environment(self, settings):
        environment = {'PATH': '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
                       'HOME': self.directory, 'TMPDIR': self.temporary, 'LANG': 'C.UTF-8',
                       'TERM': 'xterm', 'ITEST_TOKEN': self.token}
        values = {'KERNEL': artefacts.kernel(), 'ROOTFS': artefacts.rootfs(),
                  'USERNET': artefacts.usernet(),
                  'STATE_DIR': self.state_dir, 'SOCKET': self.socket,
                  'ACCEL': ACCEL, 'MEMORY': '2G',
                  'DISK_SIZE': '16G', 'CONFIG_DIR': os.path.join(self.directory, 'docker'),
                  'SHUTDOWN_TIMEOUT': '60', 'BOOT_TIMEOUT': str(BOOT_DEADLINE)}
        if ACCEL == 'uml':
            values['UML_KERNEL'] = artefacts.uml_kernel()
            values['UML'] = os.environ.get('DINV_TEST_UML')
            values['VIRTIOFSD'] = artefacts.virtiofsd()
            # Only a kernel without its patches has its memory there.
            environment['TMPDIR'] = os.environ.get('DINV_TEST_UML_TMPDIR', self.temporary)
        if os.environ.get('DINV_TEST_QEMU'):
            values['QEMU'] = os.environ['DINV_TEST_QEMU']
        values.update(settings)
        for name, value in values.items():
            if value is not None:
                environment[f'DINV_{name}'] = str(value)
        return environment

    # Its life.

    def start(self, *command):
        """`dinv run [COMMAND…]`; its stdout and stderr go to a file."""
        self._forget_last_run()
        with open(self.log_path, 'ab') as log:
            self.process = subprocess.Popen(
                [artefacts.dinv(), 'run', *command], env=self.environment, stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, start_new_session=True, preexec_fn=_die_with_parent)
        return self

    def start_on_terminal(self, *command):
        """The same as the foreground of a new terminal, which is returned."""
        self._forget_last_run()
        self.terminal = Terminal([artefacts.dinv(), 'run', *command], self.environment)
        self.process = self.terminal.process
        return self.terminal

    def _forget_last_run(self):
        """Ends what a failed check left, so that the next one is judged by itself."""
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait(30)
            until(lambda: not self.processes(), 30, 'the last run to be gone')
        if self.terminal:
            with open(self.log_path, 'a', encoding='utf-8') as log:
                log.write(self.terminal.output)
            self.terminal.close()
            self.terminal = None

    def wait_ready(self, deadline=BOOT_DEADLINE):
        """Waits until the engine answers; fails at once when dinv ends before."""
        def ready():
            if self.process.poll() is not None:
                raise AssertionError(f'dinv ended with status {self.process.returncode} before it '
                                     f'was ready; it said:\n{self.log()[-3000:]}')
            status = self.status()
            return status if status and status.get('state') == 'ready' else None
        return until(ready, deadline, 'the state "ready"', interval=0.25)

    def boot(self):
        self.start()
        self.wait_ready()
        return self

    def wait_exit(self, deadline=STOP_DEADLINE):
        """The exit status, as a shell shows it."""
        if self.terminal:
            return self.terminal.wait(deadline)
        try:
            status = self.process.wait(deadline)
        except subprocess.TimeoutExpired:
            raise Expired(f'dinv did not end within {deadline:g} s') from None
        return 128 - status if status < 0 else status

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self, deadline=STOP_DEADLINE):
        """SIGTERM, and the wait for the end; returns the exit status."""
        self.signal(signal.SIGTERM)
        return self.wait_exit(deadline)

    def end(self):
        """Ends all that runs, by force, and removes the directory. Never fails."""
        if self not in _instances:
            return
        _instances.remove(self)
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait(30)
        if self.terminal:
            self.terminal.close()
        for pid, _ in self.processes():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        if os.path.ismount(self.state_dir):  # a small_disk.SmallDisk, in this process's namespace
            subprocess.run(['umount', '--lazy', self.state_dir], check=False)
        if self.owns_directory and os.environ.get('DINV_TEST_KEEP') != '1':
            shutil.rmtree(self.directory, ignore_errors=True)

    # What it says.

    def verb(self, *words, stdin=b'', deadline=60):
        """Runs another `dinv` with the same settings."""
        return run([artefacts.dinv(), *words], self.environment, stdin, deadline)

    def verb_argv(self, *words):
        return [artefacts.dinv(), *words]

    def status(self):
        """The object of `dinv status --json`, or None when no launcher answers."""
        done = self.verb('status', '--json')
        return json.loads(done.out) if done.status == 0 else None

    def machine_pid(self, deadline=30):
        """The pid of the process that is the machine, as soon as there is one."""
        def pid():
            status = self.status()
            return status and status.get('machine_pid')
        return until(pid, deadline, 'the pid of the machine in the status')

    def log(self):
        """All that it has written, by every start that this object made."""
        shown = self.terminal.output if self.terminal else ''
        return self._text(self.log_path) + shown

    def console(self):
        return self._text(os.path.join(self.state_dir, 'console.log'))

    def explain(self):
        """Lines for a person who looks into a failure; those of its log only once."""
        log = self.log().splitlines()
        yield f'--- what dinv in {self.directory} said since the last failure'
        yield from (line[:300] for line in log[self._explained:][-40:])
        self._explained = len(log)
        yield '--- the last lines of its console.log'
        yield from (line[:200] for line in self.console().splitlines()[-60:])

    @staticmethod
    def _text(path):
        try:
            with open(path, encoding='utf-8', errors='replace') as file:
                return file.read()
        except OSError:
            return ''

    # What it leaves.

    def processes(self):
        """(pid, command line) of every process that this dinv started, itself included."""
        found = []
        for name in os.listdir('/proc'):
            if not name.isdigit() or int(name) == os.getpid() or not is_alive(name):
                continue
            try:
                with open(f'/proc/{name}/cmdline', 'rb') as file:
                    words = file.read().replace(b'\0', b' ').decode('utf-8', 'replace')
                with open(f'/proc/{name}/environ', 'rb') as file:
                    environment = file.read()
            except OSError:  # gone meanwhile, or somebody else's
                continue
            if self.token.encode() in environment or f'{self.directory}/' in words:
                found.append((int(name), words))
        return found

    def leftovers(self, sockets=True):
        """What must not be there after the end: processes, sockets, temporary files. `sockets`
        False is for a launcher that was killed: nobody is there to remove them."""
        found = [f'process {pid}: {words}' for pid, words in self.processes()]
        for folder, _, names in os.walk(self.directory):
            for name in names:
                path = os.path.join(folder, name)
                mode = os.lstat(path).st_mode
                if sockets and (stat.S_ISSOCK(mode) or stat.S_ISFIFO(mode)):
                    found.append(f'socket {path}')
                elif folder == self.temporary:
                    found.append(f'temporary file {path}')
                elif folder == self.state_dir and stat.S_ISREG(mode) and \
                        not KEPT_FILES.fullmatch(name):
                    found.append(f'unknown file {path}')
        return found

    def expect_nothing_left(self, sockets=True):
        """Waits a moment for processes that are just ending."""
        try:
            until(lambda: not self.leftovers(sockets), 15, 'everything to be gone')
        except Expired:
            raise AssertionError('left behind:\n' + '\n'.join(self.leftovers(sockets))) from None
