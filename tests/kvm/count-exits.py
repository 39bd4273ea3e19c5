#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: MIT
"""How often a machine leaves its CPU under KVM for some pieces of work, and why. Runs on the host that tests/kvm/run
boots: `tests/kvm/run build kvm/count-exits.py`. Prints rows for tests/bench/README.md.

Only counts are taken, which no other load changes, but for those that are as many as the work takes time: the
guest's timer (its programming, its interrupts, the windows for them) and the host's own interrupts. They are counted
apart: where everything is emulated the time is no real one.
"""

import os
import socket
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), 'integration')]

# The paths are set above.
import exits  # noqa: E402
from lib import port_server  # noqa: E402
from lib.docker import BUSYBOX, Docker  # noqa: E402
from lib.port_server import PORT_SERVER, PROGRAM  # noqa: E402
from lib.session import main  # noqa: E402
from lib.tap import equal  # noqa: E402
from lib.waiting import until  # noqa: E402

MEBIBYTES = 32
IDLE_SECONDS = 20
# So many of a histogram's keys are shown.
MOST = 14
# Which histograms, by which fields.
EVENTS = {'kvm_exit': 'exit_reason', 'kvm_userspace_exit': 'reason', 'kvm_mmio': 'gpa.hex,type',
          'kvm_fast_mmio': 'gpa.hex', 'kvm_msr': 'ecx.hex,write', 'kvm_apic': 'reg.hex,rw', 'kvm_pio': 'port.hex,rw'}
TSC_DEADLINE, INTERRUPT_WINDOW = 0x6e0, 0x64
EXIT_MMIO = 6  # KVM_EXIT_MMIO
READ, WRITE = 0, 2  # of kvm_mmio: a read that nobody in the kernel satisfied, a write
# APM volume 2, appendix C.
REASONS = {0x400: 'nested page fault', 0x60: 'interrupt', 0x78: 'halt', 0x7c: 'msr', 0x7b: 'port', 0x72: 'cpuid',
           0x64: 'interrupt window', 0x81: 'hypercall', 0x8d: 'xsetbv', 0x77: 'pause', 0x61: 'nmi', 0x41: 'debug',
           0x4e: 'page fault', 0x47: 'fpu', 0x76: 'invd', 0x89: 'wbinvd', 0x79: 'invlpg', 0x10: 'cr0 written',
           0x14: 'cr4 written', 0x65: 'cr0 changed', 0x88: 'rdtscp', 0x6e: 'rdtsc'}


class Count:
    """The machine, and the rows so far."""

    def __init__(self, session):
        self.tap, self.work = session.tap, session.work
        self.machine = session.machine(CPUS='1', MEMORY='1G', BOOT_TIMEOUT=600)
        self.share = os.path.join(self.machine.directory, 'share')
        os.mkdir(self.share)
        self.machine.environment['DINV_MOUNTS'] = f'{self.share}:/share'
        self.docker = Docker(self.machine.socket, session.work)
        self.before = {}

    def row(self, name, work):
        with exits.Histograms(EVENTS) as histograms:
            begin = time.monotonic()
            work()
            seconds = time.monotonic() - begin
            now = exits.counters(self.machine.machine_pid())
            seen = {event: histograms.counts(event) for event in EVENTS}
        count = exits.difference(self.before, now)
        self.before = now
        timer = (amount(seen['kvm_msr'], f'ecx: {TSC_DEADLINE:x}, write: 1') +
                 amount(seen['kvm_exit'], f'exit_reason: {INTERRUPT_WINDOW}'))
        of_time = timer + count['irq_exits'] + count['halt_exits']
        to_qemu = sum(seen['kvm_userspace_exit'].values())
        # What is written or asked for and does not get to QEMU is a doorbell that the kernel passes on.
        bells = (sum(seen['kvm_fast_mmio'].values()) + amount(seen['kvm_mmio'], f'type: {WRITE}') +
                 amount(seen['kvm_mmio'], f'type: {READ}') - amount(seen['kvm_userspace_exit'], f'reason: {EXIT_MMIO}'))
        self.tap.say(f'| {name} | {count["exits"]} | {of_time} | {count["exits"] - of_time} | {to_qemu} | {bells} |')
        self.tap.say(f'  {seconds:.1f} s; ' + ', '.join(f'{key} {value}' for key, value in count.items() if value))
        for event, keys in seen.items():
            most = sorted(keys.items(), key=lambda item: -item[1])[:MOST]
            self.tap.say(f'  {event}: ' + '; '.join(f'{spell(event, key)} {value}' for key, value in most))


