#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: MIT
"""What containers find as they would under a dockerd in the outer container: their devices and limits, and
users of their own with `userns-remap`."""

import json
import os
import resource

from lib.docker import BUSYBOX, Docker
from lib.session import main
from lib.tap import equal

LIMITS = {'n': resource.RLIMIT_NOFILE, 'u': resource.RLIMIT_NPROC, 'c': resource.RLIMIT_CORE,
          'l': resource.RLIMIT_MEMLOCK}
# More than systems allow by themselves, as databases ask for it.
MANY_FILES = 2000000
REMAPPED = 165536


class Habits:
    def __init__(self, session, configuration):
        self.machine = session.machine()
        folder = os.path.join(self.machine.directory, 'docker')
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, 'daemon.json'), 'w', encoding='utf-8') as file:
            json.dump(configuration, file)
        self.docker = Docker(self.machine.socket, session.work)

    def run(self, script, *options):
        return self.docker('run', '--rm', *options, BUSYBOX, 'sh', '-c', script)


def boots(habits):
    habits.machine.boot()
    habits.docker.import_busybox()


def devices_of_a_container(habits):
    """Those that Docker gives it: the kernel adds none of its own."""
    equal(habits.run('ls /sys/class/net').split(), ['eth0', 'lo'], 'network devices')
    equal(habits.run('ls /sys/class/net', '--network', 'none').split(), ['lo'], 'without a network')


def limits_are_those_outside(habits):
    wanted = []
    for option, number in LIMITS.items():
        for flag, limit in zip('SH', resource.getrlimit(number)):
            unit = {'c': 512, 'l': 1024}.get(option, 1)  # busybox's own
            shown = 'unlimited' if limit == resource.RLIM_INFINITY else limit // unit
            wanted.append(f'{flag}{option} {shown}')
    options = ' '.join(line.split()[0] for line in wanted)
    found = habits.run(f'for of in {options}; do echo "$of $(ulimit -$of)"; done')
    equal(found.splitlines(), wanted, 'ulimit -…')


def more_files_than_outside(habits):
    equal(habits.run('ulimit -Sn; ulimit -Hn', '--ulimit', f'nofile={MANY_FILES}').split(),
          [str(MANY_FILES)] * 2, 'the limits asked for')


def own_limit_wins(habits):
    equal(habits.run('ulimit -Sn; ulimit -Hn', '--ulimit', 'nofile=100:200').split(), ['100', '200'], 'limits')


def root_is_another_user(habits):
    equal(habits.run('cat /proc/self/uid_map').split(), ['0', str(REMAPPED), '65536'], 'the map of users')
    habits.docker('run', '-d', '--name', 'long', '-v', 'own:/v', BUSYBOX, 'sh', '-c',
                  'echo written > /v/file; exec sleep 100000')
    pid = habits.docker('inspect', '--format', '{{.State.Pid}}', 'long')
    shown = habits.machine.verb('shell', 'stat', '-c', '%u', f'/proc/{pid}').expect(0).out
    equal(shown.strip(), str(REMAPPED), 'the owner of its process in the guest')
    equal(habits.run('stat -c %u /v/file; cat /v/file', '-v', 'own:/v').split(), ['0', 'written'], 'the volume')


def stops(habits):
    equal(habits.machine.stop(), 0, 'exit status')
    habits.machine.expect_nothing_left()


def body(session):
    plain = Habits(session, {})
    for check in (boots, devices_of_a_container, limits_are_those_outside, more_files_than_outside, own_limit_wins,
                  stops):
        session.tap.check(check, plain)
    remapped = Habits(session, {'userns-remap': 'default'})
    for check in (boots, root_is_another_user, stops):
        session.tap.check(check, remapped, name=f'remapped-{check.__name__.replace("_", "-")}')


if __name__ == '__main__':
    main(body)
