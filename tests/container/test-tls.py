#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: MIT
"""The engine over TCP, as other containers use docker:dind: a service with the alias `docker`, whose
clients have its certificates from a shared volume; one without TLS; a socket in a shared volume. Those
who have no certificate stay outside, however many they are.
"""

import http.client
import os
import shutil
import socket
import ssl

from lib.docker import BUSYBOX, busybox_tar
from lib.tap import contains, equal
from lib.waiting import until
from outer import main, one_sentence

# What GitLab's documentation tells to set, for the service as well as for the job.
GITLAB = {'DOCKER_HOST': 'tcp://docker:2376', 'DOCKER_TLS_VERIFY': '1', 'DOCKER_CERT_PATH': '/certs/client',
          'DOCKER_TLS_CERTDIR': '/certs'}
UNINVITED = 600
SERVER_HALF = ('ca.pem', 'cert.pem', 'key.pem')


class Service:
    """The service, the clients beside it, and the volumes that they share."""

    def __init__(self, outer):
        self.outer = outer
        self.network = outer.network('ci')
        self.certs = outer.volume('certs')
        self.client_certs = outer.volume('client')
        self.state = outer.volume('state')
        self.sockets = outer.volume('sockets')
        self.container = None
        self.client = None
        self.others = []

    def start(self, what, alias, *options, **settings):
        self.container = self.outer.start(
            what, ['--network', self.network, '--network-alias', alias, *options], **settings)

    def start_with_tls(self, what):
        self.start(what, 'docker', '--volume', f'{self.certs}:/certs',
                   '--volume', f'{self.client_certs}:/certs/client',
                   '--volume', f'{self.state}:/var/lib/dinv', **GITLAB)

    def start_client(self, what, *options, **settings):
        """A container that has the docker CLI and does nothing; the image is dinv's own."""
        for name, value in settings.items():
            options += ('--env', f'{name}={value}')
        return self.outer.other(what, self.outer.image,
                                ['--network', self.network, '--no-healthcheck', '--init',
                                 '--entrypoint', 'sleep', *options], ['infinity'])

    def address(self):
        return self.container.inspect(f'{{{{(index .NetworkSettings.Networks "{self.network}").IPAddress}}}}')

    def path(self, *names):
        """A file of /certs."""
        if names[0] == 'client':
            return os.path.join(self.outer.mountpoint(self.client_certs), *names[1:])
        return os.path.join(self.outer.mountpoint(self.certs), *names)

    def read(self, *names):
        with open(self.path(*names), 'rb') as file:
            return file.read()

    def launcher(self):
        """The process ids of `dinv run`, the one that serves last."""
        return [pid for pid, line in self.container.processes() if line.startswith('dinv run')]


# --- With TLS

def service_serves_with_tls(service):
    service.start_with_tls('service')
    service.client = service.start_client('job', '--volume', f'{service.client_certs}:/certs/client:ro',
                                          '--user', '4321:4321', **GITLAB)
    # A client that is early waits: the port is there before the engine is.
    until(lambda: 'booting' in service.container.logs(), 60, 'the boot')
    contains(service.client.inner('version', '--format', '{{.Server.Os}}', deadline=240), 'linux',
             'the engine')
    service.container.wait_ready()
    contains(service.container.logs(), 'tcp://*:2376 (TLS)', 'its log')
    status = service.container.exec_('dinv', 'status').expect(0).out
    contains(status, 'tcp://*:2376, TLS, to clients with a certificate', 'dinv status')


def layout_is_that_of_dind(service):
    for role, names in (('ca', ('cert.pem', 'key.pem')), ('server', SERVER_HALF), ('client', SERVER_HALF)):
        equal(sorted(name for name in os.listdir(service.path(role)) if name != 'client'), list(names), role)
    equal([os.stat(service.path(role, 'key.pem')).st_mode & 0o777 for role in ('ca', 'server', 'client')],
          [0o600, 0o600, 0o644], 'modes of the keys')


