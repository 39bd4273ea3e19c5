#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: MIT
"""The verbs beside `run`: status, health, logs, shell, doctor, image, version."""

import hashlib
import json
import os
import random
import re
import signal
import subprocess

from lib import artefacts, dinv
from lib.docker import BUSYBOX, Docker
from lib.session import main
from lib.tap import contains, equal
from lib.terminal import Terminal
from lib.waiting import until

# Of the machine's command line, and not of that of a self-test.
MACHINE_WORD = 'net.ifnames=0' if dinv.ACCEL == 'uml' else 'microvm'
STATES = ['starting', 'booting', 'configuring', 'engine-starting', 'ready', 'stopping', 'stopped']


def one_sentence(result, status):
    """Fails unless it ended with `status` and one line on stderr, which is returned."""
    result.expect(status)
    lines = result.err.strip().splitlines()
    equal(len(lines), 1, f'lines on stderr ({result.err!r})')
    return lines[0]


def verbs_while_nothing_runs(machine):
    for words in (('status',), ('status', '--json'), ('health',)):
        contains(one_sentence(machine.verb(*words), 1), machine.state_dir, 'the message')
    contains(one_sentence(machine.verb('logs', 'dockerd'), 1), machine.state_dir, 'the message')
    contains(one_sentence(machine.verb('shell', 'true'), 125), machine.state_dir, 'the message')
    assert not os.path.exists(machine.state_dir), 'asking made the state directory'


def unknown_words(machine):
    one_sentence(machine.verb('no-such-verb'), 125)
    one_sentence(machine.verb('status', '--xml'), 125)
    one_sentence(machine.verb('logs', 'no-such-log'), 125)
    contains(one_sentence(machine.verb('run', '--memroy', '1G'), 125), '--memory', 'the flag meant')


def version(machine):
    shown = machine.verb('version').expect(0)
    assert re.search(r'\b\d+\.\d+\.\d+\b', shown.out), shown


def help_names_every_setting(machine):
    shown = machine.verb('--help').expect(0).out
    for name in ('DINV_ACCEL', 'DINV_MEMORY', 'DINV_TCP_PORTS', 'DINV_STATE_DIR', 'DINV_ROOTFS'):
        contains(shown, name, 'the help')


def doctor(machine):
    shown = machine.verb('doctor', '--accel', 'auto').expect(0)
    contains(shown.out, 'root image', 'what doctor looked at')
    contains(shown.out, '/dev/kvm', 'what doctor looked at')
    broken = machine.verb('doctor', '--uml-kernel' if dinv.ACCEL == 'uml' else '--kernel', '/no/such/kernel')
    broken.expect(1)
    contains(broken.out, '/no/such/kernel', 'what is wrong')
    contains(broken.out, 'remedy', 'what to do')
    assert not os.path.exists(machine.state_dir), 'doctor made the state directory'


def bench_measures(machine, tap):
    """A microVM of its own, of which nothing is left; the running or missing dinv does not matter."""
    done = machine.verb('doctor', '--bench', deadline=2 * dinv.BOOT_DEADLINE)
    for line in done.out.splitlines():
        tap.say(line)
    done.expect(0)
    _, line, *lines = done.out.splitlines()
    equal(line, '|---|---|---|', 'the line below the head')
    figures = {what.strip(): figure.strip() for _, what, figure, _, _ in (line.split('|') for line in lines)}
    for name in ('CPU', 'kernel', 'dinv', 'date', 'microVM'):
        assert figures[name], f'nothing about {name}'
    wanted = {'kvm': 'KVM', 'tcg': 'emulation (TCG)', 'uml': 'User-Mode Linux works (seccomp)'}
    equal(figures['acceleration'], wanted[machine.environment['DINV_ACCEL']], 'acceleration')
    equal(bool(figures.get('QEMU')), dinv.ACCEL != 'uml', 'whether there is a QEMU')
    units = {'start': 's', 'docker run --rm, hello': 's', 'stream through docker.sock': 'MB/s',
             'mount, file written': 'MB/s', 'mount, file read': 'MB/s', 'mount, small files made': '/s',
             'mount, small files read': '/s', 'data disk, file written': 'MB/s', 'data disk, 4 KiB and fsync': 's',
             'published port, connection': 's', 'published port, stream': 'MB/s', 'stop': 's'}
    for name, unit in units.items():
        assert re.fullmatch(rf'[0-9.]+ {unit if unit != "s" else "(s|ms|µs)"}', figures[name]), \
            f'{name}: {figures[name]}'
        assert float(figures[name].split()[0]) > 0, f'{name}: {figures[name]}'
    bench_left_nothing(machine)


