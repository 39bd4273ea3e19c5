#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: MIT
"""What images/kernel/uml-patches are for, on the kernel alone."""

import ctypes
import hashlib
import os
import select
import signal
import struct
import threading
import time

from lib import artefacts, small_disk
from lib.session import main
from lib.tap import Skip, contains, equal
from lib.uml import Uml
from lib.waiting import until

MEBIBYTE = 1 << 20
SYS_CACHESTAT = 451
PT_INTERP = 3


class _CacheStat(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64)
                for name in ('cached', 'dirty', 'writeback', 'evicted', 'recently_evicted')]


def dirty_pages(path):
    """How many pages of the file the kernel here has not yet written."""
    result = _CacheStat()
    everything = (ctypes.c_uint64 * 2)(0, 0)
    libc = ctypes.CDLL(None, use_errno=True)
    with open(path, 'rb') as file:
        if libc.syscall(SYS_CACHESTAT, file.fileno(), everything, ctypes.byref(result), 0) != 0:
            raise Skip('this kernel has no cachestat(2)')
    return result.dirty + result.writeback


def static(_):
    """It needs no file of the system that it is started in."""
    with open(artefacts.uml_kernel(), 'rb') as file:
        header = file.read(64)
        offset, = struct.unpack_from('<Q', header, 32)
        size, count = struct.unpack_from('<HH', header, 54)
        file.seek(offset)
        kinds = [struct.unpack_from('<I', file.read(size))[0] for _ in range(count)]
    assert PT_INTERP not in kinds, 'it names an ELF interpreter'


def boots(session):
    with Uml(session, 'echo VERSION $(uname -r)') as uml:
        session.tap.say(uml.wait_for('VERSION'))
        equal(uml.end(), 0, 'exit status')


def memory_is_a_memfd(session):
    """TMPDIR names nothing here."""
    with Uml(session, 'echo HERE; sleep 1000') as uml:
        uml.wait_for('HERE')
        assert uml.memory_blocks() > 0


