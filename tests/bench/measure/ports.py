# SPDX-License-Identifier: MIT
"""The network of dinv against QEMU's own `-netdev user` with hand-made `hostfwd=`, in turns: two dinvs, of
whose second the network is exchanged on QEMU's command line, with the packet size that it always had."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time

from lib import artefacts, port_server
from lib.dinv import Dinv
from lib.docker import Docker
from lib.port_server import PORT_SERVER, PROGRAM
from lib.waiting import until

from . import figures, host, process

SERVICES = {'echo': 80, 'source': 81, 'sink': 82}
ARGUMENTS = [f'{name}:{port}' for name, port in SERVICES.items()]
CONNECTIONS = 500
AT_ONCE = 1000
EACH = 256 << 10  # moved by each of them in both directions, for the memory then
CLIENT = '/port-client'
SUBNET, OUTER, GUEST = '10.77.9.0/24', '10.77.9.2', '10.77.9.15'

# What stands for QEMU: it exchanges the network card's other end, and the size of packets with it.
SHIM = '''#!/bin/bash
words=()
for word in "$@"; do
    case $word in
    dgram,id=net0,*) word='user,id=net0,net={subnet},host={outer}{rules}' ;;
    *,netdev=net0,host_mtu=*) word=$(sed 's/,host_mtu=[0-9]*//' <<<"$word") ;;
    esac
    words+=("$word")
done
exec {qemu} "${{words[@]}}"
'''


def free_ports(count):
    sockets = [socket.create_server(('127.0.0.1', 0)) for _ in range(count)]
    ports = [item.getsockname()[1] for item in sockets]
    for item in sockets:
        item.close()
    return ports


def client_program():
    return os.path.join(artefacts.build_root(), 'tests/bench/port-client')


class Side:
    """A dinv with a server on docker0, and clients on docker0 and in the guest's own network. `ports`: where
    the services of the server are outside."""

    def __init__(self, directory, outer_ports, **settings):
        self.ports = dict(zip(SERVICES, free_ports(len(SERVICES))))
        self.outer_ports = outer_ports
        self.dinv = Dinv(MEMORY='1G', SUBNET=SUBNET, **self.settings(directory), **settings)
        self.docker = Docker(self.dinv.socket, directory)
        self.server = None

    def settings(self, directory):
        del directory
        return {}

    def boot(self):
        self.dinv.boot()
        self.docker('import', '-', PORT_SERVER, stdin=port_server.tar(client_program()))
        options = [word for name, port in SERVICES.items() for word in ('-p', f'{self.ports[name]}:{port}')]
        self.docker('run', '-d', '--name', 'server', *options, PORT_SERVER, PROGRAM, *ARGUMENTS)
        self.docker('run', '-d', '--name', 'bridge', PORT_SERVER, PROGRAM)
        self.docker('run', '-d', '--name', 'host', '--network', 'host', PORT_SERVER, PROGRAM)
        for name in ('server', 'bridge', 'host'):
            until(lambda of=name: self.docker('logs', of) == 'listening', 60, name)
        self.server = self.docker('inspect', '-f', '{{.NetworkSettings.IPAddress}}', 'server')

    def inside(self, container, work, address, port, count):
        """Seconds."""
        words = ('exec', container, CLIENT, work, address, str(port), str(count))
        return int(self.docker(*words, deadline=900)) / 1e6

    def outside(self, work, port, count):
        done = subprocess.run([client_program(), work, '127.0.0.1', str(port), str(count)], check=True,
                              stdout=subprocess.PIPE, timeout=900)
        return int(done.stdout) / 1e6

    def works(self, size):
        """name -> a function that answers bytes or connections a second."""
        rate = {
            'port_from_guest': lambda: self.outside('receive', self.ports['source'], size),
            'port_to_guest': lambda: self.outside('send', self.ports['sink'], size),
            'guest_to_outer': lambda: self.inside('host', 'send', OUTER, self.outer_ports['sink'], size),
            'outer_to_guest': lambda: self.inside('host', 'receive', OUTER, self.outer_ports['source'], size),
            'container_to_outer': lambda: self.inside('bridge', 'send', OUTER, self.outer_ports['sink'], size),
            'outer_to_container': lambda: self.inside('bridge', 'receive', OUTER, self.outer_ports['source'],
                                                      size),
            'containers': lambda: self.inside('bridge', 'send', self.server, SERVICES['sink'], size)}
        works = {name: lambda seconds=seconds: size / seconds() / 1e6 for name, seconds in rate.items()}
        works['connections'] = lambda: CONNECTIONS / self.outside('connect', self.ports['echo'], CONNECTIONS)
        return works


class UserSide(Side):
    """The one with QEMU's own network: dinv publishes nothing, and its dinv-usernet stands idle."""

    def settings(self, directory):
        qemu = os.environ.get('DINV_TEST_QEMU') or artefacts.tool('qemu-system-x86_64')
        rules = ''.join(f',hostfwd=tcp:127.0.0.1:{port}-{GUEST}:{port}' for port in self.ports.values())
        path = os.path.join(directory, 'qemu-user')
        with open(path, 'w', encoding='utf-8') as file:
            file.write(SHIM.format(subnet=SUBNET, outer=OUTER, rules=rules, qemu=qemu))
        os.chmod(path, 0o755)
        return {'QEMU': path, 'MTU': '1500', 'PUBLISH': 'off'}


