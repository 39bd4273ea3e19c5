#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: MIT
"""What is different under KVM, and what must not be: dinv on a host whose /dev/kvm works. Runs on the host that
tests/kvm/run boots, as root.

Two machines: the first with one CPU and a 9p mount, whose QEMU is killed; the second on the same disk with two CPUs
and virtio-fs, which stops with containers running. `--cycles N` (for soak: 20): how many containers run; larger streams with it.
"""

import contextlib
import ctypes
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), 'integration')]

# The paths are set above.
import exits  # noqa: E402
from lib import dinv, port_server  # noqa: E402
from lib.disk import expect_clean, expect_sound_after_crash  # noqa: E402
from lib.docker import BUSYBOX, Docker, file_sha256, random_file  # noqa: E402
from lib.port_server import PORT_SERVER, PROGRAM  # noqa: E402
from lib.session import main  # noqa: E402
from lib.tap import contains, equal  # noqa: E402
from lib.waiting import until  # noqa: E402

DEVICE = '/dev/kvm'
CONTAINERS, AT_ONCE = 4, 4
STREAM_BYTES, SOAK_STREAM_BYTES = 4 << 20, 64 << 20
# Seconds of the host's clock, each several here.
PAUSE_SECONDS, CLOCK_ERROR = 4, 2
IDLE_SECONDS = 3
# On a host that is emulated on a busy machine.
BOOT_SECONDS, CHECK_SECONDS = 600, 900
NOBODY = ['setpriv', '--reuid', '65534', '--regid', '65534', '--clear-groups', '--bounding-set=-all', '--inh-caps=-all']


class Kvm:
    """The machine of the moment, its docker, and a directory that it has as /share."""

    def __init__(self, session):
        self.session, self.tap = session, session.tap
        self.containers = session.options.cycles or CONTAINERS
        self.stream_bytes = SOAK_STREAM_BYTES if session.options.cycles else STREAM_BYTES
        self.machine = session.machine(CPUS='1', MEMORY='1G', BOOT_TIMEOUT=BOOT_SECONDS)
        self.share = os.path.join(self.machine.directory, 'share')
        os.mkdir(self.share)
        self.machine.environment['DINV_MOUNTS'] = f'{self.share}:/share'
        self.docker = Docker(self.machine.socket, session.work)

    @property
    def image(self):
        return os.path.join(self.machine.state_dir, 'data.img')

    def expect_kvm(self, cpus):
        """KVM is what runs: QEMU says so, and the kernel of the host sees it."""
        pid = self.machine.machine_pid()
        equal(exits.is_machine(pid), cpus, 'CPUs of a machine of KVM that QEMU holds')
        assert exits.counters(pid).get('exits', 0) > 1000, f'it left its CPUs {exits.counters(pid)}'
        status = self.machine.status()
        equal(status['kvm_enabled'], True, 'what QEMU answers to query-kvm')
        equal((status['accel'], status['cpus']), ('kvm', cpus), 'what dinv says of it')

    def say_exits(self, what, before=None):
        counted = exits.difference(before or {}, exits.counters(self.machine.machine_pid()))
        self.tap.say(f'exits {what}: ' + ', '.join(f'{name} {count}' for name, count in counted.items() if count))


# --- The device

def doctor_finds_that_it_works(session):
    said = session.machine(MEMORY='1G').verb('doctor', deadline=240).out
    contains(said, f'{DEVICE} works', 'what dinv doctor says')


def refused(session, sentence, argv=()):
    """DINV_ACCEL=kvm must say it and end with 125; auto must say it and emulate, which doctor tells."""
    machine = session.machine(MEMORY='1G')
    os.chmod(machine.directory, 0o777)
    os.chmod(machine.temporary, 0o777)
    done = dinv.run([*argv, *machine.verb_argv('run')], machine.environment, deadline=120).expect(125)
    contains(done.err, sentence, 'what dinv run says')
    auto = {**machine.environment, 'DINV_ACCEL': 'auto'}
    contains(dinv.run([*argv, *machine.verb_argv('doctor')], auto, deadline=120).out, sentence, 'what dinv doctor says')
    machine.end()


