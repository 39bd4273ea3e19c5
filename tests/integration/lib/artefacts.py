# SPDX-License-Identifier: MIT
"""Where the things under test are: the dinv program, the guest's images, the stock tools."""

import os
import shutil
import subprocess

from .tap import BailOut

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def source_root():
    return os.environ.get('DINV_SOURCE_ROOT') or os.path.dirname(os.path.dirname(HERE))


def build_root():
    return os.environ.get('DINV_BUILD_ROOT') or os.path.join(source_root(), 'build')


def _existing(variable, fallback):
    path = os.environ.get(variable) or os.path.join(build_root(), fallback)
    if not os.path.exists(path):
        raise BailOut(f'{path} does not exist: build it, or set {variable}')
    return path


def dinv():
    return _existing('DINV_TEST_BINARY', 'launcher/dinv')


def usernet():
    return _existing('DINV_TEST_USERNET', 'usernet/process/dinv-usernet')


def kernel():
    return _existing('DINV_TEST_KERNEL', 'images/vmlinux')


def uml_kernel():
    return _existing('DINV_TEST_UML_KERNEL', 'images/linux-uml')


def virtiofsd():
    """One that User-Mode Linux can use, which Debian 12 does not have."""
    path = os.environ.get('DINV_TEST_VIRTIOFSD')
    if not path:
        recipe = os.path.join(source_root(), 'images', 'virtiofsd')
        path = subprocess.run([recipe], stdout=subprocess.PIPE, check=True, text=True).stdout.strip()
        os.environ['DINV_TEST_VIRTIOFSD'] = path
    return path


def rootfs():
    return _existing('DINV_TEST_ROOTFS', 'images/rootfs.ext4')


def port_server():
    return _existing('DINV_TEST_PORT_SERVER', 'tests/integration/port-server')


def docker_cli():
    path = os.environ.get('DINV_DOCKER_CLI') or shutil.which('docker')
    if not path:
        raise BailOut('no docker client: install one, or set DINV_DOCKER_CLI')
    return path


def tool(name):
    """The path of a stock tool; those of the administrator are not in everybody's PATH."""
    path = shutil.which(name, path=f'{os.environ.get("PATH", "")}:/usr/sbin:/sbin:/usr/bin:/bin')
    if not path:
        raise BailOut(f'{name} is not installed')
    return path


def static_busybox():
    """The busybox that works in an image of its own: package busybox-static."""
    path = tool('busybox')
    with open(path, 'rb') as file:
        if b'ld-linux' in file.read(4096):
            raise BailOut(f'{path} is not static: install the package busybox-static')
    return path


def copy_sparse(source, target):
    subprocess.run(['cp', '--sparse=always', '--reflink=auto', source, target], check=True)
