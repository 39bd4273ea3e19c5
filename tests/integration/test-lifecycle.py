#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: MIT
"""How dinv ends, in every way that is known, and that the next start finds everything.

All on one state directory, start after start, because a start takes long under emulation.
"""

import json
import os
import signal
import stat

from lib import artefacts, dinv
from lib.disk import expect_clean, expect_sound_after_crash
from lib.docker import BUSYBOX, Docker
from lib.session import main
from lib.tap import contains, equal
from lib.waiting import until

# Takes its time to stop, and notes that it was asked to, and that it came to its end.
GUARD = ('trap "echo asked >> /v/notes; sleep 1; echo stopped >> /v/notes; sync; exit 0" TERM; '
         'echo up; while :; do sleep 1000 & wait; done')
# Hears that it is to stop, and goes on.
STUBBORN = 'trap : TERM; echo up; while :; do sleep 1000 & wait; done'


class Life:
    """The machine, its docker, and a directory for the test's files."""

    def __init__(self, session):
        self.machine = session.machine()
        self.docker = Docker(self.machine.socket, session.work)
        self.work = session.work
        self.tap = session.tap
        self.session = session

    @property
    def image(self):
        return os.path.join(self.machine.state_dir, 'data.img')

    def start_container(self, name, script):
        self.docker('run', '-d', '--name', name, '-v', f'{name}:/v', BUSYBOX, 'sh', '-c', script)
        until(lambda: 'up' in self.docker('logs', name), 60, f'the first line of {name}')

    def notes(self, name):
        return self.docker('run', '--rm', '-v', f'{name}:/v', BUSYBOX, 'cat', '/v/notes').split()


def first_start(life):
    life.machine.boot()
    mode = os.stat(life.machine.socket)
    assert stat.S_ISSOCK(mode.st_mode), 'DINV_SOCKET is not a socket'
    equal(stat.S_IMODE(mode.st_mode), 0o660, 'permissions of the socket')
    life.docker.import_busybox()
    life.start_container('one', GUARD)
    life.start_container('two', GUARD)
    life.docker('tag', BUSYBOX, 'dinv-test/kept:1')


def second_launcher_is_refused(life):
    before = life.docker('ps', '-q').split()
    again = life.machine.verb('run', deadline=30).expect(125)
    equal(len(again.err.strip().splitlines()), 1, f'lines of {again.err!r}')
    # Another socket and the same state directory; and the same socket with another directory.
    refused = life.machine.verb('run', '--socket', f'{life.machine.directory}/other.sock')
    refused.expect(125)
    contains(refused.err, life.machine.state_dir, 'the message names the directory')
    contains(refused.err, str(life.machine.process.pid), 'the message names who holds it')
    other = os.path.join(life.machine.directory, 'other')
    taken = life.machine.verb('run', '--state-dir', other).expect(125)
    contains(taken.err, life.machine.socket, 'the message names the socket')
    assert not os.path.exists(other), 'a refused start made its state directory'
    life.machine.verb('health').expect(0)
    equal(life.docker('ps', '-q').split(), before, 'the first is not disturbed')


def another_kind_of_machine_beside(life):
    """One root image is enough for both."""
    other = life.session.machine(ACCEL='tcg')
    other.start()
    until(lambda: 'dinv-guest' in other.console() or other.process.poll() is not None, dinv.BOOT_DEADLINE,
          'the first words of the emulated guest')
    equal(other.process.poll(), None, 'it has not ended')
    equal(other.stop(), 0, 'exit status')
    other.expect_nothing_left()
    life.machine.verb('health').expect(0)


def sigterm_stops_containers_in_order(life):
    equal(life.machine.stop(), 0, 'exit status')
    life.machine.expect_nothing_left()
    expect_clean(life.image)


def command_on_the_same_state(life):
    """`dinv run CMD`: everything is still there, CMD sees the engine, its status comes out."""
    script = ('[ -n "$DOCKER_HOST" ] && echo "host=$DOCKER_HOST" && '
              f'"{artefacts.docker_cli()}" images --format "{{{{.Repository}}}}:{{{{.Tag}}}}" && '
              f'"{artefacts.docker_cli()}" run --rm -v one:/v {BUSYBOX} cat /v/notes && '
              f'"{artefacts.docker_cli()}" run --rm -v two:/v {BUSYBOX} cat /v/notes && exit 42')
    life.machine.start('sh', '-c', script)
    equal(life.machine.wait_exit(dinv.BOOT_DEADLINE), 42, 'exit status')
    said = life.machine.log()
    contains(said, f'host=unix://{life.machine.socket}', 'DOCKER_HOST of the command')
    contains(said, 'dinv-test/kept:1', 'images after the restart')
    equal(said.split().count('asked'), 2, 'containers that got their stop signal')
    equal(said.split().count('stopped'), 2, 'containers that stopped in order')
    life.machine.expect_nothing_left()
    expect_clean(life.image)