def bench_left_nothing(machine):
    machine.expect_nothing_left()
    equal(os.listdir(machine.temporary), [], 'temporary files')
    assert not os.path.exists(machine.state_dir), 'it made the state directory'


def bench_says_what_is_wrong(machine):
    broken = machine.verb('doctor', '--bench', '--rootfs', '/no/such/image').expect(1)
    contains(broken.out, 'remedy', 'what to do')
    contains(one_sentence(machine.verb('doctor', '--bench', 'more'), 125), 'more', 'the complaint')
    qemu = os.path.join(machine.directory, 'qemu')
    real = machine.environment.get('DINV_QEMU', 'qemu-system-x86_64')
    with open(qemu, 'w', encoding='utf-8') as file:
        file.write(f'#!/bin/sh\n[ "$1" != --version ] || exec {real} --version\n'
                   'echo "no machine today" >&2\nexit 1\n')
    os.chmod(qemu, 0o755)
    broken = machine.verb('doctor', '--accel', 'tcg', '--qemu', qemu, '--bench').expect(1)
    assert re.search(r'^\| start +\| not measured +\| .*exit status 125', broken.out, re.M), broken
    contains(broken.err, 'no machine today', 'what went wrong')
    os.unlink(qemu)
    bench_left_nothing(machine)


