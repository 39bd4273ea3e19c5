#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: MIT
"""The stock docker CLI through the relayed socket: what people do with Docker every day."""

import hashlib
import io
import json
import os
import random
import subprocess
import tarfile
import time

from lib.docker import BUSYBOX, Docker, file_sha256, random_file
from lib.session import main
from lib.tap import contains, equal
from lib.waiting import until

MEGABYTE = 1 << 20
AT_ONCE = 8
# Seconds that the clocks may differ; the test takes its time to look.
CLOCK_ERROR = 10


class Amounts:
    """How much of everything."""

    def __init__(self, small):
        self.saved_image = (50 if small else 150) * MEGABYTE
        self.context = (20 if small else 50) * MEGABYTE
        self.parallel_runs = AT_ONCE if small else 24


class Events:
    """`docker events`, open from the beginning to the end of the test."""

    def __init__(self, docker, path):
        self.path = path
        with open(path, 'wb') as file:
            self.process = docker.start('events', '--format', '{{json .}}', stdout=file,
                                        stdin=subprocess.DEVNULL, stderr=subprocess.STDOUT)

    def seen(self):
        """The events that have come, whole lines only."""
        with open(self.path, encoding='utf-8') as file:
            text = file.read()
        return [json.loads(line) for line in text[:text.rfind('\n') + 1].splitlines()]

    def deaths(self):
        """{name of container: exit code} of every die event."""
        attributes = [event['Actor']['Attributes'] for event in self.seen()
                      if event.get('Type') == 'container' and event.get('Action') == 'die']
        return {attribute['name']: int(attribute['exitCode']) for attribute in attributes}


def info_fields(docker):
    info = json.loads(docker('info', '--format', '{{json .}}'))
    assert info['OperatingSystem'].startswith('Alpine Linux'), info['OperatingSystem']
    equal(info['Driver'], 'overlay2', 'storage driver')
    equal(info['CgroupVersion'], '2', 'cgroup version')
    equal(info['OSType'], 'linux', 'type of system')
    contains(info['Plugins']['Network'], 'bridge', 'network drivers')
    equal(docker('network', 'inspect', '--format', '{{.Driver}}', 'bridge'), 'bridge',
          'driver of the default network')
    assert info['MemTotal'] > 1 << 30, info['MemTotal']
    shown = docker.try_('info').expect(0)
    warnings = [line for line in (shown.out + shown.err).splitlines() if 'WARNING' in line]
    equal([line for line in warnings if 'swap limit' not in line], [], 'warnings')


def hello(docker):
    equal(docker('run', '--rm', BUSYBOX, 'echo', 'hello'), 'hello', 'output')


def terminal_and_resize(docker):
    with docker.terminal('run', '-it', '--rm', BUSYBOX, 'sh', rows=24, columns=80) as terminal:
        terminal.expect(r'# ')
        terminal.send('test -t 0 && test -t 1 && echo is-a-$((6*7))-terminal\n')
        terminal.expect(r'\nis-a-42-terminal\n')
        terminal.send('stty size\n')
        terminal.expect(r'\n24 80\n')

        def is_resized():
            # Twice, and again each time: the client does not hear of a change that comes while it
            # still passes the first size on.
            terminal.resize(40, 131)
            terminal.resize(40, 132)
            terminal.send('stty size; echo asked-$((1+1))\n')
            return '\n40 132\n' in terminal.expect(r'(?s).*?\nasked-2\n').group()
        until(is_resized, 60, 'the new size in the container', interval=0.5)
        terminal.send('exit 7\n')
        equal(terminal.wait(), 7, 'exit status')


def stdin_to_its_end(docker):
    data = random.Random(1).randbytes(4 * MEGABYTE)
    expected = hashlib.sha256(data).hexdigest()
    done = docker.try_('run', '-i', '--rm', BUSYBOX, 'sha256sum', stdin=data).expect(0)
    equal(done.out.split()[0], expected, 'checksum in the container')
    done = docker.try_('run', '-i', '--rm', '--log-driver', 'none', BUSYBOX, 'cat', stdin=data)
    done.expect(0)
    equal(hashlib.sha256(done.raw_out).hexdigest(), expected, 'checksum of what came back')
    equal(docker('run', '-i', '--rm', BUSYBOX, 'wc', '-c'), '0', 'bytes of an empty stdin')