def control_c(life):
    """Ctrl-C reaches the whole foreground, QEMU too, and must still be an orderly end."""
    terminal = life.machine.start_on_terminal()
    life.machine.wait_ready()
    life.docker('rm', '-f', 'one', 'two')
    life.start_container('three', GUARD)
    terminal.send('\x03')
    equal(life.machine.wait_exit(), 0, 'exit status')
    life.machine.expect_nothing_left()
    expect_clean(life.image)
    life.tap.say('its terminal showed, last: ' + ' | '.join(terminal.output.split('\n')[-4:]))


def machine_is_killed(life):
    life.machine.boot()
    equal(life.notes('three'), ['asked', 'stopped'], 'what the container noted at Ctrl-C')
    life.docker('run', '--rm', '-v', 'synced:/v', BUSYBOX, 'sh', '-c',
                'echo kept > /tmp/f; dd if=/tmp/f of=/v/notes conv=fsync 2>&1')
    length = len(life.machine.log())
    os.kill(life.machine.machine_pid(), signal.SIGKILL)
    equal(life.machine.wait_exit(30), 125, 'exit status')
    said = life.machine.log()[length:]
    program = 'linux-uml' if dinv.ACCEL == 'uml' else 'qemu'
    contains(said.lower(), program, 'the message says what died')
    assert 'SIGKILL' in said or 'signal 9' in said or 'illed' in said, f'no cause in {said!r}'
    life.machine.expect_nothing_left()
    expect_sound_after_crash(life.image, life.work)


def second_sigterm_ends_at_once(life):
    """And everything synced before the machine was killed is there."""
    life.machine.boot()
    equal(life.notes('synced'), ['kept'], 'what was synced before the machine was killed')
    equal(life.notes('three'), ['asked', 'stopped'], 'notes of the day before')
    # It does not hear SIGTERM and would be given ten minutes.
    life.docker('run', '-d', '--name', 'stubborn', '--stop-timeout', '600', BUSYBOX, 'sh', '-c', STUBBORN)
    until(lambda: 'up' in life.docker('logs', 'stubborn'), 60, 'the stubborn container')
    life.machine.signal(signal.SIGTERM)

    def stopping():
        status = life.machine.status()
        return status and status['state'] == 'stopping'
    until(stopping, 30, 'the state "stopping"')
    equal(life.machine.process.poll(), None, 'it waits for the stubborn container')
    life.machine.signal(signal.SIGTERM)
    equal(life.machine.wait_exit(15), 0, 'exit status')  # far below DINV_SHUTDOWN_TIMEOUT
    life.machine.expect_nothing_left()
    expect_sound_after_crash(life.image, life.work)


def launcher_is_killed(life):
    life.machine.start()
    qemu = life.machine.machine_pid()
    life.machine.signal(signal.SIGKILL)
    equal(life.machine.wait_exit(30), 137, 'exit status')
    until(lambda: not dinv.is_alive(qemu), 15, 'the machine to be gone with its launcher')
    life.machine.expect_nothing_left(sockets=False)
    expect_sound_after_crash(life.image, life.work)


def command_killed_by_a_signal(life):
    """Also: the sockets that a killed launcher left are no obstacle."""
    life.machine.start('sh', '-c', 'kill -TERM $$')
    equal(life.machine.wait_exit(dinv.BOOT_DEADLINE), 128 + signal.SIGTERM, 'exit status')
    life.machine.expect_nothing_left()
    expect_clean(life.image)


def command_that_cannot_run(life):
    life.machine.start('/no/such/program')
    equal(life.machine.wait_exit(dinv.BOOT_DEADLINE), 127, 'exit status')
    contains(life.machine.log(), '/no/such/program', 'the message')
    life.machine.expect_nothing_left()


