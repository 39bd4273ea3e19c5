#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: MIT
"""dinv in dinv: this image as a container of its own inner engine, unprivileged and without a device, so
its machine is emulated, here in an emulated one. Part of `make soak`.
"""

from lib.docker import BUSYBOX
from lib.tap import equal
from lib.waiting import until
from outer import main

NESTED_DEADLINE = 3000


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
    nest.dinv.inner('run', '-d', '--name', 'nested', '-e', 'DINV_ACCEL=tcg', '-e', 'DINV_MEMORY=1G',
                    '-e', f'DINV_BOOT_TIMEOUT={NESTED_DEADLINE}', nest.outer.image, deadline=300)

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
    nest.dinv.inner('stop', '--time', '300', 'nested', deadline=400)
    equal(nest.dinv.inner('inspect', '--format', '{{.State.ExitCode}}', 'nested'), '0', 'exit status of the nested one')
    equal(nest.dinv.stop(), 0, 'exit status of the outer one')


def body(outer):
    nest = Nest(outer)
    for check in (has_its_own_image, runs_it, runs_a_container_in_it, stops):
        outer.tap.check(check, nest, deadline=NESTED_DEADLINE + 600)


if __name__ == '__main__':
    main(body)