@contextlib.contextmanager
def device_with_mode(mode):
    before = os.stat(DEVICE).st_mode & 0o777
    os.chmod(DEVICE, mode)
    try:
        yield
    finally:
        os.chmod(DEVICE, before)


@contextlib.contextmanager
def no_device():
    os.rename(DEVICE, f'{DEVICE}.away')
    try:
        yield
    finally:
        os.rename(f'{DEVICE}.away', DEVICE)


def refuse_all_devices(cgroup):
    """A device program of BPF that allows nothing, as the engine's allows what --device names."""
    prog_load, prog_attach, prog_type_device, attach_device, syscall_bpf = 5, 8, 15, 6, 321
    libc = ctypes.CDLL(None, use_errno=True)
    # r0 = 0; exit
    code = ctypes.create_string_buffer(struct.pack('<BBhi', 0xb7, 0, 0, 0) + struct.pack('<BBhi', 0x95, 0, 0, 0), 16)
    licence = ctypes.create_string_buffer(b'GPL')

    def bpf(command, *fields):
        attributes = ctypes.create_string_buffer(struct.pack(*fields), 128)
        result = libc.syscall(syscall_bpf, command, attributes, 128)
        if result < 0:
            raise OSError(ctypes.get_errno(), f'bpf command {command}')
        return result
    program = bpf(prog_load, '<IIQQ', prog_type_device, 2, ctypes.addressof(code), ctypes.addressof(licence))
    folder = os.open(cgroup, os.O_RDONLY)
    bpf(prog_attach, '<IIII', folder, program, attach_device, 0)
    os.close(folder)


def device_of_others(session):
    with device_with_mode(0o660):
        refused(session, f'{DEVICE} may not be opened by user 65534 (mode 0660, group 0)', NOBODY)


def device_is_missing(session):
    with no_device():
        refused(session, f'{DEVICE} is not there')


def device_is_not_given(session):
    """As a bind mount of the device without --device."""
    cgroup = '/sys/fs/cgroup/no-device'
    os.mkdir(cgroup)
    refuse_all_devices(cgroup)
    try:
        refused(session, f'{DEVICE} may not be opened: the container was not given the device',
                ['sh', '-c', f'echo $$ >{cgroup}/cgroup.procs && exec "$@"', 'sh'])
    finally:
        until(lambda: not dinv.run(['cat', f'{cgroup}/cgroup.procs']).out, 30, 'the cgroup to be empty')
        os.rmdir(cgroup)


# --- The first machine: one CPU, 9p

def boots(kvm):
    kvm.machine.start()
    kvm.machine.wait_ready(BOOT_SECONDS)
    kvm.expect_kvm(1)
    kvm.say_exits('to ready')
    read_ahead = kvm.machine.verb('shell', 'sh', '-c', 'cat /sys/class/bdi/$(cat /sys/block/vda/dev)/read_ahead_kb')
    equal(read_ahead.expect(0).out.strip(), '512', 'KiB that are read ahead of the root disk')
    phases = ', '.join(f'{phase["name"]} {phase["seconds"]:.1f}' for phase in kvm.machine.status()['phases'])
    kvm.tap.say(f'phases: {phases}')


def hello(kvm):
    kvm.docker.import_busybox()
    before = exits.counters(kvm.machine.machine_pid())
    equal(kvm.docker('run', '--rm', BUSYBOX, 'echo', 'hello'), 'hello', 'what the container says')
    kvm.say_exits('for a hello', before)


def many_containers(kvm):
    """Some at a time, each with its own answer."""
    for first in range(0, kvm.containers, AT_ONCE):
        clients = [kvm.docker.start('run', '--rm', BUSYBOX, 'echo', f'I am {number}')
                   for number in range(first, min(first + AT_ONCE, kvm.containers))]
        for number, client in enumerate(clients, first):
            out, err = client.communicate(timeout=CHECK_SECONDS)
            equal((client.returncode, out), (0, f'I am {number}\n'.encode()), f'container {number}, which says {err!r}')
    equal(kvm.docker('ps', '--all', '--quiet'), '', 'containers that are left')


