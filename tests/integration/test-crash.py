#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: MIT
"""QEMU is killed in the middle of writes, again and again: what was fsynced is there afterwards.

Two writers in one container write a record, fsync it, and only then say so on stdout; a third
writes without ever syncing. What the test has read of their stdout is what was promised.
`--cycles N` says how often; the default is 5, `make soak` takes 100.
"""

import hashlib
import os
import random
import re
import signal
import subprocess
import threading

from lib.disk import expect_clean, expect_sound_after_crash
from lib.docker import BUSYBOX, Docker
from lib.session import main
from lib.tap import equal
from lib.waiting import until

CYCLES, SMALL_CYCLES = 5, 1
# Acknowledged records before the kill: a different moment each time.
EARLIEST, LATEST = 20, 120
# How many cycles back is looked at; a damage shows at once or never.
REMEMBERED = 4

# Record number I of cycle C is a line that is wide enough to tell it from a torn one.
WRITERS = r'''
line() { printf '%s-%06d-%s-%0200d\n' "$1" "$2" "$CYCLE" 7; }
append() {
    i=0
    while :; do
        i=$((i+1))
        line append $i | dd of=/v/append oflag=append conv=notrunc,fsync 2>/dev/null || exit 1
        echo "append $i"
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
append & create & dirty & wait
'''


def record(kind, number, cycle):
    return f'{kind}-{number:06d}-{cycle}-{7:0200d}\n'


class Promises:
    """Reads the writers' stdout in the background: the highest number that each has promised."""

    def __init__(self, client):
        self.append = 0
        self.create = 0
        self._client = client
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        for line in self._client.stdout:
            match = re.fullmatch(rb'(append|create) (\d+)\n', line)
            if match:  # the last line may be cut off
                setattr(self, match.group(1).decode(), int(match.group(2)))

    def finish(self):
        self._thread.join(60)
        assert not self._thread.is_alive(), 'the client of the dead engine goes on'


class Crashes:
    """The machine and all that was ever promised by its writers."""

    def __init__(self, session):
        self.machine = session.machine()
        self.docker = Docker(self.machine.socket, session.work)
        self.work = session.work
        self.tap = session.tap
        self.random = random.Random(6)
        self.promised = {}  # cycle -> (append, create)

    @property
    def image(self):
        return os.path.join(self.machine.state_dir, 'data.img')


def first_start(crashes):
    crashes.machine.boot()
    crashes.docker.import_busybox()


def killed_while_it_writes(crashes, cycle):
    client = crashes.docker.start('run', '--rm', '-e', f'CYCLE={cycle}', '-v', 'records:/v',
                                  BUSYBOX, 'sh', '-c', WRITERS, stdin=subprocess.DEVNULL)
    try:
        promises = Promises(client)
        wanted = crashes.random.randint(EARLIEST, LATEST)
        until(lambda: promises.append + promises.create >= wanted and promises.append and
              promises.create, 120, f'{wanted} records', interval=0.01)
        os.kill(crashes.machine.qemu_pid(), signal.SIGKILL)
        equal(crashes.machine.wait_exit(30), 125, 'exit status of dinv')
        promises.finish()
    finally:
        client.kill()
        client.communicate()
    crashes.promised[cycle] = (promises.append, promises.create)
    crashes.tap.say(f'cycle {cycle}: promised {promises.append} appended records and '
                    f'{promises.create} files')
    expect_sound_after_crash(crashes.image, crashes.work)
    crashes.machine.boot()
    expect_records(crashes)


# Prints a checksum of the first N files of each "CYCLE:N" in $1, then the appended records.
READER = r'''
for pair in $1; do
    cycle=${pair%:*}
    i=1
    while [ $i -le ${pair#*:} ]; do cat /v/new-$cycle/$i; i=$((i+1)); done | sha256sum
done
cat /v/append
'''


def expect_records(crashes):
    """Every promised record of the last cycles, whole and in its place."""
    last = sorted(crashes.promised)[-REMEMBERED:]
    pairs = ' '.join(f'{cycle}:{crashes.promised[cycle][1]}' for cycle in last)
    shown = crashes.docker('run', '--rm', '-v', 'records:/v', BUSYBOX, 'sh', '-c', READER, 'reader',
                           pairs)
    shown += '\n'
    lines = shown.splitlines(keepends=True)
    for index, cycle in enumerate(last):
        append, create = crashes.promised[cycle]
        content = ''.join(record('create', number, cycle) for number in range(1, create + 1))
        equal(lines[index].split()[0], hashlib.sha256(content.encode()).hexdigest(),
              f'the checksum of {create} files of cycle {cycle}')
        expected = [record('append', number, cycle) for number in range(1, append + 1)]
        # Not by lines: a record that was not promised may be torn, with the next one behind it.
        present = re.findall(f'append-[0-9]{{6}}-{cycle}-{7:0200d}\n', shown)
        equal(present[:append], expected, f'the appended records of cycle {cycle}')


def stops_in_order(crashes):
    equal(crashes.machine.stop(), 0, 'exit status')
    crashes.machine.expect_nothing_left()
    expect_clean(crashes.image)


def body(session):
    crashes = Crashes(session)
    if session.tap.check(first_start, crashes):
        cycles = session.options.cycles or (SMALL_CYCLES if session.options.small else CYCLES)
        for cycle in range(1, cycles + 1):
            if not session.tap.check(killed_while_it_writes, crashes, cycle, deadline=600,
                                     name=f'killed-while-it-writes-{cycle}'):
                break
        else:
            session.tap.check(stops_in_order, crashes)


if __name__ == '__main__':
    main(body)