def sigterm_during_the_hook(life):
    """It reaches DINV_ON_READY, whose engine still answers; the command that would follow is not run."""
    hook = (f'trap \'"{artefacts.docker_cli()}" info --format "hook stopped by {{{{.OSType}}}}"; exit 5\' TERM; '
            'echo hook is up; while :; do sleep 0.1; done')
    life.machine.start('--on-ready', hook, 'echo', 'the', 'command', 'runs')
    until(lambda: 'hook is up' in life.machine.log(), dinv.BOOT_DEADLINE, 'DINV_ON_READY')
    contains(life.machine.verb('health').expect(1).err, 'DINV_ON_READY still runs', 'dinv health')
    life.machine.signal(signal.SIGTERM)
    equal(life.machine.wait_exit(), 128 + signal.SIGTERM, 'exit status')
    contains(life.machine.log(), 'hook stopped by linux', 'what DINV_ON_READY said')
    assert 'the command runs' not in life.machine.log(), life.machine.log()
    life.machine.expect_nothing_left()
    expect_clean(life.image)


def command_that_succeeds(life):
    """It also shows that stdin, stdout and stderr of the command are dinv's own."""
    terminal = life.machine.start_on_terminal('sh', '-c', 'test -t 0 && test -t 1 && test -t 2 && '
                                              'echo on-a-$((40+2))-terminal')
    equal(life.machine.wait_exit(dinv.BOOT_DEADLINE), 0, 'exit status')
    contains(terminal.output, 'on-a-42-terminal', 'output')
    life.machine.expect_nothing_left()
    expect_clean(life.image)


def containerd_dies(life):
    """It is started again, and containers do not notice; what dies twice in a minute ends the machine."""
    life.machine.boot()
    length = len(life.machine.log())
    life.start_container('goes-on', STUBBORN)
    started = life.docker('inspect', '--format', '{{.State.StartedAt}}', 'goes-on')
    life.machine.verb('shell', 'sh', '-c', 'kill -9 $(pidof containerd)').expect(0)
    until(lambda: 'containerd answers again' in life.machine.log()[length:], 60, 'containerd to be back')
    contains(life.machine.log()[length:], 'containerd was killed by signal 9 (Killed); starting it again', 'the log')
    # dockerd asks for it again every other second.
    until(lambda: life.docker.try_('exec', 'goes-on', 'true').status == 0, 60, 'dockerd to have found it')
    equal(life.docker('exec', 'goes-on', 'echo', 'here'), 'here', 'a command in the container from before')
    equal(life.docker('run', '--rm', BUSYBOX, 'echo', 'new'), 'new', 'a new container')
    equal(life.docker('inspect', '--format', '{{.State.Running}} {{.State.StartedAt}}', 'goes-on'),
          f'true {started}', 'the container from before')
    life.docker('rm', '--force', 'goes-on')
    equal(life.docker('ps', '--quiet'), '', 'containers that run')
    life.machine.verb('shell', 'sh', '-c', 'kill -9 $(pidof containerd)')
    equal(life.machine.wait_exit(), 125, 'exit status')
    contains(life.machine.log()[length:], 'the guest failed (dockerd): containerd was killed by signal 9', 'the log')
    life.machine.expect_nothing_left()
    expect_clean(life.image)


def state_directory_is_private(life):
    """Images and volumes of the guest are nobody else's to read."""
    mode = stat.S_IMODE(os.stat(life.image).st_mode)
    equal(mode & 0o077, 0, f'permissions of others on data.img ({mode:o})')
    life.tap.say(json.dumps(sorted(os.listdir(life.machine.state_dir))))


def body(session):
    life = Life(session)
    checks = [first_start, second_launcher_is_refused, sigterm_stops_containers_in_order,
              command_on_the_same_state, control_c, machine_is_killed, second_sigterm_ends_at_once,
              launcher_is_killed, command_killed_by_a_signal]
    if dinv.ACCEL == 'uml':
        checks.insert(2, another_kind_of_machine_beside)
    if not session.options.small:  # starts that show nothing about privileges
        checks += [containerd_dies, command_that_cannot_run, sigterm_during_the_hook, command_that_succeeds]
    for check in checks + [state_directory_is_private]:
        session.tap.check(check, life, deadline=2 * dinv.BOOT_DEADLINE + dinv.STOP_DEADLINE)


if __name__ == '__main__':
    main(body)