def streams(kvm):
    """Both ways at once: what goes in comes out."""
    sent, back = (os.path.join(kvm.session.work, name) for name in ('sent', 'back'))
    expected = random_file(sent, kvm.stream_bytes, 12)
    before = exits.counters(kvm.machine.machine_pid())
    with open(sent, 'rb') as feed, open(back, 'wb') as taken:
        client = kvm.docker.start('run', '--rm', '--interactive', BUSYBOX, 'cat', stdin=feed, stdout=taken)
        equal(client.wait(CHECK_SECONDS), 0, 'status of docker run')
    equal(file_sha256(back), expected, 'what came back')
    kvm.say_exits(f'for {kvm.stream_bytes >> 20} MiB in and out', before)


def free_port():
    with socket.socket() as probe:
        probe.bind(('0.0.0.0', 0))
        return probe.getsockname()[1]


def ports_both_ways(kvm):
    port = free_port()
    kvm.docker('import', '-', PORT_SERVER, stdin=port_server.tar(), deadline=180)
    kvm.docker('run', '-d', '--name', 'echo', '-p', f'{port}:80', PORT_SERVER, PROGRAM, 'echo:80')
    until(lambda: kvm.docker('logs', 'echo') == 'listening', 60, 'the server to listen')
    with socket.create_connection(('127.0.0.1', port), timeout=60) as connection:
        connection.sendall(b'from outside')
        connection.shutdown(socket.SHUT_WR)
        back = b''
        while piece := connection.recv(4096):
            back += piece
    equal(back, b'from outside', 'what the server in the container sends back')
    kvm.docker('rm', '--force', 'echo')
    with socket.create_server(('0.0.0.0', 0)) as server:
        server.settimeout(120)

        def answer():
            connection, _ = server.accept()
            with connection:
                connection.sendall(b'from the host\n')
        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        said = kvm.docker('run', '--rm', BUSYBOX, 'nc', 'host.docker.internal', str(server.getsockname()[1]))
        thread.join(10)
    equal(said, 'from the host', 'what the container hears of a server here')


def mount_is_shared(kvm):
    """Contents go both ways, and the owners with them."""
    with open(os.path.join(kvm.share, 'outside'), 'w', encoding='utf-8') as file:
        file.write('written outside\n')
    said = kvm.docker('run', '--rm', '-v', '/share:/w', BUSYBOX, 'sh', '-c',
                      'cat /w/outside; echo written inside > /w/inside; chown 1000:1001 /w/inside; '
                      'mkdir -p /w/many; for i in $(seq 50); do echo $i > /w/many/$i; done; cat /w/many/* | wc -l')
    equal(said.split('\n'), ['written outside', '50'], 'what the container read')
    with open(os.path.join(kvm.share, 'inside'), encoding='utf-8') as file:
        equal(file.read(), 'written inside\n', 'what the container wrote')
        status = os.fstat(file.fileno())
    equal((status.st_uid, status.st_gid), (1000, 1001), 'whose it is')
    equal(len(os.listdir(os.path.join(kvm.share, 'many'))), 50, 'files that the container made')


def clock_goes_on_after_a_pause(kvm):
    """kvm-clock counts on while the machine stands still, or dinv sets it right."""
    pid = kvm.machine.machine_pid()
    os.kill(pid, signal.SIGSTOP)
    try:
        time.sleep(PAUSE_SECONDS)  # what is tested is a time that passes
    finally:
        os.kill(pid, signal.SIGCONT)

    def error():
        return abs(int(kvm.machine.verb('shell', 'date', '+%s', deadline=120).expect(0).out) - int(time.time()))
    until(lambda: error() < CLOCK_ERROR, 120, 'the right time in the guest')
    with open(f'/proc/{pid}/cmdline', 'rb') as file:
        assert b'kvm' in file.read().split(b'\0'), 'QEMU was not told to use KVM'
    source = kvm.machine.verb('shell', 'cat', '/sys/devices/system/clocksource/clocksource0/current_clocksource')
    contains(('tsc', 'kvm-clock'), source.expect(0).out.strip(), 'clock source of the guest')


