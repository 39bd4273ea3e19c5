#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: MIT
"""`docker run -p` inside is reachable outside, at once, and only as long as the container runs.

`--cycles N`: that many connections one after the other (300 without it), and proxies driven directly (50,
at most 500).
"""

import hashlib
import json
import os
import socket

from lib import debian
from lib.debian import DEBIAN, ECHO
from lib.docker import BUSYBOX, Docker
from lib.session import main
from lib.tap import contains, equal
from lib.waiting import until

PAGE = 'the page\n'
# Serves /page on port 80.
SERVER = (f"mkdir /www; printf '{PAGE[:-1]}\\n' > /www/page; head -c 100000 /dev/zero > /www/large; "
          'exec httpd -f -p 80 -h /www')


# Echoes connections, any number of them at once.
MANY_ECHO = r'''
use strict; use IO::Socket::INET; use IO::Select; $| = 1;
my $listener = IO::Socket::INET->new(LocalPort => 80, Listen => 4096, ReuseAddr => 1) or die $!;
my $all = IO::Select->new($listener);
print "listening\n";
while (1) {
    for my $ready ($all->can_read) {
        if ($ready == $listener) { $all->add(scalar $listener->accept); next; }
        if (sysread($ready, my $bytes, 65536)) { syswrite($ready, $bytes); next; }
        $all->remove($ready);
        close $ready;
    }
}
'''


class Ports:
    def __init__(self, session):
        self.session = session
        self.tap = session.tap
        self.small = session.options.small
        self.declared, self.published = free_ports(2)
        self.machine = session.boot(TCP_PORTS=f'{self.declared}')
        self.docker = Docker(self.machine.socket, session.work)

    def run(self, *options, command=SERVER):
        return self.docker('run', '-d', *options, BUSYBOX, 'sh', '-c', command)

    def try_run(self, *options, command=SERVER):
        return self.docker.try_('run', '-d', *options, BUSYBOX, 'sh', '-c', command)

    def wait_for_server(self, name):
        until(lambda: self.docker.try_('exec', name, 'wget', '-qO-',
                                       'http://127.0.0.1/page').status == 0,
              60, 'the server in the container')

    def rules(self):
        """The forwards as QEMU has them, without the declared one."""
        ports = json.loads(self.machine.verb('ports', '--json').expect(0).out)
        return [line for line in ports['qemu'] if f' {self.declared} ' not in line]


