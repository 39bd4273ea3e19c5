# SPDX-License-Identifier: MIT
"""Clients of forwarded ports. None of them tries twice, but where a datagram may be lost."""

import hashlib
import os
import socket

from .tap import equal
from .waiting import until


def free_ports(count):
    """The first of as many ports in a row as are free for TCP and UDP, below those of outgoing
    connections."""
    found = []
    for port in range(20000 + os.getpid() % 5000, 32000):
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            try:
                tcp.bind(('0.0.0.0', port))
                udp.bind(('0.0.0.0', port))
            except OSError:
                found = []
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise AssertionError('no free ports')


def outer_address():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(('198.51.100.1', 9))  # sends nothing, asks the routing table only
        return probe.getsockname()[0]


def has_ipv6():
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(('::1', 0))
        except OSError:
            return False
    return True


def open_and_send(port, number, address='127.0.0.1'):
    connection = socket.create_connection((address, port), timeout=120)
    token = hashlib.sha256(str(number).encode()).digest()
    connection.sendall(token)
    connection.shutdown(socket.SHUT_WR)
    return connection, token


def read_all(connection):
    with connection:
        back = b''
        while piece := connection.recv(1 << 16):
            back += piece
    return back


def expect_echo(port, number=0, address='127.0.0.1'):
    connection, token = open_and_send(port, number, address)
    equal(read_all(connection), token, f'what came back from {address}:{port}')


def expect_accepted(port):
    with socket.create_connection(('127.0.0.1', port), timeout=10):
        pass


def expect_refused(port, address='127.0.0.1'):
    with socket.socket(socket.AF_INET6 if ':' in address else socket.AF_INET) as probe:
        probe.settimeout(10)
        try:
            probe.connect((address, port))
        except ConnectionRefusedError:
            return
    raise AssertionError(f'port {port} does not refuse')


def expect_reset(port, address):
    """Refused or reset, whichever comes first, and no quiet end."""
    try:
        with socket.create_connection((address, port), timeout=60) as connection:
            equal(connection.recv(1), None, f'an end of {address}:{port} that looks like an answer')
    except ConnectionResetError:
        pass


def expect_datagrams(address, port, sizes):
    """A datagram of each size, with four bytes more, comes back whole: it is sent again until it does."""
    with socket.socket(socket.AF_INET6 if ':' in address else socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.connect((address, port))
        client.settimeout(1)
        for number, size in enumerate(sizes):
            datagram = number.to_bytes(4, 'big') + os.urandom(size)
            def comes_back(sent=datagram):
                try:
                    client.send(sent)
                    while (got := client.recv(65536)) != sent:
                        equal(got[:4] < sent[:4], True, 'a late answer of an earlier datagram')
                    return True
                except (TimeoutError, ConnectionRefusedError):
                    return False
            until(comes_back, 60, f'datagram {number}, of {size + 4} bytes, from {address}:{port}')


def peer(port, address='127.0.0.1'):
    """The address that the service `who` sees of us."""
    return read_all(socket.create_connection((address, port), timeout=60)).decode().split()[0]
