# SPDX-License-Identifier: MIT
"""How often a virtual machine of KVM left its CPU for the host, and why: counters in debugfs, histograms of
trace points. Root of the host only."""

import glob
import os
import re

DEBUG = '/sys/kernel/debug/kvm'
EVENTS = '/sys/kernel/tracing/events/kvm'
# What only the host's own load makes more of.
INTERRUPTS = ('irq_exits',)
# Counters of debugfs that are worth a column, in this order.
COUNTERS = ('exits', 'irq_exits', 'halt_exits', 'mmio_exits', 'io_exits', 'irq_injections', 'insn_emulation',
            'hypercalls', 'pf_taken', 'signal_exits')


def is_machine(pid):
    """Whether the process holds a virtual machine and its CPUs; answers the number of those."""
    cpus, machines = set(), 0
    for descriptor in os.scandir(f'/proc/{pid}/fd'):
        try:
            target = os.readlink(descriptor.path)
        except OSError:
            continue
        machines += target == 'anon_inode:kvm-vm'
        cpus.update(re.findall(r'^anon_inode:kvm-vcpu:(\d+)$', target))
    return len(cpus) if machines else 0


def counters(pid):
    """{name: count since the machine's start} of all its CPUs."""
    found = {}
    for folder in glob.glob(f'{DEBUG}/{pid}-*'):
        for name in COUNTERS:
            try:
                with open(os.path.join(folder, name), encoding='ascii') as file:
                    found[name] = found.get(name, 0) + int(file.read())
            except FileNotFoundError:
                pass
    return found


def difference(before, after):
    return {name: after[name] - before.get(name, 0) for name in after}


class Histograms:
    """While the block runs the kernel counts `events` of KVM by `keys`: {event: keys}."""

    def __init__(self, events):
        self._triggers = {event: f'hist:keys={keys}:size=4096' for event, keys in events.items()}

    def __enter__(self):
        for event, trigger in self._triggers.items():
            self._write(event, trigger)
        return self

    def __exit__(self, *_):
        for event, trigger in self._triggers.items():
            self._write(event, '!' + trigger)

    @staticmethod
    def _write(event, text):
        with open(f'{EVENTS}/{event}/trigger', 'w', encoding='ascii') as file:
            file.write(text + '\n')

    def counts(self, event):
        """{text of the key: how often}"""
        with open(f'{EVENTS}/{event}/hist', encoding='utf-8', errors='replace') as file:
            return {' '.join(key.split()): int(count)
                    for key, count in re.findall(r'^\{ (.*?) \} hitcount: +(\d+)', file.read(), re.MULTILINE)}
