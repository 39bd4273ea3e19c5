#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: MIT
"""Where the engine answers: sockets that are there before anything else, what clients hear when nothing
comes, dockerd's own --host, --group and --tls…, and many clients with TLS at once."""

import grp
import json
import os
import signal
import socket
import ssl
import stat
import threading

from lib import dinv
from lib.docker import Docker
from lib.session import main
from lib.tap import contains, equal
from lib.waiting import until

TOGETHER = 300
# Looking takes as long as this QEMU takes to say its version; then it has none.
SLOW_QEMU = '''#!/bin/sh
echo asked >"$0.asked"
until [ -e "$0.go" ]; do sleep 0.05; done
exit 1
'''


def free_port():
    with socket.socket() as taken:
        taken.bind(('127.0.0.1', 0))
        return taken.getsockname()[1]


# --- Before the engine

class SlowStart:
    """A start that hangs in its checks until it is let go, and then fails."""

    def __init__(self, session, *words):
        self.machine = session.machine(ACCEL='tcg')
        self.qemu = os.path.join(self.machine.directory, 'qemu')
        with open(self.qemu, 'w', encoding='utf-8') as file:
            file.write(SLOW_QEMU)
        os.chmod(self.qemu, 0o755)
        self.machine.environment['DINV_QEMU'] = self.qemu
        self.machine.start(*words)
        until(lambda: os.path.exists(f'{self.qemu}.asked'), 60, 'the checks to be at QEMU')

    def go(self):
        with open(f'{self.qemu}.go', 'w', encoding='utf-8'):
            pass


def clients_wait_and_hear_why(session):
    """While it still looks, the sockets are there; what fails then is the answer."""
    slow = SlowStart(session, '--host', 'unix://' + os.path.join(session.work, 'more.sock'))
    machine = slow.machine
    docker = Docker(machine.socket, session.work)
    more = Docker(os.path.join(session.work, 'more.sock'), session.work)
    clients = [docker.start('ps'), more.start('info')]
    raw = docker.connect()
    raw.sendall(b'GET /_ping HTTP/1.1\r\nHost: docker\r\n\r\n')
    slow.go()
    answer = b''.join(iter(lambda: raw.recv(65536), b''))
    raw.close()
    equal(machine.wait_exit(), 125, 'exit status')
    reason = [line.split('error: ', 1)[1] for line in machine.log().splitlines() if 'error: ' in line]
    contains(reason[0], slow.qemu, 'what it said')
    head, body = answer.decode().split('\r\n\r\n')
    contains(head, '503', 'the status of the answer')
    equal(json.loads(body)['message'], f'dinv: {reason[0]}', 'the message of the answer')
    for client in clients:
        out, err = client.communicate(timeout=60)
        contains((out + err).decode(), reason[0], 'what the client shows')
    machine.expect_nothing_left()
    assert not os.path.exists(machine.state_dir), 'it made the state directory'
    machine.end()


def a_signal_takes_the_sockets_along(session):
    link = os.path.join(session.work, 'link.sock')
    slow = SlowStart(session, '--socket-link', link)
    equal(os.readlink(link), slow.machine.socket, 'where the link leads')
    slow.machine.signal(signal.SIGTERM)
    equal(slow.machine.wait_exit(), 0, 'exit status')
    slow.go()
    assert not os.path.lexists(link), 'the link is left'
    slow.machine.expect_nothing_left()
    slow.machine.end()


def refused_at_once(session):
    """One sentence, and nothing was made."""
    machine = session.machine()
    for words, status, says in ((('no-such-program',), 127, 'there is no such program'),
                                (('/etc/passwd',), 126, 'may execute'),
                                (('--group=no-such-group',), 125, 'there is no group "no-such-group" here'),
                                (('dockerd', '-H', 'fd://'), 125, '--host: "fd://"'),
                                (('--host', 'tcp://127.0.0.1:1', '--tls=perhaps'), 125, '--tls: "perhaps"')):
        done = machine.verb('run', *words).expect(status)
        equal(len(done.err.strip().splitlines()), 1, f'lines on stderr ({done.err!r})')
        contains(done.err, says, 'the sentence')
    machine.expect_nothing_left()
    assert not os.path.exists(machine.state_dir), 'it made the state directory'
    machine.end()


# --- With the engine