def clients_run_containers(service):
    client = service.client
    client.inner('import', '--change', 'CMD ["sh"]', '-', BUSYBOX, stdin=busybox_tar(), deadline=180)
    equal(client.inner('run', '--rm', BUSYBOX, 'echo', 'Hello'), 'Hello', 'output')
    equal(client.inner_try('run', '--rm', BUSYBOX, 'sh', '-c', 'exit 42').status, 42, 'exit status')


def stdin_ends_while_output_goes_on(service):
    """Half-close: the container sees the end of its input, and what it says then arrives."""
    feed = os.urandom(1 << 20)
    done = service.client.inner_try('run', '--rm', '-i', BUSYBOX, 'sh', '-c', 'wc -c; echo behind; exit 7',
                                    stdin=feed)
    equal((done.out.split(), done.status), ([str(len(feed)), 'behind'], 7), 'output and status')


def clients_build(service):
    """With BuildKit, which speaks gRPC over a hijacked connection, and with the classic builder."""
    for buildkit in '01':
        dockerfile = f'FROM {BUSYBOX}\nRUN echo {buildkit} >/made\nCMD cat /made\n'.encode()
        done = service.client.exec_('docker', 'build', '--tag', f'built-{buildkit}', '-', stdin=dockerfile,
                                    options=('-i', '--env', f'DOCKER_BUILDKIT={buildkit}',
                                             '--env', 'HOME=/tmp'), deadline=180)
        done.expect(0)
        equal(service.client.inner('run', '--rm', f'built-{buildkit}'), buildkit, 'what was built')


def service_itself_reaches_its_engine(service):
    """With the variables of the job, which a service gets as well, and without any."""
    equal(service.container.inner('info', '--format', '{{.OSType}}'), 'linux', 'by DOCKER_HOST')
    service.container.exec_('env', '-u', 'DOCKER_HOST', '-u', 'DOCKER_TLS_VERIFY', '-u', 'DOCKER_CERT_PATH',
                            'docker', 'info').expect(0)
    service.container.wait_healthy(60)


# --- The uninvited

