#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: MIT
"""What listens in the guest's own network is reachable outside for as long as it listens: containers with
`--network host`, the steps of a build, services of a swarm; and nothing else is."""

import json
import socket
import urllib.request

from lib import port_server
from lib.clients import expect_datagrams, expect_refused, free_ports, outer_address
from lib.docker import BUSYBOX, Docker
from lib.port_server import PORT_SERVER, PROGRAM
from lib.session import main
from lib.tap import contains, equal
from lib.waiting import until

PAGE = 'mkdir -p /www && echo page > /www/page && exec httpd -f -p {listen} -h /www'


class Listeners:
    def __init__(self, session, **settings):
        self.work = session.work
        self.engine, self.port, self.other = free_ports(3)
        self.machine = session.boot(PLAINTEXT_PORT=f'127.0.0.1:{self.engine}', **settings)
        self.docker = Docker(self.machine.socket, session.work)
        self.docker.import_busybox()
        self.docker('import', '-', PORT_SERVER, stdin=port_server.tar())

    def run_host(self, name, listen, script=PAGE):
        self.docker('run', '-d', '--name', name, '--network', 'host', BUSYBOX, 'sh', '-c',
                    script.format(listen=listen))

    def published(self):
        """{(protocol, address): whose} of the port."""
        listed = json.loads(self.machine.verb('ports', '--json').expect(0).out)['ports']
        return {(entry['protocol'], entry['address']): entry['containers'] for entry in listed
                if entry['host_port'] == self.port}

    def expect_gone(self):
        until(lambda: self.published() == {}, 30, 'the port to be gone')
        for address in ('127.0.0.1', outer_address()):
            expect_refused(self.port, address)

    def short_id(self, name):
        return f"container {self.docker('inspect', '-f', '{{.Id}}', name)[:12]}"


def page(port, address='127.0.0.1'):
    """None as long as there is none."""
    try:
        with urllib.request.urlopen(f'http://{address}:{port}/page', timeout=30) as reply:
            return reply.read().decode().strip()
    except OSError:
        return None


def container_with_the_host_network(listeners):
    port = listeners.port
    listeners.docker('run', '-d', '--name', 'host', '--network', 'host', PORT_SERVER, PROGRAM,
                     f'echo:{port}', f'udp:{port}')
    until(lambda: {'tcp', 'udp'} <= {protocol for protocol, _ in listeners.published()}, 30, 'the ports')
    for whose in listeners.published().values():
        equal(whose, [listeners.short_id('host')], 'whose it is')
    contains(listeners.machine.verb('ports').expect(0).out, listeners.short_id('host'), 'dinv ports')
    for address in ('127.0.0.1', outer_address()):
        with socket.create_connection((address, port), timeout=60) as connection:
            connection.sendall(b'x')
            equal(connection.recv(1), b'x', f'what comes back from {address}')
    expect_datagrams('127.0.0.1', port, [100, 4000])
    listeners.docker('rm', '-f', 'host')
    listeners.expect_gone()


def loopback_of_the_host_network(listeners):
    """Reached by the outer container's loopback, not by its address; inside, not from other containers."""
    port = listeners.port
    listeners.run_host('local', f'127.0.0.1:{port}')
    until(lambda: page(port) == 'page', 60, 'the page')
    equal({address for _, address in listeners.published()} - {'::1'}, {'127.0.0.1'}, 'addresses')
    equal(page(port, outer_address()), None, 'the page at an address of the machine')
    gateway = listeners.docker('network', 'inspect', 'bridge', '-f', '{{(index .IPAM.Config 0).Gateway}}')
    guest = listeners.machine.status()['network']['slirp'].rpartition('.')[0] + '.15'
    for address in (gateway, guest):
        done = listeners.docker.try_('run', '--rm', BUSYBOX, 'wget', '-T', '10', '-qO-', f'http://{address}:{port}/page')
        equal((done.status != 0, 'page' in done.out), (True, False), f'the page from a container, at {address}')
    listeners.docker('rm', '-f', 'local')
    listeners.expect_gone()


def step_of_a_build(listeners):
    """What a RUN of `docker build --network host` serves is reached while the step runs."""
    port = listeners.port
    with open(f'{listeners.work}/Dockerfile', 'w', encoding='utf-8') as file:
        file.write(f'FROM {BUSYBOX}\nRUN mkdir -p /www && echo page > /www/page && '
                   f'httpd -p {port} -h /www && until [ -e /www/stop ]; do sleep 0.2; done\n')
    build = listeners.docker.start('build', '--network', 'host', '-t', 'dinv-test/built', listeners.work)
    try:
        until(lambda: page(port) == 'page', 90, 'the page of the step')
        running = listeners.docker('ps', '-q', '--no-trunc').split()
        equal(len(running), 1, 'containers that run')
        listeners.docker('exec', running[0], 'touch', '/www/stop')
        out, problem = build.communicate(timeout=120)
        equal(build.returncode, 0, f'status of the build ({out[-300:]} {problem[-300:]})')
    finally:
        build.kill()
        build.wait()
    listeners.expect_gone()