def bench_stops_by_a_signal(machine):
    """The microVM is there when the signal comes, and is gone afterwards."""
    bench = subprocess.Popen(machine.verb_argv('doctor', '--bench'), env=machine.environment,
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        until(lambda: any(MACHINE_WORD in words for _, words in machine.processes()), 60, 'a machine')
        bench.send_signal(signal.SIGINT)
        out, _ = bench.communicate(timeout=dinv.STOP_DEADLINE)
    finally:
        bench.kill()
        bench.wait(30)
    equal(bench.returncode, 128 + signal.SIGINT, 'exit status')
    contains(out.decode(), 'stopped by signal', 'the table')
    bench_left_nothing(machine)


def image_info(machine):
    shown = machine.verb('image', 'info', artefacts.rootfs()).expect(0).out
    contains(shown, 'dinv-root-', 'what it says of the root image')
    one_sentence(machine.verb('image', 'info', artefacts.kernel()), 125)


def states_while_starting(machine, tap):
    """Every state that is seen is a known one, and they only go forward."""
    machine.start()
    until(lambda: machine.status() or machine.process.poll() is not None, 30, 'the first status')
    seen = []

    def ready():
        equal(machine.process.poll(), None, 'dinv has not ended')
        state = machine.status()['state']
        if state not in seen:
            seen.append(state)
            if state != 'ready':
                one_sentence(machine.verb('health'), 1)
        return state == 'ready'
    until(ready, dinv.BOOT_DEADLINE, 'the state "ready"')
    equal(sorted(seen, key=STATES.index), seen, 'the order of states')
    tap.say(f'seen: {seen}')


def status_json(machine):
    status = machine.status()
    equal(status['state'], 'ready', 'state')
    equal(status['pid'], machine.process.pid, 'pid of the launcher')
    assert dinv.is_alive(status['machine_pid']), 'machine_pid is not that of a process'
    equal(status['cpus'], 1, 'CPUs')
    equal(status['memory_bytes'], 2 << 30, 'memory')
    equal((status['socket'], status['state_dir']), (machine.socket, machine.state_dir), 'paths')
    assert status['accel'] in ('kvm', 'tcg', 'uml'), status['accel']
    asked = {'kvm': True, 'tcg': False, 'uml': None}
    equal(status['kvm_enabled'], asked[status['accel']], 'what QEMU says of KVM')
    assert status['uptime_s'] > 0, status['uptime_s']
    seconds = [phase['seconds'] for phase in status['phases']]
    equal(seconds, sorted(seconds), 'times of the phases')
    names = [phase['name'] for phase in status['phases']]
    for name in ('configured', 'data-mounted', 'network-up', 'dockerd-started', 'engine-ready'):
        contains(names, name, 'phases')
    guest = status['guest']
    assert 0 < guest['memory_available'] < guest['memory_total'] <= 2 << 30, guest
    assert 0 < guest['disk_free'] < guest['disk_total'] <= 16 << 30, guest
    assert status['relay']['memory'] < 1 << 20, status['relay']
    plain = machine.verb('status').expect(0).out
    contains(plain, 'ready', 'status for people')
    contains(plain, machine.socket, 'status for people')


def guest_is_as_configured(machine):
    """What the settings said, seen from inside."""
    equal(machine.verb('shell', 'nproc').expect(0).out.strip(), '1', 'CPUs')
    total = machine.verb('shell', 'df', '-k', '/var/lib/docker').expect(0).out
    kilobytes = int(total.splitlines()[-1].split()[1])
    assert 14 << 20 < kilobytes <= 16 << 20, total
    equal(machine.verb('shell', 'cat', '/data/word').expect(0).out, 'from outside', 'DINV_MOUNTS')
    machine.verb('shell', 'sh', '-c', 'echo x > /data/new').expect(1)  # it is :ro
    machine.verb('shell', 'sh', '-c', 'echo -n back > /share/new').expect(0)
    with open(os.path.join(machine.directory, 'share', 'new'), encoding='utf-8') as file:
        equal(file.read(), 'back', 'what the guest wrote')


def mounts_in_containers(machine, docker):
    image = docker.import_busybox()
    equal(docker('run', '--rm', '-v', '/share:/s', image, 'cat', '/s/new'), 'back',
          'what a container sees')


def health(machine):
    machine.verb('health').expect(0)


def unknown_variable_is_named(machine):
    warning = [line for line in machine.log().splitlines() if 'DINV_MEMROY' in line]
    equal(len(warning), 1, 'lines about DINV_MEMROY')
    contains(warning[0], 'DINV_MEMORY', 'the warning suggests a name')


def log_is_for_people(machine):
    """Plain lines: no terminal, so no escapes and no carriage returns."""
    assert not re.search(r'[\x00-\x08\x0b-\x1f]', machine.log()), repr(machine.log())


def logs(machine):
    contains(machine.verb('logs', 'console').expect(0).out, 'dinv-guest: ', 'the console')
    contains(machine.verb('logs', 'dockerd').expect(0).out, 'API listen on', "dockerd's log")


def logs_follow(machine, docker):
    follower = subprocess.Popen(machine.verb_argv('logs', '-f', 'dockerd'), env=machine.environment,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True)
    try:
        for line in follower.stdout:  # the alarm of the check is its deadline
            if 'API listen on' in line:
                break
        # The engine logs the name of a command that it cannot execute.
        docker('run', '-d', '--name', 'sleeper', BUSYBOX, 'sleep', '100000')
        assert docker.try_('exec', 'sleeper', 'nobody-of-this-name').status != 0
        docker('rm', '-f', 'sleeper')
        for line in follower.stdout:
            if 'nobody-of-this-name' in line:
                break
        else:
            raise AssertionError('the log ended before the new line came')
    finally:
        follower.terminate()
        follower.communicate(timeout=30)


def shell_statuses(machine):
    machine.verb('shell', 'true').expect(0)
    machine.verb('shell', 'sh', '-c', 'exit 42').expect(42)
    machine.verb('shell', 'sh', '-c', 'kill -TERM $$').expect(128 + signal.SIGTERM)
    machine.verb('shell', 'no-such-command').expect(127)
    machine.verb('shell', '/etc/passwd').expect(126)
    done = machine.verb('shell', 'sh', '-c', 'echo out; echo err >&2; echo "$1"', '-', 'a  b')
    done.expect(0)
    equal((done.out, done.err), ('out\na  b\n', 'err\n'), 'output and errors apart, words kept')


def shell_streams(machine):
    data = random.Random(7).randbytes(4 << 20)
    done = machine.verb('shell', 'sha256sum', stdin=data, deadline=120).expect(0)
    equal(done.out.split()[0], hashlib.sha256(data).hexdigest(), 'checksum of stdin in the guest')
    done = machine.verb('shell', 'cat', stdin=data, deadline=120).expect(0)
    assert done.raw_out == data, f'{len(done.raw_out)} bytes came back, or others'


def shell_on_a_terminal(machine):
    with Terminal(machine.verb_argv('shell'), machine.environment, 30, 100) as terminal:
        terminal.expect(r'# ')
        terminal.send('stty size; tty\n')
        terminal.expect(r'\n30 100\n/dev/pts/\d+\n')
        terminal.resize(50, 123)
        terminal.send('until [ "$(stty size)" = "50 123" ]; do :; done; echo resized-$((1+1))\n')
        terminal.expect(r'\nresized-2\n')
        terminal.send("sh -c 'echo asleep-$((1+1)); exec sleep 1000'\n")
        terminal.expect(r'\nasleep-2\n')
        terminal.send('\x03')  # for the command in the guest
        terminal.send('echo interrupted-$?\n')
        terminal.expect(r'\ninterrupted-130\n')
        terminal.send('exit 5\n')
        equal(terminal.wait(), 5, 'exit status')


def shell_killed_from_outside(machine):
    """A client that goes away takes its command along."""
    client = subprocess.Popen(machine.verb_argv('shell', 'sh', '-c', 'echo up; exec sleep 98765'),
                              env=machine.environment, stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE)
    with client:
        equal(client.stdout.readline(), b'up\n', 'its first line')
        client.kill()

    def gone():
        return '98765' not in machine.verb('shell', 'ps').expect(0).out
    until(gone, 30, 'the command to be gone from the guest')


def health_of_a_stopped_guest(machine):
    """A machine that stands still is not healthy, and is again when it goes on."""
    pid = machine.machine_pid()
    os.kill(pid, signal.SIGSTOP)
    try:
        one_sentence(machine.verb('health'), 1)
    finally:
        os.kill(pid, signal.SIGCONT)
    until(lambda: machine.verb('health').status == 0, 60, 'health to be good again')


def after_the_stop(machine):
    equal(machine.stop(), 0, 'exit status')
    one_sentence(machine.verb('health'), 1)
    contains(machine.verb('logs', 'console').expect(0).out, 'farewell -> off', 'the console, kept')
    machine.expect_nothing_left()


def body(session):
    tap = session.tap
    machine = session.machine(CPUS='1', MEMROY='1G')
    for name in ('data', 'share'):
        os.mkdir(os.path.join(machine.directory, name))
        os.chmod(os.path.join(machine.directory, name), 0o777)
    with open(os.path.join(machine.directory, 'data', 'word'), 'w', encoding='utf-8') as file:
        file.write('from outside')
    machine.environment['DINV_MOUNTS'] = \
        f'{machine.directory}/data:/data:ro;{machine.directory}/share:/share'
    docker = Docker(machine.socket, session.work)
    del machine.environment['DINV_MEMROY']
    for check in (verbs_while_nothing_runs, unknown_words, version, help_names_every_setting,
                  doctor, bench_says_what_is_wrong, bench_stops_by_a_signal, image_info):
        tap.check(check, machine)
    tap.check(bench_measures, machine, tap, deadline=3 * dinv.BOOT_DEADLINE)
    machine.environment['DINV_MEMROY'] = '1G'
    if not tap.check(states_while_starting, machine, tap, deadline=2 * dinv.BOOT_DEADLINE):
        return
    del machine.environment['DINV_MEMROY']
    for check in (status_json, guest_is_as_configured, health, unknown_variable_is_named,
                  log_is_for_people, logs, shell_statuses, shell_streams, shell_on_a_terminal,
                  shell_killed_from_outside):
        tap.check(check, machine)
    tap.check(mounts_in_containers, machine, docker)
    tap.check(logs_follow, machine, docker)
    tap.check(health_of_a_stopped_guest, machine)
    status = machine.status()
    tap.say('phases: ' + json.dumps(status and status['phases']))
    tap.check(after_the_stop, machine)


if __name__ == '__main__':
    main(body)