def idle(kvm):
    """A figure, not a check of one: what the machine costs when nobody uses it."""
    before = exits.counters(kvm.machine.machine_pid())
    time.sleep(IDLE_SECONDS)
    kvm.say_exits(f'in {IDLE_SECONDS} idle seconds', before)
    assert kvm.machine.verb('health', deadline=120).status == 0, 'it is not healthy afterwards'


def qemu_is_killed(kvm):
    client = kvm.docker.start('run', '--rm', '-v', 'kept:/v', BUSYBOX, 'sh', '-c',
                              'echo kept > /f; dd if=/f of=/v/kept conv=fsync 2>/dev/null; echo writes; '
                              'while :; do head -c 1000000 /dev/urandom > /v/x; mv /v/x /v/y; done')
    equal(client.stdout.readline(), b'writes\n', 'what the writer says')
    os.kill(kvm.machine.machine_pid(), signal.SIGKILL)
    equal(kvm.machine.wait_exit(120), 125, 'exit status')
    client.kill()
    client.wait()
    kvm.machine.expect_nothing_left()
    expect_sound_after_crash(kvm.image, kvm.session.work)


# --- The second: two CPUs, virtio-fs

def boots_again_with_two_cpus(kvm):
    kvm.machine.environment.update(DINV_CPUS='2', DINV_MOUNT_DRIVER='virtiofs')
    kvm.machine.start()
    kvm.machine.wait_ready(BOOT_SECONDS)
    kvm.expect_kvm(2)
    kvm.say_exits('to ready')
    said = kvm.docker('run', '--rm', '-v', 'kept:/v', BUSYBOX, 'sh', '-c', 'cat /v/kept; nproc')
    equal(said.split(), ['kept', '2'], 'what was synced, and CPUs')


def stops_with_running_containers(kvm):
    """Each gets its signal, and its time."""
    for name in ('one', 'two'):
        kvm.docker('run', '-d', '--name', name, '-v', '/share:/w', BUSYBOX, 'sh', '-c',
                   f'trap "echo {name} stopped > /w/{name}; exit 0" TERM; echo up; while :; do sleep 1000 & wait; done')
        until(lambda: kvm.docker('logs', name) == 'up', 60, 'the container')
    equal(kvm.machine.stop(), 0, 'exit status')
    for name in ('one', 'two'):
        with open(os.path.join(kvm.share, name), encoding='utf-8') as file:
            equal(file.read(), f'{name} stopped\n', 'the last words of the container')
    kvm.machine.expect_nothing_left()
    expect_clean(kvm.image)


def body(session):
    tap = session.tap
    if not tap.check(doctor_finds_that_it_works, session):
        tap.say(subprocess.run(['dmesg'], stdout=subprocess.PIPE, text=True, check=False).stdout[-3000:])
        return
    for check in (device_of_others, device_is_missing, device_is_not_given):
        tap.check(check, session)
    kvm = Kvm(session)
    if not tap.check(boots, kvm, deadline=CHECK_SECONDS):
        return
    for check in (hello, many_containers, streams, ports_both_ways, mount_is_shared, clock_goes_on_after_a_pause,
                  idle, qemu_is_killed):
        tap.check(check, kvm, deadline=CHECK_SECONDS)
    kvm.containers //= 2
    if tap.check(boots_again_with_two_cpus, kvm, deadline=CHECK_SECONDS):
        tap.check(mount_is_shared, kvm, deadline=CHECK_SECONDS, name='virtiofs-mount-is-shared')
        tap.check(many_containers, kvm, deadline=CHECK_SECONDS, name='many-containers-on-two-cpus')
        tap.check(stops_with_running_containers, kvm)


if __name__ == '__main__':
    main(body)
