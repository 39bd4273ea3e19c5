# SPDX-License-Identifier: MIT
"""A port that `docker run -p` published on demand against a forward that was QEMU's own from the start
(`hostfwd=` on its command line), both to the same container, in turns: throughput and connections."""

import socket
import tempfile
import time

from lib import port_server
from lib.dinv import Dinv
from lib.docker import Docker
from lib.port_server import PORT_SERVER, PROGRAM
from lib.waiting import until

from . import figures, host

SERVICES = {'echo': 80, 'source': 81, 'sink': 82}
CONNECTIONS = 500
AT_ONCE = 1000
CHUNK = 1 << 20


def free_ports(count):
    sockets = [socket.create_server(('127.0.0.1', 0)) for _ in range(count)]
    ports = [item.getsockname()[1] for item in sockets]
    for item in sockets:
        item.close()
    return ports


def connect(port):
    return socket.create_connection(('127.0.0.1', port), timeout=120)


def from_guest(port, size):
    """MB/s."""
    with connect(port) as connection:
        connection.recv(1)
        begin, left = time.monotonic(), size
        while left > 0:
            left -= len(connection.recv(min(left, CHUNK)))
        return size / (time.monotonic() - begin) / 1e6


def to_guest(port, size):
    """MB/s, until the service has said that it has all of it."""
    piece = bytes(CHUNK)
    with connect(port) as connection:
        begin = time.monotonic()
        for _ in range(size // CHUNK):
            connection.sendall(piece)
        connection.shutdown(socket.SHUT_WR)
        answer = b''
        while more := connection.recv(64):
            answer += more
        seconds = time.monotonic() - begin
    if int(answer) != size // CHUNK * CHUNK:
        raise AssertionError(f'{answer} of {size} bytes arrived')
    return size / seconds / 1e6


def connections(port):
    """Opened, used and closed one after the other: how many a second."""
    begin = time.monotonic()
    for _ in range(CONNECTIONS):
        with connect(port) as connection:
            connection.sendall(b'x')
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(64):
                pass
    return CONNECTIONS / (time.monotonic() - begin)


def at_once(port):
    """Seconds until as many have been opened and answered."""
    begin = time.monotonic()
    opened = [connect(port) for _ in range(AT_ONCE)]
    for connection in opened:
        connection.sendall(b'x')
    for connection in opened:
        if connection.recv(1) != b'x':
            raise AssertionError('a connection was lost')
    seconds = time.monotonic() - begin
    for connection in opened:
        connection.close()
    return seconds


def rounds_of(published, forwarded, rounds, size):
    measures = {'from_guest': lambda ports: from_guest(ports['source'], size),
                'to_guest': lambda ports: to_guest(ports['sink'], size),
                'connections': lambda ports: connections(ports['echo'])}
    series = {name: {'published': [], 'forwarded': []} for name in measures}
    load = host.Load()
    for number in range(rounds):
        sides = [('published', published), ('forwarded', forwarded)]
        for name, measure_one in measures.items():
            for side, ports in sides if number % 2 == 0 else reversed(sides):
                series[name][side].append(measure_one(ports))
        load.look()
    result = {name: {'published': figures.summary(of['published']),
                     'forwarded': figures.summary(of['forwarded']),
                     'ratio': figures.ratio(of['published'], of['forwarded'])}
              for name, of in series.items()}
    return result | {'load': load.result()}


def measure(rounds, mebibytes):
    numbers = free_ports(2 * len(SERVICES))
    published = dict(zip(SERVICES, numbers))
    forwarded = dict(zip(SERVICES, numbers[len(SERVICES):]))
    rules = ';'.join(f'{forwarded[name]}:{published[name]}' for name in SERVICES)
    with tempfile.TemporaryDirectory(prefix='dvb-', dir='/tmp') as directory:
        dinv = Dinv(TCP_PORTS=rules)
        try:
            dinv.boot()
            docker = Docker(dinv.socket, directory)
            docker('import', '-', PORT_SERVER, stdin=port_server.tar())
            options = [word for name, port in SERVICES.items() for word in ('-p', f'{published[name]}:{port}')]
            docker('run', '-d', '--name', 'server', *options, PORT_SERVER, PROGRAM,
                   *(f'{name}:{port}' for name, port in SERVICES.items()))
            until(lambda: docker('logs', 'server') == 'listening', 60, 'the server')
            result = rounds_of(published, forwarded, rounds, mebibytes << 20)
            result['at_once'] = figures.summary(at_once(published['echo']) for _ in range(rounds))
            dinv.stop()
        finally:
            dinv.end()
    return result


def tabulate(result, table):
    for name, text, unit in (('from_guest', 'port, from guest', 'MB/s'), ('to_guest', 'port, to guest', 'MB/s'),
                             ('connections', 'port, connections in a row', '/s')):
        for side, label in (('forwarded', 'hostfwd'), ('published', 'published')):
            table.value(f'{text}, {label}', result[name][side], unit, 0)
        table.ratio(text, result[name]['ratio'], 'published : hostfwd', least=0.95)
    table.value(f'{AT_ONCE} connections opened at once, and answered', result['at_once'], 's')
