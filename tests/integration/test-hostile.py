#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: MIT
"""A guest that knows what it runs on: docs/security.md says what it gets, and this is it.

Under User-Mode Linux only. hostile.c goes to the host's kernel past the guest's, by root in a privileged container; what
the kernel itself could do once it is taken over is the unit test launcher-machine-uml-cage.
"""

import os
import re
import stat

from lib import artefacts
from lib.dinv import ACCEL, is_alive
from lib.docker import BUSYBOX, Docker
from lib.session import main
from lib.tap import Skip, equal

KEPT = 'what others have\n'


class Hostile:
    def __init__(self, session):
        self.tap = session.tap
        self.work = session.work
        self.machine = session.machine(SHUTDOWN_TIMEOUT='10')
        self.share = os.path.join(self.machine.directory, 'share')
        self.kept = os.path.join(self.machine.directory, 'kept')
        for path in (self.share, self.kept):
            os.mkdir(path)
            os.chmod(path, 0o755)
        with open(os.path.join(self.kept, 'file'), 'w', encoding='utf-8') as file:
            file.write(KEPT)
        artefacts.copy_sparse(os.environ['DINV_TEST_HOSTILE'], os.path.join(self.share, 'hostile'))
        os.chmod(os.path.join(self.share, 'hostile'), 0o755)
        self.machine.environment['DINV_MOUNTS'] = f'{self.share}:/share:ro;{self.kept}:/kept:ro'
        self.machine.boot()
        self.docker = Docker(self.machine.socket, session.work)
        self.docker.import_busybox()

    def run(self, *words):
        """What the program says, in a privileged container that sees all of the guest."""
        done = self.docker.try_('run', '--rm', '--privileged', '--pid', 'host', '--network', 'host',
                                '--volume', '/share:/share', BUSYBOX, 'timeout', '-s', 'KILL', '15',
                                '/share/hostile', *words)
        self.tap.say(f'{" ".join(words)}: status {done.status}, {done.out.strip()!r} {done.err.strip()[-200:]!r}')
        return done

    def expect_whole(self):
        with open(os.path.join(self.kept, 'file'), encoding='utf-8') as file:
            equal(file.read(), KEPT, 'the file of a read-only mount')
        equal(os.listdir(self.kept), ['file'], 'what is in the mount')
        equal(self.machine.status()['state'], 'ready', 'the state')


def fields_of(pid):
    with open(f'/proc/{pid}/status', encoding='utf-8') as file:
        return dict(re.findall(r'^(\w+):\s+(.*)$', file.read(), re.MULTILINE))


def is_caged(hostile):
    """What the launcher says of it is what the kernel here says."""
    words = hostile.machine.status()['machine_confined_by'].split(',')
    hostile.tap.say(f'confined by {", ".join(words)}')
    for word in ('no_new_privs', 'capabilities', 'seccomp', 'descriptors', 'core'):
        assert word in words, f'{word} is not among {words}'
    kernel = hostile.machine.machine_pid()
    stubs = [pid for pid in map(int, filter(str.isdigit, os.listdir('/proc')))
             if is_alive(pid) and fields_of(pid).get('PPid') == str(kernel)]
    assert stubs, 'the kernel has no children'
    for pid in [kernel, *stubs]:
        fields = fields_of(pid)
        for name in ('CapInh', 'CapPrm', 'CapEff', 'CapAmb'):
            equal(int(fields[name], 16), 0, f'{name} of {fields["Name"]}')
        equal(fields['NoNewPrivs'], '1', 'NoNewPrivs')
        equal(fields['Seccomp'], '2', 'Seccomp')


def has_no_directory(hostile):
    """Nothing that the kernel has open leads anywhere else."""
    kernel = hostile.machine.machine_pid()
    state = os.path.realpath(hostile.machine.state_dir)
    for number in os.listdir(f'/proc/{kernel}/fd'):
        path = f'/proc/{kernel}/fd/{number}'
        kind = os.stat(path).st_mode
        target = os.readlink(path)
        assert not stat.S_ISDIR(kind), f'{target} is a directory'
        if stat.S_ISREG(kind) and not target.startswith(('/memfd:', 'anon_inode:')):
            known = [artefacts.rootfs(), f'{state}/data.img', '/proc/cpuinfo']
            assert target in map(os.path.realpath, known), f'{target} is open'


def makes_no_file(hostile):
    path = os.path.join(hostile.share, 'made')
    hostile.run('find').expect(0)
    done = hostile.run('create', path)
    assert 'making' in done.out and done.status != 0, str(done)
    assert not os.path.exists(path), f'{path} was made'
    hostile.expect_whole()


def kills_nobody(hostile):
    pid = hostile.machine.status()['pid']
    done = hostile.run('kill', str(pid))
    assert 'killing' in done.out and done.status != 0, str(done)
    assert is_alive(pid), 'the launcher was killed'
    hostile.expect_whole()


def body(session):
    if ACCEL != 'uml':
        raise Skip('it is about User-Mode Linux')
    hostile = Hostile(session)
    session.tap.check(is_caged, hostile)
    session.tap.check(has_no_directory, hostile)
    if os.environ.get('DINV_TEST_UML') != 'ptrace':
        session.tap.check(makes_no_file, hostile)
        session.tap.check(kills_nobody, hostile)


def prepare():
    return {'DINV_TEST_HOSTILE': os.environ.get('DINV_TEST_HOSTILE') or
            os.path.join(artefacts.build_root(), 'tests/integration/hostile')}


if __name__ == '__main__':
    main(body, prepare)
