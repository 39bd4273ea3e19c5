#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: MIT
"""`docker run -p` inside is reachable outside, at once, and only as long as the container runs.

`--cycles N` (for soak: 30): that many containers that come and go, 200 ports at once instead of 20, and 500
port proxies driven directly instead of 20.
"""

import json
import os
import signal
import socket
import subprocess

from lib import artefacts, port_server
from lib.clients import (expect_accepted, expect_datagrams, expect_echo, expect_refused, expect_reset, free_ports,
                         has_ipv6, open_and_send, outer_address, peer, read_all)
from lib.docker import BUSYBOX, Docker
from lib.port_server import PORT_SERVER, PROGRAM
from lib.session import main
from lib.tap import Skip, contains, equal
from lib.waiting import until

SUBNET, BIP = '10.77.3.0/24', '10.78.0.1/20'


class Ports:
    def __init__(self, session):
        self.session = session
        self.small = session.options.small
        self.cycles = session.options.cycles
        self.declared, self.published = free_ports(2)
        self.machine = session.boot(TCP_PORTS=f'{self.declared}')
        self.docker = Docker(self.machine.socket, session.work)

    def try_run(self, name, *options, services=('echo:80',)):
        return self.docker.try_('run', '-d', '--name', name, *options, PORT_SERVER, PROGRAM, *services,
                                deadline=600)

    def run(self, name, *options, services=('echo:80',)):
        self.try_run(name, *options, services=services).expect(0)

    def serve(self, name, *options, services=('echo:80',)):
        """The same, and waits until it listens: as its log says, not by trying the ports."""
        self.run(name, *options, services=services)
        until(lambda: self.docker('logs', name) == 'listening', 60, f'{name} to listen')

    def remove(self, name):
        self.docker('rm', '-f', name, deadline=600)

    def shell(self, script, deadline=60):
        return self.machine.verb('shell', 'sh', '-c', script, deadline=deadline)

    def listed(self):
        return json.loads(self.machine.verb('ports', '--json').expect(0).out)

    def rules(self):
        """The forwards as dinv-usernet has them, without the declared one: "tcp 0.0.0.0 8080", sorted."""
        return sorted(f'{rule["protocol"]} {rule["address"]} {rule["host_port"]}'
                      for rule in self.listed()['forwards'] if rule['host_port'] != self.declared)

    def expect_nothing_left(self):
        """No rule in dinv-usernet, no process in the guest."""
        equal(self.rules(), [], 'rules')
        equal(self.shell('pidof dinv-port-proxy docker-proxy').out, '', 'port proxies')

    def network_pid(self):
        return self.machine.status()['network']['pid']

    def descriptors(self):
        pids = (self.machine.process.pid, self.machine.machine_pid(), self.network_pid())
        return [len(os.listdir(f'/proc/{pid}/fd')) for pid in pids]


def both_families(port, protocol='tcp'):
    """The rules of a `-p` without an address."""
    return [f'{protocol} 0.0.0.0 {port}'] + ([f'{protocol} :: {port}'] if has_ipv6() else [])


# Checks.

def answers_at_once(ports):
    """The moment `docker run` returns the port is there, the moment `docker rm` does it is not."""
    port = ports.published
    ports.run('web', '-p', f'{port}:80')
    expect_accepted(port)
    # What listens in the container needs its moment after the start.
    until(lambda: ports.docker('logs', 'web') == 'listening', 60, 'web to listen')
    expect_echo(port)
    equal(ports.rules(), both_families(port), 'rules')
    ports.docker('restart', '-t', '0', 'web')
    expect_accepted(port)
    equal(ports.rules(), both_families(port), 'rules after the restart')
    ports.remove('web')
    expect_refused(port)
    ports.expect_nothing_left()


def containers_come_and_go(ports):
    for _ in range(ports.cycles or (2 if ports.small else 5)):
        ports.run('quick', '-p', f'{ports.published}:80')
        expect_accepted(ports.published)
        ports.remove('quick')
        expect_refused(ports.published)
    ports.expect_nothing_left()