def output_and_errors_apart(docker):
    script = 'i=0; while [ $i -lt 500 ]; do echo out $i; echo err $i >&2; i=$((i+1)); done'
    done = docker.try_('run', '--rm', BUSYBOX, 'sh', '-c', script).expect(0)
    equal(done.out, ''.join(f'out {i}\n' for i in range(500)), 'stdout')
    equal(done.err, ''.join(f'err {i}\n' for i in range(500)), 'stderr')


def execute(docker):
    docker('run', '-d', '--name', 'execute', BUSYBOX, 'sleep', '100000')
    equal(docker('exec', 'execute', 'echo', 'a', 'b  c'), 'a b  c', 'output')
    equal(docker('exec', '-u', '1000:1001', '-e', 'NAME=value', 'execute', 'sh', '-c',
                 'id -u; id -g; echo $NAME'), '1000\n1001\nvalue', 'identity and environment')
    equal(docker('exec', '-i', 'execute', 'tr', 'a-z', 'A-Z', stdin=b'through stdin'),
          'THROUGH STDIN', 'what came through stdin')
    docker.try_('exec', 'execute', 'sh', '-c', 'exit 3').expect(3)
    missing = docker.try_('exec', 'execute', 'no-such-command')
    assert missing.status in (126, 127), missing  # which of them differs between engines
    with docker.terminal('exec', '-it', 'execute', 'sh', rows=31, columns=99) as terminal:
        terminal.expect(r'# ')
        terminal.send('until [ "$(stty size)" = "31 99" ]; do :; done; echo sized-$((1+1))\n')
        terminal.expect(r'\nsized-2\n')
        terminal.expect(r'# ')  # what is typed before the shell asks is lost when it asks
        terminal.send('\x04')
        equal(terminal.wait(), 0, 'exit status after Ctrl-D')
    docker('rm', '-f', 'execute')


def attach_and_detach(docker):
    docker('run', '-dit', '--name', 'attached', BUSYBOX, 'cat')
    for word in ('first', 'second'):
        with docker.terminal('attach', 'attached') as terminal:
            terminal.send(f'{word}\n')
            terminal.expect(rf'{word}\n(.*\n)*{word}\n')  # the terminal's echo, then cat's
            terminal.send('\x10\x11')  # Ctrl-P Ctrl-Q
            terminal.expect('read escape sequence')
            terminal.wait()  # its exit status differs between versions of the client
        equal(docker('inspect', '--format', '{{.State.Running}}', 'attached'), 'true',
              'whether it still runs')
    with docker.terminal('attach', 'attached') as terminal:
        terminal.send('third\n')
        terminal.expect(r'third\n(.*\n)*third\n')
        terminal.send('\x04')
        equal(terminal.wait(), 0, 'exit status of the container')
    equal(docker('logs', 'attached').replace('\r', '').split(),
          ['first', 'first', 'second', 'second', 'third', 'third'], 'the log of all sessions')
    docker('rm', 'attached')


def logs_follow(docker):
    script = ('echo one; echo two; until [ -e /go ]; do usleep 50000; done; '
              'echo three; echo four >&2')
    docker('run', '-d', '--name', 'followed', BUSYBOX, 'sh', '-c', script)
    with docker.start('logs', '-f', 'followed', stdin=subprocess.DEVNULL) as follower:
        equal([follower.stdout.readline() for _ in range(2)], [b'one\n', b'two\n'],
              'the first lines')
        equal(follower.poll(), None, 'the follower follows')
        docker('exec', 'followed', 'touch', '/go')
        out, err = follower.communicate(timeout=60)
    equal((out, err, follower.returncode), (b'three\n', b'four\n', 0), 'the rest and the end')
    whole = docker.try_('logs', 'followed').expect(0)
    equal((whole.out, whole.err), ('one\ntwo\nthree\n', 'four\n'), 'the whole log')
    docker('rm', 'followed')


