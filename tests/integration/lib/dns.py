# SPDX-License-Identifier: MIT
"""A name server for tests: answers A and AAAA from a table, over UDP and TCP, in the ways that servers
have of not answering, too."""

import contextlib
import ipaddress
import socket
import struct
import threading

A, AAAA = 1, 28
NXDOMAIN, SERVFAIL = 3, 2


class NameServer:
    """Serves `names` ({name: [addresses]}) on one address. `mode`: 'answer', 'silent' (takes queries and
    says nothing), 'fail' (SERVFAIL), 'truncate' (UDP: only that the answer is too long). `asked` is what
    came, as (protocol, name)."""

    def __init__(self, address, names, port=53):
        self.names = names
        self.mode = 'answer'
        self.asked = []
        family = socket.AF_INET6 if ':' in address else socket.AF_INET
        self._udp = socket.socket(family, socket.SOCK_DGRAM)
        self._tcp = socket.socket(family, socket.SOCK_STREAM)
        self._tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._udp.bind((address, port))
        self._tcp.bind((address, port))
        self._tcp.listen(64)
        for serve in (self._serve_udp, self._serve_tcp):
            threading.Thread(target=serve, daemon=True).start()

    @contextlib.contextmanager
    def being(self, mode):
        """In this mode for the length of a `with`, with nothing asked yet."""
        self.mode = mode
        self.asked.clear()
        try:
            yield self
        finally:
            self.mode = 'answer'

    def asked_for(self, name):
        return [protocol for protocol, asked in self.asked if asked == name]

    def _serve_udp(self):
        while True:
            query, client = self._udp.recvfrom(65536)
            reply = self._reply(query, 'udp')
            if reply:
                self._udp.sendto(reply, client)

    def _serve_tcp(self):
        while True:
            connection, _ = self._tcp.accept()
            threading.Thread(target=self._serve_connection, args=(connection,), daemon=True).start()

    def _serve_connection(self, connection):
        with connection, connection.makefile('rb') as stream:
            while len(prefix := stream.read(2)) == 2:
                reply = self._reply(stream.read(struct.unpack('>H', prefix)[0]), 'tcp')
                if reply:
                    connection.sendall(struct.pack('>H', len(reply)) + reply)

    def _reply(self, query, protocol):
        name, kind, end = parse_question(query)
        self.asked.append((protocol, name))
        if self.mode == 'silent':
            return None
        addresses = self.names.get(name)
        code = SERVFAIL if self.mode == 'fail' else NXDOMAIN if addresses is None else 0
        records = [ipaddress.ip_address(address).packed for address in addresses or []
                   if code == 0 and kind == (AAAA if ':' in address else A)]
        truncated = self.mode == 'truncate' and protocol == 'udp'
        if truncated:
            records = []
        flags = 0x8180 | (0x0200 if truncated else 0) | code
        reply = query[:2] + struct.pack('>5H', flags, 1, len(records), 0, 0) + query[12:end]
        for packed in records:
            reply += struct.pack('>3HIH', 0xc00c, kind, 1, 1, len(packed)) + packed
        return reply


def parse_question(query):
    """(name, type, offset behind it) of a query's question."""
    labels, at = [], 12
    while length := query[at]:
        labels.append(query[at + 1:at + 1 + length].decode().lower())
        at += 1 + length
    return '.'.join(labels), struct.unpack('>H', query[at + 1:at + 3])[0], at + 5


def make_query(name, kind=A, identifier=0x1234):
    question = b''.join(bytes([len(label)]) + label.encode() for label in name.split('.'))
    return struct.pack('>6H', identifier, 0x0100, 1, 0, 0, 0) + question + struct.pack('>BHH', 0, kind, 1)
