# SPDX-License-Identifier: MIT
"""The outer Docker engine and the containers that a test starts in it.

A program's body gets an `Outer`. Whatever it makes carries the program's own label and is removed at
the end, whatever happened. Every dinv container is looked at with `docker inspect` before the test
goes on: not privileged, no added capability, no device but /dev/kvm (Container.expect_unprivileged).
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid

from lib import artefacts
from lib.docker import BUSYBOX, Docker, busybox_tar
from lib.tap import BailOut, Tap, contains, equal
from lib.waiting import until

HERE = os.path.dirname(os.path.abspath(__file__))
BOOT_DEADLINE = 240
# Settings of a start without the warning of a /dev/kvm that does not work.
QUIET = {'kvm': False, 'DINV_ACCEL': 'uml'}


class Container:
    """One container of the outer engine. `inner` is the docker CLI in it, on the inner engine."""

    def __init__(self, outer, name):
        self.outer = outer
        self.name = name

    def inspect(self, template='{{json .}}'):
        text = self.outer.docker('inspect', '--format', template, self.name)
        try:
            return json.loads(text)
        except ValueError:
            return text

    def exec_(self, *words, options=(), **more):
        """`docker exec NAME WORDS…`, whatever its result."""
        return self.outer.docker.try_('exec', *options, self.name, *words, **more)

    def inner_try(self, *words, stdin=None, **more):
        """`docker exec [-i] NAME docker WORDS…`, whatever its result."""
        options, feed = ((), b'') if stdin is None else (('-i',), stdin)
        return self.exec_('docker', *words, options=options, stdin=feed, **more)

    def inner(self, *words, **more):
        """As inner_try(), and must succeed. Answers its stdout, stripped."""
        return self.inner_try(*words, **more).expect(0).out.strip()

    def import_busybox(self):
        """Makes the image BUSYBOX in the inner engine; answers its name."""
        self.inner('import', '--change', 'CMD ["sh"]', '-', BUSYBOX, stdin=busybox_tar(), deadline=180)
        return BUSYBOX

    def proves_itself(self):
        """Comes up, runs a container, stops in order, and is removed."""
        self.wait_ready()
        self.import_busybox()
        equal(self.inner('run', '--rm', BUSYBOX, 'echo', 'Hello'), 'Hello', 'output')
        equal(self.stop(), 0, 'exit status')
        self.remove()

    def logs(self):
        done = self.outer.docker.try_('logs', self.name)
        return done.out + done.err

    def health(self):
        """starting, healthy, unhealthy."""
        return self.inspect('{{.State.Health.Status}}')

    def health_text(self):
        """What the last health check said."""
        log = self.inspect('{{json .State.Health.Log}}') or []
        return log[-1]['Output'] if log else ''

    def wait_healthy(self, deadline=BOOT_DEADLINE):
        """Fails at once when the container ends before."""
        def healthy():
            state = self.inspect('{{json .State}}')
            if not state['Running']:
                raise AssertionError(f'{self.name} ended with {state["ExitCode"]}:\n{self.logs()[-3000:]}')
            return state['Health']['Status'] == 'healthy'
        until(healthy, deadline, f'{self.name} to be healthy', interval=0.5)
        return self

    def wait_ready(self, deadline=BOOT_DEADLINE):
        """As soon as the inner engine answers, which is some seconds before a health check sees it."""
        def ready():
            if not self.inspect('{{.State.Running}}'):
                raise AssertionError(f'{self.name} ended with {self.exit_status()}:\n{self.logs()[-3000:]}')
            return 'ready: Docker' in self.logs()
        until(ready, deadline, f'{self.name} to be ready', interval=0.25)
        return self

    def wait_exit(self, deadline=60):
        until(lambda: not self.inspect('{{.State.Running}}'), deadline, f'the end of {self.name}')
        return self.exit_status()

    def exit_status(self):
        return self.inspect('{{.State.ExitCode}}')

    def stop(self, grace=None):
        """`docker stop`; answers the exit status."""
        self.outer.docker('stop', *(['--time', str(grace)] if grace else []), self.name)
        return self.exit_status()

    def remove(self):
        self.outer.docker.try_('rm', '--force', '--volumes', self.name)

    def processes(self):
        """(pid, command line) of all its processes, as the outer engine's machine numbers them."""
        lines = self.outer.docker('top', self.name, '-eo', 'pid,args').splitlines()[1:]
        return [(int(line.split()[0]), line.split(None, 1)[1]) for line in lines]

    def expect_unprivileged(self, devices):
        """What the outer engine knows of the container is what an ordinary container has."""
        host = self.inspect('{{json .HostConfig}}')
        equal(host['Privileged'], False, 'privileged')
        equal(host['CapAdd'] or [], [], 'added capabilities')
        equal([device['PathOnHost'] for device in host['Devices'] or []], devices, 'devices')
        equal(host['DeviceRequests'] or [], [], 'device requests')
        equal(host['DeviceCgroupRules'] or [], [], 'device rules')
        equal((host['PidMode'], host['IpcMode'], host['UTSMode'], host['UsernsMode']),
              ('', 'private', '', ''), 'namespaces of the host')
        assert host['NetworkMode'] != 'host', 'the network of the host'
        options = [option for option in host['SecurityOpt'] or [] if option != 'no-new-privileges']
        equal(options, [], 'security options')
        for bind in host['Binds'] or []:
            assert 'docker.sock' not in bind, f'the socket of the host: {bind}'