def amount(histogram, key):
    return sum(value for name, value in histogram.items() if name == key or name.endswith(', ' + key))


def spell(event, key):
    if event == 'kvm_exit':
        number = int(key.split(':')[1], 0)
        return REASONS.get(number, hex(number))
    return key


def start(count):
    def to_ready():
        count.machine.start()
        count.machine.wait_ready(600)
    count.row('start to ready', to_ready)


def works(count):
    docker, shell = count.docker, count.machine.verb
    docker.import_busybox()
    docker('import', '-', PORT_SERVER, stdin=port_server.tar(), deadline=300)
    equal(docker('run', '--rm', BUSYBOX, 'true'), '', 'the first container, which is not counted')
    count.before = exits.counters(count.machine.machine_pid())
    count.row('`docker run --rm` of a hello', lambda: docker('run', '--rm', BUSYBOX, 'echo', 'hello'))
    size = MEBIBYTES << 20

    def out():
        equal(len(shell('shell', 'head', '-c', str(size), '/dev/zero', deadline=300).raw_out), size, 'bytes')
    count.row(f'{MEBIBYTES} MiB out over the relay', out)

    def into():
        equal(shell('shell', 'wc', '-c', stdin=bytes(size), deadline=300).out.strip(), str(size), 'bytes')
    count.row(f'{MEBIBYTES} MiB in over the relay', into)


def port_work(count):
    with socket.socket() as probe:
        probe.bind(('0.0.0.0', 0))
        port = probe.getsockname()[1]
    count.docker('run', '-d', '--name', 'port', '-p', f'{port}:80', PORT_SERVER, PROGRAM, 'source:80')
    until(lambda: count.docker('logs', 'port') == 'listening', 60, 'the server to listen')

    def take():
        left = MEBIBYTES << 20
        with socket.create_connection(('127.0.0.1', port), timeout=120) as connection:
            while left > 0:
                left -= len(connection.recv(1 << 16))
    count.before = exits.counters(count.machine.machine_pid())
    count.row(f'{MEBIBYTES} MiB from a published port', take)
    count.docker('rm', '--force', 'port')


def shell_row(count, name, script):
    count.before = exits.counters(count.machine.machine_pid())
    count.row(name, lambda: count.machine.verb('shell', 'sh', '-c', script, deadline=300).expect(0))


def files(count):
    shell_row(count, f'{MEBIBYTES} MiB written to a 9p mount and synced',
              f'dd if=/dev/zero of=/share/x bs=1M count={MEBIBYTES} conv=fsync 2>/dev/null')
    shell_row(count, '100 files made in a 9p mount',
              'mkdir /share/d; for i in $(seq 100); do echo $i > /share/d/$i; done')
    shell_row(count, f'{MEBIBYTES} MiB written to the data disk and synced',
              f'dd if=/dev/zero of=/var/lib/docker/x bs=1M count={MEBIBYTES} conv=fsync 2>/dev/null')
    shell_row(count, f'{MEBIBYTES} MiB read from the data disk',
              'echo 3 > /proc/sys/vm/drop_caches; dd if=/var/lib/docker/x of=/dev/null bs=1M 2>/dev/null')


def idle(count):
    count.before = exits.counters(count.machine.machine_pid())
    count.row(f'{IDLE_SECONDS} idle seconds', lambda: time.sleep(IDLE_SECONDS))


def body(session):
    count = Count(session)
    count.tap.say('| what | exits | of time | of work | to QEMU | doorbells |')
    if session.tap.check(start, count, deadline=1200):
        said = count.machine.verb('shell', 'sh', '-c', 'dmesg | grep -iE "apic|clocksource|kvm" | tail -40').out
        count.tap.say(said)
        for check in (works, port_work, files, idle):
            session.tap.check(check, count, deadline=1200)
        count.machine.stop()


if __name__ == '__main__':
    main(body)
