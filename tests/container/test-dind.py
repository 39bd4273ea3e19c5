#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: MIT
"""Recipes for docker:dind as people have them: its start scripts by their names, dockerd with flags of its
own, a volume at /var/lib/docker, the image as the client of another engine."""

import os

from lib.docker import BUSYBOX, busybox_tar
from lib.tap import contains, equal
from outer import QUIET, main, one_sentence


# --- Words behind the image's name

def not_there_is_said_before_the_boot(outer):
    volume = outer.volume('not-there')
    for word, status in (('no-such-program', 127), ('/etc/passwd', 126)):
        done = outer.run(f'status-{status}', ['--volume', f'{volume}:/var/lib/dinv'], [word], **QUIET)
        contains(one_sentence(done.expect(status).err), word, 'the sentence')
    equal(os.listdir(outer.mountpoint(volume)), [], 'what was made')


def verbs_are_understood(outer):
    contains(outer.run('version', (), ['version'], **QUIET).expect(0).out, 'dinv ', 'version')
    contains(outer.run('doctor', (), ['doctor'], **QUIET).expect(0).out, 'dinv run would work', 'doctor')
    for number, words in enumerate((['run', '--group=nobody-at-all'], ['dinv', 'run', '--group=nobody-at-all'],
                                    ['dockerd', '--group=nobody-at-all'],
                                    ['env', '-u', 'DOCKER_HOST', 'dockerd-entrypoint.sh',
                                     '--group=nobody-at-all'])):
        done = outer.run(f'run-{number}', (), words, **QUIET).expect(125)
        contains(one_sentence(done.err), 'no group "nobody-at-all"', 'the sentence')


def scripts_are_programs(outer):
    """Also started with sh, and as the entrypoint."""
    for number, options, words in ((0, ['--entrypoint', 'dockerd'], ['--group=nobody-at-all']),
                                   (1, ['--entrypoint', 'sh'],
                                    ['/usr/local/bin/dockerd-entrypoint.sh', '--group=nobody-at-all']),
                                   (2, ['--entrypoint', 'env'],
                                    ['-u', 'DOCKER_HOST', 'dockerd-entrypoint.sh', '--group=nobody-at-all'])):
        done = outer.run(f'script-{number}', options, words, **QUIET).expect(125)
        contains(done.err, 'no group "nobody-at-all"', 'what it says')
    done = outer.run('dockerd-version', ['--entrypoint', 'dockerd'], ['--version'], **QUIET).expect(0)
    contains(done.out, 'Docker version ', 'dockerd --version')
    done = outer.run('client', (), ['dockerd-entrypoint.sh', 'sh', '-c', 'echo $DOCKER_HOST'], **QUIET)
    equal(done.expect(0).out.strip(), 'tcp://docker:2375', 'a command of the start script: no engine')


BEHIND_A_SHELL = '''
dockerd-entrypoint.sh --debug 2>/tmp/said &
until grep -q "up already" /tmp/said; do sleep 0.1; done
docker version --format "{{.Server.Os}}"
dinv run docker version --format "inner-{{.Server.Os}}"
kill $!
wait $!
echo "status-$?"
cat /tmp/said >&2
'''


def start_script_behind_a_shell(outer):
    """A job that starts what is there already: it is not in the way, and says so."""
    done = outer.run('behind', (), ['sh', '-c', BEHIND_A_SHELL], **QUIET).expect(0)
    equal(done.out.split(), ['linux', 'inner-linux', 'status-0'], 'output')
    contains(done.err, '"--debug" and what else is meant for dockerd has no effect', 'the warning')


# --- A runner controller's pod: dockerd by name, its socket in a shared volume, data where dind has it

class Pod:
    def __init__(self, outer):
        self.outer = outer
        self.network = outer.network('pod')
        self.sockets = outer.volume('sockets')
        self.data = outer.volume('data')
        self.foreign = os.path.join(outer.mountpoint(self.data), 'overlay2', 'l')
        os.makedirs(self.foreign)
        self.container = None

    def start(self, what):
        self.container = self.outer.start(
            what, ['--network', self.network, '--volume', f'{self.sockets}:/sockets',
                   '--volume', f'{self.data}:/var/lib/docker'],
            ['dockerd', '--host=unix:///sockets/docker.sock', '--host=tcp://0.0.0.0:2375', '--group=123'])


def exec_right_behind_the_start(pod):
    """The command waits for the engine wherever its socket is, and never finds none."""
    pod.start('pod')
    equal(pod.container.inner('version', '--format', '{{.Server.Os}}', deadline=240), 'linux', 'the answer')


def socket_is_as_asked_for(pod):
    seen = pod.container.exec_('stat', '-c', '%g %a', '/sockets/docker.sock').expect(0).out
    equal(seen.strip(), '123 660', 'group and mode')
    seen = pod.container.exec_('readlink', '/var/run/docker.sock').expect(0).out
    equal(seen.strip(), '/sockets/docker.sock', 'the usual path')
    log = pod.container.logs()
    contains(log, 'without TLS: whoever reaches that port is root in the guest', 'the warning')
    assert 'warning: /sockets ' not in log and 'warning: /var/lib/docker ' not in log, log


def neighbours_reach_it(pod):
    """By the socket in the volume, as the group it has, and over TCP."""
    for what, options in (('by-socket', ['--volume', f'{pod.sockets}:/sockets', '--user', '1000:123',
                                         '--env', 'DOCKER_HOST=unix:///sockets/docker.sock']),
                          ('by-tcp', ['--network', pod.network,
                                      '--env', f'DOCKER_HOST=tcp://{pod.container.name}:2375'])):
        done = pod.outer.run(what, ['--entrypoint', 'docker', *options], ['version', '--format', '{{.Server.Os}}'],
                             **QUIET)
        equal(done.expect(0).out.strip(), 'linux', what)


