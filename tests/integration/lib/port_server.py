# SPDX-License-Identifier: MIT
"""The image whose one program serves ports in the ways that tests need (port-server.c)."""

import io
import tarfile

from . import artefacts

PORT_SERVER = 'dinv-test/port-server:latest'
PROGRAM = '/port-server'


def prepare():
    return {'DINV_TEST_PORT_SERVER': artefacts.port_server()}


def tar():
    """The image, for `docker import`."""
    with open(artefacts.port_server(), 'rb') as file:
        data = file.read()
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode='w') as image:
        info = tarfile.TarInfo(PROGRAM[1:])
        info.size = len(data)
        info.mode = 0o755
        image.addfile(info, io.BytesIO(data))
    return memory.getvalue()
