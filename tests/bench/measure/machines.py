# SPDX-License-Identifier: MIT
"""The same work on each machine, in turns: User-Mode Linux as it is by default, with two CPUs, and by
ptrace; emulation; and, if asked for, an engine that runs on the host's own kernel."""

import contextlib
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request

from lib import artefacts, debian
from lib.dinv import Dinv
from lib.docker import BUSYBOX, Docker

from . import figures, host
from .boot import first_answer
from .engine import wait_until_idle

NATIVE = 'native'
MACHINES = {
    'uml': {'ACCEL': 'uml'},
    'uml, 2 CPUs': {'ACCEL': 'uml', 'CPUS': '2'},
    'uml, ptrace': {'ACCEL': 'uml', 'UML': 'ptrace'},
    'tcg': {'ACCEL': 'tcg'},
}
IMAGE = 'dinv-bench/work:latest'
BOOT_TIMEOUT = '300'
NPM = 'https://registry.npmjs.org/npm/-/npm-10.9.2.tgz'
# Those that this machine trusts: the way to the registry may lead through a proxy that signs for it.
CERTIFICATES = '/etc/ssl/certs/ca-certificates.crt'
# What a container does, in seconds of its own clock. The words in front name the figure.
WORK = r'''
set -e
now() { read -r up _ </proc/uptime; echo "$up"; }
timed() { what=$1; shift; from=$(now); "$@"; to=$(now); echo "$what $(echo "$to $from" | awk '{ print $1 - $2 }')"; }
forks() { i=0; while [ $i -lt 300 ]; do /bin/true; i=$((i + 1)); done; }
compile() { ls /w/*.c | xargs -P "$1" -I FILE gcc -O2 -c -o /dev/null FILE; }
unpack() { mkdir "$1/out"; tar -xf /w/tree.tar -C "$1/out"; }
npm() {
    mkdir /w/npm && cd /w/npm && echo '{}' >package.json
    node /opt/package/bin/npm-cli.js install --no-audit --no-fund --cache /w/npm-cache express@4.21.2 typescript@5.6.3 >/dev/null
    cd /w
}
mkdir -p /w/tree; cd /w
for i in 1 2 3 4 5 6 7 8 9 10 11 12; do
    {
        echo '#include <stdio.h>'
        for f in $(seq 40); do
            echo "int f${i}_$f(int n) { int s = $f; for (int i = 0; i < n; i++) { s = s * 31 + i % 7; if (s & 64) printf(\"%d\", s); } return s; }"
        done
    } >$i.c
done
for i in $(seq 2000); do echo "file $i" >tree/$i; done
tar -cf tree.tar tree; rm -r tree
head -c 30000000 /dev/urandom >random
for round in $(seq "$1"); do
    timed forks forks
    timed compile compile 1
    timed compile-2 compile 2
    timed gzip sh -c 'gzip -1 <random >/dev/null'
    timed untar unpack /w; rm -r /w/out
    if [ -d /share ]; then timed untar-mount unpack /share; rm -r /share/out; fi
    if [ -d /opt/package ]; then timed npm npm; rm -r /w/npm /w/npm-cache; fi
done
'''


def say(text):
    print(f'dinv bench: {text}', file=sys.stderr, flush=True)


def proportional_bytes(pids):
    """Memory of all these processes, each page counted once."""
    total = 0
    for pid in pids:
        try:
            with open(f'/proc/{pid}/smaps_rollup', encoding='ascii') as file:
                total += int(re.search(r'^Pss:\s+(\d+) kB', file.read(), re.MULTILINE).group(1)) * 1024
        except (OSError, AttributeError):
            continue
    return total


def fetch_npm():
    """npm itself, from the registry that `npm install` is measured with; None if it is out of reach."""
    try:
        with urllib.request.urlopen(NPM, timeout=60) as reply:
            return reply.read()
    except OSError as error:
        say(f'no npm install: {NPM}: {error}')
        return None


def prepare(docker, npm):
    docker.import_busybox()
    with open(debian.cached('bench-work', 'gcc', 'libc6-dev', 'nodejs', 'ca-certificates'), 'rb') as tar:
        docker('import', '--change', f'ENV NODE_EXTRA_CA_CERTS={CERTIFICATES}', '-', IMAGE, stdin=tar, deadline=900)
    if npm:
        docker('run', '--interactive', '--name', 'npm', IMAGE, 'tar', '-xzC', '/opt', stdin=npm, deadline=300)
        docker('cp', CERTIFICATES, f'npm:{CERTIFICATES}')
        docker('commit', 'npm', IMAGE)
        docker('rm', 'npm')


def hello(docker):
    begin = time.monotonic()
    docker('run', '--rm', BUSYBOX, 'true')
    return time.monotonic() - begin


def work(docker, share):
    """One run of WORK; figure -> seconds."""
    mount = ['--volume', f'{share}:/share'] if share else []
    out = docker('run', '--rm', *mount, IMAGE, 'sh', '-c', WORK, 'work', '1', deadline=1800)
    return {name: float(seconds) for name, seconds in (line.split() for line in out.splitlines())}


