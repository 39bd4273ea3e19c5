#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: MIT
"""Wrong settings, wrong files and guests that fail: one sentence, 125, and no harm done."""

import os
import socket
import subprocess
import time

from lib import artefacts, dinv
from lib.disk import expect_clean
from lib.session import main
from lib.tap import contains, equal

# Setting, value, what the message must contain besides the setting's name; '' is the value itself.
BAD_VALUES = [
    ('ACCEL', 'fast', 'kvm'),
    ('CPUS', '0', ''), ('CPUS', '-1', ''), ('CPUS', 'two', ''), ('CPUS', '100000', ''),
    ('CPUS', '99999999999999999999', ''),
    ('MEMORY', '2X', 'size'), ('MEMORY', '1', ''), ('MEMORY', '-1G', 'size'),
    ('MEMORY', '99999999999999999999G', 'size'),
    ('DISK_SIZE', '10', ''), ('DISK_SIZE', '5 G', ''), ('DISK_SIZE', 'lots', ''),
    ('TCP_PORTS', '80a', 'port'), ('TCP_PORTS', '0', 'port'), ('TCP_PORTS', '65536', 'port'),
    ('TCP_PORTS', '8080;8080', '8080'), ('TCP_PORTS', '5000-5010;5005', '5005'),
    ('TCP_PORTS', '5010-5000', ''), ('TCP_PORTS', '80:', 'port'), ('TCP_PORTS', '1:2:3', '2:3'),
    ('UDP_PORTS', '53;53', '53'), ('UDP_PORTS', '-1', 'port'),
    ('MOUNTS', '/no/such/directory', ''), ('MOUNTS', 'relative', ''), ('MOUNTS', '/tmp:/x:rx', ''),
    ('MOUNTS', '/tmp:/x;/usr:/x', '/x'), ('MOUNTS', '/tmp:/', ''), ('MOUNTS', '/:/host', '/proc'),
    ('DOCKERD_ARGS', "--label 'open", 'words'),
    ('SHUTDOWN_TIMEOUT', '0', ''), ('SHUTDOWN_TIMEOUT', 'soon', ''), ('BOOT_TIMEOUT', '-3', ''),
    ('SOCKET_MODE', '0999', ''), ('SOCKET_UID', 'nobody-there', ''),
    ('LOG_LEVEL', 'loud', 'debug'),
    ('ROOTFS', '/no/such/rootfs', ''),
    ('USERNET', '/no/such/usernet', ''), ('USERNET', '/bin/true', 'does not start'),
    ('MTU', '1279', '1280'), ('MTU', '65521', '65520'), ('MTU', 'large', ''),
    ('ROOTFS', '/etc/passwd', ''),
]
# Of one machine only; others do not look at it.
BAD_VALUES_OF_QEMU = [
    ('KERNEL', '/no/such/kernel', ''), ('QEMU', '/no/such/qemu', ''), ('QEMU', 'no-such-qemu', ''),
    ('KERNEL', '/etc/passwd', 'ELF'), ('KERNEL', '/tmp', 'directory'),
]
BAD_VALUES_OF_UML = [
    ('UML', 'fast', 'ptrace'), ('UML_KERNEL', '/no/such/kernel', ''), ('UML_KERNEL', '/tmp', ''),
    ('UML_KERNEL', '/etc/passwd', ''),
]


class Refusal:
    """One start that must be refused before anything was made or changed."""

    def __init__(self, session, **settings):
        self.machine = session.machine(**{'MEMORY': '512M', **settings})

    def expect(self, *parts, what=''):
        """One sentence with all `parts`, 125, and nothing new; the machine is gone afterwards."""
        machine = self.machine
        before = self._files()
        refused = machine.verb('run', deadline=30).expect(125)
        lines = refused.err.strip().splitlines()
        equal(len(lines), 1, f'{what}: lines on stderr ({refused.err!r})')
        equal(refused.out, '', f'{what}: stdout')
        for part in parts:
            contains(lines[0], part, f'{what}: the message')
        equal(self._files(), before, f'{what}: files')
        machine.expect_nothing_left()
        machine.end()

    def _files(self):
        """Name, size and time of change of all that is in the machine's directory."""
        found = []
        for folder, folders, names in os.walk(self.machine.directory):
            for name in folders + names:
                path = os.path.join(folder, name)
                found.append((path, os.lstat(path).st_size, os.lstat(path).st_mtime_ns))
        return sorted(found)


