#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: MIT
"""QEMU, or the launcher, is killed in the middle of writes, again and again: what was fsynced is there
afterwards.

Three writers in one container, one of them on the private volume, write a record, fsync it, and only then
say so on stdout; a fourth writes without ever syncing; meanwhile images come in, one after the other, by
`docker load` and by `docker pull` from a registry outside. What the test has read of their stdout is what
was promised. An image that dockerd lists afterwards must be whole, every file of it, although dockerd syncs
none of them; what it got before the last one must be listed.
In every third cycle it is the launcher that is killed. `--cycles N` says how often; the default is 4
(3 times QEMU, once the launcher), `make soak` takes 150 (100 and 50).
"""

import hashlib
import os
import random
import re
import signal
import subprocess
import threading

from lib.dinv import is_alive
from lib.disk import expect_clean, expect_sound_after_crash
from lib.docker import BUSYBOX, Docker
from lib.layers import LayeredImage, damages
from lib.registry import Registry
from lib.session import main
from lib.tap import equal
from lib.waiting import until

CYCLES, SMALL_CYCLES = 4, 1
# The last of so many cycles kills the launcher.
LAUNCHER_EVERY = 3
# Acknowledged records before the kill: a different moment each time.
EARLIEST, LATEST = 20, 120
# Images that came in before it.
FEWEST, MOST = 1, 2
# How many cycles back is looked at; a damage shows at once or never.
REMEMBERED = 4

# Record number I of cycle C is a line that is wide enough to tell it from a torn one.
WRITERS = r'''
line() { printf '%s-%06d-%s-%0200d\n' "$1" "$2" "$CYCLE" 7; }
append() {
    i=0
    while :; do
        i=$((i+1))
        line $1 $i | dd of=$2/$1 oflag=append conv=notrunc,fsync 2>/dev/null || exit 1
        echo "$1 $i"
    done
}
create() {
    mkdir -p /v/new-$CYCLE
    i=0
    while :; do
        i=$((i+1))
        line create $i | dd of=/v/new-$CYCLE/$i conv=fsync 2>/dev/null || exit 1
        echo "create $i"
    done
}
dirty() { while :; do head -c 1000000 /dev/urandom > /v/dirty; mv /v/dirty /v/dirty.old; done; }
append append /v & append volume /w & create & dirty & wait
'''


def record(kind, number, cycle):
    return f'{kind}-{number:06d}-{cycle}-{7:0200d}\n'


class Promises:
    """Reads the writers' stdout in the background: the highest number that each has promised."""

    def __init__(self, client):
        self.append = self.volume = self.create = 0
        self._client = client
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        for line in self._client.stdout:
            match = re.fullmatch(rb'(append|volume|create) (\d+)\n', line)
            if match:  # the last line may be cut off
                setattr(self, match.group(1).decode(), int(match.group(2)))

    def finish(self):
        self._thread.join(60)
        assert not self._thread.is_alive(), 'the client of the dead engine goes on'


class Images:
    """Brings in one image after the other, loaded and pulled in turns, until the engine is gone. `there` are
    those that dockerd had said it has, `begun` is the next one."""

    def __init__(self, crashes, first):
        self.there = []
        self.begun = None
        self._crashes = crashes
        self._next = first
        self._thread = threading.Thread(target=self._bring_in, daemon=True)
        self._thread.start()

    def _bring_in(self):
        while self._bring_in_one():
            self.there.append(self.begun)
            self._next += 1

    def _bring_in_one(self):
        docker, registry = self._crashes.docker, self._crashes.registry
        if self._next % 2 == 0:
            self.begun = LayeredImage(self._next)
            return docker.try_('load', stdin=self.begun.archive()).status == 0
        self.begun = LayeredImage(self._next, repository=f'{self._crashes.registry_name}/pull')
        registry.serve(self.begun.in_registry())
        return docker.try_('pull', '--quiet', self.begun.name).status == 0

    def finish(self):
        self._thread.join(60)
        assert not self._thread.is_alive(), 'the client of the dead engine goes on'


class Crashes:
    """The machine and all that was ever promised by its writers."""

    def __init__(self, session):
        self.registry = Registry(None, '127.0.0.1')
        self.registry_name = f'host.docker.internal:{self.registry.port}'
        self.machine = session.machine(DOCKERD_ARGS=f'--insecure-registry {self.registry_name}',
                                       VOLUME_PATH='/volume', VOLUME_SIZE='256M')
        self.docker = Docker(self.machine.socket, session.work)
        self.work = session.work
        self.tap = session.tap
        self.random = random.Random(6)
        self.promised = {}  # cycle -> Promises
        self.images = 0  # begun so far

    @property
    def disks(self):
        return [os.path.join(self.machine.state_dir, name) for name in ('data.img', 'volume.img')]


def first_start(crashes):
    crashes.machine.boot()
    crashes.docker.import_busybox()