def free_ports(count):
    """Numbers of ports that are free for TCP and UDP, below those of outgoing connections."""
    found = []
    for port in range(20000 + os.getpid() % 5000, 32000):
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            try:
                tcp.bind(('0.0.0.0', port))
                udp.bind(('0.0.0.0', port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise AssertionError('no free ports')


def fetch(port, path='/page', address='127.0.0.1'):
    with socket.create_connection((address, port), timeout=60) as connection:
        connection.sendall(f'GET {path} HTTP/1.0\r\n\r\n'.encode())
        reply = b''
        while piece := connection.recv(1 << 16):
            reply += piece
    head, _, body = reply.partition(b'\r\n\r\n')
    contains(head.decode(), ' 200 ', 'the status line')
    return body.decode()


def expect_refused(port):
    with socket.socket() as probe:
        probe.settimeout(10)
        equal(probe.connect_ex(('127.0.0.1', port)) != 0, True, f'port {port} refuses')


def answers_at_once(ports):
    """No waiting: the port answers when `docker run` has returned, refuses when `docker rm` has."""
    port = ports.published
    ports.run('--name', 'web', '-p', f'{port}:80', command=SERVER)
    # The forward is there at once; what listens in the container needs its moment.
    ports.wait_for_server('web')
    equal(fetch(port), PAGE, 'the page')
    equal(len(ports.rules()), 1, 'rules')
    ports.docker('restart', '-t', '0', 'web')
    with socket.create_connection(('127.0.0.1', port), timeout=10):
        pass
    ports.docker('rm', '-f', 'web')
    expect_refused(port)
    equal(ports.rules(), [], 'rules after rm')


def listens_when_run_returns(ports):
    """A server that is there before the port is: then not even the container is waited for."""
    for _ in range(2 if ports.small else 5):
        ports.run('--name', 'quick', '-p', f'{ports.published}:80')
        with socket.create_connection(('127.0.0.1', ports.published), timeout=10):
            pass
        ports.docker('rm', '-f', 'quick')
        expect_refused(ports.published)


def taken_outside(ports):
    with socket.socket() as taker:
        # Connections of the checks before may still be in TIME_WAIT.
        taker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taker.bind(('0.0.0.0', ports.published))
        taker.listen()
        failed = ports.try_run('--name', 'late', '-p', f'{ports.published}:80').expect(125)
    contains(failed.err, f'listen tcp 0.0.0.0:{ports.published}: bind: address already in use',
             'the message')
    equal(ports.docker('inspect', '-f', '{{.State.Running}}', 'late'), 'false', 'running')
    ports.docker('start', 'late')
    ports.docker('rm', '-f', 'late')
    equal(ports.rules(), [], 'rules')


def ways_to_publish(ports):
    """All interfaces of Docker's: -P, a range, an address, a declared port, UDP, SCTP, IPv6."""
    first = free_ports(8)[5]
    ports.run('--name', 'ways', '--expose', '80', '-P', '-p', f'{first}-{first + 1}:81-82',
              '-p', f'127.0.0.1:{first + 2}:80', '-p', f'{ports.declared}:80',
              '-p', f'{first + 2}:90/udp')
    ports.wait_for_server('ways')
    chosen = int(ports.docker('port', 'ways', '80/tcp').splitlines()[0].rpartition(':')[2])
    for port in (first + 2, ports.declared):
        equal(fetch(port), PAGE, f'the page on port {port}')
    contains(' '.join(ports.docker('port', 'ways', '80/tcp').split()), str(chosen), 'a chosen port')
    shown = ports.machine.verb('ports').expect(0).out
    contains(shown, f'127.0.0.1:{first + 2}/tcp', 'the ports')
    contains(shown, 'published by ways', 'the ports')
    contains(shown, 'declared, published by ways', 'the ports')
    ports.docker('rm', '-f', 'ways')
    equal(ports.rules(), [], 'rules')
    expect_refused(first + 2)
    failed = ports.try_run('-p', f'{first}:80/sctp').expect(125)
    contains(failed.err.lower(), 'sctp', 'the message for SCTP')
    failed = ports.try_run('-p', f'198.51.100.77:{first}:80').expect(125)
    contains(failed.err, '198.51.100.77', 'the message for an address that is not ours')


def clients_inside(ports):
    """The guest's loopback, and its address as a container of the same bridge sees it."""
    port = ports.published
    ports.run('--name', 'inside', '-p', f'{port}:80')
    gateway = ports.docker('network', 'inspect', 'bridge', '-f',
                           '{{(index .IPAM.Config 0).Gateway}}')
    def page(*options, address):
        return ports.docker.try_('run', '--rm', *options, BUSYBOX, 'wget', '-qO-',
                                 f'http://{address}:{port}/page').out
    until(lambda: page('--network', 'host', address='127.0.0.1') == PAGE, 90,
          'the page on the loopback of the guest')
    equal(page(address=gateway), PAGE, 'the page from a container of the same bridge')
    ports.docker('rm', '-f', 'inside')


def udp_echo(ports):
    """Every datagram comes back, up to 1,400 bytes: each is sent again until it does."""
    port = ports.published
    debian.import_to(ports.docker)
    ports.docker('run', '-d', '--name', 'udp', '-p', f'{port}:90/udp', DEBIAN, 'perl', '-e', ECHO,
                 deadline=120)
    until(lambda: ports.docker('logs', 'udp') == 'listening', 60, 'the echo server')
    address = outer_address()
    count = 100 if ports.small else 1000
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.connect((address, port))
        client.settimeout(1)
        for number in range(count):
            datagram = number.to_bytes(4, 'big') + os.urandom(number * 1396 // count)
            def comes_back(sent=datagram):
                try:
                    client.send(sent)
                    while (got := client.recv(65536)) != sent:
                        equal(got[:4] < sent[:4], True, 'a late answer of an earlier datagram')
                    return True
                except (TimeoutError, ConnectionRefusedError):
                    return False
            until(comes_back, 60, f'datagram {number}')
    ports.docker('rm', '-f', 'udp')


def outer_address():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(('198.51.100.1', 9))  # sends nothing, asks the routing table only
        return probe.getsockname()[0]


def descriptors(ports):
    pids = (ports.machine.process.pid, ports.machine.qemu_pid())
    return [len(os.listdir(f'/proc/{pid}/fd')) for pid in pids]


def open_and_send(port, number):
    connection = socket.create_connection(('127.0.0.1', port), timeout=120)
    token = hashlib.sha256(str(number).encode()).digest()
    connection.sendall(token)
    connection.shutdown(socket.SHUT_WR)
    return connection, token


def expect_token(connection, token):
    with connection:
        back = b''
        while piece := connection.recv(4096):
            back += piece
    equal(back, token, 'what came back')


def many_connections(ports):
    """Open all at once, and one after the other; nothing stays open in QEMU or the launcher."""
    port = ports.published
    ports.docker('run', '-d', '--name', 'many', '-p', f'{port}:80', DEBIAN, 'perl', '-e', MANY_ECHO)
    until(lambda: ports.docker('logs', 'many') == 'listening', 60, 'the echo server')
    expect_token(*open_and_send(port, 0))
    before = descriptors(ports)
    at_once, in_a_row = (100, 50) if ports.small else (1000, ports.session.options.cycles or 300)
    for connection, token in [open_and_send(port, number) for number in range(at_once)]:
        expect_token(connection, token)
    for number in range(in_a_row):
        expect_token(*open_and_send(port, number))
    until(lambda: all(now <= was + 2 for now, was in zip(descriptors(ports), before)), 120,
          f'as few descriptors as before ({before})')
    ports.docker('rm', '-f', 'many')


def nothing_is_left(ports):
    """Containers that come and go, and the proxy driven directly, leave no rule."""
    for _ in range(3 if ports.small else 10):
        ports.docker('run', '--rm', '-p', f'{ports.published}:80', BUSYBOX, 'true')
    equal(ports.rules(), [], 'rules after containers')
    count = 10 if ports.small else min(ports.session.options.cycles or 50, 500)
    script = f'''
        for i in $(seq {count}); do
            port=$((40000 + i))
            rm -f /tmp/verdict; mkfifo /tmp/verdict
            cat /tmp/verdict > /tmp/said &
            /sbin/dinv-port-proxy -proto tcp -host-ip 0.0.0.0 -host-port $port \\
                -container-ip 127.0.0.1 -container-port 1 3> /tmp/verdict &
            proxy=$!
            while ! [ -s /tmp/said ]; do sleep 0.02; done
            read verdict < /tmp/said; : > /tmp/said
            [ "$verdict" = 0 ] || exit 1
            if [ $((i % 2)) = 0 ]; then kill -9 $proxy; else kill $proxy; fi
            wait $proxy
        done; echo done'''
    done = ports.machine.verb('shell', 'sh', '-c', script, deadline=900)
    equal(done.out.strip().splitlines()[-1:], ['done'], f'the proxies ({done.err[-300:]})')
    until(lambda: ports.rules() == [], 30, 'no rule of a proxy')


def stops_in_order(ports):
    ports.run('--name', 'last', '-p', f'{ports.published}:80')
    equal(ports.machine.stop(), 0, 'exit status')
    ports.machine.expect_nothing_left()
    expect_refused(ports.published)


def off(session):
    port = free_ports(1)[0]
    machine = session.boot(PUBLISH='off')
    docker = Docker(machine.socket, session.work)
    docker.import_busybox()
    docker('run', '-d', '--name', 'off', '-p', f'{port}:80', BUSYBOX, 'sleep', '1000')
    expect_refused(port)
    equal(machine.stop(), 0, 'exit status')


def body(session):
    ports = Ports(session)
    ports.docker.import_busybox()
    for check in (answers_at_once, listens_when_run_returns, taken_outside, ways_to_publish,
                  clients_inside, udp_echo):
        ports.tap.check(check, ports, deadline=600)
    ports.tap.check(many_connections, ports, deadline=900)
    ports.tap.check(nothing_is_left, ports, deadline=1200)
    ports.tap.check(stops_in_order, ports)
    if not session.options.small:
        session.tap.check(off, session)


if __name__ == '__main__':
    main(body, debian.prepare)
