#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: MIT
"""The network of dinv in outer containers of every kind: root, root without any capability, an ordinary user,
and one that is in no network at all. Clients are in the outer container's own network."""

import ctypes
import hashlib
import json
import os
import signal
import socket
import sys

from lib import port_server
from lib.clients import (expect_datagrams, expect_echo, expect_refused, expect_reset, has_ipv6, outer_address, peer,
                         read_all)
from lib.docker import BUSYBOX
from lib.port_server import PORT_SERVER, PROGRAM
from lib.tap import contains, equal
from lib.waiting import until
from outer import main

CLONE_NEWNET = 0x40000000
WITHOUT = ['--cap-drop=ALL', '--security-opt=no-new-privileges', '--read-only', '--tmpfs', '/run', '--tmpfs', '/tmp']
IPV6 = ['--sysctl', 'net.ipv6.conf.all.disable_ipv6=0', '--sysctl', 'net.ipv6.conf.lo.disable_ipv6=0']
KINDS = {
    'root': IPV6,
    'without': [*WITHOUT, *IPV6, '--tmpfs', '/var/lib/dinv:mode=700,size=1g'],
    'user': [*WITHOUT, *IPV6, '--user', '1000:1000', '--tmpfs', '/var/lib/dinv:mode=1777,size=1g'],
    'none': [*WITHOUT, '--network', 'none', '--user', '1000:1000', '--tmpfs', '/var/lib/dinv:mode=1777,size=1g']}
BYTES = 8 << 20


class Site:
    def __init__(self, outer, kind):
        self.dinv = outer.start(kind, KINDS[kind], kvm=False, DINV_ACCEL='uml')
        self.dinv.wait_ready()
        self.dinv.import_busybox()
        self.dinv.inner('import', '-', PORT_SERVER, stdin=port_server.tar(), deadline=180)
        self.alone = kind == 'none'

    def here(self, function, *arguments):
        """Calls it in the outer container's network; answers what it answers, a text at most."""
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                with open(f"/proc/{self.dinv.inspect('{{.State.Pid}}')}/ns/net", 'rb') as namespace:
                    if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), CLONE_NEWNET) < 0:
                        raise OSError(ctypes.get_errno(), 'setns')
                answer = function(*arguments)
                status = 0
            except Exception as error:  # the parent raises it
                answer = f'{type(error).__name__}: {error}'
            os.write(writing, json.dumps(answer).encode())
            os._exit(status)
        os.close(writing)
        with open(reading, 'rb') as pipe:
            answer = json.loads(pipe.read() or b'"it died"')
        if os.waitpid(pid, 0)[1] != 0:
            raise AssertionError(answer)
        return answer

    def serve(self, name, *options, services=('echo:80',)):
        self.dinv.inner('run', '--detach', '--name', name, *options, PORT_SERVER, PROGRAM, *services)
        until(lambda: self.dinv.inner('logs', name) == 'listening', 60, f'{name} to listen')

    def remove(self, *names):
        self.dinv.inner('rm', '--force', *names)

    def addresses(self):
        return ['127.0.0.1'] + ([] if self.alone else [self.here(outer_address)]) + \
               (['::1'] if self.here(has_ipv6) else [])

    def status(self):
        return json.loads(self.dinv.exec_('dinv', 'status', '--json').expect(0).out)

    def network_pid(self):
        """Of dinv-usernet, as the outer engine's machine numbers it."""
        return next(pid for pid, line in self.dinv.processes() if 'dinv-usernet' in line.split()[0])


def echo_much(address, port):
    """In both directions at once, half-closed at the end."""
    data = os.urandom(BYTES)
    with socket.create_connection((address, port), timeout=120) as connection:
        pid = os.fork()
        if pid == 0:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            os._exit(0)
        back = hashlib.sha256()
        while piece := connection.recv(1 << 16):
            back.update(piece)
        os.waitpid(pid, 0)
    equal(back.hexdigest(), hashlib.sha256(data).hexdigest(), f'what came back from {address}')


def is_confined(site):
    with open(f'/proc/{site.network_pid()}/status', encoding='utf-8') as file:
        fields = dict(line.split(':\t', 1) for line in file if ':\t' in line)
    equal((fields['Seccomp'].strip(), fields['NoNewPrivs'].strip()), ('2', '1'), 'seccomp and no_new_privs')
    for name in ('CapInh', 'CapPrm', 'CapEff', 'CapAmb'):
        equal(int(fields[name], 16) & ~(1 << 10), 0, name)  # but for ports below 1024, where they need it
    with open(f'/proc/{site.network_pid()}/limits', encoding='utf-8') as file:
        contains(' '.join(file.read().split()), 'Max core file size 0 0 ', 'limits')