def kill(crashes, cycle):
    machine = crashes.machine
    qemu = machine.machine_pid()
    if cycle % LAUNCHER_EVERY != 0:
        os.kill(qemu, signal.SIGKILL)
        equal(machine.wait_exit(30), 125, 'exit status of dinv')
        return
    machine.signal(signal.SIGKILL)
    equal(machine.wait_exit(30), 128 + signal.SIGKILL, 'exit status of dinv')
    until(lambda: not is_alive(qemu), 10, 'the machine to end with its launcher')


def killed_while_it_writes(crashes, cycle):
    client = crashes.docker.start('run', '--rm', '--network', 'none', '-e', f'CYCLE={cycle}', '-v', 'records:/v',
                                  '-v', '/volume:/w', BUSYBOX, 'sh', '-c', WRITERS, stdin=subprocess.DEVNULL)
    try:
        promises = Promises(client)
        images = Images(crashes, crashes.images)
        wanted = crashes.random.randint(EARLIEST, LATEST)
        first = crashes.random.randint(FEWEST, MOST)
        until(lambda: promises.append + promises.create >= wanted and promises.append and
              promises.create and promises.volume and len(images.there) >= first, 120,
              f'{wanted} records and {first} images', interval=0.01)
        kill(crashes, cycle)
        promises.finish()
        images.finish()
    finally:
        client.kill()
        client.communicate()
    crashes.promised[cycle] = promises
    crashes.images += len(images.there) + 1
    crashes.tap.say(f'cycle {cycle}: promised {promises.append} appended records, {promises.volume} on the volume, '
                    f'{promises.create} files and {len(images.there)} images')
    for disk in crashes.disks:
        expect_sound_after_crash(disk, crashes.work)
    crashes.machine.boot()
    expect_records(crashes)
    expect_images(crashes, images)


def expect_images(crashes, images):
    """Every image that dockerd lists is whole, and can be removed. While it takes in an image, dockerd fsyncs
    records of its own: they carry with them what it had before."""
    there = crashes.docker('image', 'ls', '--format', '{{.Repository}}:{{.Tag}}').split()
    missing = [image.name for image in images.there[:-1] if image.name not in there]
    equal(missing, [], 'images that came in before the last one, and are not there')
    listed = [image for image in [*images.there, images.begun] if image.name in there]
    damaged = {image.name: lines for image in listed if (lines := damages(crashes.docker, image))}
    equal(damaged, {}, f'damaged files, in {len(listed)} images')
    for action in ('inspect', 'rm') if listed else ():
        crashes.docker('image', action, *(image.name for image in listed))
    crashes.tap.say(f'{len(listed)} images are whole')


# In the guest, without a container, which takes longer: prints a checksum of the first N files of each
# "CYCLE:N" in $1, then the appended records of both disks.
READER = r'''
cd /var/lib/docker/volumes/records/_data || exit
for pair in $1; do
    cycle=${pair%:*}
    i=1
    while [ $i -le ${pair#*:} ]; do cat new-$cycle/$i; i=$((i+1)); done | sha256sum
done
cat append /volume/volume
'''


def expect_records(crashes):
    """Every promised record of the last cycles, whole and in its place."""
    last = sorted(crashes.promised)[-REMEMBERED:]
    pairs = ' '.join(f'{cycle}:{crashes.promised[cycle].create}' for cycle in last)
    shown = crashes.machine.verb('shell', 'sh', '-c', READER, 'reader', pairs, deadline=120).expect(0).out
    lines = shown.splitlines(keepends=True)
    for index, cycle in enumerate(last):
        promises = crashes.promised[cycle]
        content = ''.join(record('create', number, cycle) for number in range(1, promises.create + 1))
        equal(lines[index].split()[0], hashlib.sha256(content.encode()).hexdigest(),
              f'the checksum of {promises.create} files of cycle {cycle}')
        for kind, count in (('append', promises.append), ('volume', promises.volume)):
            expected = [record(kind, number, cycle) for number in range(1, count + 1)]
            # Not by lines: a record that was not promised may be torn, with the next one behind it.
            present = re.findall(f'{kind}-[0-9]{{6}}-{cycle}-{7:0200d}\n', shown)
            equal(present[:count], expected, f'the records "{kind}" of cycle {cycle}')


def stops_in_order(crashes):
    equal(crashes.machine.stop(), 0, 'exit status')
    crashes.machine.expect_nothing_left()
    for disk in crashes.disks:
        expect_clean(disk)


def body(session):
    crashes = Crashes(session)
    try:
        if session.tap.check(first_start, crashes):
            cycles = session.options.cycles or (SMALL_CYCLES if session.options.small else CYCLES)
            for cycle in range(1, cycles + 1):
                if not session.tap.check(killed_while_it_writes, crashes, cycle, deadline=600,
                                         name=f'killed-while-it-writes-{cycle}'):
                    break
            else:
                session.tap.check(stops_in_order, crashes)
    finally:
        crashes.registry.close()


if __name__ == '__main__':
    main(body)
