# SPDX-License-Identifier: MIT
"""On a running dinv: memory of the launcher and of QEMU when idle, and the time of `/_ping` through
the relayed socket against the same request in the guest, in turns."""

import os
import shutil
import tempfile
import time

from lib.dinv import Dinv, run
from lib.waiting import until

from . import figures, host, process

IDLE_SHARE = 0.25  # of one CPU, for QEMU
IDLE_WINDOW = 3
IDLE_DEADLINE = 120
GUEST_SOCKET = '/run/docker.sock'
GUEST_DIRECTORY = '/mnt/bench'


def wait_until_idle(pid):
    """Until the guest leaves its vCPUs alone; the share of a CPU that it still uses."""
    def share():
        before = process.cpu_seconds(pid)
        time.sleep(IDLE_WINDOW)  # the window of the measurement, not a wait for something
        used = (process.cpu_seconds(pid) - before) / IDLE_WINDOW
        return (used,) if used <= IDLE_SHARE else None
    return until(share, IDLE_DEADLINE, 'an idle QEMU', interval=0)[0]


def memory(dinv):
    status = dinv.status()
    cpu = wait_until_idle(status['machine_pid'])
    fields = ('VmRSS', 'RssAnon', 'RssFile', 'RssShmem')
    return {'launcher': process.status_bytes(status['pid'], *fields),
            'qemu': process.status_bytes(status['machine_pid'], *fields),
            'guest_memory': status['memory_bytes'], 'qemu_idle_cpu_share': cpu}


def times_of(argv, environment=None):
    done = run(argv, environment, deadline=600).expect(0)
    return [float(line) for line in done.out.split()]


def latency(dinv, helper, rounds, count):
    in_guest = dinv.verb_argv('shell', os.path.join(GUEST_DIRECTORY, 'ping-latency'), GUEST_SOCKET,
                              str(count))
    relayed = [helper, dinv.socket, str(count)]
    load = host.Load()
    series = {'relay': [], 'guest': []}
    for _ in range(rounds):
        series['relay'].append(times_of(relayed))
        series['guest'].append(times_of(in_guest, dinv.environment))
        load.look()
    result = {'count': count, 'load': load.result()}
    for percent in (50, 99):
        relay, guest = ([figures.percentile(times, percent) for times in series[where]]
                        for where in ('relay', 'guest'))
        result[f'p{percent}_us'] = {
            'relay': figures.summary(relay), 'guest': figures.summary(guest),
            'added': figures.summary(a - b for a, b in zip(relay, guest)),
            'ratio': figures.ratio(relay, guest)}
    return result


def measure(build, rounds, count):
    with tempfile.TemporaryDirectory(prefix='dvb-', dir='/tmp') as directory:
        helper = os.path.join(directory, 'ping-latency')
        shutil.copy(os.path.join(build, 'tests/bench/ping-latency'), helper)
        os.chmod(directory, 0o755)
        dinv = Dinv(MOUNTS=f'{directory}:{GUEST_DIRECTORY}:ro')
        try:
            dinv.boot()
            result = {'memory': memory(dinv), 'latency': latency(dinv, helper, rounds, count)}
            dinv.stop()
        finally:
            dinv.end()
    return result


def tabulate(result, table):
    of_memory = result['memory']
    for who, most in (('launcher', 12), ('qemu', None)):
        table.value(f'resident memory when idle, {who}',
                    figures.summary([of_memory[who]['VmRSS'] / 2**20]), 'MiB', 1, most=most)
    for percent in (50, 99):
        times = result['latency'][f'p{percent}_us']
        table.value(f'/_ping in the guest, p{percent}', times['guest'], 'µs', 0)
        table.value(f'/_ping through the relay, p{percent}', times['relay'], 'µs', 0)
        table.ratio(f'/_ping, p{percent}', times['ratio'], 'relay : in the guest')
