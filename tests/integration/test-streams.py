#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: MIT
"""256 streams of the relay at once, one of which nobody ever reads.

Two containers and three kinds of client, straight on the engine's socket: `talker` says a known
text to everyone attached to it, `flood` says much more than all buffers hold and its one client
never reads, and the rest listen to events. First nobody reads at all, so that every buffer on the
way fills up: that is the most memory it can take. Then all but the flood's client read on.
"""

import hashlib
import selectors
import struct

from lib import dinv
from lib.docker import BUSYBOX, Docker
from lib.session import main
from lib.tap import equal
from lib.waiting import until

STREAMS = 256
LISTENERS = 56
TALKED = STREAMS - LISTENERS - 1
# More than what the buffers of one connection hold: the engine's own (1 MB), two sockets' and the
# relay's.
TEXT_SIZE = 3 << 20
FLOOD_SIZE = 64 << 20

# docs/relay-protocol.md: a stream holds at most its window and its send buffer, at either end.
STREAM_MEMORY = (256 + 64) * 1024
RELAY_MEMORY_LIMIT = STREAMS * STREAM_MEMORY + (4 << 20)
# Beside the relay: what the allocator keeps for itself.
LAUNCHER_GROWTH_LIMIT = RELAY_MEMORY_LIMIT + (16 << 20)
IDLE_MEMORY_LIMIT = 8 << 20

TEXT_COMMAND = f'seq 1 1000000 | head -c {TEXT_SIZE}'


def text_sha256():
    text = ''.join(f'{number}\n' for number in range(1, 1000001)).encode()
    return hashlib.sha256(text[:TEXT_SIZE]).hexdigest()


class Attached:
    """A client attached to a container's stdout: takes the frames apart and sums their content."""

    def __init__(self, connection):
        self.connection = connection
        self.done = False
        self.digest = hashlib.sha256()
        self.size = 0
        self._buffer = b''
        self._left = 0

    def feed(self, data):
        """A piece of the raw stream; an empty one is its end."""
        if not data:
            assert not self._buffer and not self._left, 'the stream ended inside of a frame'
            self.done = True
            return
        data = self._buffer + data
        position = 0
        while position < len(data):
            if self._left:
                piece = data[position:position + self._left]
                self.digest.update(piece)
                self.size += len(piece)
                self._left -= len(piece)
                position += len(piece)
            elif len(data) - position >= 8:
                kind, self._left = struct.unpack_from('>B3xI', data, position)
                assert kind == 1, f'a frame of kind {kind} where only stdout was asked for'
                position += 8
            else:
                break
        self._buffer = data[position:]


class Listener:
    """A client of /events; done once it has heard of the talker's end."""

    def __init__(self, connection):
        self.connection = connection
        self.done = False
        self._heard = b''

    def feed(self, data):
        assert data, 'the engine closed a stream of events'
        self._heard += data
        self.done = b'"Action":"die"' in self._heard and b'"name":"talker"' in self._heard


class Streams:
    """All connections of the test."""

    def __init__(self, machine, tap, work):
        self.machine = machine
        self.tap = tap
        self.docker = Docker(machine.socket, work)
        self.flooded = None
        self.talked = []
        self.listeners = []
        self.rss_before = 0

    def relay(self):
        return self.machine.status()['relay']

    def say_memory(self, when):
        status = self.machine.status()
        rss = dinv.resident_bytes(status['pid'])
        relay, guest = status['relay'], status['guest'] or {}
        self.tap.say(f'{when}: {relay["streams"]} streams; relay memory in the launcher '
                     f'{relay["memory"] / 1024:.0f} KiB, in the guest '
                     f'{guest.get("relay_memory", 0) / 1024:.0f} KiB; the launcher\'s RSS '
                     f'{rss / 1024:.0f} KiB')
        return relay['memory'], guest.get('relay_memory', 0), rss


def opens_all(streams):
    docker = streams.docker
    docker.import_busybox()
    docker('create', '--name', 'talker', '--log-driver', 'none', BUSYBOX, 'sh', '-c', TEXT_COMMAND)
    docker('create', '--name', 'flood', '--log-driver', 'none', BUSYBOX, 'sh', '-c',
           f'yes flood | head -c {FLOOD_SIZE}')
    _, _, streams.rss_before = streams.say_memory('before')
    streams.flooded = docker.hijack('/containers/flood/attach?stream=1&stdout=1')
    for _ in range(TALKED):
        connection = docker.hijack('/containers/talker/attach?stream=1&stdout=1')
        streams.talked.append(Attached(connection))
    for _ in range(LISTENERS):
        connection = docker.connect()
        connection.sendall(b'GET /events HTTP/1.1\r\nHost: docker\r\n\r\n')
        streams.listeners.append(Listener(connection))
    until(lambda: streams.relay()['streams'] >= STREAMS, 60, f'{STREAMS} streams in the status')