def read_exactly(connection, count):
    while count > 0:
        got = connection.recv(min(count, 1 << 16))
        if not got:
            raise AssertionError('a connection was lost')
        count -= len(got)


def open_connections(side):
    return sum(forward['open'] for forward in
               json.loads(side.dinv.verb('ports', '--json').expect(0).out)['forwards'])


def at_once(side):
    """Seconds until as many have been opened and answered, and dinv-usernet's memory with all of them open:
    after a byte in each direction, and after EACH."""
    pid = side.dinv.status()['network']['pid']
    begin = time.monotonic()
    opened = [socket.create_connection(('127.0.0.1', side.ports['echo']), timeout=120) for _ in range(AT_ONCE)]
    for connection in opened:
        connection.sendall(b'x')
    for connection in opened:
        read_exactly(connection, 1)
    seconds = time.monotonic() - begin
    answered = process.status_bytes(pid, 'VmRSS')['VmRSS']
    piece = bytes(1 << 14)
    for _ in range(EACH // len(piece)):
        for connection in opened:
            connection.sendall(piece)
            read_exactly(connection, len(piece))
    used = process.status_bytes(pid, 'VmRSS')['VmRSS']
    for connection in opened:
        connection.close()
    until(lambda: open_connections(side) == 0, 60, 'the end of the connections')
    return {'seconds': seconds, 'answered': answered, 'used': used,
            'after': process.status_bytes(pid, 'VmRSS')['VmRSS']}


def rounds_of(ours, theirs, rounds, size):
    works = {'ours': ours.works(size), 'user': theirs.works(size)}
    series = {name: {'ours': [], 'user': []} for name in works['ours']}
    load = host.Load()
    for number in range(rounds):
        for name, of in series.items():
            for side in ('ours', 'user') if number % 2 == 0 else ('user', 'ours'):
                of[side].append(works[side][name]())
        load.look()
    result = {name: {'ours': figures.summary(of['ours']), 'user': figures.summary(of['user']),
                     'ratio': figures.ratio(of['ours'], of['user'])}
              for name, of in series.items()}
    return result | {'load': load.result()}


@contextlib.contextmanager
def outer_server():
    """The services outside, for clients inside: ports by name."""
    ports = dict(zip(SERVICES, free_ports(len(SERVICES))))
    server = subprocess.Popen([artefacts.port_server(), *(f'{name}:{port}' for name, port in ports.items())],
                              stdout=subprocess.PIPE)
    try:
        if server.stdout.readline() != b'listening\n':
            raise AssertionError('the outer server does not listen')
        yield ports
    finally:
        server.kill()
        server.wait()


def measure(rounds, mebibytes):
    directory = tempfile.mkdtemp(prefix='dvb-', dir='/tmp')
    sides = []
    try:
        with outer_server() as outer_ports:
            sides = [Side(directory, outer_ports), UserSide(directory, outer_ports)]
            for side in sides:
                side.boot()
            result = rounds_of(*sides, rounds, mebibytes << 20)
            taken = [at_once(sides[0]) for _ in range(rounds)]
            result['at_once'] = figures.summary(one['seconds'] for one in taken)
            for name in ('answered', 'used', 'after'):
                result[f'memory_{name}'] = figures.summary(one[name] / 2**20 for one in taken)
            for side in sides:
                side.dinv.stop()
    finally:
        for side in sides:
            side.dinv.end()
        shutil.rmtree(directory, ignore_errors=True)
    return result


WORDS = {'port_from_guest': ('published port, from guest', 2), 'port_to_guest': ('published port, to guest', 1.5),
         'guest_to_outer': ('guest to outer', 2), 'outer_to_guest': ('outer to guest', 1.5),
         'container_to_outer': ('container to outer', None), 'outer_to_container': ('outer to container', None),
         'containers': ('container to container', None)}


def tabulate(result, table):
    for name, (words, least) in WORDS.items():
        table.value(f'{words}, -netdev user', result[name]['user'], 'MB/s', 0)
        table.value(f'{words}, dinv-usernet', result[name]['ours'], 'MB/s', 0)
        table.ratio(words, result[name]['ratio'], 'dinv-usernet : -netdev user', least=least)
    table.value('connections in a row, -netdev user', result['connections']['user'], '/s', 0)
    table.ratio('connections in a row', result['connections']['ratio'], 'dinv-usernet : -netdev user', least=1)
    table.value(f'{AT_ONCE} connections opened at once, and answered', result['at_once'], 's')
    table.value(f'resident memory of dinv-usernet with {AT_ONCE} connections', result['memory_answered'], 'MiB',
                1, most=32)
    table.value(f'… each of which moved {EACH >> 10} KiB both ways', result['memory_used'], 'MiB', 1)
    table.value('… after the end of them', result['memory_after'], 'MiB', 1)
