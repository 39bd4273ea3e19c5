#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: MIT
"""What the outer container has for a Docker engine reaches the inner one: daemon.json, certs.d,
certificate authorities, proxies, arguments, the variables of docker-in-docker images. And what is wrong
with any of it is said in one sentence."""

import ipaddress
import json
import os

from lib.docker import busybox_tar
from lib.registry import Image, Registry
from lib.tap import contains, equal
from lib.waiting import until
from outer import main, one_sentence

# What a proxy on the outer container's localhost is to it. Perl is in every Debian.
RELAY = r'''
use strict; use IO::Socket::INET; use IO::Select;
my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => 3128, Listen => 9,
                                     ReuseAddr => 1) or die $!;
$SIG{CHLD} = 'IGNORE';
open(my $ready, '>', '/tmp/relay-ready'); close $ready;
while (my $from = $listener->accept) {
    next if fork;
    my $to = IO::Socket::INET->new(PeerAddr => $ARGV[0]) or exit 1;
    my $select = IO::Select->new($from, $to);
    while (1) {
        for my $socket ($select->can_read) {
            sysread($socket, my $bytes, 65536) or exit 0;
            my $other = $socket == $from ? $to : $from;
            while (length $bytes) { substr($bytes, 0, syswrite($other, $bytes) // exit(1), ''); }
        }
    }
}
'''


class Setup:
    """The registries, and the one container that has it all."""

    def __init__(self, outer):
        self.outer = outer
        self.container = None
        subnet = outer.docker('network', 'inspect', 'bridge', '--format',
                              '{{(index .IPAM.Config 0).Subnet}}')
        host = str(ipaddress.ip_network(subnet)[1])  # of the bridge: this machine
        image = Image([busybox_tar()])
        self.certificates = os.path.join(outer.work, 'certificates')
        os.mkdir(self.certificates)
        self.plain = Registry(image, host)
        self.secure = {name: Registry(image, host, self.certificate(name))
                       for name in ('authority', 'registry', 'file', 'mounted', 'stranger')}

    def certificate(self, name):
        return os.path.join(self.certificates, f'{name}.crt')

    def write(self, name, text):
        path = os.path.join(self.outer.work, name)
        with open(path, 'w', encoding='utf-8') as file:
            file.write(text)
        return path

    def pull(self, address, name='busybox'):
        return self.container.inner_try('pull', '--quiet', f'{address}/{name}', deadline=120)

    def info(self, template):
        return self.container.inner('info', '--format', template)

    def close(self):
        for registry in (self.plain, *self.secure.values()):
            registry.close()


def starts_with_all_of_it(setup):
    daemon_json = setup.write('daemon.json', json.dumps({
        'labels': ['from=file'], 'hosts': ['tcp://0.0.0.0:2375'], 'bip': '10.123.4.1/24',
        'insecure-registries': [setup.plain.address, 'proxied.test:80']}))
    binds = {daemon_json: '/etc/docker/daemon.json',
             setup.certificate('authority'): '/usr/local/share/ca-certificates/corporate/ca.crt',
             setup.certificate('registry'):
                 f'/etc/docker/certs.d/{setup.secure["registry"].address}/ca.crt',
             setup.certificate('file'): '/extra.pem',
             setup.certificate('mounted'): '/etc/ssl/certs/corporate.pem'}
    options = [word for source, target in binds.items()
               for word in ('--mount', f'type=bind,source={source},target={target},readonly')]
    host = setup.plain.address.split(':', maxsplit=1)[0]
    setup.container = setup.outer.start(
        'all', options,
        ['--registry-mirror', f'http://{setup.plain.address}', '--max-concurrent-downloads=2'],
        SSL_CERT_FILE='/extra.pem', HTTP_PROXY='http://localhost:3128',
        HTTPS_PROXY='http://localhost:3128', no_proxy=host, LOG='file', VAR_LIB_DOCKER_SIZE='5',
        DINV_DOCKER_SOCK_GID='4242', DINV_UDP_PORTS='7001;7002',
        DINV_ON_READY='docker info --format "hook: {{.OSType}}"; [ -t 0 ] || echo hook-is-done')
    setup.container.wait_ready()
    until(lambda: 'hook-is-done' in setup.container.logs(), 60, 'the end of DINV_ON_READY')
    contains(setup.container.logs(), 'hook: linux', 'what the hook found')


def daemon_json_counts(setup):
    equal(setup.info('{{json .Labels}}'), '["from=file"]', 'labels')
    contains(setup.info('{{json .RegistryConfig.InsecureRegistryCIDRs}} {{json .RegistryConfig.IndexConfigs}}'),
             setup.plain.address, 'insecure registries')
    equal(setup.container.inner('network', 'inspect', 'bridge', '--format',
                                '{{(index .IPAM.Config 0).Gateway}}'), '10.123.4.1', 'docker0')
    contains(setup.container.exec_('dinv', 'status').expect(0).out, '10.123.4.1/24', 'the network plan')
    contains(setup.container.exec_('dinv', 'status').expect(0).out, 'tcp://0.0.0.0:2375, without TLS',
             'the place in "hosts"')


