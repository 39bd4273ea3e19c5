# SPDX-License-Identifier: MIT
"""Images of several layers, made on the spot, as `docker load` takes them or a registry has them, that
can be told from damaged ones file by file."""

import hashlib
import io
import json
import random
import tarfile

from .docker import busybox_tar
from .registry import Image, image_config

LAYERS = 3
# Of each layer: many files within a block or some, and a few that are written in many pieces.
SMALL, SMALL_MOST = 80, 16 << 10
LARGE, LARGE_SIZE = 4, 300_000  # bytes, unless told otherwise


class LayeredImage:
    """Image NUMBER, REPOSITORY-NUMBER:latest: busybox and layers of its own, whose files no other image has.
    `sums` is what `sha256sum -c` takes to look at all of them, by their paths from the root."""

    def __init__(self, number, large_size=LARGE_SIZE, repository='dinv-test/load'):
        self.name = f'{repository}-{number}:latest'
        self._sums = []
        self._random = random.Random(number)
        self._large_size = large_size
        self._layers = [busybox_tar(), *(self._layer(layer) for layer in range(LAYERS))]

    @property
    def files(self):
        return len(self._sums)

    @property
    def sums(self):
        return ''.join(self._sums).encode()

    def _layer(self, layer):
        """The tar of files that do not compress, of all sizes, in /load/LAYER."""
        sizes = [self._random.randrange(1, SMALL_MOST) for _ in range(SMALL)] + [self._large_size] * LARGE
        self._random.shuffle(sizes)
        memory = io.BytesIO()
        with tarfile.open(fileobj=memory, mode='w') as tar:
            for index, size in enumerate(sizes):
                data = self._random.randbytes(size)
                info = tarfile.TarInfo(f'load/{layer}/{index % 7}/{index:03}')
                info.size = size
                tar.addfile(info, io.BytesIO(data))
                self._sums.append(f'{hashlib.sha256(data).hexdigest()}  {info.name}\n')
        return memory.getvalue()

    def in_registry(self):
        """What a registry has of it."""
        return Image(self._layers)

    def archive(self):
        """The tar for `docker load`."""
        ids = [hashlib.sha256(layer).hexdigest() for layer in self._layers]
        config = image_config(self._layers)
        config_name = f'{hashlib.sha256(config).hexdigest()}.json'
        manifest = json.dumps([{'Config': config_name, 'RepoTags': [self.name],
                                'Layers': [f'{identity}.tar' for identity in ids]}]).encode()
        memory = io.BytesIO()
        with tarfile.open(fileobj=memory, mode='w') as tar:
            for name, data in [(f'{identity}.tar', layer) for identity, layer in zip(ids, self._layers)] + \
                    [(config_name, config), ('manifest.json', manifest)]:
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
        return memory.getvalue()


def damages(docker, image):
    """Runs the image, which looks at every file that it was made with; answers a line for each that is
    not as it was."""
    done = docker.try_('run', '--rm', '--interactive', '--network', 'none', image.name, 'sha256sum', '-c',
                       stdin=image.sums)
    lines = (done.out + done.err).splitlines()
    whole = [line for line in lines if line.endswith(': OK')]
    if done.status == 0 and len(whole) == image.files:
        return []
    return [line for line in lines if line not in whole] or [f'status {done.status}, {len(whole)} files']
