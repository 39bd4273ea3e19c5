#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: MIT
"""Data disk, private volume and memory: full, grown, damaged, given back. A few starts of one
machine; the last is on q35."""

import os
import re
import signal
import subprocess

from lib import artefacts
from lib.dinv import ACCEL, resident_bytes, run
from lib.disk import expect_clean
from lib.docker import BUSYBOX, Docker, random_file
from lib.session import main
from lib.small_disk import SmallDisk, can_be_made
from lib.tap import contains, equal
from lib.waiting import until

MIB = 1 << 20
SETTINGS = {'MEMORY': '3G', 'DISK_SIZE': '1G', 'VOLUME_PATH': '/home/ci/volume', 'VOLUME_SIZE': '256M',
            'VOLUME_UID': '1000', 'VOLUME_GID': '1001'}


class Disks:
    def __init__(self, session):
        self.session = session
        self.machine = session.machine(**SETTINGS)
        self.tap = session.tap
        self.small = SmallDisk(self.machine.state_dir, 640) if can_be_made() else None
        self.docker = Docker(self.machine.socket, session.work)
        self.data = os.path.join(self.machine.state_dir, 'data.img')
        self.volume = os.path.join(self.machine.state_dir, 'volume.img')

    def in_container(self, script, *options):
        return self.docker.try_('run', '--rm', *options, BUSYBOX, 'sh', '-c', script)

    def allocated(self):
        return self.machine.status()['disk']['allocated']

    def kept(self):
        return [name for name in os.listdir(self.machine.state_dir) if '.damaged-' in name]

    def restart(self, **settings):
        """Another start on the same state, with other settings."""
        for name, value in settings.items():
            self.machine.environment[f'DINV_{name}'] = value
        self.machine.boot()


def first_start(disks):
    disks.machine.boot()
    disks.docker.import_busybox()
    equal(os.stat(disks.volume).st_mode & 0o077, 0, 'permissions of others on the volume')


def status_has_the_figures(disks):
    status = disks.machine.status()
    equal((status['disk']['size'], status['volume']['size']), (1024 * MIB, 256 * MIB), 'sizes')
    for name, path in (('disk', disks.data), ('volume', disks.volume)):
        equal(status[name]['file'], path, f'file of the {name}')
        assert abs(status[name]['allocated'] - os.stat(path).st_blocks * 512) < 64 * MIB, status[name]
        assert 0 < status['guest'][f'{name}_used'] < status['guest'][f'{name}_total'], status['guest']
    shown = disks.machine.verb('status').expect(0).out
    assert re.search(r'Disk .* of .* used\n .* outside, in .*data\.img\nVolume .* used\n .* outside, in', shown), shown


def volume_is_there_with_its_owner(disks):
    shown = disks.docker('run', '--rm', '--user', '1000:1001', '-v', '/home/ci/volume:/v', BUSYBOX, 'sh', '-c',
                         'stat -c "%u %g" /v; ls -A /v | wc -l; echo kept > /v/file; sync /v/file; cat /v/file')
    equal(shown.split(), ['1000', '1001', '0', 'kept'], 'owner, entries, and a file of its own')


def full_inside_is_enospc_inside(disks):
    """Zeros take nothing outside, so only the guest's own file system can be full."""
    before = disks.allocated()
    full = disks.in_container('dd if=/dev/zero of=/big bs=1M count=2000; echo "status $?"')
    contains(full.err, 'No space left on device', "dd's complaint")
    contains(full.out, 'status 1', "dd's status")
    # The container's end has removed the file.
    contains(disks.docker('run', '--rm', BUSYBOX, 'sh', '-c', 'echo goes on > /x; cat /x'), 'goes on',
             'the engine afterwards')
    equal(disks.machine.status()['paused'], None, 'why the guest is paused')
    assert disks.allocated() < before + 64 * MIB, 'zeros were stored outside'