class Outer:
    """The outer engine: `docker` is its CLI, `image` the dinv image in it."""

    def __init__(self, options):
        address = os.environ['DINV_TEST_OUTER_DOCKER_HOST']
        if not address.startswith('unix://'):
            raise BailOut(f'DINV_TEST_OUTER_DOCKER_HOST: "{address}" is not unix://…')
        self.options = options
        self.image = os.environ['DINV_TEST_IMAGE']
        self.tap = Tap(options.only, self._explain)
        self.work = tempfile.mkdtemp(prefix='dc-', dir='/tmp')
        os.chmod(self.work, 0o755)
        self.docker = Docker(address[len('unix://'):], self.work)
        self.token = f'dt-{uuid.uuid4().hex[:8]}'
        self._label = f'dinv-test={self.token}'
        self._containers = []

    def name(self, what):
        """A name of the program's own for a container, a volume or a network."""
        return f'{self.token}-{what}'

    def argv(self, what, options=(), command=(), kvm=True, image=None, **settings):
        """(container, words for the CLI after `docker run` or `docker create`)."""
        container = Container(self, self.name(what))
        self._containers.append(container)
        words = ['--name', container.name, '--label', self._label]
        if kvm:
            words += ['--device', '/dev/kvm']
        for name, value in settings.items():
            words += ['--env', f'{name}={value}']
        return container, [*words, *options, image or self.image, *command]

    def start(self, what, options=(), command=(), kvm=True, **settings):
        """A dinv container in the background: `docker run -d --device /dev/kvm OPTIONS dinv COMMAND`;
        `settings` are environment variables. Not yet ready."""
        container, words = self.argv(what, options, command, kvm, **settings)
        self.docker('run', '--detach', *words)
        container.expect_unprivileged(['/dev/kvm'] if kvm else [])
        return container

    def run(self, what, options=(), command=(), kvm=True, stdin=b'', deadline=BOOT_DEADLINE, **settings):
        """A dinv container in the foreground, until it ends; answers its result."""
        container, words = self.argv(what, options, command, kvm, **settings)
        if stdin:
            words.insert(0, '--interactive')
        done = self.docker.try_('run', *words, stdin=stdin, deadline=deadline)
        container.expect_unprivileged(['/dev/kvm'] if kvm else [])
        container.remove()
        return done

    def other(self, what, image, options=(), command=()):
        """A container in the background that is not dinv, such as a client."""
        container, words = self.argv(what, options, command, kvm=False, image=image)
        self.docker('run', '--detach', *words)
        return container

    def adopt(self, name):
        """The container that a command of somebody's page starts under this name; removed like the others."""
        self._containers.append(Container(self, name))
        return self._containers[-1]

    def volume(self, what, *options):
        return self.docker('volume', 'create', '--label', self._label, *options, self.name(what))

    def network(self, what, *options):
        self.docker('network', 'create', '--label', self._label, *options, self.name(what))
        return self.name(what)

    def mountpoint(self, volume):
        return self.docker('volume', 'inspect', '--format', '{{.Mountpoint}}', volume)

    def listing(self):
        """What the outer engine lists: containers, volumes, networks, images."""
        return {kind: sorted(self.docker(*words).split()) for kind, words in {
            'containers': ('ps', '--all', '--quiet'), 'volumes': ('volume', 'ls', '--quiet'),
            'networks': ('network', 'ls', '--quiet'), 'images': ('image', 'ls', '--quiet')}.items()}

    def close(self):
        """Removes all that the program made. Never fails."""
        for container in self._containers:
            container.remove()
        for kind in ('volume', 'network'):
            names = self.docker.try_(kind, 'ls', '--quiet', '--filter', f'label={self._label}').out.split()
            if names:
                self.docker.try_(kind, 'rm', *names)
        shutil.rmtree(self.work, ignore_errors=True)

    def _explain(self):
        for container in self._containers:
            done = self.docker.try_('logs', '--tail', '30', container.name)
            if done.status == 0:
                yield f'--- the last lines of {container.name}'
                yield from (line[:300] for line in (done.out + done.err).splitlines())


def main(body):
    """Runs a test program. `body(outer)` makes the checks. Without an outer engine in the environment
    the program is run again with one (tests/container/run)."""
    parser = argparse.ArgumentParser()
    parser.add_argument('--only', action='append', metavar='CHECK', help='only the checks named so')
    options = parser.parse_args()
    if not (os.environ.get('DINV_TEST_OUTER_DOCKER_HOST') and os.environ.get('DINV_TEST_IMAGE')):
        runner = os.path.join(HERE, 'run')
        os.execv(runner, [runner, artefacts.build_root(), sys.executable, '-B', *sys.argv])
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    outer = Outer(options)
    try:
        body(outer)
        status = outer.tap.finish()
    except (BailOut, AssertionError, OSError, subprocess.SubprocessError) as error:
        outer.tap.bail_out(error if isinstance(error, BailOut) else f'{type(error).__name__}: {error}')
        status = 1
    finally:
        outer.close()
    sys.exit(status)


def one_sentence(text):
    """The message of a dinv that refused to work: its last line, before which there may be warnings
    and notes (of this machine's /dev/kvm, say)."""
    lines = [line for line in text.splitlines() if line.strip()]
    equal([' error: ' in line for line in lines], [False] * (len(lines) - 1) + [' error: ' in lines[-1]],
          f'errors in {text!r}')
    assert ' warning: ' not in lines[-1], f'the last line of {text!r} is a warning'
    contains(lines[-1], 'dinv: ', 'who says it')
    return lines[-1]
