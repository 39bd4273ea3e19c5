# SPDX-License-Identifier: MIT
"""What the figures were taken on."""

import os
import re
import subprocess
import time


def _output(*argv):
    try:
        done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=20,
                              check=False)
    except OSError:
        return ''
    return done.stdout.decode('utf-8', 'replace').strip()


def _first_line(path, pattern):
    with open(path, encoding='utf-8') as file:
        found = re.search(pattern, file.read(), re.MULTILINE)
    return found.group(1) if found else ''


def cpus():
    return len(os.sched_getaffinity(0))


def load():
    """The load average of the last minute: what else the machine was doing."""
    return os.getloadavg()[0]


def tsc_khz():
    """About the rate of the TSC, for a guest without a timer to measure it with."""
    return round(float(_first_line('/proc/cpuinfo', r'^cpu MHz\s*:\s*([0-9.]+)')) * 1000)


def describe(source_root, qemu):
    return {
        'time': time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime()),
        'commit': _output('git', '-C', source_root, 'describe', '--always', '--dirty'),
        'cpu': _first_line('/proc/cpuinfo', r'^model name\s*:\s*(.*)$'),
        'cpus': cpus(),
        'memory_kib': int(_first_line('/proc/meminfo', r'^MemTotal:\s*(\d+)')),
        'kernel': os.uname().release,
        'qemu': _output(qemu, '--version').split('\n', 1)[0],
        'load_at_start': load(),
    }


class Load:
    """The load average while something was measured."""

    def __init__(self):
        self.seen = [load()]

    def look(self):
        self.seen.append(load())

    def result(self):
        return {'min': min(self.seen), 'max': max(self.seen)}