class Places:
    """A machine that serves everywhere."""

    def __init__(self, session):
        self.session = session
        self.machine = session.machine(SOCKET=None)
        directory = self.machine.directory
        self.machine.socket = os.path.join(directory, 'first.sock')
        self.second = os.path.join(directory, 'second.sock')
        self.certificates = os.path.join(directory, 'certs')
        self.ports = free_port(), free_port(), free_port()
        self.group = grp.getgrgid(os.getegid())
        os.makedirs(os.path.join(directory, 'docker'))
        with open(os.path.join(directory, 'docker', 'daemon.json'), 'w', encoding='utf-8') as file:
            json.dump({'group': self.group.gr_name, 'tlsverify': True}, file)
        self.machine.environment['DINV_TLS_CERTDIR'] = self.certificates
        self.machine.environment['DINV_TLS_PORT'] = f'127.0.0.1:{self.ports[0]}'
        self.machine.environment['DINV_PLAINTEXT_PORT'] = f'127.0.0.1:{self.ports[1]}'

    def start(self):
        self.machine.start('dockerd', f'--host=unix://{self.machine.socket}', '-H', f'unix://{self.second}',
                           f'--host=tcp://localhost:{self.ports[2]}', '--label', 'a=b')
        self.machine.wait_ready()

    def client_context(self, ca=None):
        context = ssl.create_default_context(cafile=ca or os.path.join(self.certificates, 'client', 'ca.pem'))
        context.load_cert_chain(os.path.join(self.certificates, 'client', 'cert.pem'),
                                os.path.join(self.certificates, 'client', 'key.pem'))
        return context

    def ping(self, port, context):
        with socket.create_connection(('127.0.0.1', port), 60) as plain:
            with context.wrap_socket(plain, server_hostname='localhost') as connection:
                connection.sendall(b'GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n')
                return connection.recv(1000)


def serves_everywhere(places):
    machine = places.machine
    for path in (machine.socket, places.second):
        equal(Docker(path, places.session.work)('info', '--format', '{{json .Labels}}'), '["a=b"]', path)
        status = os.stat(path)
        equal((stat.S_IMODE(status.st_mode), status.st_gid), (0o660, places.group.gr_gid), f'mode, group of {path}')
    with socket.create_connection(('127.0.0.1', places.ports[1]), 60) as connection:
        connection.sendall(b'GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n')
        contains(connection.recv(1000), b'200 OK', 'the port without TLS')
    for port in (places.ports[0], places.ports[2]):
        contains(places.ping(port, places.client_context()), b'200 OK', f'port {port}')
    addresses = [place['address'] for place in machine.status()['endpoints']]
    equal(len(addresses), 5, f'endpoints in the status ({addresses})')
    assert 'not passed on' not in machine.log(), machine.log()


def many_come_in_at_once(places):
    """All have said hello before the first one is served; each is answered."""
    context = places.client_context()
    start = threading.Barrier(TOGETHER)
    answers = []

    def client():
        try:
            with socket.create_connection(('127.0.0.1', places.ports[0]), 120) as plain:
                start.wait(120)
                with context.wrap_socket(plain, server_hostname='localhost') as connection:
                    connection.sendall(b'GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n')
                    answers.append(connection.recv(1000)[:12])
        except (OSError, threading.BrokenBarrierError) as error:
            answers.append(repr(error))
    threads = [threading.Thread(target=client) for _ in range(TOGETHER)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(180)
    bad = [answer for answer in answers if not str(answer).endswith(" 200'")]
    equal((len(answers), bad[:3]), (TOGETHER, []), 'answers, and those that are none')


def distrust_is_said(places):
    """A client that knows another CA, as OpenSSL's clients say it."""
    context = ssl.create_default_context()  # the machine's own CAs
    try:
        places.ping(places.ports[0], context)
        raise AssertionError('it trusts anybody')
    except ssl.SSLCertVerificationError:
        pass
    until(lambda: 'does not trust the CA of this engine' in places.machine.log(), 30, 'the line in the log')
    assert 'Decryption' not in places.machine.log(), places.machine.log()


def stops(places):
    equal(places.machine.stop(), 0, 'exit status')
    places.machine.expect_nothing_left()


def body(session):
    tap = session.tap
    for check in (clients_wait_and_hear_why, a_signal_takes_the_sockets_along, refused_at_once):
        tap.check(check, session)
    places = Places(session)
    if tap.check(places.start, deadline=2 * dinv.BOOT_DEADLINE, name='starts'):
        for check in (serves_everywhere, many_come_in_at_once, distrust_is_said, stops):
            tap.check(check, places)


if __name__ == '__main__':
    main(body)