def testcontainers_is_told_where_ports_are(pod):
    seen = pod.container.exec_('sh', '-c', 'echo $TESTCONTAINERS_HOST_OVERRIDE').expect(0).out
    equal(seen.strip(), 'localhost', 'in docker exec')
    pod.container.import_busybox()
    pod.container.inner('run', '--detach', '--name', 'web', '--publish', '80', BUSYBOX, 'httpd', '-f', '-h', '/etc')
    port = pod.container.inner('port', 'web', '80/tcp').splitlines()[0].rpartition(':')[2]
    program = ('use IO::Socket::INET; my $s = IO::Socket::INET->new(PeerAddr => "$ENV{TESTCONTAINERS_HOST_OVERRIDE}'
               f':{port}") or die $!; print $s "GET /passwd HTTP/1.0\\r\\n\\r\\n"; print <$s>;')
    contains(pod.container.exec_('perl', '-e', program).expect(0).out, 'root:x:0:0', 'what it serves')
    pod.container.inner('rm', '--force', 'web')


def images_stay_in_the_volume(pod):
    place = pod.outer.mountpoint(pod.data)
    contains(os.listdir(os.path.join(place, 'dinv')), 'data.img', 'the state directory')
    contains(pod.container.logs(), 'has data of another Docker engine (overlay2), which stays as it is', 'the log')
    equal(pod.container.stop(), 0, 'exit status')
    pod.container.remove()
    pod.start('pod-again')
    contains(pod.container.inner('images', deadline=240), BUSYBOX.partition(':')[0], 'images')
    equal(os.listdir(os.path.dirname(pod.foreign)), ['l'], 'what was there before')
    equal(pod.container.stop(), 0, 'exit status')
    pod.container.remove()


# --- A service with TLS and its clients, all from this image

class Service:
    def __init__(self, outer):
        self.outer = outer
        self.network = outer.network('service')
        self.certificates = outer.volume('certificates')
        self.container = None

    def client(self, what, *words, entrypoint='docker-entrypoint.sh', **more):
        return self.outer.run(what, ['--network', self.network, '--entrypoint', entrypoint,
                                     '--volume', f'{self.certificates}:/certs/client:ro'], list(words),
                              **QUIET, **more)


def start_script_serves_with_tls(service):
    """With the job's own variables, which a service gets as well, taken away."""
    service.container = service.outer.start(
        'service', ['--network', service.network, '--network-alias', 'docker',
                    '--volume', f'{service.certificates}:/certs/client'],
        ['env', '-u', 'DOCKER_HOST', 'dockerd-entrypoint.sh', '--label', 'from=script'],
        DOCKER_HOST='tcp://docker:2376', CI='true', PORT='5000')
    service.container.wait_ready()
    log = service.container.logs()
    contains(log, 'PORT is ignored where CI is set', 'the log')
    assert 'without TLS' not in log and 'warning: /certs' not in log, log
    with open(os.path.join(service.outer.mountpoint(service.certificates), 'key.pem'), encoding='ascii') as key:
        equal(key.readline(), '-----BEGIN RSA PRIVATE KEY-----\n', "the client's key")


def clients_need_no_variables(service):
    """docker:cli's start script finds the engine called docker, with TLS."""
    done = service.client('info', 'docker', 'info', '--format', '{{json .Labels}}').expect(0)
    equal(done.out.strip(), '["from=script"]', 'labels')
    equal(service.client('ps', 'ps', '--quiet').expect(0).out, '', 'without the word docker')
    contains(service.client('flag', '--version').expect(0).out, 'Docker version', 'a flag')
    done = service.client('shell', 'sh', '-c', 'echo $DOCKER_HOST $DOCKER_TLS_VERIFY $DOCKER_CERT_PATH '
                                               '${TESTCONTAINERS_HOST_OVERRIDE-none}')
    equal(done.expect(0).out.strip(), 'tcp://docker:2376 1 /certs/client none', 'variables')
    done = service.client('import', 'import', '--change', 'CMD ["sh"]', '-', BUSYBOX, stdin=busybox_tar())
    done.expect(0)
    equal(service.client('run', 'run', '--rm', BUSYBOX, 'echo', 'Hello').expect(0).out, 'Hello\n', 'output')


def service_itself_is_found(service):
    """Over the unix socket, whatever the job's variables say."""
    service.container.exec_('env', '-u', 'DOCKER_HOST', 'docker', 'info').expect(0)
    service.container.wait_healthy(60)
    equal(service.container.stop(), 0, 'exit status')
    service.container.remove()


# --- The log

def detached_terminal_has_no_frames(outer):
    container = outer.start('detached', ['--tty', '--interactive'], **QUIET)
    container.wait_ready()
    log = container.logs()
    equal(log.count('\033[K'), 0, 'frames in the log')
    contains(log, 'waiting for ', 'the log')
    equal(container.stop(), 0, 'exit status')
    container.remove()


def body(outer):
    for check in (not_there_is_said_before_the_boot, verbs_are_understood, scripts_are_programs,
                  start_script_behind_a_shell):
        outer.tap.check(check, outer)
    pod = Pod(outer)
    if outer.tap.check(exec_right_behind_the_start, pod):
        for check in (socket_is_as_asked_for, neighbours_reach_it, testcontainers_is_told_where_ports_are,
                      images_stay_in_the_volume):
            outer.tap.check(check, pod)
    service = Service(outer)
    if outer.tap.check(start_script_serves_with_tls, service):
        for check in (clients_need_no_variables, service_itself_is_found):
            outer.tap.check(check, service)
    outer.tap.check(detached_terminal_has_no_frames, outer)


if __name__ == '__main__':
    main(body)