def bad_values(session):
    problems = []
    of_machine = ([('uml', *row) for row in BAD_VALUES_OF_UML] + [('tcg', *row) for row in BAD_VALUES_OF_QEMU])
    for accel, name, value, part in [(dinv.ACCEL, *row) for row in BAD_VALUES] + of_machine:
        values = {'UML_KERNEL': artefacts.uml_kernel()} if accel == 'uml' else {}
        try:
            Refusal(session, **{'ACCEL': accel, **values, name: value}).expect(
                f'DINV_{name}', part or value, what=f'DINV_{name}={value}')
        except AssertionError as error:
            problems.append(str(error))
    assert not problems, '\n'.join(problems)


def flags_too(session):
    machine = session.machine()
    refused = machine.verb('run', '--cpus', 'two').expect(125)
    contains(refused.err, '--cpus', 'the message names the flag')
    refused = machine.verb('run', '--memroy', '1G').expect(125)
    contains(refused.err, '--memory', 'the message suggests the flag')
    machine.end()


def unknown_variable_gets_a_suggestion(session):
    machine = session.machine(MEMROY='1G', CPUS='none')
    lines = machine.verb('run').expect(125).err.strip().splitlines()
    warning = [line for line in lines if 'DINV_MEMROY' in line]
    # A refused setting may come before the warnings; with good ones test-cli.py insists on it.
    for line in warning:
        contains(line, 'DINV_MEMORY', 'the warning')
    machine = session.machine(MEMROY='1G')
    contains(machine.verb('doctor').err, 'did you mean DINV_MEMORY', 'what doctor says')
    machine.end()


def truncated_rootfs(session):
    path = os.path.join(session.work, 'short.ext4')
    artefacts.copy_sparse(artefacts.rootfs(), path)
    os.truncate(path, os.path.getsize(path) // 2)
    Refusal(session, ROOTFS=path).expect('DINV_ROOTFS', path, what='truncated')
    os.unlink(path)


def rootfs_of_another_version(session):
    path = os.path.join(session.work, 'other.ext4')
    artefacts.copy_sparse(artefacts.rootfs(), path)
    os.chmod(path, 0o600)
    for label in ('dinv-root-999', 'somebody-elses'):
        subprocess.run([artefacts.tool('tune2fs'), '-L', label, path], check=True,
                       stdout=subprocess.DEVNULL)
        Refusal(session, ROOTFS=path).expect('DINV_ROOTFS', path, what=label)
    os.unlink(path)


def truncated_kernel(session):
    path = os.path.join(session.work, 'vmlinux')
    with open(artefacts.kernel(), 'rb') as kernel, open(path, 'wb') as file:
        file.write(kernel.read(1 << 20))
    Refusal(session, ACCEL='tcg', KERNEL=path).expect('DINV_KERNEL', path, what='truncated')


def socket_path_too_long(session):
    path = '/tmp/' + 'x' * 103
    Refusal(session, SOCKET=path).expect('DINV_SOCKET', '107', what='a path of 108 bytes')


def socket_is_taken(session):
    refusal = Refusal(session)
    path = refusal.machine.socket
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        identity = os.stat(path).st_ino
        refused = refusal.machine.verb('run', deadline=30).expect(125)
        equal(len(refused.err.strip().splitlines()), 1, 'one sentence')
        contains(refused.err, path, 'the message')
        equal(os.stat(path).st_ino, identity, 'the socket of the other')
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)
        assert not os.path.exists(refusal.machine.state_dir), 'the state directory was made'
    os.unlink(path)
    with open(path, 'w', encoding='utf-8') as file:
        file.write('precious')
    refusal.expect(path, what='a file in the place of the socket')


def port_is_taken(session):
    with socket.socket() as listener:
        listener.bind(('0.0.0.0', 0))
        listener.listen()
        port = str(listener.getsockname()[1])
        Refusal(session, TCP_PORTS=f'{port}:80').expect(port, what='TCP')
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder:
        holder.bind(('0.0.0.0', 0))
        port = str(holder.getsockname()[1])
        Refusal(session, UDP_PORTS=f'{port}:53').expect(port, what='UDP')


