#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: MIT
"""dinv in a container that has --device /dev/kvm and nothing else: its health, its end, what the outer
engine sees of it; the same with every privilege taken away, as an ordinary user, and without a device.
"""

import json
import os
import time

from lib.disk import expect_clean
from lib.docker import BUSYBOX
from lib.tap import contains, equal
from lib.waiting import until
from outer import main

GUARD = 'trap "exit 0" TERM; echo up; while :; do sleep 1000 & wait; done'
HARDENED = ['--cap-drop=ALL', '--security-opt=no-new-privileges', '--read-only',
            '--tmpfs', '/run', '--tmpfs', '/tmp']


class Life:
    """The container under test, and what the outer engine listed before it was there."""

    def __init__(self, outer):
        self.outer = outer
        self.volume = outer.volume('state')
        self.before = outer.listing()
        self.container = None

    def expect_clean_disk(self):
        image = os.path.join(self.outer.mountpoint(self.volume), 'data.img')
        expect_clean(image)


def healthy_only_when_the_engine_answers(life):
    life.container = life.outer.start('plain', ['--volume', f'{life.volume}:/var/lib/dinv'])
    equal(life.container.health(), 'starting', 'health at first')
    assert life.container.exec_('dinv', 'health').status != 0, 'healthy before the engine answers'
    life.container.wait_healthy()
    contains(life.container.inner('info', '--format', '{{.OperatingSystem}}'), 'Alpine', 'the inner engine')


def runs_a_container(life):
    life.container.import_busybox()
    equal(life.container.inner('run', '--rm', BUSYBOX, 'echo', 'Hello'), 'Hello', 'output')
    equal(life.container.inner_try('run', '--rm', BUSYBOX, 'sh', '-c', 'exit 42').status, 42, 'exit status')


def outer_engine_sees_nothing_of_it(life):
    container = life.container
    container.inner('volume', 'create', 'inner-volume')
    container.inner('network', 'create', 'inner-network')
    container.inner('run', '--detach', '--name', 'inner-guard', '--volume', 'inner-volume:/v', BUSYBOX,
                    'sh', '-c', GUARD)
    until(lambda: 'up' in container.inner('logs', 'inner-guard'), 60, 'the inner container')
    now = life.outer.listing()
    equal(now['volumes'], life.before['volumes'], 'volumes')
    equal(now['networks'], life.before['networks'], 'networks')
    equal(now['images'], life.before['images'], 'images')
    equal(len(now['containers']), len(life.before['containers']) + 1, 'containers')


def no_process_outside_its_pid_namespace(life):
    """Of all processes of this machine, those of dinv and QEMU are in the container's namespace."""
    first = life.container.inspect('{{.State.Pid}}')
    namespace = os.readlink(f'/proc/{first}/ns/pid')
    inside = {pid for pid, _ in life.container.processes()}
    assert len(inside) >= 2, f'dinv and QEMU are not both there: {life.container.processes()}'
    token = f'/{life.container.name}\0'.encode()
    for name in filter(str.isdigit, os.listdir('/proc')):
        try:
            with open(f'/proc/{name}/environ', 'rb') as file:
                environment = file.read()
            program = os.readlink(f'/proc/{name}/exe')
            place = os.readlink(f'/proc/{name}/ns/pid')
        except OSError:  # gone meanwhile
            continue
        if int(name) in inside or program == '/usr/bin/dinv' and token in environment:
            equal(place, namespace, f'the pid namespace of {program}')


def unhealthy_with_the_reason(life):
    """The engine inside is stopped; it is not this test's matter whether it comes back."""
    container = life.container
    container.exec_('dinv', 'shell', 'sh', '-c', 'kill -STOP $(pidof dockerd)').expect(0)
    until(lambda: container.health() == 'unhealthy', 90, 'the state "unhealthy"', interval=1)
    contains(container.health_text(), 'dinv: not healthy: ', 'the reason')
    container.exec_('dinv', 'shell', 'sh', '-c', 'kill -CONT $(pidof dockerd)').expect(0)
    until(lambda: container.health() == 'healthy', 60, 'the state "healthy" again', interval=1)


def stops_within_the_grace_period(life):
    begin = time.monotonic()
    equal(life.container.stop(), 0, 'exit status')
    assert time.monotonic() - begin < 10, f'docker stop took {time.monotonic() - begin:.1f} s'
    contains(life.container.logs(), 'the data disk is clean', 'its log')
    life.expect_clean_disk()
    life.container.remove()


def starts_again_without_any_privilege(life):
    """The same volume, by a container that has none of what Docker gives by default."""
    life.container = life.outer.start('hardened', [*HARDENED, '--volume', f'{life.volume}:/var/lib/dinv'])
    life.container.wait_healthy()
    names = life.container.inner('ps', '--all', '--format', '{{.Names}}')
    contains(names, 'inner-guard', 'what the last one left')
    equal(life.container.inner('run', '--rm', BUSYBOX, 'echo', 'Hello'), 'Hello', 'output')
    equal(life.container.stop(), 0, 'exit status')
    life.expect_clean_disk()
    life.container.remove()


def ordinary_user(outer):
    """--user 1000:1000 in a new volume; /dev/kvm as its group may have it."""
    group = str(os.stat('/dev/kvm').st_gid)
    volume = outer.volume('user')
    container = outer.start('user', ['--user', '1000:1000', '--group-add', group,
                                     '--volume', f'{volume}:/var/lib/dinv'])
    container.wait_ready()
    container.import_busybox()
    equal(container.inner('run', '--rm', BUSYBOX, 'id', '-u'), '0', 'user in the inner container')
    equal(container.exec_('id', '-u').out.strip(), '1000', 'user of the outer container')
    equal(container.stop(), 0, 'exit status')
    container.remove()


def no_device(outer):
    """As usmol: no privilege and no device at all; and no network of the outer engine either."""
    container = outer.start('nothing', [*HARDENED, '--network', 'none', '--user', '1000:1000',
                                        '--tmpfs', '/var/lib/dinv:mode=1777,size=1g'],
                            kvm=False)
    container.wait_ready()
    equal(json.loads(container.exec_('dinv', 'status', '--json').out)['accel'], 'uml', 'what runs the guest')
    container.proves_itself()


def body(outer):
    life = Life(outer)
    for check in (healthy_only_when_the_engine_answers, runs_a_container, outer_engine_sees_nothing_of_it,
                  no_process_outside_its_pid_namespace, unhealthy_with_the_reason,
                  stops_within_the_grace_period, starts_again_without_any_privilege):
        outer.tap.check(check, life)
    outer.tap.check(ordinary_user, outer)
    outer.tap.check(no_device, outer)


if __name__ == '__main__':
    main(body)
