# SPDX-License-Identifier: MIT
"""The data disk as the engine has it (ext4 on virtio-blk with our options) against a raw virtio-blk
disk without any, in turns, in the same guest; and the memory of QEMU before, during and after a GiB is
used in the guest; and what layers.py measures."""

import os
import tempfile

from lib.dinv import Dinv, resident_bytes
from lib.docker import BUSYBOX, Docker
from lib.waiting import until

from . import figures, host, layers

RAW_BYTES = 1 << 30
PASSES, PASS_MIB = 4, 64
BURST = 1 << 30

# QEMU with one more disk, in the slot that the private volume would have.
WRAPPER = '''#!/bin/sh
exec qemu-system-x86_64 "$@" -drive file={image},if=none,id=raw,format=raw \\
    -device virtio-blk-device,bus=virtio-mmio-bus.1,drive=raw,serial=raw
'''

# Prints the seconds that each pass over $1 took: written and synced, then read, both past the guest's
# page cache. Random bytes, because zeros would be holes on our side.
SCRIPT = f'''
now() {{ cut -d ' ' -f 1 /proc/uptime; }}
target=$1
if [ "$target" = raw ]; then
    for disk in /sys/block/vd*; do
        [ "$(cat "$disk/serial")" != raw ] || target=/dev/${{disk##*/}}
    done
fi
[ -e /tmp/random ] || dd if=/dev/urandom of=/tmp/random bs=1M count={PASS_MIB} 2>/dev/null
begin=$(now)
for pass in $(seq {PASSES}); do
    dd if=/tmp/random of="$target" bs=1M seek=$(((pass - 1) * {PASS_MIB})) oflag=direct conv=notrunc,fsync 2>/dev/null
done
middle=$(now)
dd if="$target" of=/dev/null bs=1M count={PASSES * PASS_MIB} iflag=direct 2>/dev/null
echo "$begin $middle $(now)"
'''


def throughput(dinv, target):
    """(written, read) in MB/s."""
    done = dinv.verb('shell', 'sh', '-c', SCRIPT, 'bench', target, deadline=600).expect(0)
    begin, middle, end = (float(word) for word in done.out.split())
    megabytes = PASSES * PASS_MIB * (1 << 20) / 1e6
    return megabytes / (middle - begin), megabytes / (end - middle)


def compare(dinv, rounds):
    load = host.Load()
    series = {(where, what): [] for where in ('data', 'raw') for what in ('written', 'read')}
    for _ in range(rounds):
        for where, target in (('data', '/var/lib/docker/bench'), ('raw', 'raw')):
            for what, value in zip(('written', 'read'), throughput(dinv, target)):
                series[where, what].append(value)
        load.look()
    return {'load': load.result(), **{
        what: {'data': figures.summary(series['data', what]), 'raw': figures.summary(series['raw', what]),
               'ratio': figures.ratio(series['data', what], series['raw', what])}
        for what in ('written', 'read')}}


def burst(dinv, home, rounds):
    docker = Docker(dinv.socket, home)
    docker.import_busybox()
    docker('run', '--rm', BUSYBOX, 'true')
    pid = dinv.machine_pid()
    series = {'before': [], 'during': [], 'after': []}
    for _ in range(rounds):
        before = resident_bytes(pid)
        with docker.gibibyte_in_use():
            during = resident_bytes(pid)
        until(lambda: resident_bytes(pid) < during - BURST * 7 // 8, 120, 'the GiB to be given back')
        for name, value in (('before', before), ('during', during), ('after', resident_bytes(pid))):
            series[name].append(value)
    return {name: figures.summary(values) for name, values in series.items()}


def measure(rounds):
    with tempfile.TemporaryDirectory(prefix='dvb-', dir='/tmp') as directory:
        image, wrapper = os.path.join(directory, 'raw.img'), os.path.join(directory, 'qemu')
        with open(image, 'wb') as file:
            file.truncate(RAW_BYTES)
        with open(wrapper, 'w', encoding='utf-8') as file:
            file.write(WRAPPER.format(image=image))
        os.chmod(wrapper, 0o755)
        dinv = Dinv(MEMORY='3G', QEMU=wrapper)
        try:
            dinv.boot()
            result = {'throughput': compare(dinv, rounds), 'memory': burst(dinv, directory, rounds)}
            dinv.stop()
        finally:
            dinv.end()
    result['layers'] = layers.measure(rounds)
    return result


def tabulate(result, table):
    for what in ('written', 'read'):
        of = result['throughput'][what]
        table.value(f'file on the data disk, {what}', of['data'], 'MB/s', 0)
        table.value(f'raw virtio-blk disk, {what}', of['raw'], 'MB/s', 0)
        table.ratio(f'disk, {what}', of['ratio'], 'data disk : raw disk')
    for name, values in result['memory'].items():
        mebibytes = figures.summary(value / 2**20 for value in values['values'])
        table.value(f'resident memory of QEMU {name} a GiB is used inside', mebibytes, 'MiB', 0)
    layers.tabulate(result['layers'], table)