def prune_gives_blocks_back(disks):
    before = disks.allocated()
    context = os.path.join(disks.session.work, 'burst')
    os.mkdir(context)
    random_file(os.path.join(context, 'burst'), 64 * MIB, 5)
    tar = run(['tar', '-C', context, '-c', 'burst']).raw_out
    disks.docker('import', '--change', 'LABEL burst=yes', '-', 'dinv-test/burst', stdin=tar)
    disks.machine.verb('shell', 'sync').expect(0)
    grown = until(lambda: disks.allocated() if disks.allocated() > before + 60 * MIB else None, 60,
                  'the image to be in data.img')
    disks.docker('image', 'prune', '--all', '--force', '--filter', 'label=burst')
    until(lambda: disks.allocated() < grown - 60 * MIB, 60, 'the blocks of the image to be given back')
    disks.tap.say(f'data.img takes {before >> 20} MiB, with the image {grown >> 20}, '
                  f'after prune {disks.allocated() >> 20}')


OUTER_FULL = ('dd if=/dev/urandom of=/tmp/random bs=1M count=96 2>/dev/null; sha256sum < /tmp/random; '
              'dd if=/tmp/random of=/v/random bs=1M conv=fsync 2>/dev/null; echo "status $?"; '
              'sha256sum < /v/random')


def full_outside_pauses_and_goes_on(disks):
    said_before = disks.machine.log().count('the guest is paused')
    disks.small.fill(32 * MIB)
    client = disks.docker.start('run', '--rm', '--tmpfs', '/tmp:size=100m', '-v', 'full:/v', BUSYBOX, 'sh', '-c',
                                OUTER_FULL, stdin=subprocess.DEVNULL)
    try:
        reason = until(lambda: disks.machine.status()['paused'], 120, 'the guest to be paused')
        contains(reason, disks.data, 'the reason')
        sick = disks.machine.verb('health')
        equal(sick.status, 1, 'exit status of dinv health')
        contains(sick.err, f'the guest is paused: no space left for {disks.data}', 'what it says')
        disks.small.release()
        out, _ = client.communicate(timeout=120)
        equal(client.returncode, 0, 'exit status of the writer')
    finally:
        client.kill()
        client.wait()
    first, status, second = out.decode().splitlines()
    equal(status, 'status 0', "dd's status")
    equal(second, first, 'checksum of what was written')
    until(lambda: disks.machine.status()['paused'] is None, 30, 'the status to say that it goes on')
    equal(disks.machine.log().count('the guest is paused') - said_before, 1, 'messages')
    contains(disks.machine.log(), 'the guest goes on', 'the log')
    disks.machine.verb('health').expect(0)
    disks.docker('volume', 'rm', 'full')


def settled_bytes(disks, pid):
    """Of QEMU, when the guest has dropped its caches and their pages have come back."""
    disks.machine.verb('shell', 'sh', '-c', 'sync; echo 3 > /proc/sys/vm/drop_caches').expect(0)
    last = [0]

    def settled():
        before, last[0] = last[0], resident_bytes(pid)
        return abs(last[0] - before) < 16 * MIB
    until(settled, 60, 'the memory to stay as it is', interval=3)
    return last[0]


def memory_goes_back(disks):
    pid = disks.machine.machine_pid()
    before = settled_bytes(disks, pid)
    with disks.docker.gibibyte_in_use():
        until(lambda: resident_bytes(pid) > before + 900 * MIB, 120, 'the guest to take a GiB')
        during = resident_bytes(pid)
    until(lambda: resident_bytes(pid) < during - 900 * MIB, 120, 'the GiB to be given back')
    disks.tap.say(f'resident: {before >> 20} MiB before, {during >> 20} during, {resident_bytes(pid) >> 20} after')


def stops_clean(disks):
    equal(disks.machine.stop(), 0, 'exit status')
    disks.machine.expect_nothing_left()
    expect_clean(disks.data)
    expect_clean(disks.volume)


def debugfs(image, *commands):
    for command in commands:
        run([artefacts.tool('debugfs'), '-w', '-R', command, image]).expect(0)