def ports_by_tcp(site):
    site.serve('web', '--publish', '8080:80', '--publish', '127.0.0.1:8081:81', '--publish', '8082:85', '--publish',
               '443:82', services=('echo:80', 'who:81', 'echo:82'))
    for address in site.addresses():
        site.here(expect_echo, 8080, 1, address)
        site.here(echo_much, address, 8080)
        site.here(expect_echo, 443, 2, address)
        site.here(expect_reset, 8082, address)
    contains(site.here(peer, 8081), '.', 'who is seen behind an address')
    for address in site.addresses()[1:]:
        site.here(expect_refused, 8081, address)
    site.remove('web')
    for address in site.addresses():
        site.here(expect_refused, 8080, address)


def ports_by_ipv6_alone(site):
    if not site.here(has_ipv6):
        return
    site.serve('six', '--publish', '[::1]:8080:80')
    site.here(expect_echo, 8080, 1, '::1')
    site.here(expect_refused, 8080, '127.0.0.1')
    site.remove('six')


def ports_by_udp(site):
    """Two ports that lead to one, and datagrams of all sizes."""
    site.serve('udp', '--publish', '9090:90/udp', '--publish', '9091:90/udp', services=('udp:90',))
    for address in site.addresses():
        for port in (9090, 9091):
            site.here(expect_datagrams, address, port, [size - 4 for size in (100, 1472, 1473, 4000, 16000, 60000)])
    site.remove('udp')


def address_of_the_guest(site):
    gateway = site.dinv.inner('network', 'inspect', 'bridge', '--format', '{{(index .IPAM.Config 0).Gateway}}')
    site.serve('inside', '--publish', f'{gateway}:8088:80', services=('who:80',))
    done = site.dinv.inner_try('run', '--rm', BUSYBOX, 'nc', '-w', '10', gateway, '8088')
    contains(done.out, '.', 'an answer inside')
    site.here(expect_refused, 8088)
    site.remove('inside')


def what_listens_in_the_guests_network(site):
    site.serve('host', '--network', 'host', services=('echo:7070',))
    def published():
        return [entry for entry in json.loads(site.dinv.exec_('dinv', 'ports', '--json').expect(0).out)['ports']
                if entry['host_port'] == 7070]
    until(published, 30, 'the port')
    for address in site.addresses():
        site.here(expect_echo, 7070, 1, address)
    site.remove('host')
    until(lambda: not published(), 30, 'the port to be gone')


def serve_once(address, port):
    """A server for what comes from inside."""
    with socket.create_server((address, port)) as server:
        server.settimeout(120)
        connection, _ = server.accept()
        connection.settimeout(120)
        with connection:
            connection.sendall(b'from outside')
            connection.shutdown(socket.SHUT_WR)
            read_all(connection)


def way_back(site):
    """By the name of the outer container, from docker0; the outer container answers pings, and others where
    there are any: Docker lets all its containers ping."""
    pid = os.fork()
    if pid == 0:
        try:
            site.here(serve_once, '127.0.0.1', 5555)
        finally:
            os._exit(0)
    def answer():
        return site.dinv.inner_try('run', '--rm', BUSYBOX, 'sh', '-c',
                                   'nc -w 20 host.docker.internal 5555 </dev/null').out
    until(lambda: answer().strip() == 'from outside', 120, 'an answer by name')
    os.waitpid(pid, 0)
    gateway = site.status()['network']['slirp'].rpartition('.')[0] + '.2'
    site.dinv.inner('run', '--rm', BUSYBOX, 'ping', '-c', '1', '-W', '20', gateway)
    if not site.alone:
        site.dinv.inner('run', '--rm', BUSYBOX, 'ping', '-c', '1', '-W', '20', site.here(outer_address))
    assert 'a ping from inside reaches' not in site.dinv.exec_('dinv', 'doctor').out, 'doctor on pings'


def network_process_dies(site):
    site.serve('survivor', '--publish', '8080:80')
    first = site.network_pid()
    os.kill(first, signal.SIGKILL)
    until(lambda: 'starting it again' in site.dinv.logs(), 60, 'the log')
    def answers():
        try:
            site.here(expect_echo, 8080)
        except AssertionError:
            return False
        return True
    until(answers, 60, 'an answer')
    assert site.network_pid() != first, 'the process is the same'
    site.remove('survivor')


def stops(site):
    equal(site.dinv.stop(), 0, 'exit status')
    site.dinv.remove()


def body(outer):
    for kind in KINDS:
        site = Site(outer, kind)
        for check in (is_confined, ports_by_tcp, ports_by_ipv6_alone, ports_by_udp, address_of_the_guest,
                      what_listens_in_the_guests_network, way_back, network_process_dies, stops):
            outer.tap.check(check, site, name=f'{kind}-{check.__name__.replace("_", "-")}')


if __name__ == '__main__':
    sys.stdout.reconfigure(line_buffering=True)
    main(body)
