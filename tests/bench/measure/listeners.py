# SPDX-License-Identifier: MIT
"""What it costs that the guest looks once a second for what listens in its own network: two idle dinvs, of
which one does not look, over the same times; and how long a look takes, with and without many sockets there."""

import socket
import tempfile
import time

from lib import port_server
from lib.dinv import Dinv
from lib.docker import Docker
from lib.port_server import PORT_SERVER, PROGRAM
from lib.waiting import until

from . import engine, figures, host, process

WINDOW = 30  # seconds
CONNECTIONS = 1000


def agents_seconds(dinv):
    """CPU time of process 1 of the guest, which looks."""
    fields = dinv.verb('shell', 'cat', '/proc/1/stat').expect(0).out.rpartition(')')[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def windows(dinvs):
    """Seconds of CPU time that each QEMU, and each agent, used in one window, a second."""
    pids = {name: dinv.status()['qemu_pid'] for name, dinv in dinvs.items()}
    agents = {name: agents_seconds(dinv) for name, dinv in dinvs.items()}
    for pid in pids.values():
        engine.wait_until_idle(pid)
    before = {name: process.cpu_seconds(pid) for name, pid in pids.items()}
    begin = time.monotonic()
    time.sleep(WINDOW)  # the window of the measurement, not a wait for something
    seconds = time.monotonic() - begin
    used = {name: (process.cpu_seconds(pid) - before[name]) / seconds for name, pid in pids.items()}
    agents = {name: (agents_seconds(dinv) - agents[name]) / seconds for name, dinv in dinvs.items()}
    return used, agents


def rounds_of(dinvs, rounds, load):
    series = {'qemu': {name: [] for name in dinvs}, 'agent': {name: [] for name in dinvs}}
    for _ in range(rounds):
        used, agents = windows(dinvs)
        for name in dinvs:
            series['qemu'][name].append(used[name] * 100)
            series['agent'][name].append(agents[name] * 100)
        load.look()
    return {what: {name: figures.summary(values) for name, values in of.items()} |
                  {'added': figures.summary(a - b for a, b in zip(of['looks'], of['not']))}
            for what, of in series.items()}


def hold_connections(dinv, port):
    """Open connections into the guest's own network, so that its tables are long."""
    opened = [socket.create_connection(('127.0.0.1', port), timeout=120) for _ in range(CONNECTIONS)]
    for connection in opened:
        connection.sendall(b'x')
    for connection in opened:
        connection.recv(1)
    return opened


def measure(rounds):
    with socket.create_server(('127.0.0.1', 0)) as probe:
        port = probe.getsockname()[1]
    load = host.Load()
    result = {'window': WINDOW}
    with tempfile.TemporaryDirectory(prefix='dvb-', dir='/tmp') as directory:
        dinvs = {'looks': Dinv(MEMORY='1G', TCP_PORTS=f'{port}'),
                 'not': Dinv(MEMORY='1G', TCP_PORTS=f'{port + 1}:{port}', PUBLISH='docker')}
        opened = []
        try:
            for name, dinv in dinvs.items():
                dinv.boot()
                docker = Docker(dinv.socket, directory)
                docker('import', '-', PORT_SERVER, stdin=port_server.tar())
                docker('run', '-d', '--name', 'server', '--network', 'host', PORT_SERVER, PROGRAM, f'echo:{port}')
                until(lambda of=docker: of('logs', 'server') == 'listening', 60, f'the server of {name}')
            result['idle'] = rounds_of(dinvs, rounds, load)
            opened = hold_connections(dinvs['looks'], port) + hold_connections(dinvs['not'], port + 1)
            result['many'] = rounds_of(dinvs, rounds, load)
            for connection in opened:
                connection.close()
            for dinv in dinvs.values():
                dinv.stop()
        finally:
            for dinv in dinvs.values():
                dinv.end()
    return result | {'load': load.result()}


def tabulate(result, table):
    for name, words in (('idle', 'idle'), ('many', f'{CONNECTIONS} connections')):
        for what, whose in (('qemu', 'QEMU'), ('agent', 'the agent')):
            of = result[name][what]
            table.value(f'CPU time of {whose}, {words}, without looking', of['not'], '% of a CPU', 2)
            table.value('… that looking once a second adds', of['added'], '% of a CPU', 2)
