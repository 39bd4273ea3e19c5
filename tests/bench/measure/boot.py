# SPDX-License-Identifier: MIT
"""From the start of `dinv run` to the engine's first answer, our kernel and Debian's in turns.

Everything is the same but the kernel (and the initramfs it needs): launcher, QEMU, root image, a
fresh data disk. Times are the launcher's clock, and the one of a client that waits outside.
"""

import os
import re
import socket
import sys
import time

from lib.dinv import Dinv
from lib.waiting import until

from . import figures, host, process

DEADLINE = 300
MEASURES = ('up_to_pid_1', 'up_to_pid_1_without_engine_modules', 'up_to_answer', 'cpu_up_to_answer')

OURS = 'dinv'
STOCK = 'stock'
# Steps of initramfs-tools that stock-mark tells of, by the name that the timeline has for them.
STOCK_MARKS = {'init-top': 'udev settled', 'init-premount': 'engine modules loaded',
               'init-bottom': 'root mounted'}


def say(text):
    print(f'dinv bench: {text}', file=sys.stderr, flush=True)


def first_answer(path, dinv):
    """Waits for the socket and for the answer to the first request on it; gives the time of it."""
    def connected():
        if dinv.process.poll() is not None:
            raise AssertionError(f'dinv ended with status {dinv.process.returncode}:\n{dinv.log()}')
        client = socket.socket(socket.AF_UNIX)
        try:
            client.connect(path)
            return client
        except OSError:
            client.close()
            return None
    with until(connected, DEADLINE, 'the socket', interval=0.01) as client:
        client.settimeout(DEADLINE)
        client.sendall(b'GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n')
        reply = client.recv(4096)
        answered = time.monotonic()
    if not reply.startswith(b'HTTP/1.') or b' 200 ' not in reply.split(b'\r\n', 1)[0]:
        raise AssertionError(f'not the answer of an engine: {reply!r}')
    return answered


def stock_marks(dinv):
    """Seconds of the guest's clock at the steps of the initramfs, from its kernel's log."""
    text = dinv.verb('shell', 'dmesg').expect(0).out
    started = re.findall(r'\[ *([0-9.]+)\] Run /init as init process', text)
    steps = re.findall(r'dinv-bench: ([0-9.]+) ([a-z-]+)', text)
    if len(started) != 1 or [step for _, step in steps] != list(STOCK_MARKS):
        raise AssertionError(f'the stock kernel\'s log has other marks than expected: {started} {steps}')
    marks = {'initramfs started': float(started[0])}
    marks.update({STOCK_MARKS[step]: float(seconds) for seconds, step in steps})
    return marks


def timeline(status, marks, answered):
    """Names and times, in order. The guest's clock is laid so that PID 1 began at `hello`."""
    phases = {phase['name']: phase['seconds'] for phase in status['phases']}
    hello = phases['hello']
    clock_zero = hello - status['guest_hello_us'] / 1e6
    times = {'machine started': phases['machine-started'], 'kernel clock runs': clock_zero}
    times.update({name: clock_zero + seconds for name, seconds in marks.items()})
    times.update({
        'hello': hello, 'configured': phases['configured'], 'data mounted': phases['data-mounted'],
        'network up': phases['network-up'], 'dockerd started': phases['dockerd-started'],
        'engine ready': phases['engine-ready'], 'engine answers': answered,
    })
    return times


def boot(kind, settings):
    dinv = Dinv(**settings)
    try:
        began = time.monotonic()
        dinv.start()
        answered = first_answer(dinv.socket, dinv) - began
        status = dinv.wait_ready()
        cpu = process.cpu_seconds(status['machine_pid'])
        marks = stock_marks(dinv) if kind == STOCK else {}
        ended = dinv.stop()
        if ended != 0:
            raise AssertionError(f'dinv ended with status {ended}:\n{dinv.log()[-2000:]}')
    finally:
        dinv.end()
    times = timeline(status, marks, answered)
    modules = times['engine modules loaded'] - times['udev settled'] if marks else 0
    return {'kernel': status['guest_kernel'], 'accel': status['accel'], 'times': times,
            'up_to_pid_1': times['hello'], 'up_to_answer': answered, 'cpu_up_to_answer': cpu,
            'up_to_pid_1_without_engine_modules': times['hello'] - modules}


def medians(rounds):
    return {name: figures.summary(entry['times'][name] for entry in rounds)['median']
            for name in rounds[0]['times']}


def measure(rounds, stock_directory):
    """`rounds` starts of each kernel, in turns."""
    settings = {
        OURS: {'BOOT_TIMEOUT': str(DEADLINE)},
        STOCK: {'BOOT_TIMEOUT': str(DEADLINE),
                'KERNEL': os.path.join(stock_directory, 'vmlinuz'),
                'INITRD': os.path.join(stock_directory, 'initramfs')},
    }
    load = host.Load()
    series = {OURS: [], STOCK: []}
    for number in range(1, rounds + 1):
        for kind in (OURS, STOCK):
            result = boot(kind, settings[kind])
            series[kind].append(result)
            load.look()
            say(f'boot {number}/{rounds}, {kind}: PID 1 after {result["up_to_pid_1"]:.2f} s, engine after '
                f'{result["up_to_answer"]:.2f} s')
    result = {'rounds': series, 'load': load.result(),
              'timeline': {kind: medians(series[kind]) for kind in series}}
    for name in MEASURES:
        ours, stock = ([entry[name] for entry in series[kind]] for kind in (OURS, STOCK))
        result[name] = {OURS: figures.summary(ours), STOCK: figures.summary(stock),
                        'ratio': figures.ratio(ours, stock)}
    return result


def tabulate(result, table):
    kernels = {kind: result['rounds'][kind][0]['kernel'] for kind in (OURS, STOCK)}
    for name, what, most in (('up_to_pid_1', 'start → PID 1 says hello', 0.25),
                             ('up_to_answer', 'start → engine answers', 0.6),
                             ('cpu_up_to_answer', 'CPU time of QEMU until then', None)):
        for kind in (OURS, STOCK):
            table.value(f'{what}, {kernels[kind]}', result[name][kind], 's')
        table.ratio(what, result[name]['ratio'], 'our kernel : stock', most=most)
    table.ratio('… stock without the engine\'s modules',
                result['up_to_pid_1_without_engine_modules']['ratio'], 'our kernel : stock')