def copy_both_ways(docker, work):
    tree = os.path.join(work, 'tree')
    os.makedirs(os.path.join(tree, 'inner'))
    blob_sum = random_file(os.path.join(tree, 'blob'), 50 * MEGABYTE, seed=2)
    small_sum = random_file(os.path.join(tree, 'inner', 'with a space'), 12345, seed=3)
    os.symlink('inner/with a space', os.path.join(tree, 'link'))
    os.chmod(os.path.join(tree, 'blob'), 0o751)
    docker('run', '-d', '--name', 'copied', BUSYBOX, 'sleep', '100000')
    docker('cp', tree, 'copied:/tree')
    inside = docker('exec', 'copied', 'sh', '-c', 'cd /tree; sha256sum blob link; stat -c %a blob')
    equal(inside.split(), [blob_sum, 'blob', small_sum, 'link', '751'], 'the tree in the container')
    back = os.path.join(work, 'back')
    docker('cp', 'copied:/tree', back)
    equal(file_sha256(os.path.join(back, 'blob')), blob_sum, 'the large file, back')
    equal(file_sha256(os.path.join(back, 'inner', 'with a space')), small_sum,
          'the small file, back')
    equal(os.readlink(os.path.join(back, 'link')), 'inner/with a space', 'the link, back')
    stream = docker.try_('cp', 'copied:/tree/inner', '-').expect(0).raw_out
    with tarfile.open(fileobj=io.BytesIO(stream)) as tar:
        equal(sorted(tar.getnames()), ['inner', 'inner/with a space'], 'names in the tar stream')
    docker('rm', '-f', 'copied')


def save_and_load(docker, work, wanted, tap):
    blob, saved = os.path.join(work, 'blob'), os.path.join(work, 'saved.tar')
    blob_sum = random_file(blob, wanted, seed=4)
    with subprocess.Popen(['tar', '-C', work, '-c', 'blob'], stdout=subprocess.PIPE) as tar:
        image = docker('import', '-', 'dinv-test/large:latest', stdin=tar.stdout, deadline=400)
    os.unlink(blob)
    with open(saved, 'wb') as file:
        saver = docker.start('save', 'dinv-test/large', stdin=subprocess.DEVNULL, stdout=file)
        _, errors = saver.communicate(timeout=400)
    equal((saver.returncode, errors), (0, b''), 'docker save')
    size = os.path.getsize(saved)
    assert size > wanted, f'only {size} bytes were saved'
    docker('rmi', 'dinv-test/large')
    equal(docker('images', '-q', 'dinv-test/large'), '', 'the image after its removal')
    with open(saved, 'rb') as file:
        docker('load', stdin=file, deadline=400)
    os.unlink(saved)
    equal(docker('inspect', '--format', '{{.Id}}', 'dinv-test/large'), image, 'the id of the image')
    container = docker('create', 'dinv-test/large', 'none')
    stream = docker.start('cp', f'{container}:/blob', '-', stdin=subprocess.DEVNULL)
    with tarfile.open(fileobj=stream.stdout, mode='r|') as tar:
        member = tar.next()
        file = tar.extractfile(member)
        digest = hashlib.sha256()
        for piece in iter(lambda: file.read(MEGABYTE), b''):
            digest.update(piece)
    stream.stdout.close()
    stream.communicate(timeout=60)
    equal(digest.hexdigest(), blob_sum, 'the checksum of the file in the image')
    docker('rm', container)
    docker('rmi', 'dinv-test/large')
    tap.say(f'saved and loaded {size / MEGABYTE:.0f} MiB')


def build(docker, work, size):
    context = os.path.join(work, 'context')
    os.mkdir(context)
    blob_sum = random_file(os.path.join(context, 'blob'), size, seed=5)
    with open(os.path.join(context, 'Dockerfile'), 'w', encoding='utf-8') as file:
        file.write(f'FROM {BUSYBOX}\nARG WHO\nCOPY blob /data/blob\n'
                   'RUN sha256sum /data/blob | cut -c 1-64 > /sum && echo "for $WHO" >> /sum\n'
                   'CMD ["cat", "/sum"]\n')
    docker('build', '-t', 'dinv-test/built', '--build-arg', 'WHO=somebody', context, deadline=400)
    equal(docker('run', '--rm', 'dinv-test/built').split('\n'), [blob_sum, 'for somebody'],
          'what the image says')
    os.unlink(os.path.join(context, 'blob'))
    with open(os.path.join(context, 'Dockerfile'), 'w', encoding='utf-8') as file:
        file.write(f'FROM {BUSYBOX}\nRUN exit 5\n')
    failed = docker.try_('build', context).expect(5)
    contains(failed.err, 'returned a non-zero code: 5', 'the message of a failed build')
    docker('rmi', 'dinv-test/built')