def taken_outside(ports):
    with socket.socket() as taker:
        # Connections of the checks before may still be in TIME_WAIT.
        taker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taker.bind(('0.0.0.0', ports.published))
        taker.listen()
        failed = ports.try_run('late', '-p', f'{ports.published}:80').expect(125)
    contains(failed.err, f'listen tcp 0.0.0.0:{ports.published}: bind: address already in use',
             'the message')
    equal(ports.docker('inspect', '-f', '{{.State.Running}}', 'late'), 'false', 'running')
    ports.expect_nothing_left()
    ports.docker('start', 'late')
    expect_accepted(ports.published)
    ports.remove('late')
    ports.expect_nothing_left()


def ways_to_publish(ports):
    """All interfaces of Docker's: -P, a range, an address, a declared port, UDP, SCTP."""
    first = free_ports(8)[4]
    ports.serve('ways', '--expose', '80', '-P', '-p', f'{first}-{first + 1}:81-82',
                '-p', f'127.0.0.1:{first + 2}:83', '-p', f'{ports.declared}:80',
                '-p', f'{first + 2}:90/udp', services=('echo:80-82', 'who:83', 'udp:90'))
    inside = ports.docker('port', 'ways', '80/tcp').split()
    chosen = {int(word.rpartition(':')[2]) for word in inside if '->' not in word} - {ports.declared}
    for port in (first, first + 1, ports.declared, *chosen):
        expect_echo(port)
    bridge = ports.docker('network', 'inspect', 'bridge', '-f', '{{(index .IPAM.Config 0).Gateway}}')
    equal(peer(first + 2), bridge, 'the source address behind an address of ours')
    with socket.socket() as probe:
        probe.settimeout(10)
        equal(probe.connect_ex((outer_address(), first + 2)) != 0, True, 'only on 127.0.0.1')
    shown = ports.machine.verb('ports').expect(0).out
    contains(shown, f'127.0.0.1:{first + 2}/tcp', 'the ports')
    contains(shown, f'0.0.0.0:{first + 2}/udp', 'the ports')
    contains(shown, 'declared, published by ways', 'the ports')
    listed = {(item['protocol'], item['host_port']): item for item in ports.listed()['ports']
              if ':' not in item['address']}
    equal(listed['tcp', ports.declared]['names'], ['ways'], 'names of a declared port')
    equal(listed['tcp', ports.declared]['declared'], True, 'declared')
    equal(listed['tcp', first]['declared'], False, 'declared')
    contains(listed['tcp', first]['containers'][0], ':81', 'the port in the container')
    ports.remove('ways')
    ports.expect_nothing_left()
    expect_refused(first + 2)
    equal(listed.keys() - {(item['protocol'], item['host_port']) for item in ports.listed()['ports']},
          listed.keys() - {('tcp', ports.declared)}, 'what is listed no more')
    failed = ports.try_run('sctp', '-p', f'{first}:80/sctp').expect(125)
    contains(failed.err.lower(), 'sctp', 'the message for SCTP')
    failed = ports.try_run('foreign', '-p', f'198.51.100.77:{first}:80').expect(125)
    contains(failed.err, '198.51.100.77', 'the message for an address that is not ours')


def many_ports(ports):
    """Dozens at once, hundreds with --cycles: all answer, all are gone."""
    count = 200 if ports.cycles else 4 if ports.small else 20
    first = free_ports(count)[0]
    ports.serve('range', '-p', f'{first}-{first + count - 1}:100-{99 + count}',
                services=(f'echo:100-{99 + count}',))
    equal(len(ports.rules()), count * len(both_families(first)), 'rules')
    for port in range(first, first + count):
        expect_echo(port, port)
    ports.remove('range')
    expect_refused(first)
    ports.expect_nothing_left()


def source_addresses(ports):
    """Who the service in the container believes its client to be (docs/networking.md), and that the
    port is there for clients inside: the guest's loopback, and a container of the same bridge."""
    port = ports.published
    ports.serve('who', '-p', f'{port}:80', services=('who:80',))
    slirp = ports.machine.status()['network']['slirp']
    equal(peer(port), slirp.rpartition('.')[0] + '.2', 'from 127.0.0.1')
    equal(peer(port, outer_address()), outer_address(), 'from an address of the machine')
    gateway = ports.docker('network', 'inspect', 'bridge', '-f', '{{(index .IPAM.Config 0).Gateway}}')
    for options, address in ((['--network', 'host'], '127.0.0.1'), ([], gateway)):
        done = ports.docker.try_('run', '--rm', *options, BUSYBOX, 'nc', '-w', '10', address, str(port))
        contains(done.out, '.', f'an answer from {address}:{port} inside')
    ports.remove('who')


