#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: MIT
"""Containers that cannot work: one sentence that says why and what to do, exit status 125, nothing
made or changed. None of them comes to boot a machine but one, which holds the state directory."""

import os

from lib.tap import contains, equal
from outer import main, one_sentence


def refused(outer, what, options=(), kvm=True, says=(), **settings):
    """Runs dinv, which must refuse with one sentence that has all of `says` in it."""
    done = outer.run(what, options, kvm=kvm, deadline=60, **settings).expect(125)
    equal(done.out, '', 'stdout')
    sentence = one_sentence(done.err)
    for part in says:
        contains(sentence, part, 'the sentence')


def no_kvm_device(outer):
    refused(outer, 'no-kvm', kvm=False, says=['/dev/kvm', '--device'], DINV_ACCEL='kvm')


def kvm_device_without_permission(outer):
    refused(outer, 'permission', ['--user', '1000:1000'],
            says=['/dev/kvm may not be opened by user 1000'], DINV_ACCEL='kvm')


def memory_limit_too_small(outer):
    refused(outer, 'memory', ['--memory', '64m'], says=['memory'])


def settings_that_are_none(outer):
    refused(outer, 'setting', says=['DINV_TCP_PORTS', '80a'], DINV_TCP_PORTS='80a')


def read_only_state_volume(outer):
    volume = outer.volume('read-only')
    refused(outer, 'read-only', ['--volume', f'{volume}:/var/lib/dinv:ro'], says=['/var/lib/dinv'])
    equal(os.listdir(outer.mountpoint(volume)), [], 'files in the volume')


def full_state_volume(outer):
    refused(outer, 'full', ['--tmpfs', '/var/lib/dinv:mode=1777,size=16k'], says=['/var/lib/dinv'])


def state_volume_of_another_user(outer):
    volume = outer.volume('foreign')
    place = outer.mountpoint(volume)
    os.chmod(place, 0o755)
    with open(os.path.join(place, 'kept'), 'w', encoding='utf-8'):
        pass  # a volume with something in it keeps its owner
    refused(outer, 'foreign', ['--user', '1000:1000', '--volume', f'{volume}:/var/lib/dinv'], kvm=False,
            says=['/var/lib/dinv'], DINV_ACCEL='tcg')
    equal(os.listdir(place), ['kept'], 'files in the volume')


def state_volume_of_a_running_dinv(outer):
    volume = outer.volume('taken')
    mount = ['--volume', f'{volume}:/var/lib/dinv']
    first = outer.start('first', mount)
    first.wait_ready()
    refused(outer, 'second', mount, says=['/var/lib/dinv'])
    contains(first.inner('info', '--format', '{{.OSType}}'), 'linux', 'the first goes on')
    equal(first.stop(), 0, 'exit status of the first')
    first.remove()


def body(outer):
    for check in (no_kvm_device, kvm_device_without_permission, memory_limit_too_small,
                  settings_that_are_none, read_only_state_volume, full_state_volume,
                  state_volume_of_another_user, state_volume_of_a_running_dinv):
        outer.tap.check(check, outer)


if __name__ == '__main__':
    main(body)
