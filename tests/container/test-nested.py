#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: MIT
"""dinv in dinv, emulated within emulation: the image in the inner engine, started as outside, and a container
in the innermost engine. Part of `make soak`: everything in the inner machine takes some thirty times as long.
"""

import subprocess

from lib.docker import BUSYBOX, busybox_tar
from lib.tap import contains, equal
from outer import main

# The inner machine has room for the inner one, its translated code, and an engine around it.
MEMORY, INNER_MEMORY = '3G', '1G'
LOAD_DEADLINE = 900
# From `docker run` to the innermost engine's first answer.
READY_DEADLINE = 2400
RUN_DEADLINE = 1800
STOP_DEADLINE = 600


class Nested:
    """`dinv` is the container of the outer engine, in which the container `inner` is dinv again."""

    def __init__(self, outer):
        self.outer = outer
        self.dinv = outer.start('dinv', options=('--stop-timeout', '60'), kvm=False, DINV_ACCEL='tcg',
                                DINV_MEMORY=MEMORY, DINV_SHUTDOWN_TIMEOUT=50).wait_ready()

    def innermost(self, *words, **more):
        """The docker CLI of the inner dinv, on the innermost engine. Answers its result."""
        options = ('--interactive',) if 'stdin' in more else ()
        return self.dinv.inner_try('exec', *options, 'inner', 'docker', *words, deadline=RUN_DEADLINE, **more)


def loads_its_own_image(nested):
    docker = nested.outer.docker
    with subprocess.Popen(docker.argv('save', nested.outer.image), env=docker.environment,
                          stdout=subprocess.PIPE) as saver:
        nested.dinv.inner('load', stdin=saver.stdout, deadline=LOAD_DEADLINE)
        equal(saver.wait(60), 0, 'exit status of docker save')


def boots(nested):
    """Without any device and privilege, as outside."""
    nested.dinv.inner('run', '--detach', '--name', 'inner', '--no-healthcheck', '--env', 'DINV_ACCEL=tcg',
                      '--env', 'DINV_CPUS=1', '--env', f'DINV_MEMORY={INNER_MEMORY}',
                      '--env', f'DINV_BOOT_TIMEOUT={READY_DEADLINE}', '--env', 'DINV_SHUTDOWN_TIMEOUT=300',
                      nested.outer.image, deadline=120)
    # Not asked again and again: each question takes seconds of the CPU that emulates it all.
    with nested.outer.docker.start('exec', nested.dinv.name, 'docker', 'logs', '--follow', 'inner') as logs:
        for line in logs.stderr:
            nested.outer.tap.say(line.decode().rstrip())
            if b' ready: Docker ' in line:
                logs.terminate()
                break
        else:
            raise AssertionError('it ended')
    nested.dinv.inner('exec', 'inner', 'dinv', 'health', deadline=RUN_DEADLINE)


def runs_a_container(nested):
    nested.innermost('import', '--change', 'CMD ["sh"]', '-', BUSYBOX, stdin=busybox_tar()).expect(0)
    done = nested.innermost('run', '--rm', BUSYBOX, 'sh', '-c', 'echo hello from $(uname -n); exit 42')
    equal(done.status, 42, 'exit status through three engines')
    contains(done.out, 'hello from ', 'what it said')


def stops_in_order(nested):
    nested.dinv.inner('stop', '--time', str(STOP_DEADLINE), 'inner', deadline=STOP_DEADLINE + 60)
    equal(nested.dinv.inner('inspect', '--format', '{{.State.ExitCode}}', 'inner'), '0', 'exit status')
    contains(nested.dinv.inner_try('logs', 'inner').err, 'the data disk is clean', 'its log')


def body(outer):
    nested = Nested(outer)
    outer.tap.check(loads_its_own_image, nested, deadline=LOAD_DEADLINE + 60)
    outer.tap.check(boots, nested, deadline=READY_DEADLINE + 300)
    outer.tap.check(runs_a_container, nested, deadline=2 * RUN_DEADLINE + 60)
    outer.tap.check(stops_in_order, nested, deadline=STOP_DEADLINE + 300)


if __name__ == '__main__':
    main(body)