def grows_and_is_repaired(disks):
    """Errors are noted in the file system: it is checked before it is mounted, and goes on."""
    debugfs(disks.data, 'set_super_value state 2')
    disks.restart(DISK_SIZE='2G', VOLUME_SIZE='512M')
    log = disks.machine.log()
    contains(log, 'checking disk dinv-data', 'the log')
    contains(log, 'e2fsck: ', 'the log')
    assert 'checking disk dinv-volume' not in log, 'a clean disk was checked'
    status = disks.machine.status()
    assert status['guest']['disk_total'] > 1900 * MIB, status['guest']
    assert status['guest']['volume_total'] > 480 * MIB, status['guest']
    equal(disks.docker('run', '--rm', '-v', '/home/ci/volume:/v', BUSYBOX, 'cat', '/v/file'), 'kept', 'the file')


def killed(disks):
    """So that the volume's journal is to be replayed at the next start."""
    disks.in_container('echo more > /v/more; sync', '-v', '/home/ci/volume:/v')
    os.kill(disks.machine.machine_pid(), signal.SIGKILL)
    equal(disks.machine.wait_exit(30), 125, 'exit status')
    contains(disks.machine.log(), 'was killed by signal 9 (Killed)', 'the message')


def beyond_repair_is_kept_aside(disks):
    run([artefacts.tool('e2fsck'), '-fp', disks.data], deadline=120)
    debugfs(disks.data, 'clri <2>', 'set_super_value state 2')
    size = os.stat(disks.data).st_size
    said_before = len(disks.machine.log())
    disks.machine.start()
    equal(disks.machine.wait_exit(120), 125, 'exit status')
    said = disks.machine.log()[said_before:]
    contains(said, 'Root inode is not a directory', "e2fsck's reason")
    kept, = disks.kept()
    contains(said, f'kept as "{disks.machine.state_dir}/{kept}"', 'the message')
    assert not os.path.exists(disks.data), 'data.img is still there'
    equal(os.stat(os.path.join(disks.machine.state_dir, kept)).st_size, size, 'size of what was kept')
    disks.machine.expect_nothing_left()


def comes_back_on_q35(disks):
    """With a new data disk, the volume as it was, and a line about what was kept."""
    said_before = len(disks.machine.log())
    # A disk is the same in all of them.
    disks.restart(MACHINE='q35', ACCEL='tcg' if ACCEL == 'uml' else ACCEL)
    said = disks.machine.log()[said_before:]
    contains(said, 'is a damaged disk that was kept aside', 'the log')
    contains(said, 'checking disk dinv-volume', 'the log')
    equal(disks.machine.status()['machine'], 'q35', 'the machine')
    equal(disks.docker('image', 'ls', '-q'), '', 'images of the new disk')
    shown = disks.machine.verb('shell', 'sh', '-c', 'cat /home/ci/volume/*; ls /sys/bus/pci/drivers/virtio-pci')
    contains(shown.expect(0).out, 'kept\nmore\n', 'files of the volume')
    contains(shown.out, '0000:00:', 'virtio devices on PCI')
    disks.docker.import_busybox()
    equal(disks.docker('run', '--rm', BUSYBOX, 'echo', 'runs'), 'runs', 'a container')


def cut_short_is_kept_aside(disks):
    os.truncate(disks.data, 100 * MIB)
    refused = disks.machine.verb('run', deadline=60).expect(125)
    sentence = refused.err.strip().splitlines()[-1]
    contains(sentence, 'is truncated', 'the message')
    contains(sentence, 'the next start makes a new one', 'the message')
    equal(len(disks.kept()), 2, 'disks that were kept aside')
    assert not os.path.exists(disks.data), 'data.img is still there'


def body(session):
    disks = Disks(session)
    if not session.tap.check(first_start, disks):
        return
    checks = [status_has_the_figures, volume_is_there_with_its_owner, full_inside_is_enospc_inside,
              prune_gives_blocks_back]
    if disks.small:
        checks.append(full_outside_pauses_and_goes_on)
    checks += [memory_goes_back, stops_clean, grows_and_is_repaired, killed, beyond_repair_is_kept_aside,
               comes_back_on_q35]
    for check in checks:
        session.tap.check(check, disks)
    session.tap.check(stops_clean, disks, name='stops-clean-on-q35')
    session.tap.check(cut_short_is_kept_aside, disks)


if __name__ == '__main__':
    main(body)