def container_that_a_build_runs(listeners):
    """A step of `docker build --network host` asks the engine, by TCP, for a container with a published port:
    reached by the step at the guest's loopback, and outside."""
    port = listeners.port
    gateway = listeners.machine.status()['network']['slirp'].rpartition('.')[0] + '.2'
    listeners.docker('create', '--name', 'started', '-p', f'{port}:80', BUSYBOX, 'sh', '-c', PAGE.format(listen=80))
    with open(f'{listeners.work}/Dockerfile', 'w', encoding='utf-8') as file:
        file.write(f"FROM {BUSYBOX}\nRUN wget -qO- --post-data '' "
                   f'http://{gateway}:{listeners.engine}/v1.41/containers/started/start && '
                   f'until wget -qO /page http://127.0.0.1:{port}/page; do sleep 0.2; done\n')
    listeners.docker('build', '--network', 'host', '-t', 'dinv-test/built', listeners.work, deadline=180)
    equal(listeners.docker('run', '--rm', 'dinv-test/built', 'cat', '/page'), 'page', 'what the step got')
    equal(page(port), 'page', 'the page outside')
    listeners.docker('rm', '-f', 'started')
    listeners.expect_gone()


def service_of_a_swarm(listeners):
    """A port of the ingress network; the swarm's own ports stay inside."""
    port = listeners.port
    listeners.docker('swarm', 'init', '--advertise-addr',
                     listeners.machine.status()['network']['slirp'].rpartition('.')[0] + '.15', deadline=180)
    listeners.docker('service', 'create', '--detach', '--name', 'web', '--publish', f'{port}:80', BUSYBOX,
                     'sh', '-c', PAGE.format(listen=80), deadline=180)
    until(lambda: page(port) == 'page', 180, 'the page of the service')
    equal(page(port, outer_address()), 'page', 'the page at an address of the machine')
    for whose in listeners.published().values():
        equal(whose, ['a service of the swarm'], 'whose it is')
    listed = json.loads(listeners.machine.verb('ports', '--json').expect(0).out)['ports']
    equal({entry['host_port'] for entry in listed}, {port}, 'all ports that are published')
    listeners.docker('service', 'rm', 'web')
    listeners.expect_gone()
    listeners.docker('swarm', 'leave', '--force', deadline=120)


def services_of_the_guest_are_not(listeners):
    """What the guest itself opens, on all addresses, is not published; a container's that comes later is."""
    port = listeners.port
    listeners.machine.verb('shell', 'sh', '-c', f'busybox nc -l -p {port} -e true >/dev/null 2>&1 &').expect(0)
    until(lambda: f':{port:04X} ' in listeners.machine.verb('shell', 'cat', '/proc/net/tcp', '/proc/net/tcp6').out,
          30, 'the guest to listen')
    listeners.run_host('later', listeners.other)
    until(lambda: page(listeners.other) == 'page', 60, 'the page')
    equal(listeners.published(), {}, 'the port of the guest')
    listeners.docker('rm', '-f', 'later')


def stops_in_order(listeners):
    equal(listeners.machine.stop(), 0, 'exit status')
    listeners.machine.expect_nothing_left()


def only_what_docker_publishes(session):
    """DINV_PUBLISH=docker: a port of the host network stays inside, one of -p does not."""
    listeners = Listeners(session, PUBLISH='docker')
    inside = listeners.other
    listeners.run_host('host', inside)
    listeners.docker('run', '-d', '--name', 'bridge', '-p', f'{listeners.port}:80', BUSYBOX, 'sh', '-c',
                     PAGE.format(listen=80))
    until(lambda: page(listeners.port) == 'page', 60, 'the page of -p')
    until(lambda: listeners.docker('run', '--rm', '--network', 'host', BUSYBOX, 'wget', '-qO-',
                                   f'http://127.0.0.1:{inside}/page') == 'page', 60, 'the page inside')
    equal(page(inside), None, 'the page outside')
    listed = json.loads(listeners.machine.verb('ports', '--json').expect(0).out)['ports']
    equal({entry['host_port'] for entry in listed}, {listeners.port}, 'all ports that are published')
    stops_in_order(listeners)


def body(session):
    listeners = Listeners(session)
    for check in (container_with_the_host_network, loopback_of_the_host_network, step_of_a_build,
                  container_that_a_build_runs, service_of_a_swarm, services_of_the_guest_are_not, stops_in_order):
        session.tap.check(check, listeners, deadline=600)
    if not session.options.small:
        session.tap.check(only_what_docker_publishes, session, deadline=600)


if __name__ == '__main__':
    main(body, port_server.prepare)
