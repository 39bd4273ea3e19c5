# SPDX-License-Identifier: MIT
"""Images of several layers, made on the spot, as `docker load` takes them."""

import hashlib
import io
import json
import random
import tarfile

from .docker import busybox_tar

FILES, FILE_SIZE = 40, 64 << 10


def _layer(number, name):
    """The tar of a layer of files that do not compress, in /load/NAME."""
    source = random.Random(f'{number} {name}')
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode='w') as tar:
        for index in range(FILES):
            info = tarfile.TarInfo(f'load/{name}/{index:02}')
            info.size = FILE_SIZE
            tar.addfile(info, io.BytesIO(source.randbytes(FILE_SIZE)))
    return memory.getvalue()


class LoadedImage:
    """Image NUMBER: busybox and two layers of its own."""

    def __init__(self, number):
        self.name = f'dinv-test/load:{number}'
        self.archive = self._archive([busybox_tar(), _layer(number, 'a'), _layer(number, 'b')])

    def _archive(self, layers):
        ids = [hashlib.sha256(layer).hexdigest() for layer in layers]
        config = json.dumps({
            'architecture': 'amd64', 'os': 'linux', 'config': {'Cmd': ['sh']},
            'rootfs': {'type': 'layers', 'diff_ids': [f'sha256:{identity}' for identity in ids]}}).encode()
        config_name = f'{hashlib.sha256(config).hexdigest()}.json'
        manifest = json.dumps([{'Config': config_name, 'RepoTags': [self.name],
                                'Layers': [f'{identity}.tar' for identity in ids]}]).encode()
        memory = io.BytesIO()
        with tarfile.open(fileobj=memory, mode='w') as tar:
            for name, data in [(f'{identity}.tar', layer) for identity, layer in zip(ids, layers)] + \
                    [(config_name, config), ('manifest.json', manifest)]:
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
        return memory.getvalue()