def stream(size):
    return os.urandom(MEBIBYTE) * (size // MEBIBYTE)


def say_rate(session, what, size, begin):
    session.tap.say(f'{what}: {size / 1e6 / (time.monotonic() - begin):.0f} MB/s')


def channel_in(session):
    size = (16 if session.options.small else 64) * MEBIBYTE
    data = stream(size)
    script = f'''stty -F /dev/ttyS0 raw -echo
exec 3</dev/ttyS0
echo READY
dd bs=64k count={size} iflag=count_bytes,fullblock <&3 2>/dev/null | sha256sum'''
    with Uml(session, script.replace('sha256sum', 'sha256sum | sed "s/^/SUM /"'), lines=1) as uml:
        uml.wait_for('READY')
        begin = time.monotonic()
        uml.channel[0].sendall(data)
        arrived = uml.wait_for('SUM').split()[0]
        say_rate(session, 'into the guest, with the time for its checksum', size, begin)
        equal(arrived, hashlib.sha256(data).hexdigest(), 'what arrived')


def channel_out(session):
    size = (16 if session.options.small else 64) * MEBIBYTE
    script = f'''stty -F /dev/ttyS0 raw -echo
yes 0123456789abcdef | head -c {MEBIBYTE} >/tmp/block
for i in $(seq {size // MEBIBYTE}); do cat /tmp/block; done >/dev/ttyS0
sleep 1000'''
    line = b'0123456789abcdef\n'
    block = (line * (MEBIBYTE // len(line) + 1))[:MEBIBYTE]
    with Uml(session, script, lines=1) as uml:
        end, got, begin = uml.channel[0], bytearray(), None
        end.settimeout(60)
        while len(got) < size:
            piece = end.recv(MEBIBYTE)
            assert piece, f'the channel ended after {len(got)} bytes'
            begin = begin or time.monotonic()
            got += piece
        say_rate(session, 'out of the guest', size, begin)
        equal(hashlib.sha256(got).hexdigest(),
              hashlib.sha256(block * (size // MEBIBYTE)).hexdigest(), 'what arrived')


def fill(end, data):
    """Writes until the other side takes no more for a second; how much that was."""
    end.setblocking(False)
    sent = 0
    while sent < len(data) and select.select([], [end], [], 1)[1]:
        sent += end.send(memoryview(data)[sent:sent + 65536])
    end.setblocking(True)
    return sent


def channel_waits(session):
    """Who does not read makes the writer wait, and loses nothing, several times over."""
    size, rounds = 16 * MEBIBYTE, 3
    data = stream(size)
    script = f'''stty -F /dev/ttyS0 raw -echo
stty -F /dev/ttyS1 raw -echo
exec 3</dev/ttyS0 4</dev/ttyS1
echo READY
for i in $(seq {rounds}); do
    head -c 1 <&4 >/dev/null
    dd bs=64k count={size} iflag=count_bytes,fullblock <&3 2>/dev/null | sha256sum | sed "s/^/SUM$i /"
done'''
    with Uml(session, script, lines=2) as uml:
        uml.wait_for('READY')
        for number in range(1, rounds + 1):
            sent = fill(uml.channel[0], data)
            assert 0 < sent < size // 2, f'{sent} bytes went where nobody reads'
            rest = threading.Thread(target=uml.channel[0].sendall, args=[memoryview(data)[sent:]])
            rest.start()
            uml.channel[1].sendall(b'!')
            equal(uml.wait_for(f'SUM{number}').split()[0], hashlib.sha256(data).hexdigest(),
                  f'round {number}: what arrived')
            rest.join()


def free_memory_goes_back(session):
    size = 192 * MEBIBYTE
    script = f'''mkdir /tmp/big; mount -t tmpfs -o size=90% big /tmp/big
dd if=/dev/zero of=/tmp/big/file bs=1M count={size // MEBIBYTE} 2>/dev/null
echo FULL; rm /tmp/big/file; sleep 1000'''
    with Uml(session, script, memory='384M') as uml:
        uml.wait_for('FULL')
        full = max(uml.memory_blocks(), size)
        until(lambda: uml.memory_blocks() < full - size * 3 // 4, 120,
              f'memory to come back from {full >> 20} MiB ({uml.memory_blocks() >> 20} MiB now)')
        session.tap.say(f'{full >> 20} MiB, then {uml.memory_blocks() >> 20} MiB')


def make_disk(directory, size):
    path = os.path.join(directory, 'disk')
    with open(path, 'wb') as file:
        file.truncate(size)
    return path


def flush_is_a_sync(session):
    disk = make_disk(session.work, 32 * MEBIBYTE)
    script = '''dd if=/dev/urandom of=/dev/ubdc bs=1M count=16 2>/dev/null
echo WRITTEN; sync /dev/ubdc; dd if=/dev/zero of=/dev/ubdc bs=4k count=1 conv=fsync 2>/dev/null
echo SYNCED; sleep 1000'''
    with Uml(session, script, disk=disk) as uml:
        uml.wait_for('SYNCED')
        equal(dirty_pages(disk), 0, 'pages that are not on the disk')


def zeroes_are_holes(session):
    """What was written is zeroes again, reads as such, and takes no space."""
    disk = make_disk(session.work, 32 * MEBIBYTE)
    script = '''stty -F /dev/ttyS0 raw -echo
exec 3</dev/ttyS0
dd if=/dev/urandom of=/dev/ubdc bs=1M count=16 conv=fsync 2>/dev/null; echo FULL
head -c 1 <&3 >/dev/null
dd if=/dev/zero of=/dev/ubdc bs=1M count=16 conv=fsync 2>/dev/null
echo 3 >/proc/sys/vm/drop_caches
echo SUM $(head -c 16777216 /dev/ubdc | sha256sum); echo EMPTY; sleep 1000'''
    with Uml(session, script, disk=disk, lines=1) as uml:
        uml.wait_for('FULL')
        full = os.stat(disk).st_blocks * 512
        assert full >= 16 * MEBIBYTE, f'{full} bytes'
        uml.channel[0].sendall(b'!')
        uml.wait_for('EMPTY')
        equal(uml.wait_for('SUM').split()[0], hashlib.sha256(bytes(16 * MEBIBYTE)).hexdigest(), 'what is read')
        empty = os.stat(disk).st_blocks * 512
        assert empty < MEBIBYTE, f'{empty} bytes'


def full_host_waits(session):
    if not small_disk.can_be_made():
        raise Skip('only root can make a small file system')
    small = small_disk.SmallDisk(os.path.join(session.work, 'small'), 48)
    disk = make_disk(small.path, 64 * MEBIBYTE)
    small.fill(leave_bytes=2 * MEBIBYTE + 12345)
    script = '''yes line | head -c 8388608 >/tmp/data
sha256sum </tmp/data | sed "s/^/SUM /"
dd if=/tmp/data of=/dev/ubdc bs=1M conv=fsync 2>/dev/null; echo STATUS $?
echo 3 >/proc/sys/vm/drop_caches
head -c 8388608 /dev/ubdc | sha256sum | sed "s/^/BACK /"'''
    with Uml(session, script, disk=disk) as uml:
        until(lambda: 'no space left on the host, waiting' in uml.log(), 120, 'the line in the log')
        assert not any(line.startswith('STATUS') for line in uml.said), 'it did not wait'
        small.release()
        equal(uml.wait_for('STATUS'), '0', 'status of the write')
        equal(uml.wait_for('BACK'), uml.wait_for('SUM'), 'what is on the disk')
        contains(uml.log(), 'there is space on the host again', 'log')
        equal(uml.end(), 0, 'exit status')


def allowed(pid):
    try:
        return os.sched_getaffinity(pid)
    except ProcessLookupError:
        return set()


def vcpus(uml):
    """Thread of the virtual CPU, by its number."""
    found = {0: uml.process.pid}
    for task in os.listdir(f'/proc/{uml.process.pid}/task'):
        with open(f'/proc/{uml.process.pid}/task/{task}/comm', encoding='ascii') as file:
            name = file.read().strip()
        if name.startswith('vcpu'):
            found[int(name[4:])] = int(task)
    return found


def pinned(session):
    """Two busy processes, each on the CPU of a virtual CPU; and when these move, they move."""
    here = sorted(os.sched_getaffinity(0))
    first, second = here[0], here[-1]
    script = 'while :; do cat /dev/null; done & while :; do cat /dev/null; done & echo HERE; wait'
    with Uml(session, script, arguments=['ncpus=2', f'pin={first},{second}']) as uml:
        uml.wait_for('HERE')
        threads = vcpus(uml)
        equal({number: allowed(thread) for number, thread in threads.items()},
              {0: {first}, 1: {second}}, 'CPUs of the virtual CPUs')
        others = [int(task) for task in os.listdir(f'/proc/{uml.process.pid}/task')
                  if int(task) not in threads.values()]
        assert others, 'no helper thread'
        equal({task: allowed(task) for task in others}, {task: set(here) for task in others},
              'CPUs of the helper threads')
        os.sched_setaffinity(threads[0], {second})
        until(lambda: all(allowed(stub) <= {second} for stub in busy_stubs(uml)), 60,
              'the processes to follow')


def one_cpu_has_no_signal_mask(session):
    """An idle CPU has its interrupts off; that is no business of the kernel here."""
    with Uml(session, 'echo HERE; sleep 1000') as uml:
        uml.wait_for('HERE')
        def masked(number):
            with open(f'/proc/{uml.process.pid}/status', encoding='ascii') as file:
                mask = next(line.split()[1] for line in file if line.startswith('SigBlk:'))
            return bool(int(mask, 16) & 1 << number - 1)
        # It is idle when it waits with a descriptor for the timer's signal, which it masks for that.
        until(lambda: masked(signal.SIGALRM), 60, 'an idle guest')
        assert not masked(signal.SIGRTMIN), 'the signal that CPUs send one another is masked'


def busy_stubs(uml):
    """Those that have run on a CPU since the last look."""
    def ticks(pid):
        try:
            with open(f'/proc/{pid}/schedstat', encoding='ascii') as file:
                return int(file.read().split()[0])
        except OSError:
            return None
    before = {pid: ticks(pid) for pid in uml.stubs()}
    time.sleep(0.2)
    return [pid for pid, value in before.items() if value is not None and ticks(pid) not in (value, None)]


def body(session):
    for check in (static, boots, memory_is_a_memfd, channel_in, channel_out, channel_waits,
                  free_memory_goes_back, flush_is_a_sync, zeroes_are_holes, full_host_waits, pinned,
                  one_cpu_has_no_signal_mask):
        session.tap.check(check, session)


if __name__ == '__main__':
    main(body)