def variables_of_docker_in_docker(setup):
    status = json.loads(setup.container.exec_('dinv', 'status', '--json').expect(0).out)
    equal(status['disk_bytes'], 5 << 30, 'VAR_LIB_DOCKER_SIZE')
    equal({port['guest_port'] for port in status['ports']}, {7001, 7002}, 'DINV_UDP_PORTS')
    log = setup.container.exec_('cat', '/var/log/docker.log').expect(0).out
    contains(log, 'API listen on', "dockerd's log in LOG=file")
    group = setup.container.exec_('stat', '-c', '%g', '/var/run/docker.sock').expect(0).out
    equal(group.strip(), '4242', 'DINV_DOCKER_SOCK_GID')


def registries_are_trusted(setup):
    """Each by a certificate that came another way; and one that came no way is not."""
    for name in ('authority', 'registry', 'file', 'mounted'):
        setup.pull(setup.secure[name].address).expect(0)
        contains([path for _, path in setup.secure[name].requests], '/v2/busybox/manifests/latest', name)
    stranger = setup.pull(setup.secure['stranger'].address)
    equal(stranger.status, 1, 'exit status')
    contains(stranger.err, 'x509', 'the message')


def insecure_registry(setup):
    setup.pull(setup.plain.address).expect(0)
    equal(setup.container.inner('run', '--rm', f'{setup.plain.address}/busybox', 'echo', 'Hello'), 'Hello',
          'output')


def registry_mirror(setup):
    """The flag behind the image's name: an official image comes from the mirror."""
    setup.container.inner('pull', '--quiet', 'busybox', deadline=120)
    contains([path for _, path in setup.plain.requests], '/v2/library/busybox/manifests/latest', 'requests')


def proxy_on_localhost(setup):
    """dockerd pulls from a host that is nowhere, by a proxy on the loopback of the outer container."""
    container = setup.container
    setup.outer.docker('exec', '--detach', container.name, 'perl', '-e', RELAY, setup.plain.address)
    until(lambda: container.exec_('test', '-e', '/tmp/relay-ready').status == 0, 30, 'the relay')
    setup.pull('proxied.test:80').expect(0)
    contains(setup.plain.requests, ('proxied.test', '/v2/busybox/manifests/latest'), 'requests')
    exceptions = setup.info('{{.NoProxy}}').split(',')
    for network in ('host.docker.internal', '10.0.2.0/24', '10.123.4.0/24'):
        contains(exceptions, network, 'NO_PROXY')


def stops(setup):
    equal(setup.container.stop(), 0, 'exit status')
    setup.container.remove()


def refused(setup, what, text, *says, options=(), mode=0o644):
    path = setup.write(f'{what}.json', text)
    os.chmod(path, mode)
    volume = setup.outer.volume(what)
    done = setup.outer.run(
        what, ['--volume', f'{path}:/etc/docker/daemon.json:ro', '--volume', f'{volume}:/var/lib/dinv',
               *options], kvm=False, deadline=240, DINV_ACCEL='uml', DINV_LOG_LEVEL='warning').expect(125)
    equal(done.out, '', 'stdout')
    sentence = one_sentence(done.err)
    for part in says:
        contains(sentence, part, 'the sentence')
    return volume


def daemon_json_that_is_none(setup):
    for number, (text, says) in enumerate((('{"debug": true', 'is not JSON (line 1, column 15'),
                                           ('["debug"]', 'not a JSON object'),
                                           ('{"bip": "x"}', '"bip": "x"'))):
        volume = refused(setup, f'none-{number}', text, '/etc/docker/daemon.json', says)
        equal(os.listdir(setup.outer.mountpoint(volume)), [], 'files in the volume')


def daemon_json_that_cannot_be_read(setup):
    refused(setup, 'unreadable', '{}', '/etc/docker/daemon.json', 'Permission denied', mode=0o600,
            options=['--user', '1000:1000'])


def daemon_json_that_dockerd_refuses(setup):
    refused(setup, 'bogus', '{"bogus-key": 1}', "don't match any configuration option: bogus-key")


def body(outer):
    setup = Setup(outer)
    try:
        if outer.tap.check(starts_with_all_of_it, setup):
            for check in (daemon_json_counts, variables_of_docker_in_docker, registries_are_trusted,
                          insecure_registry, registry_mirror, proxy_on_localhost, stops):
                outer.tap.check(check, setup)
        for check in (daemon_json_that_is_none, daemon_json_that_cannot_be_read,
                      daemon_json_that_dockerd_refuses):
            outer.tap.check(check, setup)
    finally:
        setup.close()


if __name__ == '__main__':
    main(body)
