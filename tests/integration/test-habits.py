#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: MIT
"""What containers find as they would under a dockerd in the outer container: their devices and limits, and
users of their own with `userns-remap`."""

import hashlib
import json
import os
import resource
import shutil
import socket
import tempfile

from lib.docker import BUSYBOX, Docker
from lib.session import main
from lib.tap import contains, equal

LIMITS = {'n': resource.RLIMIT_NOFILE, 'u': resource.RLIMIT_NPROC, 'c': resource.RLIMIT_CORE,
          'l': resource.RLIMIT_MEMLOCK}
# More than systems allow by themselves, as databases ask for it.
MANY_FILES = 2000000
REMAPPED = 165536
FEW_FILES = 1000
CLIENTS = 1100


def set_files_limit(soft):
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))


class Habits:
    def __init__(self, session, configuration, **settings):
        self.machine = session.machine(**settings)
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


def socket_by_its_outer_name(habits):
    """For `docker run -v` of the path that a job knows, or of its directory."""
    link = habits.machine.environment['DINV_SOCKET_LINK']
    show = 'test -S {0} && stat -c %i {0}'
    wanted = habits.run(show.format('/s'), '-v', '/var/run/docker.sock:/s')
    equal(habits.run(show.format('/s'), '-v', f'{link}:/s'), wanted, 'the socket')
    equal(habits.run(show.format('/d/docker.sock'), '-v', f'{os.path.dirname(link)}:/d'), wanted, 'its directory')
    equal(habits.run('ls /d', '-v', '/run/dinv:/d'), '', 'what is in a folder that users like to name')


def zone_is_the_outer_one(habits):
    """Files, where a path that is not there would become a directory."""
    zone = ('-v', '/etc/localtime:/l:ro', '-v', '/etc/timezone:/t:ro')
    rules, name = habits.run('sha256sum < /l; cat /t', *zone).splitlines()
    with open('/etc/localtime', 'rb') as file:
        equal(rules.split()[0], hashlib.sha256(file.read()).hexdigest(), 'rules of the zone')
    with open('/etc/timezone', encoding='utf-8') as file:
        equal(name, file.read().strip(), 'its name')


def many_clients(habits):
    """A burst comes in without an error, and the engine works for others meanwhile."""
    clients = []
    set_files_limit(resource.getrlimit(resource.RLIMIT_NOFILE)[1])  # dinv has the other
    try:
        for _ in range(CLIENTS):
            client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            clients.append(client)
            client.connect(habits.machine.socket)
        for client in clients:
            client.settimeout(120)
            client.sendall(b'GET /_ping HTTP/1.1\r\nHost: docker\r\n\r\n')
        equal(habits.docker('ps', '--quiet'), '', 'containers that run')
        answers = {client.recv(1 << 16)[:15] for client in clients}
        equal(answers, {b'HTTP/1.1 200 OK'}, 'answers')
        equal(habits.run('echo with all of them'), 'with all of them', 'a container')
    finally:
        for client in clients:
            client.close()


def stops(habits):
    equal(habits.machine.stop(), 0, 'exit status')
    habits.machine.expect_nothing_left()


def deaf_container_ends(habits):
    """One whose process 1 has no handler for what asks it to stop: nobody waits for it."""
    stops(habits)
    contains(habits.machine.console(), 'killed 1 container without a handler for any signal that stops', 'console')


def body(session):
    # What many systems give a container; dinv may have more, and its containers begin with that.
    set_files_limit(FEW_FILES)
    folder = tempfile.mkdtemp(prefix='dv-', dir='/run')
    plain = Habits(session, {}, SOCKET_LINK=os.path.join(folder, 'docker.sock'))
    for check in (boots, devices_of_a_container, limits_are_those_outside, more_files_than_outside, own_limit_wins,
                  socket_by_its_outer_name, zone_is_the_outer_one, many_clients, stops):
        session.tap.check(check, plain)
    shutil.rmtree(folder, ignore_errors=True)
    remapped = Habits(session, {'userns-remap': 'default'})
    for check in (boots, root_is_another_user, deaf_container_ends):
        session.tap.check(check, remapped, name=f'remapped-{check.__name__.replace("_", "-")}')


if __name__ == '__main__':
    main(body)