def nobody_reads(streams):
    streams.docker('start', 'flood', 'talker')
    last = [None, 0]

    def stands_still():
        moved = streams.relay()['bytes_in']
        # A stream's own look at the status moves a few bytes at most.
        last[1] = last[1] + 1 if last[0] is not None and moved - last[0] < 4096 else 0
        last[0] = moved
        return last[1] >= 5
    until(stands_still, 120, 'the relay to stand still because nobody reads', interval=0.5)
    launcher, guest, rss = streams.say_memory('nobody reads')
    assert launcher <= RELAY_MEMORY_LIMIT, f'{launcher} bytes of relay memory in the launcher'
    assert guest <= RELAY_MEMORY_LIMIT, f'{guest} bytes of relay memory in the guest'
    growth = rss - streams.rss_before
    assert growth <= LAUNCHER_GROWTH_LIMIT, f'the launcher grew by {growth} bytes'
    equal(streams.docker('inspect', '--format', '{{.State.Running}}', 'flood', 'talker').split(),
          ['true', 'true'], 'both containers wait for their readers')


def others_finish(streams):
    selector = selectors.DefaultSelector()
    for client in streams.talked + streams.listeners:
        client.connection.setblocking(False)
        selector.register(client.connection, selectors.EVENT_READ, client)
    while selector.get_map():
        ready = selector.select(60)
        assert ready, f'{len(selector.get_map())} streams got nothing for a minute'
        for key, _ in ready:
            key.data.feed(key.fileobj.recv(1 << 18))
            if key.data.done:
                selector.unregister(key.fileobj)
    expected = text_sha256()
    wrong = [index for index, client in enumerate(streams.talked)
             if (client.size, client.digest.hexdigest()) != (TEXT_SIZE, expected)]
    equal(wrong, [], 'streams with a wrong text')
    equal(streams.docker('wait', 'talker'), '0', 'exit status of the talker')
    streams.tap.say(f'{TALKED} streams carried {TALKED * TEXT_SIZE >> 20} MiB')


def one_is_still_not_read(streams):
    for client in streams.talked + streams.listeners:
        client.connection.close()
    until(lambda: streams.relay()['streams'] <= 2, 60, 'the finished streams to be gone')
    launcher, guest, _ = streams.say_memory('only the one nobody reads is left')
    assert launcher <= IDLE_MEMORY_LIMIT, f'{launcher} bytes of relay memory in the launcher'
    assert guest <= IDLE_MEMORY_LIMIT, f'{guest} bytes of relay memory in the guest'
    equal(streams.docker('inspect', '--format', '{{.State.Running}}', 'flood'), 'true',
          'the flood waits for its reader')
    first = streams.flooded.recv(8 + 6)
    equal((first[0], first[8:]), (1, b'flood\n'), 'the first frame of the flood')


def hanging_up_ends_it(streams):
    streams.flooded.close()
    # Nobody listens any more, so the engine throws the rest away and the container gets to its end.
    equal(streams.docker('wait', 'flood', deadline=200), '0', 'exit status of the flood')
    until(lambda: streams.relay()['streams'] == 0, 60, 'the last stream to be gone')
    launcher, _, rss = streams.say_memory('after')
    assert launcher <= IDLE_MEMORY_LIMIT, f'{launcher} bytes of relay memory in the launcher'
    assert rss <= streams.rss_before + LAUNCHER_GROWTH_LIMIT, 'the launcher has not shrunk'


def is_healthy(streams):
    streams.machine.verb('health').expect(0)
    equal(streams.machine.stop(), 0, 'exit status')
    streams.machine.expect_nothing_left()


def body(session):
    streams = Streams(session.boot(), session.tap, session.work)
    for check in (opens_all, nobody_reads, others_finish, one_is_still_not_read, hanging_up_ends_it,
                  is_healthy):
        session.tap.check(check, streams)


if __name__ == '__main__':
    main(body)