def figures_of(docker, share):
    result = {'hello': min(hello(docker) for _ in range(3))}
    result.update(work(docker, share))
    return result


class Machine:
    """One dinv on a state of its own that is kept from round to round."""

    def __init__(self, settings, directory, npm):
        share = os.path.join(directory, 'share')
        os.makedirs(share)
        self.dinv = Dinv(MOUNTS=f'{share}:/share', BOOT_TIMEOUT=BOOT_TIMEOUT, UML_KERNEL=artefacts.uml_kernel(),
                         VIRTIOFSD=artefacts.virtiofsd(), **settings)
        self.docker = Docker(self.dinv.socket, directory)
        with self.running():
            prepare(self.docker, npm)

    @contextlib.contextmanager
    def running(self):
        """Gives the seconds from the start to the engine's first answer."""
        begin = time.monotonic()
        self.dinv.start()
        ready = first_answer(self.dinv.socket, self.dinv) - begin
        self.dinv.wait_ready()
        yield ready
        if self.dinv.stop() != 0:
            raise AssertionError(f'dinv did not end well:\n{self.dinv.log()[-2000:]}')

    def round(self):
        with self.running() as ready:
            result = {'ready': ready, 'idle_cpu': wait_until_idle(self.dinv.status()['machine_pid']),
                      'memory': proportional_bytes([pid for pid, _ in self.dinv.processes()])}
            result.update(figures_of(self.docker, '/share'))
        return result


class Native:
    """A dockerd on this kernel, in namespaces of its own, on data that are kept from round to round."""

    START = os.path.join(os.environ['DINV_SOURCE_ROOT'], 'tests', 'container', 'with-engine')

    def __init__(self, directory, npm):
        os.makedirs(directory)
        self.socket = os.path.join(directory, 'docker.sock')
        self.data = os.path.join(directory, 'data')
        self.docker = Docker(self.socket, directory)
        with self.running():
            prepare(self.docker, npm)

    @contextlib.contextmanager
    def running(self):
        begin = time.monotonic()
        argv = [self.START, '--socket', self.socket, '--data-root', self.data, 'sleep', 'infinity']
        with subprocess.Popen(argv) as self.process:
            try:
                yield first_answer(self.socket, self) - begin
            finally:
                self.process.terminate()
                self.process.wait(120)

    @staticmethod
    def log():
        return 'nothing is kept of its log'

    def round(self):
        with self.running() as ready:
            return {'ready': ready, **figures_of(self.docker, None)}


def measure(rounds, with_native):
    load = host.Load()
    npm = fetch_npm()
    with tempfile.TemporaryDirectory(prefix='dvb-', dir='/var/tmp') as directory:
        machines = {name: Machine(settings, os.path.join(directory, str(number)), npm)
                    for number, (name, settings) in enumerate(MACHINES.items())}
        if with_native:
            machines[NATIVE] = Native(os.path.join(directory, NATIVE), npm)
        series = {name: [] for name in machines}
        for number in range(1, rounds + 1):
            for name, machine in machines.items():
                series[name].append(machine.round())
                say(f'round {number}, {name}: {series[name][-1]}')
            load.look()
    return {'series': series, 'load': load.result()}


# figure, unit of its value, at most of TCG's, at most of native's
EXPECTED = (('ready', 's', 0.25, 1.3), ('hello', 's', 0.25, 3), ('compile', 's', None, 1.4), ('compile-2', 's', None, None),
            ('gzip', 's', None, None), ('forks', 's', None, None), ('untar', 's', None, None),
            ('untar-mount', 's', None, None), ('npm', 's', None, None))


def tabulate(result, table):
    series = result['series']
    for name, rounds in series.items():
        if name != NATIVE:
            table.value(f'memory when idle, {name}', figures.summary(entry['memory'] / 2**20 for entry in rounds), 'MiB',
                        0, most=250 if name == 'uml' else None)
    for what, unit, of_tcg, of_native in EXPECTED:
        def values(name, what=what):
            return [entry[what] for entry in series.get(name, []) if what in entry]
        for name in series:
            if values(name):
                table.value(f'{what}, {name}', figures.summary(values(name)), unit)
        for name in MACHINES:
            if name != 'tcg':
                table.ratio(what, figures.ratio(values(name), values('tcg')), f'{name} : tcg',
                            most=of_tcg if name == 'uml' else None)
            if values(NATIVE):
                table.ratio(what, figures.ratio(values(name), values(NATIVE)), f'{name} : {NATIVE}',
                            most=of_native if name == 'uml' else None)
    table.ratio('compile, two at once', figures.ratio(
        [entry['compile'] for entry in series['uml']], [entry['compile-2'] for entry in series['uml, 2 CPUs']]),
                'uml, one after another : uml, 2 CPUs', least=1.6)