def context_with(certificate=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if certificate:
        context.load_cert_chain(*certificate)
    return context


def ask(service, context):
    """What the engine answers to GET /_ping with TLS, b'' if it just ends the connection."""
    with socket.create_connection((service.address(), 2376), 30) as plain:
        with context.wrap_socket(plain) as connection:
            connection.sendall(b'GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n')
            return connection.recv(1000)


def refusal(service, context):
    try:
        return f'served: {ask(service, context)!r}'
    except ssl.SSLError as error:
        return error.reason or str(error)


def certificates_of_another_ca(service):
    """Another service's, of an ordinary user, which is not waited for: it makes them before it boots."""
    volume = service.outer.volume('stranger')
    container = service.outer.start('stranger', ['--volume', f'{volume}:/certs', '--user', '1000:1000'],
                                    kvm=False, DINV_ACCEL='tcg', DOCKER_TLS_CERTDIR='/certs')
    place = os.path.join(service.outer.mountpoint(volume), 'client')
    until(lambda: os.path.exists(os.path.join(place, 'cert.pem')), 120, 'its certificates')
    container.remove()
    return os.path.join(place, 'cert.pem'), os.path.join(place, 'key.pem')


def strangers_are_refused(service):
    own = (service.path('client', 'cert.pem'), service.path('client', 'key.pem'))
    contains(ask(service, context_with(own)).decode(), '200 OK', 'with the right certificate')
    contains(refusal(service, context_with()), 'CERTIFICATE_REQUIRED', 'without a certificate')
    stranger = service.stranger = certificates_of_another_ca(service)
    contains(refusal(service, context_with(stranger)), 'CA', 'of another CA')
    of_server = (service.path('server', 'cert.pem'), service.path('server', 'key.pem'))
    contains(refusal(service, context_with(of_server)), 'CERTIFICATE', "the server's own")
    log = service.container.logs()
    for reason in ('showed no certificate', 'showed a certificate of another CA',
                   'showed a certificate that is not for clients'):
        contains(log, reason, 'its log')


def http_is_told_that_this_is_tls(service):
    connection = http.client.HTTPConnection(service.address(), 2376, timeout=30)
    connection.request('GET', '/_ping')
    answer = connection.getresponse()
    equal(answer.status, 400, 'status')
    contains(answer.read().decode(), 'HTTP request to an HTTPS server', 'answer')
    client = service.client.exec_('env', '-u', 'DOCKER_TLS_VERIFY', 'docker', 'ps')
    assert client.status != 0, client
    contains(client.err, 'HTTP request to an HTTPS server', "the CLI's message")


def uninvited_are_survived(service):
    """The 10,000 are in the unit test tls-server; these come through the network of the container."""
    pid = service.launcher()[-1]
    descriptors = f'/proc/{pid}/fd'
    before = len(os.listdir(descriptors))
    nobody, stranger = context_with(), context_with(service.stranger)
    address = (service.address(), 2376)
    held = []
    for count in range(UNINVITED):
        kind = count % 5
        if kind == 0:
            assert 'served' not in refusal(service, nobody)
        elif kind == 1:
            assert 'served' not in refusal(service, stranger)
        else:
            connection = socket.create_connection(address, 30)
            if kind == 2:
                connection.close()
            else:
                connection.sendall(b'\x16\x03\x01' if kind == 3 else b'SSH-2.0-scan\r\n')
                held.append(connection)
        if count % 200 == 0:
            service.client.inner('version')
            assert len(os.listdir(descriptors)) < before + 200, os.listdir(descriptors)
    for connection in held:
        connection.close()
    until(lambda: len(os.listdir(descriptors)) <= before, 60, 'the descriptors to be given back')
    with open(f'/proc/{pid}/status', encoding='ascii') as file:
        resident = next(int(line.split()[1]) for line in file if line.startswith('VmRSS'))
    assert resident < 64 << 10, f'{resident} KiB resident'
    equal(service.client.inner('run', '--rm', BUSYBOX, 'echo', 'Hello'), 'Hello', 'a client afterwards')
    lines = [line for line in service.container.logs().splitlines() if 'refused a client' in line]
    assert len(lines) < 40, f'{len(lines)} lines about them'


# --- The next start

def clients_hear_the_end(service):
    """The service is stopped under a client's container: its last words and its status arrive."""
    script = 'trap "echo bye; exit 9" TERM; echo up; while :; do sleep 1000 & wait; done'
    client = service.outer.docker.start('exec', service.client.name, 'docker', 'run', '--rm', BUSYBOX,
                                        'sh', '-c', script)
    try:
        equal(client.stdout.readline(), b'up\n', 'the first word')
        equal(service.container.stop(), 0, 'exit status of the service')
        out, err = client.communicate(timeout=60)
        equal((out, client.returncode), (b'bye\n', 9), f'last words and status ({err!r})')
    finally:
        client.kill()


def certificates_are_kept(service):
    """Another container with the same volumes: clients go on with what they have."""
    before = {names: service.read(*names) for names in
              (('ca', 'cert.pem'), ('ca', 'key.pem'), ('server', 'key.pem'), ('client', 'cert.pem'))}
    service.container.remove()
    # What a crash in the middle may leave: half of the server's, and a file that was being written.
    os.remove(service.path('server', 'cert.pem'))
    shutil.copy(service.path('ca', 'cert.pem'), service.path('server', '.cert.pem.new'))
    service.start_with_tls('again')
    service.container.wait_ready()
    for names, content in before.items():
        equal(service.read(*names), content, '/'.join(names))
    equal(service.client.inner('run', '--rm', BUSYBOX, 'echo', 'Hello'), 'Hello', 'output')
    equal(service.container.stop(), 0, 'exit status')
    service.container.remove()


# --- Without TLS

def service_serves_without_tls(service):
    """DOCKER_TLS_CERTDIR="": port 2375, and a socket in a shared volume, and a port of the host."""
    service.start('plain', 'docker', '--volume', f'{service.sockets}:/shared', '--publish', '127.0.0.1::2375',
                  DOCKER_TLS_CERTDIR='', DINV_SOCKET='/shared/docker.sock')
    service.container.wait_ready()
    log = service.container.logs()
    contains(log, 'without TLS: whoever reaches that port is root in the guest', 'its log')
    contains(service.container.exec_('dinv', 'status').expect(0).out, 'tcp://*:2375, without TLS, to everyone',
             'dinv status')
    client = service.start_client('plain-job', DOCKER_HOST='tcp://docker:2375', DOCKER_TLS_CERTDIR='')
    client.inner('import', '--change', 'CMD ["sh"]', '-', BUSYBOX, stdin=busybox_tar(), deadline=180)
    done = client.inner_try('run', '--rm', '-i', BUSYBOX, 'sh', '-c', 'cat; echo; echo behind; exit 3',
                            stdin=b'fed')
    equal((done.out.split(), done.status), (['fed', 'behind'], 3), 'output and status')


def port_is_reachable_from_the_host(service):
    where = service.outer.docker('port', service.container.name, '2375/tcp').splitlines()[0]
    host, port = where.rsplit(':', 1)
    connection = http.client.HTTPConnection(host, int(port), timeout=60)
    connection.request('GET', '/_ping')
    equal(connection.getresponse().status, 200, 'status')


def socket_is_shared(service):
    client = service.start_client('neighbour', '--volume', f'{service.sockets}:/shared',
                                  DOCKER_HOST='unix:///shared/docker.sock')
    equal(client.inner('run', '--rm', BUSYBOX, 'echo', 'Hello'), 'Hello', 'output')
    equal(service.container.stop(), 0, 'exit status')
    equal(os.listdir(service.outer.mountpoint(service.sockets)), [], 'left in the volume')


# --- Refused to start

def refused(service, what, options, *says):
    done = service.outer.run(what, options, deadline=60, DOCKER_TLS_CERTDIR='/certs').expect(125)
    sentence = one_sentence(done.err)
    for part in says:
        contains(sentence, part, 'the sentence')


def half_missing_certificates(service):
    volume = service.outer.volume('half')
    place = service.outer.mountpoint(volume)
    shutil.copytree(service.path('ca'), os.path.join(place, 'ca'))
    os.remove(os.path.join(place, 'ca', 'key.pem'))
    before = os.listdir(place)
    refused(service, 'half', ['--volume', f'{volume}:/certs'],
            '"/certs/ca/cert.pem" has no private key beside it', 'add it')
    equal(os.listdir(place), before, 'files')


def read_only_certificates(service):
    volume = service.outer.volume('read-only')
    refused(service, 'read-only', ['--volume', f'{volume}:/certs:ro'],
            'cannot make certificates in "/certs/ca": Read-only file system', 'docker run -v NAME:/certs')


def read_only_certificates_that_do(service):
    """They lack the new container's name, and let clients in all the same."""
    done = service.outer.docker.try_(
        'run', '--rm', '--entrypoint', 'dinv', '--env', 'DOCKER_TLS_CERTDIR=/certs', '--env', 'DINV_ACCEL=tcg',
        '--volume', f'{service.certs}:/certs:ro', '--volume', f'{service.client_certs}:/certs/client:ro',
        service.outer.image, 'doctor').expect(0)
    contains(done.out, 'does not have the name DNS:', 'dinv doctor')
    contains(done.out, 'cannot write there, ignoring', 'dinv doctor')


def full_certificates(service):
    """A volume without room: a sentence, and nothing half made."""
    refused(service, 'full', ['--tmpfs', '/certs:mode=1777,size=4k'],
            'cannot write "/certs/', 'No space left on device')


def body(outer):
    service = Service(outer)
    for check in (service_serves_with_tls, layout_is_that_of_dind, clients_run_containers,
                  stdin_ends_while_output_goes_on, clients_build, service_itself_reaches_its_engine,
                  strangers_are_refused, http_is_told_that_this_is_tls, uninvited_are_survived,
                  clients_hear_the_end, certificates_are_kept, service_serves_without_tls,
                  port_is_reachable_from_the_host, socket_is_shared, half_missing_certificates,
                  read_only_certificates, read_only_certificates_that_do, full_certificates):
        outer.tap.check(check, service)


if __name__ == '__main__':
    main(body)
