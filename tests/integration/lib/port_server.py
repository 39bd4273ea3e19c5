# SPDX-License-Identifier: MIT
"""The image whose one program serves ports in the ways that tests need (port-server.c)."""

import io
import os
import tarfile

from . import artefacts

PORT_SERVER = 'dinv-test/port-server:latest'
PROGRAM = '/port-server'


def prepare():
    return {'DINV_TEST_PORT_SERVER': artefacts.port_server()}


def tar(*others):
    """The image, for `docker import`; with other programs beside it."""
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode='w') as image:
        for path in (artefacts.port_server(), *others):
            with open(path, 'rb') as file:
                data = file.read()
            info = tarfile.TarInfo(PROGRAM[1:] if path == artefacts.port_server() else os.path.basename(path))
            info.size = len(data)
            info.mode = 0o755
            image.addfile(info, io.BytesIO(data))
    return memory.getvalue()
