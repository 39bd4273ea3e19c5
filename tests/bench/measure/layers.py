# SPDX-License-Identifier: MIT
"""What it costs that a layer is recorded only when its files are on the disk (guest/engine/layer-sync.h): `docker
load` into two dinvs in turns, one of them without the bind mount by which it is done; alone, and beside a container
that writes and fsyncs."""

import subprocess
import tempfile
import threading
import time

from lib.dinv import Dinv
from lib.docker import BUSYBOX, Docker
from lib.layers import LayeredImage
from lib.waiting import until

from . import figures, host

# Of each of the 12 larger files of an image: 60 MB altogether.
LARGE_SIZE = 5_000_000
WRITER = 'while :; do echo record | dd of=/v/records oflag=append conv=notrunc,fsync 2>/dev/null; echo; done'
SERIES = ('load', 'load_beside', 'records')


class Machine:
    """One dinv with the writer, which is paused unless it is measured."""

    def __init__(self, home, synced):
        self.dinv = Dinv(MEMORY='1G')
        self.docker = Docker(self.dinv.socket, home)
        self.series = {name: [] for name in SERIES}
        self.writer = None
        self._synced = synced
        self._records = 0

    def boot(self):
        self.dinv.boot()
        if not self._synced:
            self.dinv.verb('shell', 'umount', '/var/lib/docker/image/overlay2/layerdb').expect(0)
        self.docker.import_busybox()
        self.writer = self.docker.start('run', '--rm', '--name', 'writer', '--network', 'none', '-v', 'records:/v',
                                        BUSYBOX, 'sh', '-c', WRITER, stdin=subprocess.DEVNULL)
        threading.Thread(target=self._count, daemon=True).start()
        until(lambda: self._records > 0, 60, 'a record')
        self.docker('pause', 'writer')

    def _count(self):
        for _ in self.writer.stdout:
            self._records += 1

    def _load(self, image):
        begin = time.monotonic()
        self.docker('load', stdin=image.archive(), deadline=300)
        return time.monotonic() - begin

    def work(self, images):
        """Loads one image alone, one beside the writer, and removes both."""
        self.series['load'].append(self._load(images[0]))
        self.docker('unpause', 'writer')
        first = self._records
        until(lambda: self._records > first, 60, 'a record')
        before = self._records
        seconds = self._load(images[1])
        self.series['load_beside'].append(seconds)
        self.series['records'].append((self._records - before) / seconds)
        self.docker('pause', 'writer')
        self.docker('image', 'rm', *(image.name for image in images))

    def stop(self):
        self.docker('unpause', 'writer')
        self.docker('rm', '--force', 'writer')
        self.dinv.stop()

    def end(self):
        if self.writer:
            self.writer.kill()
            self.writer.wait()
        self.dinv.end()


def measure(rounds):
    load = host.Load()
    with tempfile.TemporaryDirectory(prefix='dvb-', dir='/tmp') as home:
        machines = {'synced': Machine(home, True), 'plain': Machine(home, False)}
        try:
            for machine in machines.values():
                machine.boot()
            for number in range(rounds):
                images = [LayeredImage(2 * number + index, LARGE_SIZE) for index in range(2)]
                for machine in machines.values():
                    machine.work(images)
                load.look()
            for machine in machines.values():
                machine.stop()
        finally:
            for machine in machines.values():
                machine.end()
    return {'load': load.result(), **{
        name: {**{which: figures.summary(machine.series[name]) for which, machine in machines.items()},
               'ratio': figures.ratio(machines['synced'].series[name], machines['plain'].series[name])}
        for name in SERIES}}


def tabulate(result, table):
    for name, what, unit in (('load', 'docker load of 60 MB', 's'),
                             ('load_beside', 'docker load of 60 MB beside fsyncs', 's'),
                             ('records', 'fsyncs beside docker load', '/s')):
        table.value(f'{what}, synced layers', result[name]['synced'], unit, 1)
        table.ratio(what, result[name]['ratio'], 'synced layers : not synced')