def state_directory_cannot_be_made(session):
    refusal = Refusal(session)
    path = os.path.join(refusal.machine.directory, 'file')
    with open(path, 'w', encoding='utf-8') as file:
        file.write('not a directory')
    refusal.machine.environment['DINV_STATE_DIR'] = f'{path}/state'
    refusal.expect(path, what='a file on the way')


def data_disk_is_something_else(session):
    """What is not a data disk of ours is never touched."""
    refusal = Refusal(session)
    os.mkdir(refusal.machine.state_dir)
    with open(os.path.join(refusal.machine.state_dir, 'data.img'), 'wb') as file:
        file.write(b'precious' * 100000)
    refusal.expect('data.img', what='garbage')


def fails(machine, deadline):
    """Starts it, and answers what it said when it ended with 125, in time."""
    begin = time.monotonic()
    machine.start()
    equal(machine.wait_exit(deadline), 125, 'exit status')
    machine.expect_nothing_left()
    return machine.log(), time.monotonic() - begin


def changed_guest(session, script):
    """A copy of the root image in which the guest's PID 1 is a shell script, but not in a self-test."""
    path = os.path.join(session.work, 'changed.ext4')
    artefacts.copy_sparse(artefacts.rootfs(), path)
    os.chmod(path, 0o600)
    init = os.path.join(session.work, 'init')
    with open(init, 'w', encoding='utf-8') as file:
        file.write(f'#!/bin/sh\n[ -z "$DINV_SELF_TEST" ] || exec /bin/busybox poweroff -f\n{script}\n')
    commands = f'rm /sbin/dinv-guest\ncd /sbin\nwrite {init} dinv-guest\n' \
               'set_inode_field dinv-guest mode 0100755\n'
    subprocess.run([artefacts.tool('debugfs'), '-w', '-f', '-', path], input=commands.encode(),
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return path


def guest_never_says_hello(session):
    machine = session.machine(ROOTFS=changed_guest(session, 'while :; do sleep 1000; done'),
                              BOOT_TIMEOUT='10')
    said, seconds = fails(machine, 60)
    contains(said, 'DINV_BOOT_TIMEOUT', 'the message names the deadline')
    assert seconds >= 10, f'it gave up after {seconds:.1f} s already'
    expect_clean_disk(machine)
    machine.end()


def guest_panics(session):
    machine = session.machine(ROOTFS=changed_guest(session, 'echo this is the end; exit 1'))
    said, _ = fails(machine, 90)
    contains(said, 'Kernel panic', 'the last lines of the console')
    contains(said, 'this is the end', 'the last lines of the console')
    expect_clean_disk(machine)
    machine.end()


def guest_talks_nonsense(session):
    """What comes from the guest is not trusted."""
    script = ('mount -t devtmpfs none /dev; mount -t sysfs none /sys; '
              'for n in /dev/vport* /dev/ttyS[01]; do [ ! -c $n ] || '
              'head -c 100000 /dev/urandom > $n; done; while :; do sleep 1000; done')
    machine = session.machine(ROOTFS=changed_guest(session, script), BOOT_TIMEOUT='15')
    fails(machine, 90)
    expect_clean_disk(machine)
    machine.end()


def expect_clean_disk(machine):
    expect_clean(os.path.join(machine.state_dir, 'data.img'))


def dockerd_refuses_its_arguments(session):
    machine = session.machine(DOCKERD_ARGS='--no-such-flag')
    said, _ = fails(machine, dinv.BOOT_DEADLINE)
    contains(said, 'unknown flag: --no-such-flag', "dockerd's own words")
    expect_clean_disk(machine)
    machine.end()


def body(session):
    tap = session.tap
    tap.check(bad_values, session, deadline=600)
    for check in (flags_too, unknown_variable_gets_a_suggestion, truncated_rootfs,
                  rootfs_of_another_version, truncated_kernel, socket_path_too_long,
                  socket_is_taken, port_is_taken, state_directory_cannot_be_made,
                  data_disk_is_something_else, guest_never_says_hello, guest_panics,
                  guest_talks_nonsense, dockerd_refuses_its_arguments):
        tap.check(check, session)


if __name__ == '__main__':
    main(body)
