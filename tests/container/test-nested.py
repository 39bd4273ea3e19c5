#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: MIT
"""dinv in dinv: this image as a container of its own inner engine, unprivileged and without a device, so
its machine is emulated, here in an emulated one. Part of `make soak`.

Emulated twice it is about fifty times slower than once, and dockerd gives its containerd 15 seconds to start, whatever
it is told. So the nested machine's clock counts its instructions (QEMU's -icount): its seconds last longer.
"""

from lib.docker import BUSYBOX
from lib.tap import equal
from lib.waiting import until
from outer import main

NESTED_DEADLINE = 3000
SLOW_QEMU = """\
#!/bin/sh
exec qemu-system-x86_64 "$@" -icount shift=1,sleep=off
"""


class Nest:
    def __init__(self, outer):
        self.outer = outer
        self.dinv = None


def has_its_own_image(nest):
    nest.dinv = nest.outer.start('dinv', DINV_MEMORY='4G')
    nest.dinv.wait_ready()
    nest.dinv.import_busybox()
    saved = f'{nest.outer.work}/image.tar'
    nest.outer.docker('save', '--output', saved, nest.outer.image, deadline=300)
    with open(saved, 'rb') as file:
        nest.dinv.inner('load', stdin=file, deadline=900)


def runs_it(nest):
    nest.dinv.exec_('sh', '-c', 'cat >/slow-qemu && chmod 755 /slow-qemu', options=['-i'],
                    stdin=SLOW_QEMU.encode()).expect(0)
    nest.dinv.inner('create', '--name', 'nested', '-e', 'DINV_ACCEL=tcg', '-e', 'DINV_MEMORY=1G', '-e', 'DINV_CPUS=1',
                    '-e', f'DINV_BOOT_TIMEOUT={NESTED_DEADLINE}', '-e', 'DINV_QEMU=/slow-qemu',
                    '-e', 'DINV_SHUTDOWN_TIMEOUT=600', nest.outer.image, deadline=300)
    nest.dinv.inner('cp', '/slow-qemu', 'nested:/slow-qemu')
    nest.dinv.inner('start', 'nested', deadline=300)

    def ready():
        running = nest.dinv.inner('inspect', '--format', '{{.State.Running}}', 'nested')
        assert running == 'true', f'it ended: {nest.dinv.inner_try("logs", "nested").err}'
        return 'ready: Docker' in nest.dinv.inner_try('logs', 'nested').err
    until(ready, NESTED_DEADLINE, 'the nested engine', interval=2)


def runs_a_container_in_it(nest):
    save = f'docker save {BUSYBOX} | docker exec -i nested docker load'
    nest.dinv.exec_('sh', '-c', save, deadline=900).expect(0)
    done = nest.dinv.inner_try('exec', 'nested', 'docker', 'run', '--rm', BUSYBOX, 'sh', '-c', 'echo Hello; exit 3',
                               deadline=900)
    equal((done.status, done.out), (3, 'Hello\n'), 'status and output through three engines')


def stops(nest):
    nest.dinv.inner('stop', '--time', '700', 'nested', deadline=800)
    equal(nest.dinv.inner('inspect', '--format', '{{.State.ExitCode}}', 'nested'), '0', 'exit status of the nested one')
    equal(nest.dinv.stop(), 0, 'exit status of the outer one')


def body(outer):
    nest = Nest(outer)
    for check in (has_its_own_image, runs_it, runs_a_container_in_it, stops):
        outer.tap.check(check, nest, deadline=NESTED_DEADLINE + 600)


if __name__ == '__main__':
    main(body)
