#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: MIT
"""Connections whose one side has ended: the other may be silent for long, and slow, and all of it arrives.
Part of `make soak`: `--seconds N` is how long the silent side is silent (720)."""

import contextlib
import select
import socket
import subprocess
import time

from lib import artefacts, port_server
from lib.clients import free_ports, has_ipv6, outer_address
from lib.docker import BUSYBOX, Docker
from lib.port_server import PORT_SERVER, PROGRAM
from lib.session import main
from lib.tap import equal
from lib.waiting import until

ANSWER = 100000
# Longer than libslirp keeps a connection that both sides have ended.
STALL = 30
# From what the kernels' buffers hold on the way to what they do not.
SIZES = range(64 << 10, 6 << 20, 64 << 10)


class Ends:
    def __init__(self, session):
        self.seconds = 720 if session.options.seconds is None else session.options.seconds
        self.any, self.local, self.outer = free_ports(3)
        self.machine = session.boot()
        self.docker = Docker(self.machine.socket, session.work)
        self.docker.import_busybox()
        self.docker('import', '-', PORT_SERVER, stdin=port_server.tar())
        self.docker('run', '-d', '--name', 'late', '-p', f'{self.any}:80', '-p', f'127.0.0.1:{self.local}:80',
                    PORT_SERVER, PROGRAM, 'late:80')
        until(lambda: self.docker('logs', 'late') == 'listening', 60, 'the server')
        self.gateway = self.machine.status()['network']['slirp'].rpartition('.')[0] + '.2'

    def ways_in(self):
        ways = [('127.0.0.1', self.any), (outer_address(), self.any), ('127.0.0.1', self.local)]
        return ways + ([('::1', self.any)] if has_ipv6() else [])

    @contextlib.contextmanager
    def outer_server(self):
        server = subprocess.Popen([artefacts.port_server(), f'late:{self.outer}'], stdout=subprocess.PIPE)
        try:
            equal(server.stdout.readline(), b'listening\n', 'the outer server')
            yield
        finally:
            server.kill()
            server.wait()


def ask(address, port, seconds, size):
    """A connection that has said all it has to say."""
    connection = socket.create_connection((address, port), timeout=120)
    connection.sendall(f'{seconds} {size}'.encode())
    connection.shutdown(socket.SHUT_WR)
    return connection


def count_all(connection):
    with connection:
        got = 0
        while piece := connection.recv(1 << 16):
            got += len(piece)
    return got


def half_closed_and_silent(ends):
    """From outside by each way in, and from inside: by docker0, and in the guest's own network."""
    command = f'echo {ends.seconds} {ANSWER} | nc {ends.gateway} {ends.outer} | wc -c'
    with ends.outer_server():
        inside = [ends.docker.start('run', '--rm', *options, BUSYBOX, 'sh', '-c', command)
                  for options in ([], ['--network', 'host'])]
        outside = {way: ask(*way, ends.seconds, ANSWER) for way in ends.ways_in()}
        begin = time.monotonic()
        early, _, _ = select.select(list(outside.values()), [], [], max(0, ends.seconds - 10))
        equal(early, [], f'connections that end, or say something, after {time.monotonic() - begin:.0f} s')
        for way, connection in outside.items():
            connection.settimeout(120)
            equal(count_all(connection), ANSWER, f'bytes of the answer by {way}')
        for client in inside:
            out, problem = client.communicate(timeout=120)
            equal(out.strip(), str(ANSWER).encode(), f'bytes of the answer inside ({problem})')


def half_closed_and_slow(ends):
    """Clients that read nothing for as long as libslirp knew such a connection lose nothing."""
    connections = {size: ask('127.0.0.1', ends.any, 0, size) for size in SIZES}
    time.sleep(STALL)  # that they read nothing for so long is what is tested
    lost = {size: got for size, connection in connections.items() if (got := count_all(connection)) != size}
    equal(lost, {}, 'sizes of which other numbers of bytes arrived')


def stops_in_order(ends):
    equal(ends.machine.stop(), 0, 'exit status')
    ends.machine.expect_nothing_left()


def body(session):
    ends = Ends(session)
    session.tap.check(half_closed_and_slow, ends, deadline=600)
    session.tap.check(half_closed_and_silent, ends, deadline=ends.seconds + 300)
    session.tap.check(stops_in_order, ends)


if __name__ == '__main__':
    main(body, port_server.prepare)
