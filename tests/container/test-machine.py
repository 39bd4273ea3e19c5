#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: MIT
"""The machine in a container: on q35; and under a memory limit (docker run --memory), which the guest
never exceeds by itself, and where the settings ask for that nevertheless, one message explains the
end."""

from lib.docker import BUSYBOX
from lib.tap import contains, equal
from lib.waiting import until
from outer import main

MIB = 1 << 20
LIMIT = 1024 * MIB
# Takes what the guest can give, and makes its page cache want the rest.
GREEDY = ('for i in 1 2 3; do dd if=/dev/urandom of=/v/$i bs=1M count=200 2>/dev/null; cat /v/* > /dev/null; '
          'dd if=/dev/zero of=/t/full bs=1M count=400 2>/dev/null; rm /t/full /v/$i; done; echo done')


def cgroup_figure(container, *files):
    """The first of these files of the container's memory cgroup that is there; v1 and v2 differ."""
    for file in files:
        done = container.exec_('cat', f'/sys/fs/cgroup/{file}')
        if done.status == 0:
            return done.out
    raise AssertionError(f'none of {files} is in the container')


def oom_kills(container):
    text = cgroup_figure(container, 'memory.events', 'memory/memory.oom_control')
    return int(dict(line.split() for line in text.splitlines())['oom_kill'])


def guest_keeps_within_the_limit(outer):
    container = outer.start('limited', ['--memory', str(LIMIT)])
    container.wait_ready()
    contains(container.logs(), ' 768 MiB', "the guest's memory by default")
    container.import_busybox()
    greedy = container.inner('run', '--rm', '--tmpfs', '/t:size=500m', '-v', 'v:/v', BUSYBOX, 'sh', '-c', GREEDY,
                             deadline=240)
    equal(greedy, 'done', 'output of the greedy container')
    equal(oom_kills(container), 0, 'processes killed for want of memory')
    peak = int(cgroup_figure(container, 'memory.peak', 'memory/memory.max_usage_in_bytes'))
    failures = cgroup_figure(container, 'memory.events', 'memory/memory.failcnt').split()[-1]
    outer.tap.say(f'at most {peak >> 20} MiB of {LIMIT >> 20}, page cache included; limit met {failures} times')
    equal(container.inner('run', '--rm', BUSYBOX, 'echo', 'Hello'), 'Hello', 'output afterwards')
    equal(container.stop(), 0, 'exit status')
    container.remove()


def end_for_want_of_memory_is_explained(outer):
    container = outer.start('too-much', ['--memory', '512m'], DINV_MEMORY='2G')
    until(lambda: 'ready: Docker' in container.logs() or not container.inspect('{{.State.Running}}'), 240,
          'the engine, or the end')
    container.exec_('dinv', 'shell', 'dd', 'if=/dev/zero', 'of=/tmp/full', 'bs=1M', 'count=900')
    equal(container.wait_exit(60), 125, 'exit status')
    message = 'the container ran out of memory (its limit is 512 MiB, the guest may take 2048 MiB)'
    equal(container.logs().count(message), 1, 'explanations')
    container.remove()


def q35_has_all_it_needs(outer):
    """Firmware and option ROMs of the image are enough for the other machine, too."""
    done = outer.run('q35', command=['sh', '-c', 'dinv status --json; docker version --format {{.Server.Os}}'],
                     DINV_ACCEL='tcg', DINV_MACHINE='q35').expect(0)
    contains(done.out, '"machine":"q35"', 'the status')
    equal(done.out.split()[-1], 'linux', 'the last word of the engine')


def body(outer):
    outer.tap.check(q35_has_all_it_needs, outer)
    outer.tap.check(guest_keeps_within_the_limit, outer, deadline=600)
    outer.tap.check(end_for_want_of_memory_is_explained, outer)


if __name__ == '__main__':
    main(body)