def exit_statuses(docker):
    for status in (0, 1):
        docker.try_('run', '--rm', BUSYBOX, 'sh', '-c', f'exit {status}').expect(status)
    docker.try_('run', '--rm', '--init', BUSYBOX, 'sh', '-c', 'kill -9 $$').expect(137)
    with docker.start('run', '--name', 'killed', BUSYBOX, 'sh', '-c', 'echo up; sleep 100000',
                      stdin=subprocess.DEVNULL) as client:
        equal(client.stdout.readline(), b'up\n', 'its first line')
        docker('kill', 'killed')
        client.communicate(timeout=60)
    equal(client.returncode, 137, 'exit status of the client of a killed container')
    docker('rm', 'killed')
    docker.try_('run', '--rm', '--no-such-flag', BUSYBOX).expect(125)
    docker.try_('run', '--rm', BUSYBOX, 'no-such-command').expect(127)


def parallel_runs(docker, count):
    def start(number):
        # It lives until its output has come: a client may miss that of a container which is gone at
        # once (seen with a native engine, too: about one in two hundred on a busy machine).
        return docker.start('run', '-i', '--name', f'run-{number}', '--rm', BUSYBOX,
                            'sh', '-c', f'echo number {number}; cat > /dev/null')

    for first in range(0, count, AT_ONCE):
        clients = [start(first + index) for index in range(AT_ONCE)]
        try:
            lines = [client.stdout.readline().decode() for client in clients]
            ends = [client.communicate(timeout=120) for client in clients]
        finally:
            for client in clients:
                client.kill()
        equal(lines, [f'number {first + index}\n' for index in range(AT_ONCE)], 'first lines')
        equal(ends, [(b'', b'')] * AT_ONCE, 'further output and errors')
        equal([client.returncode for client in clients], [0] * AT_ONCE, 'exit statuses')
    equal(docker('ps', '-aq', '--filter', 'name=run-'), '', 'containers left')


def events_of_all_time(docker, events, runs):
    expected = {f'run-{number}': 0 for number in range(runs)}
    expected.update({'killed': 137, 'execute': 137, 'copied': 137, 'attached': 0, 'followed': 0})
    until(lambda: expected.keys() <= events.deaths().keys(), 60, 'die events of all containers')
    deaths = events.deaths()
    equal({name: deaths[name] for name in expected}, expected, 'exit codes in the die events')
    equal(events.process.poll(), None, 'docker events is still open')
    docker('network', 'create', 'last-event')
    until(lambda: any(event.get('Type') == 'network' and
                      event['Actor']['Attributes'].get('name') == 'last-event'
                      for event in events.seen()), 60, 'the event of the new network')
    events.process.terminate()
    events.process.wait(30)


def clock_is_set_right(machine):
    """It went an hour wrong in the guest, which asks nobody for the time."""
    def error():
        return int(machine.verb('shell', 'date', '+%s').expect(0).out) - int(time.time())
    assert abs(error()) < CLOCK_ERROR, 'the clock is wrong from the start'
    for seconds in (3600, -3600):
        machine.verb('shell', 'sh', '-c', f'date -s @$(($(date +%s)+{seconds}))').expect(0)
        until(lambda: abs(error()) < CLOCK_ERROR, 120, 'the right time')


def stops_in_order(machine):
    equal(machine.stop(), 0, 'exit status')
    machine.expect_nothing_left()


def body(session):
    tap, work = session.tap, session.work
    amounts = Amounts(session.options.small)
    machine = session.boot()
    docker = Docker(machine.socket, work)
    events = Events(docker, os.path.join(work, 'events'))
    tap.check(info_fields, docker)
    docker.import_busybox()
    for check in (hello, terminal_and_resize, stdin_to_its_end, output_and_errors_apart, execute,
                  attach_and_detach, logs_follow, exit_statuses):
        tap.check(check, docker)
    tap.check(copy_both_ways, docker, work)
    tap.check(build, docker, work, amounts.context, deadline=600)
    tap.check(save_and_load, docker, work, amounts.saved_image, tap, deadline=900)
    tap.check(parallel_runs, docker, amounts.parallel_runs, deadline=900)
    tap.check(events_of_all_time, docker, events, amounts.parallel_runs)
    if not session.options.small:
        tap.check(clock_is_set_right, machine)
    tap.check(stops_in_order, machine)


if __name__ == '__main__':
    main(body)
