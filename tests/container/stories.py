# SPDX-License-Identifier: MIT
"""Commands as a page shows them, typed at a terminal: `docker` is the outer engine's CLI, `dinv` the image.

Pages name images of a registry. None is asked here: images of these names are made of busybox in the
engine that would have pulled them (stand_in).
"""

import os

from lib import artefacts
from lib.docker import busybox_tar
from lib.tap import equal
from lib.terminal import Terminal

# What is behind the name, for the engine that runs it.
STAND_INS = {
    'debian': ['CMD ["sh"]'],
    'ubuntu': ['CMD ["sh"]'],
    'nginx': ['CMD ["sh", "-c", "echo Welcome to nginx! >/var/index.html; exec httpd -f -h /var"]'],
}


def stand_in(docker, *names):
    """Makes these images with `docker`: Docker.__call__ of the outer engine or Container.inner."""
    tar = busybox_tar()
    for name in names:
        changes = [word for change in STAND_INS[name] for word in ('--change', change)]
        docker('import', *changes, '-', name, stdin=tar, deadline=180)


def install_plugin(outer, name):
    """Gives the outer engine's client a plugin of the image, such as docker-compose."""
    plugins = os.path.join(outer.docker.environment['DOCKER_CONFIG'], 'cli-plugins')
    os.makedirs(plugins, exist_ok=True)
    container, words = outer.argv(f'with-{name}')
    outer.docker('create', *words)
    outer.docker('cp', f'{container.name}:/usr/libexec/docker/cli-plugins/{name}', plugins)
    container.remove()


class Typist:
    """A shell user whose directory is `directory`."""

    def __init__(self, outer, directory):
        self.directory = directory
        programs = os.path.join(directory, '.bin')
        os.makedirs(programs)
        os.symlink(artefacts.docker_cli(), os.path.join(programs, 'docker'))
        self.environment = {**outer.docker.environment, 'PATH': f'{programs}:/usr/bin:/bin:/usr/sbin:/sbin'}
        outer.docker('tag', outer.image, 'dinv')

    def start(self, command):
        """The command on a terminal of its own; the caller talks to it and closes it."""
        argv = ['bash', '-euc', f'cd "$1"; {command}', 'bash', self.directory]
        return Terminal(argv, self.environment, rows=40, columns=200)

    def type(self, command, status=0, deadline=120):
        """Runs the command to its end; answers what it showed."""
        with self.start(command) as terminal:
            equal(terminal.wait(deadline), status, f'exit status of {command!r}, which showed {terminal.output!r}')
            return terminal.output
