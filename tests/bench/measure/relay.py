# SPDX-License-Identifier: MIT
"""Throughput of the relay against the raw port of the same guest (of virtio-serial, a terminal under
User-Mode Linux), in turns.

A small guest of its own: the product's kernel, its options and channel code, with relay-guest as
PID 1 in place of dinv-guest, and one port more. See relay-work.h for what is moved.
"""

import contextlib
import json
import os
import socket
import subprocess
import tempfile

from lib import artefacts

from . import figures, host

# Ways of relay-bench.
STREAMS = ('1', '16', '256')
RAW = 'raw'
DEADLINE = 1800
CONSOLE_BYTES = 100000


def make_root(build, directory):
    """An ext4 image with nothing but relay-guest."""
    tree = os.path.join(directory, 'tree')
    for name in ('dev', 'proc', 'sys', 'sbin'):
        os.makedirs(os.path.join(tree, name))
    guest = os.path.join(tree, 'sbin', 'dinv-guest')
    subprocess.run(['cp', os.path.join(build, 'tests/bench/relay-guest'), guest], check=True)
    root = os.path.join(directory, 'root.ext4')
    subprocess.run([artefacts.tool('mke2fs'), '-q', '-t', 'ext4', '-d', tree, root, '16M'], check=True,
                   stdout=subprocess.DEVNULL)
    return root


def qemu_argv(qemu, accel, root, raw_fd, relay_fd, console_fd):
    """The shape of launcher/machine/qemu/argv.c, less what this guest does not have."""
    append = 'root=/dev/vda ro init=/sbin/dinv-guest console=hvc0 loglevel=4 reboot=t panic=-1'
    if accel == 'tcg':
        append += f' tsc_early_khz={host.tsc_khz()} tsc=reliable'
    return [
        qemu, '-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot',
        '-M', 'microvm,acpi=on,pit=off,pic=off,rtc=on,isa-serial=off',
        '-accel', 'tcg,thread=single' if accel == 'tcg' else accel,
        '-cpu', 'max,erms=off,fsrm=off' if accel == 'tcg' else 'host',
        '-smp', str(host.cpus()), '-m', '512M', '-global', 'virtio-mmio.force-legacy=false',
        '-bios', 'qboot.rom', '-kernel', artefacts.kernel(), '-append', append,
        '-blockdev', f'driver=raw,node-name=root,read-only=on,file.driver=file,file.filename={root}',
        '-device', 'virtio-blk-device,bus=virtio-mmio-bus.23,drive=root',
        '-device', 'virtio-serial-device,bus=virtio-mmio-bus.21,max_ports=4',
        '-chardev', f'socket,id=console,fd={console_fd}', '-device', 'virtconsole,nr=0,chardev=console',
        '-chardev', f'socket,id=raw,fd={raw_fd}',
        '-device', 'virtserialport,nr=1,chardev=raw,name=bench.raw',
        '-chardev', f'socket,id=relay,fd={relay_fd}',
        '-device', 'virtserialport,nr=2,chardev=relay,name=dinv.relay',
    ]


def uml_argv(root_fd, raw_fd, relay_fd, console_fd):
    """The shape of launcher/machine/uml/argv.c, less what this guest does not have."""
    return ['mem=256M', 'seccomp=on', 'uml_dir=/proc/', 'quiet', 'loglevel=4', 'root=/dev/ubda', 'ro',
            'init=/sbin/dinv-guest', f'ubd0rcd=/proc/self/fd/{root_fd}', 'con=null', f'con0=fd:{console_fd}', 'ssl=null',
            f'ssl0=fd:{raw_fd}', f'ssl1=fd:{relay_fd}', 'bench.raw=ttyS0', 'dinv.relay=ttyS1']


@contextlib.contextmanager
def running(qemu, accel, root, ends):
    """Runs the machine; gives a function that answers what it wrote on its console."""
    console, machines_console = socket.socketpair()
    with console, open(root, 'rb') as disk:
        with machines_console:
            if accel == 'uml':
                fds = (disk.fileno(), *ends, machines_console.fileno())
                # A vCPU and what runs on it stay on one CPU, as the launcher has it.
                cpu = str(max(os.sched_getaffinity(0)))
                argv = ['taskset', '--cpu-list', cpu, artefacts.uml_kernel(), *uml_argv(*fds)]
            else:
                fds = (*ends, machines_console.fileno())
                argv = qemu_argv(qemu, accel, root, *fds)
            machine = subprocess.Popen(argv, pass_fds=fds, stdin=subprocess.DEVNULL)
        try:
            yield lambda: console.recv(CONSOLE_BYTES, socket.MSG_DONTWAIT).decode('utf-8', 'replace')
        finally:
            machine.kill()
            machine.wait()


def run_in_guest(build, qemu, accel, mebibytes, rounds, directory):
    """The lines of relay-bench."""
    root = make_root(build, directory)
    raw, raw_guest = socket.socketpair()
    relay, relay_guest = socket.socketpair()
    with raw, relay, raw_guest, relay_guest:
        with running(qemu, accel, root, (raw_guest.fileno(), relay_guest.fileno())) as console:
            raw_guest.close()
            relay_guest.close()
            ours = (raw.fileno(), relay.fileno())
            done = subprocess.run(
                [os.path.join(build, 'tests/bench/relay-bench'), *map(str, ours), str(mebibytes),
                 str(rounds)], pass_fds=ours, stdout=subprocess.PIPE, timeout=DEADLINE, check=False)
            if done.returncode != 0:
                raise AssertionError(f'relay-bench failed; the console:\n{console()}')
    return [json.loads(line) for line in done.stdout.splitlines()]


def measure(build, qemu, accel, mebibytes, rounds):
    load = host.Load()
    with tempfile.TemporaryDirectory(prefix='dvb-', dir='/tmp') as directory:
        lines = run_in_guest(build, qemu, accel, mebibytes, rounds, directory)
    load.look()
    rates = {}
    for line in lines:
        key = (line['direction'], line['way'])
        rates.setdefault(key, []).append(line['bytes'] / line['seconds'] / 1e6)
    result = {'mebibytes': mebibytes, 'accel': accel, 'load': load.result(), 'megabytes_per_second': {}}
    for direction in ('to-guest', 'from-guest'):
        raw = rates[direction, RAW]
        of_direction = {RAW: figures.summary(raw)}
        for streams in STREAMS:
            relayed = rates[direction, streams]
            of_direction[streams] = {**figures.summary(relayed), 'ratio': figures.ratio(relayed, raw)}
        result['megabytes_per_second'][direction] = of_direction
    return result


def tabulate(result, table):
    for direction, rates in result['megabytes_per_second'].items():
        name = direction.replace('-', ' ')
        table.value(f'{name}, raw port', rates[RAW], 'MB/s', 0)
        for streams in STREAMS:
            what = f'{name}, relay, {streams} {"stream" if streams == "1" else "streams"}'
            table.value(what, rates[streams], 'MB/s', 0)
            table.ratio(what, rates[streams]['ratio'], 'relay : raw port',
                        least=0.8 if streams == '1' else None)
