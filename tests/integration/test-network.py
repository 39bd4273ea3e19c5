#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: MIT
"""Containers reach the network through NAT, and the network reaches declared ports."""

import os
import socket
import threading

from lib import debian
from lib.debian import DEBIAN, ECHO, SUITE
from lib.docker import BUSYBOX, Docker
from lib.session import main
from lib.tap import Skip, contains, equal
from lib.waiting import until

def free_port(kind):
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(('0.0.0.0', 0))
        return probe.getsockname()[1]


def outer_address():
    """An address of this machine that is not its loopback; None where there is no network."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(('198.51.100.1', 9))  # sends nothing, asks the routing table only
        except OSError:
            return None
        return probe.getsockname()[0]


def builds_with_a_package(docker, work):
    with open(os.path.join(work, 'Dockerfile'), 'w', encoding='utf-8') as file:
        file.write(f'FROM {DEBIAN}\n'
                   f'RUN echo "deb http://deb.debian.org/debian {SUITE} main" > '
                   '/etc/apt/sources.list && rm -f /etc/apt/sources.list.d/* && '
                   'apt-get -o Acquire::Languages=none update && '
                   'apt-get install -y --no-install-recommends hello\n'
                   'CMD ["hello"]\n')
    docker('build', '-t', 'dinv-test/hello', work, deadline=540)
    equal(docker('run', '--rm', 'dinv-test/hello'), 'Hello, world!', 'output of the package')


def starts_echo(docker):
    docker('run', '-d', '--name', 'echo', '-p', '8080:80/tcp', '-p', '9090:90/udp', DEBIAN,
           'perl', '-e', ECHO, deadline=120)
    until(lambda: docker('logs', 'echo') == 'listening', 60, 'the echo server')


def echo_tcp(port, address):
    """Sends a lot in one direction while it comes back in the other, then half-closes."""
    data = os.urandom(4 << 20)
    with socket.create_connection((address, port), timeout=60) as connection:
        def send():
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
        sender = threading.Thread(target=send, daemon=True)
        sender.start()
        back = bytearray()
        while piece := connection.recv(1 << 16):
            back += piece
        sender.join(60)
    assert bytes(back) == data, f'{len(back)} of {len(data)} bytes came back, or others'


def tcp_from_loopback(port):
    echo_tcp(port, '127.0.0.1')


def tcp_from_the_network(port):
    echo_tcp(port, outer_address() or '127.0.0.1')


def udp_from_the_network(port):
    address = outer_address()
    if not address:
        raise Skip('this machine has no address but its loopback')
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(1)
        for size in (1, 100, 1400, 1472, 1473, 4000, 16000, 60000):
            datagram = os.urandom(size)

            def comes_back(sent=datagram):
                client.sendto(sent, (address, port))  # again each time: a datagram may get lost
                try:
                    return client.recv(65536) == sent
                except TimeoutError:
                    return False
            until(comes_back, 30, f'a datagram of {size} bytes to come back')


def may_ping():
    """Whether the kernel gives this user's groups ICMP sockets."""
    try:
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP).close()
    except OSError:
        return False
    return True


def pings(machine, docker):
    """The outer container always answers; others where the kernel lets the launcher ping."""
    docker.import_busybox()
    gateway = machine.status()['network']['slirp'].rpartition('.')[0] + '.2'
    docker('run', '--rm', BUSYBOX, 'ping', '-c', '1', '-W', '10', gateway)
    address = outer_address()
    if may_ping() and address:
        docker('run', '--rm', BUSYBOX, 'ping', '-c', '1', '-W', '10', address)
    said = 'a ping from inside reaches the outer container only' in machine.verb('doctor').out
    equal(said, not may_ping(), 'whether doctor says that no ping leaves')


def packet_sizes(machine, docker):
    """The link, docker0 and a new network have the same size of packets."""
    docker('network', 'create', 'sized')
    shown = machine.verb('shell', 'sh', '-c', 'ip link').expect(0).out
    mtu = machine.status()['network']['mtu']
    equal(mtu, 65520, 'the default')
    for name in ('eth0', 'docker0', 'br-'):
        line = next(line for line in shown.splitlines() if f' {name}' in line)
        contains(line, f'mtu {mtu} ', f'the line of {name}')
    docker('network', 'rm', 'sized')


def stops_in_order(machine):
    equal(machine.stop(), 0, 'exit status')
    machine.expect_nothing_left()


def body(session):
    tap = session.tap
    tcp, udp = free_port(socket.SOCK_STREAM), free_port(socket.SOCK_DGRAM)
    machine = session.boot(TCP_PORTS=f'{tcp}:8080', UDP_PORTS=f'{udp}:9090')
    docker = Docker(machine.socket, session.work)
    if tap.check(debian.import_to, docker, deadline=400):
        tap.check(starts_echo, docker)
        tap.check(tcp_from_loopback, tcp)
        tap.check(tcp_from_the_network, tcp)
        tap.check(udp_from_the_network, udp)
        tap.check(pings, machine, docker)
        tap.check(packet_sizes, machine, docker)
        tap.check(builds_with_a_package, docker, session.work, deadline=600)
    tap.check(stops_in_order, machine)


if __name__ == '__main__':
    main(body, debian.prepare)