def udp_echo(ports):
    """Every datagram comes back, up to 1,400 bytes: each is sent again until it does."""
    port = ports.published
    ports.serve('udp', '-p', f'{port}:90/udp', services=('udp:90',))
    count = 100 if ports.small else 1000
    for address in (outer_address(), '127.0.0.1'):
        expect_datagrams(address, port, [number * 1396 // (count - 1) for number in range(count)])
    ports.remove('udp')


def large_datagrams(ports):
    """Just within what one packet of Ethernet takes, just beyond it, and far: whole in both directions."""
    port = ports.published
    ports.serve('large', '-p', f'{port}:90/udp', services=('udp:90',))
    addresses = [outer_address(), '127.0.0.1'] + (['::1'] if has_ipv6() else [])
    for address in addresses:
        expect_datagrams(address, port, [size - 4 for size in (1472, 1473, 4000, 16000, 60000)])
    ports.remove('large')


def udp_from_two_ports(ports):
    """Two ports outside that lead to one of the container, and the answers of each come from it."""
    first, second = free_ports(8)[4:6]
    ports.serve('twice', '-p', f'{first}:90/udp', '-p', f'{second}:90/udp', services=('udp:90',))
    for _ in range(3):
        for port in (first, second):
            for address in ('127.0.0.1', outer_address()):
                expect_datagrams(address, port, [100])
    ports.remove('twice')
    ports.expect_nothing_left()


def by_ipv6(ports):
    """`[::]` is published with 0.0.0.0; `[::1]` alone, beside 127.0.0.1, and of another container."""
    if not has_ipv6():
        raise Skip('this machine has no IPv6')
    first, second, third = free_ports(12)[4:7]
    ports.serve('both', '-p', f'{first}:80', '-p', f'[::1]:{second}:81', '-p', f'127.0.0.1:{third}:82',
                '-p', f'[::1]:{third}:82', services=('echo:80-82',))
    ports.serve('other', '-p', f'127.0.0.1:{second}:83', services=('who:83',))
    for address, port in (('::1', first), ('127.0.0.1', first), ('::1', second), ('::1', third),
                          ('127.0.0.1', third)):
        expect_echo(port, address=address)
    bridge = ports.docker('network', 'inspect', 'bridge', '-f', '{{(index .IPAM.Config 0).Gateway}}')
    equal(peer(second), bridge, 'the other container at 127.0.0.1')
    contains(ports.machine.verb('ports').expect(0).out, f'[::1]:{second}/tcp', 'the ports')
    # A declared port is there by IPv6 as well.
    ports.serve('declared', '-p', f'{ports.declared}:84', services=('echo:84',))
    expect_echo(ports.declared, address='::1')
    with socket.socket(socket.AF_INET6) as taker:
        taker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taker.bind(('::1', ports.published))
        taker.listen()
        failed = ports.try_run('late', '-p', f'[::1]:{ports.published}:80').expect(125)
    contains(failed.err, f'listen tcp [::1]:{ports.published}: bind: address already in use', 'the message')
    ports.docker('rm', '-f', 'both', 'other', 'declared', 'late')
    expect_refused(first, '::1')
    ports.expect_nothing_left()


def to_ipv6_inside(ports):
    """What comes by IPv6 reaches a service that listens on its container's IPv6 address alone."""
    if not has_ipv6():
        raise Skip('this machine has no IPv6')
    port = ports.published
    ports.docker('network', 'create', '--ipv6', 'six')
    ports.docker('run', '-d', '--name', 'six', '--network', 'six', '-p', f'{port}:80', BUSYBOX, 'sh', '-c',
                 'echo page > /index; IP=$(ip -6 addr show dev eth0 scope global | '
                 "sed -n 's,.*inet6 \\([^/]*\\)/.*,\\1,p'); exec httpd -f -p \"[$IP]:80\" -h /")
    def page():
        connection = socket.create_connection(('::1', port), timeout=30)
        try:
            connection.sendall(b'GET /index HTTP/1.0\r\n\r\n')
            return read_all(connection).endswith(b'page\n')
        except ConnectionResetError:  # it does not listen yet
            return False
    until(page, 60, 'the page by IPv6')
    ports.remove('six')
    ports.docker('network', 'rm', 'six')
    ports.expect_nothing_left()


def addresses_of_the_guest(ports):
    """An address that only the guest has is served inside; one that nobody has is refused."""
    port = ports.published
    gateway = ports.docker('network', 'inspect', 'bridge', '-f', '{{(index .IPAM.Config 0).Gateway}}')
    ports.serve('inside', '-p', f'{gateway}:{port}:80', services=('who:80',))
    done = ports.docker.try_('run', '--rm', BUSYBOX, 'nc', '-w', '10', gateway, str(port))
    contains(done.out, '.', f'an answer from {gateway}:{port} inside')
    expect_refused(port)
    equal(ports.rules(), [], 'rules')
    ports.remove('inside')
    ports.expect_nothing_left()


def several_addresses(ports):
    """One port on two addresses, for two services."""
    port = ports.published
    ports.serve('several', '-p', f'127.0.0.1:{port}:80', '-p', f'{outer_address()}:{port}:81',
                services=('echo:80', 'who:81'))
    expect_echo(port)
    contains(peer(port, outer_address()), '.', 'who is seen')
    ports.remove('several')
    ports.expect_nothing_left()


def nothing_listens(ports):
    """The client of a published port behind which nothing listens is reset, at once and each time."""
    port = ports.published
    ports.run('idle', '-p', f'{port}:85', '-p', f'127.0.0.1:{port + 1}:86', services=('echo:80',))
    for address in ['127.0.0.1', outer_address()] + (['::1'] if has_ipv6() else []):
        expect_reset(port, address)
    # Declared, and published by nobody: the guest itself refuses.
    expect_reset(ports.declared, '127.0.0.1')
    ports.remove('idle')


def network_dies(ports):
    """dinv-usernet is started again: ports are back, open connections are reset, one line in the log."""
    port = ports.published
    ports.serve('survivor', '-p', f'{port}:80')
    rules, first = ports.rules(), ports.network_pid()
    held = socket.create_connection(('127.0.0.1', port), timeout=60)
    held.sendall(b'x')
    equal(held.recv(1), b'x', 'what came back')
    os.kill(first, signal.SIGKILL)
    with held:
        try:
            equal(held.recv(1), b'', 'nothing after the end')
        except ConnectionResetError:
            pass
    until(lambda: ports.network_pid() not in (0, first), 60, 'another process')
    equal(ports.rules(), rules, 'rules')
    expect_echo(port)
    ports.docker('run', '--rm', BUSYBOX, 'true')
    log = ports.machine.log()
    equal(log.count('dinv-usernet, which is the guest'), 1, 'lines of the log')
    contains(log, 'was killed by signal 9; starting it again', 'the log')
    ports.remove('survivor')
    ports.expect_nothing_left()


def network_dies_twice(session):
    """The second death within a minute ends the machine in order, with the cause."""
    machine = session.boot()
    for _ in range(2):
        first = machine.status()['network']['pid']
        os.kill(first, signal.SIGKILL)
        if _ == 0:
            until(lambda: machine.status()['network']['pid'] not in (0, first), 60, 'another process')
    equal(machine.wait_exit(120), 125, 'exit status')
    contains(machine.log(), 'was killed by signal 9; the network is lost, stopping the guest', 'the log')
    contains(machine.log(), 'the data disk is clean', 'the log')
    machine.expect_nothing_left()


def many_connections(ports):
    """Open all at once, and one after the other; nothing stays open in dinv-usernet, QEMU or the launcher."""
    port = ports.published
    ports.serve('many', '-p', f'{port}:80')
    listening = subprocess.run([artefacts.tool('ss'), '-Hltn', f'sport = :{port}'], check=True,
                               stdout=subprocess.PIPE).stdout.split()
    equal(int(listening[2]) > 100, True, f'a queue for clients that come at once ({listening})')
    expect_echo(port)
    before = ports.descriptors()
    at_once = 200 if ports.small else 1000
    in_a_row = 10000 if ports.cycles else 500 if ports.small else 2000
    for connection, token in [open_and_send(port, number) for number in range(at_once)]:
        equal(read_all(connection), token, 'what came back')
    for number in range(in_a_row):
        expect_echo(port, number)
    until(lambda: all(now <= was for now, was in zip(ports.descriptors(), before)), 120,
          f'as few descriptors as before ({before})')
    ports.remove('many')


def proxies_leave_nothing(ports):
    """The port proxy driven directly, as dockerd does it; every second one is killed."""
    count = 500 if ports.cycles else 10 if ports.small else 20
    first = free_ports(count)[0]
    script = f'''
        for i in $(seq {count}); do
            port=$(({first - 1} + i))
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
    done = ports.shell(script, deadline=1200)
    equal(done.out.strip().splitlines()[-1:], ['done'], f'the proxies ({done.err[-300:]})')
    until(lambda: ports.rules() == [], 30, 'no rule of a proxy')
    ports.expect_nothing_left()


def dockerd_dies(ports):
    """It is started again, and with it what has a restart policy; the ports of the rest are gone."""
    first, second = ports.published, free_ports(8)[4]
    ports.run('stays', '--restart', 'always', '-p', f'{first}:80')
    ports.run('goes', '-p', f'{second}:80')
    ports.shell('kill -9 $(pidof dockerd)').expect(0)
    until(lambda: 'dockerd answers again' in ports.machine.log(), 120, 'dockerd to be back')
    contains(ports.machine.log(), 'starting it again', 'the log')
    until(lambda: ports.docker('inspect', '-f', '{{.State.Running}}', 'stays') == 'true', 60,
          'the container to be back')
    until(lambda: ports.docker('logs', '--tail', '1', 'stays') == 'listening', 60, 'it to listen')
    expect_echo(first)
    expect_refused(second)
    equal(ports.rules(), both_families(first), 'rules')
    equal(ports.docker('inspect', '-f', '{{.State.Running}}', 'goes'), 'false', 'the other one')
    ports.docker('rm', '-f', 'stays', 'goes')
    ports.expect_nothing_left()


def stops_in_order(ports):
    ports.run('last', '-p', f'{ports.published}:80')
    equal(ports.machine.stop(), 0, 'exit status')
    ports.machine.expect_nothing_left()
    expect_refused(ports.published)


def off(session):
    """DINV_PUBLISH=off, and networks of one's own choice, which `dinv status` shows."""
    port = free_ports(1)[0]
    machine = session.boot(PUBLISH='off', SUBNET=SUBNET, BIP=BIP)
    network = machine.status()['network']
    equal((network['slirp'], network['bridge']), (SUBNET, '10.78.0.0/20'), 'the networks')
    contains(machine.verb('status').expect(0).out, f'guest {SUBNET}, docker0 {BIP}', 'the status')
    docker = Docker(machine.socket, session.work)
    docker('import', '-', PORT_SERVER, stdin=port_server.tar())
    docker('run', '-d', '--name', 'off', '-p', f'{port}:80', PORT_SERVER, PROGRAM, 'echo:80')
    contains(docker('inspect', '-f', '{{.NetworkSettings.IPAddress}}', 'off'), '10.78.0.', 'address')
    expect_refused(port)
    equal(machine.stop(), 0, 'exit status')


def body(session):
    ports = Ports(session)
    ports.docker.import_busybox()
    ports.docker('import', '-', PORT_SERVER, stdin=port_server.tar())
    for check in (answers_at_once, containers_come_and_go, taken_outside, ways_to_publish, many_ports,
                  source_addresses, udp_echo, large_datagrams, udp_from_two_ports, by_ipv6, to_ipv6_inside,
                  addresses_of_the_guest, several_addresses, nothing_listens, many_connections,
                  proxies_leave_nothing, network_dies, dockerd_dies, stops_in_order):
        session.tap.check(check, ports, deadline=1500 if ports.cycles else 600)
    if not session.options.small:
        session.tap.check(off, session)
        session.tap.check(network_dies_twice, session)


if __name__ == '__main__':
    main(body, port_server.prepare)
