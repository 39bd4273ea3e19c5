# SPDX-License-Identifier: MIT
"""Mounts: 9p as dinv has it against 9p of the kernel without our patches and with the options of the earlier
dinv, and virtio-fs against our 9p, in turns: reading and writing in sequence, and many small files."""

import os
import shutil
import subprocess
import tempfile

from lib import artefacts
from lib.dinv import Dinv

from . import figures, host

# The earlier dinv's: cache and msize are the kernel's defaults.
SEED_OPTIONS = 'trans=virtio,version=9p2000.L'
FILES, FILE_BYTES = 300, 3000
WORKS = {'write': 'writing in sequence', 'read': 'reading in sequence', 'unpack': 'unpacking small files',
         'scan': 'reading small files'}

# Seconds of each work, in a mount of the guest. /proc/uptime has hundredths.
SCRIPT = '''
cd / && dir=$1 mebibytes=$2
now() { cut -d ' ' -f 1 /proc/uptime; }
timed() { begin=$(now); "$@" >/dev/null 2>&1 || exit 1; echo "$begin $(now)" | awk '{print $2 - $1 + 0.005}'; }
# Once elsewhere, so that the programs themselves are not read from the root disk in the measured one.
scan() { find "$1" -type f -name 'f*' -exec cat {} + | wc -c; }
mkdir -p /tmp/warm && echo >/tmp/warm/f
rm -rf "$dir/work" && mkdir "$dir/work"
timed dd if=/dev/zero of="$dir/work/big" bs=1M count="$mebibytes" conv=fsync
echo 3 >/proc/sys/vm/drop_caches
timed dd if="$dir/work/big" of=/dev/null bs=1M
timed tar -C "$dir/work" -xf /tmp/small.tar
echo 3 >/proc/sys/vm/drop_caches
scan /tmp/warm >/dev/null
timed scan "$dir/work"
rm -rf "$dir/work"
'''
MAKE_TAR = f'''
mkdir -p /tmp/small && cd /tmp/small
for d in 0 1 2; do mkdir d$d; f=0
while [ $f -lt {FILES // 3} ]; do head -c {FILE_BYTES} /dev/urandom >d$d/f$f; f=$((f + 1)); done; done
tar -cf /tmp/small.tar . && rm -rf /tmp/small
'''


class Machine:
    def __init__(self, driver, **settings):
        self.directory = tempfile.mkdtemp(prefix='dvm-', dir='/tmp')
        self.dinv = Dinv(MOUNTS=f'{self.directory}:/share', MOUNT_DRIVER=driver, MEMORY='1G', **settings)

    def inside(self, script, *arguments):
        return self.dinv.verb('shell', 'sh', '-ec', script, 'sh', *arguments, deadline=600).expect(0).out

    def boot(self):
        self.dinv.boot()
        self.inside(MAKE_TAR)

    def work(self, mebibytes):
        times = [float(line) for line in self.inside(SCRIPT, '/share', str(mebibytes)).split()]
        return dict(zip(WORKS, times, strict=True))

    def end(self):
        self.dinv.end()
        shutil.rmtree(self.directory, ignore_errors=True)


def unpatched_kernel():
    done = subprocess.run([os.path.join(artefacts.source_root(), 'images', 'kernel', 'build'), '--unpatched'],
                          stdout=subprocess.PIPE, check=True)
    return done.stdout.decode().strip()


def measure(rounds, mebibytes):
    machines = {'ours': Machine('9p'), 'seed': Machine('9p', KERNEL=unpatched_kernel()),
                'virtiofs': Machine('virtiofs')}
    load = host.Load()
    series = {name: [] for name in machines}
    try:
        for machine in machines.values():
            machine.boot()
        machines['seed'].inside(f'umount /share && mount -t 9p -o {SEED_OPTIONS} dinv0 /share')
        for _ in range(rounds):
            for name, machine in machines.items():
                series[name].append(machine.work(mebibytes))
            load.look()
        for machine in machines.values():
            machine.dinv.stop()
    finally:
        for machine in machines.values():
            machine.end()
    result = {'mebibytes': mebibytes, 'files': FILES, 'load': load.result()}
    for work in WORKS:
        times = {name: [one[work] for one in taken] for name, taken in series.items()}
        result[work] = {name: figures.summary(values) for name, values in times.items()}
        result[work]['seed_ratio'] = figures.ratio(times['seed'], times['ours'])
        result[work]['virtiofs_ratio'] = figures.ratio(times['ours'], times['virtiofs'])
    return result


def tabulate(result, table):
    for work, words in WORKS.items():
        table.value(f'{words}, our 9p', result[work]['ours'], 's')
        expected = 4 if work in ('write', 'read') else 1.5
        table.ratio(words, result[work]['seed_ratio'], "speed of our 9p : of the earlier dinv's",
                    least=expected)
        table.ratio(words, result[work]['virtiofs_ratio'], 'speed of virtio-fs : of our 9p')
