# SPDX-License-Identifier: MIT
"""The frame of every test program: its options, its report, its end, and `--as-user`.

`--as-user` (as root only) does the whole test as an ordinary user without any capability: what that
user could not read is copied to a place where it can.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile

from . import artefacts, dinv
from .tap import BailOut, Tap

ORDINARY_ID = 65534
_DROP = ['--reuid', str(ORDINARY_ID), '--regid', str(ORDINARY_ID), '--clear-groups',
         '--inh-caps=-all', '--ambient-caps=-all', '--bounding-set=-all', '--no-new-privs',
         '--pdeathsig', 'TERM']


class Session:
    """What a test's body gets: the report (`tap`), the options, and machines that end with it."""

    def __init__(self, options):
        self.options = options
        self.tap = Tap(options.only, self._explain)
        self._work = None

    def machine(self, **settings):
        """A dinv that is not yet started."""
        return dinv.Dinv(**settings)

    def boot(self, **settings):
        """A dinv that is ready; without one the test cannot go on."""
        machine = dinv.Dinv(**settings)
        try:
            return machine.boot()
        except (AssertionError, OSError) as error:
            raise BailOut(f'the machine did not get ready\n{error}') from error

    @property
    def work(self):
        """A directory for the test's own files."""
        if self._work is None:
            self._work = tempfile.mkdtemp(prefix='dw-', dir='/tmp')
        return self._work

    def close(self):
        dinv.end_all()
        if self._work and os.environ.get('DINV_TEST_KEEP') != '1':
            shutil.rmtree(self._work, ignore_errors=True)

    @staticmethod
    def _explain():
        for machine in dinv.instances():
            if machine.process:
                yield from machine.explain()


def main(body, prepare=None):
    """Runs a test program. `body(session)` makes the checks. `prepare()`, run before any privilege
    is given up, answers {environment variable: file} for what the checks need besides."""
    parser = argparse.ArgumentParser()
    parser.add_argument('--as-user', action='store_true',
                        help='run it as an ordinary user without capabilities')
    parser.add_argument('--only', action='append', metavar='CHECK', help='only the checks named so')
    parser.add_argument('--cycles', type=int, metavar='N', help='how often a test repeats itself')
    parser.add_argument('--files', type=int, metavar='N', help='how many small files a test makes')
    parser.add_argument('--seconds', type=int, metavar='N', help='how long a test lets a side be silent')
    parser.add_argument('--small', action='store_true',
                        help='less data and fewer starts of the machine')
    options = parser.parse_args()
    if prepare:
        try:
            os.environ.update({name: path for name, path in prepare().items() if path})
        except BailOut as reason:
            print(f'Bail out! {reason}', flush=True)
            sys.exit(1)
    if options.as_user:
        _run_as_user([argument for argument in sys.argv[1:] if argument != '--as-user'])
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _stop)
    session = Session(options)
    try:
        if os.environ.get('ITEST_AS_USER'):
            session.tap.check(_has_no_privilege)
        body(session)
        status = session.tap.finish()
    except BailOut as reason:
        session.tap.bail_out(reason)
        status = 1
    except (AssertionError, OSError, subprocess.SubprocessError) as error:
        session.tap.bail_out(f'{type(error).__name__}: {error}')
        status = 1
    finally:
        session.close()
    sys.exit(status)


def _stop(number, _):
    sys.exit(128 + number)  # `finally` and atexit do the rest


def _has_no_privilege():
    with open('/proc/self/status', encoding='utf-8') as file:
        fields = {name: value.strip() for name, _, value in (line.partition(':') for line in file)}
    for name in ('CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'):
        assert int(fields[name], 16) == 0, f'{name} is {fields[name]}'
    assert fields['NoNewPrivs'] == '1', 'it could gain privileges'
    assert os.getresuid() == (ORDINARY_ID,) * 3, 'it is not the ordinary user'
    assert os.getgroups() in ([], [ORDINARY_ID]), 'it has other groups'


def _user_can(flag, path):
    return subprocess.run(['setpriv', *_DROP, 'test', flag, path], check=False).returncode == 0


def _staged(stage, path, flag='-r'):
    """A path by which the ordinary user reaches the file: itself, or a copy in `stage`."""
    if _user_can(flag, path):
        return path
    copy = os.path.join(stage, os.path.basename(path))
    artefacts.copy_sparse(path, copy)
    os.chmod(copy, 0o755 if flag == '-x' else 0o644)
    return copy


def _staged_folder(stage, path):
    """The same for a program that needs the files beside it."""
    if _user_can('-x', path):
        return path
    copy = os.path.join(stage, 'of-' + os.path.basename(path))
    shutil.copytree(os.path.dirname(path), copy, symlinks=True)
    return os.path.join(copy, os.path.basename(path))


def _run_as_user(arguments):
    """Never returns: ends with the status of the test run by the ordinary user."""
    if os.geteuid() != 0:
        print('1..0 # SKIP already an ordinary user', flush=True)
        sys.exit(1 if os.environ.get('DINV_MUST_WORK') == '1' else 0)
    stage = tempfile.mkdtemp(prefix='du-', dir='/tmp')
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _stop)
    child = None
    try:
        os.chmod(stage, 0o755)
        argv, environment = _user_command(stage, arguments)
        child = subprocess.Popen(argv, env=environment, cwd=stage)
        status = child.wait()
    except BailOut as reason:
        print(f'Bail out! {reason}', flush=True)
        status = 1
    finally:
        if child and child.poll() is None:
            child.terminate()
            child.wait(60)
        shutil.rmtree(stage, ignore_errors=True)
    sys.exit(128 - status if status < 0 else status)


def _user_command(stage, arguments):
    """(argv, environment) of the test in the hands of the ordinary user."""
    tests = os.path.join(stage, 'integration')
    shutil.copytree(artefacts.HERE, tests, ignore=shutil.ignore_patterns('__pycache__'))
    subprocess.run(['chmod', '-R', 'a+rX', tests], check=True)
    home = os.path.join(stage, 'home')
    os.mkdir(home)
    os.chown(home, ORDINARY_ID, ORDINARY_ID)
    environment = {name: value for name, value in os.environ.items()
                   if name.startswith('DINV_TEST_') or name in ('PATH', 'LANG', 'DINV_MUST_WORK')}
    for name, value in environment.items():
        if name.startswith('DINV_TEST_') and value.startswith('/'):
            environment[name] = _staged(stage, value)
    environment.update({
        'ITEST_AS_USER': '1', 'HOME': home, 'DINV_SOURCE_ROOT': artefacts.source_root(),
        'DINV_BUILD_ROOT': artefacts.build_root(),
        'DINV_TEST_BINARY': _staged(stage, artefacts.dinv(), '-x'),
        'DINV_TEST_KERNEL': _staged(stage, artefacts.kernel()),
        'DINV_TEST_ROOTFS': _staged(stage, artefacts.rootfs()),
        'DINV_TEST_USERNET': _staged(stage, artefacts.usernet(), '-x'),
        'DINV_DOCKER_CLI': _staged(stage, artefacts.docker_cli(), '-x')})
    if dinv.ACCEL == 'uml':
        environment['DINV_TEST_UML_KERNEL'] = _staged(stage, artefacts.uml_kernel(), '-x')
        environment['DINV_TEST_VIRTIOFSD'] = _staged_folder(stage, artefacts.virtiofsd())
    python = sys.executable if _user_can('-x', sys.executable) else '/usr/bin/python3'
    program = os.path.join(tests, os.path.basename(sys.argv[0]))
    return ['setpriv', *_DROP, python, '-B', program, *arguments], environment
