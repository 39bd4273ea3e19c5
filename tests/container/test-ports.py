#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: MIT
"""Ports that are published inside, as clients around the outer container reach them: on the host, on the
outer default network, on a network of one's own; also where all outer networks are those that QEMU and
Docker would take inside."""

import ipaddress
import json
import urllib.request

from lib.docker import BUSYBOX
from lib.tap import equal
from lib.waiting import until
from outer import main

# /page is a page, /cgi-bin/who the address that the request came from.
SERVE = ('mkdir -p /www/cgi-bin; echo {page} > /www/page; '
         r'printf "#!/bin/sh\nprintf \"Content-type: text/plain\\r\\n\\r\\n\"\n'
         r'echo \$REMOTE_ADDR | tr -d [] | sed s/.*://\n" > /www/cgi-bin/who; '
         'chmod 755 /www/cgi-bin/who; echo serving; exec httpd -f -v -p 80 -h /www')
# What the inner side takes by default: QEMU's network, and Docker's pools but that of docker0, which the
# outer engine has already.
DEFAULTS = ['10.0.2.0/24', *(f'172.{number}.0.0/16' for number in range(18, 32)), '192.168.0.0/16']
ELSEWHERE = '100.99.7.0/24'
IPV6 = 'fd64:99::/64'


class Site:
    """A dinv container on the outer default network and some others."""

    def __init__(self, outer, what, subnets, options=()):
        self.outer = outer
        self.networks = [outer.network(f'{what}-{number}', '--subnet', subnet)
                         for number, subnet in enumerate(subnets)]
        self.dinv, words = outer.argv(what, options)
        outer.docker('create', *words)
        for network in self.networks:
            outer.docker('network', 'connect', network, self.dinv.name)
        outer.docker('start', self.dinv.name)
        self.dinv.expect_unprivileged(['/dev/kvm'])
        self.dinv.wait_ready()
        self.dinv.import_busybox()

    def serve(self, name, port, *options):
        self.dinv.inner('run', '--detach', '--name', name, '--publish', f'{port}:80', *options, BUSYBOX,
                        'sh', '-c', SERVE.format(page=name))
        until(lambda: 'serving' in self.dinv.inner_try('logs', name).out, 60, f'{name} to serve')
        until(lambda: self.dinv.inner_try('exec', name, 'wget', '-qO-', 'http://127.0.0.1/page').status == 0,
              60, f'{name} to answer in its own container')

    def address(self, network):
        return self.dinv.inspect('{{(index .NetworkSettings.Networks "%s").IPAddress}}' % network)

    def gateway(self):
        """The outer engine's own address on its default network."""
        subnet = self.outer.docker('network', 'inspect', 'bridge', '-f', '{{(index .IPAM.Config 0).Subnet}}')
        return str(ipaddress.ip_network(subnet)[1])

    def client(self, network, *urls):
        """What a container on that network gets from each of the URLs, and at last its own address."""
        # Without wget's -T, by which busybox's dies in a shell.
        script = ' && '.join(f'wget -qO- {url}' for url in urls)
        done = self.outer.docker.try_('run', '--rm', '--network', network, BUSYBOX, 'sh', '-c',
                                      f'{script} && hostname -i', deadline=300)
        return done.expect(0).out.split()


def on_the_host(url):
    with urllib.request.urlopen(url, timeout=30) as reply:
        return reply.read().decode().strip()


def client_on_the_host(site):
    gateway = site.gateway()
    for address in ('127.0.0.1', gateway, site.address('bridge')):
        equal(on_the_host(f'http://{address}:8080/page'), 'web', f'the page at {address}')
    equal(on_the_host('http://127.0.0.1:8080/cgi-bin/who'), gateway, 'the source address')


def client_on_the_default_network(site):
    address = site.address('bridge')
    gateway = site.gateway()
    page, who, published, own = site.client(
        'bridge', f'http://{address}:8080/page', f'http://{address}:8080/cgi-bin/who',
        f'http://{gateway}:8080/page')
    equal((page, published), ('web', 'web'), 'the pages')
    equal(who, own, 'the source address')


def client_on_a_network_of_ones_own(site):
    network = site.networks[0]
    page, who, own = site.client(network, f'http://{site.dinv.name}:8080/page',
                                 f'http://{site.dinv.name}:8080/cgi-bin/who')
    equal((page, who), ('web', own), 'the page by name, and the source address')


def client_by_ipv6(site):
    """The outer container has joined a network with IPv6: the port is there by both."""
    network = site.outer.network('six', '--ipv6', '--subnet', IPV6)
    site.outer.docker('network', 'connect', network, site.dinv.name)
    address = site.dinv.inspect('{{(index .NetworkSettings.Networks "%s").GlobalIPv6Address}}' % network)
    slirp = plan(site)[0]
    page, who, *_ = site.client(network, f'http://[{address}]:8080/page', f'http://[{address}]:8080/cgi-bin/who')
    equal((page, who), ('web', str(slirp[2])), 'the page by IPv6, and the source address')
    site.outer.docker('network', 'disconnect', network, site.dinv.name)


def no_ipv6_outside(site):
    """Without IPv6 outside a port is published all the same, and `[::1]` is inside alone."""
    def listed():
        return json.loads(site.dinv.exec_('dinv', 'ports', '--json').expect(0).out)['ports']
    equal({item['address'] for item in listed()}, {'0.0.0.0'}, 'addresses of ports')
    site.dinv.inner('run', '--detach', '--name', 'six', '--publish', '[::1]:8085:80', BUSYBOX, 'sleep', '1000')
    equal([item for item in listed() if item['host_port'] == 8085], [], 'a port that is there inside alone')
    site.dinv.inner('rm', '--force', 'six')


def plan(site):
    """(guest's network, docker0's, pools)."""
    network = json.loads(site.dinv.exec_('dinv', 'status', '--json').expect(0).out)['network']
    return [ipaddress.ip_network(text) for text in (network['slirp'], network['bridge'], *network['pools'])]


def colliding_network_joined_later(site):
    """Told once, also when it comes again; the port stays where it was."""
    subnet = str(plan(site)[0])
    network = site.outer.network('later', '--subnet', subnet)
    def count():
        return site.dinv.logs().count(f'overlaps {subnet} on ')
    site.outer.docker('network', 'connect', network, site.dinv.name)
    until(lambda: count() == 1, 30, 'the warning')
    site.outer.docker('network', 'disconnect', network, site.dinv.name)
    site.outer.docker('network', 'connect', network, site.dinv.name)
    client_on_the_default_network(site)
    equal(count(), 1, 'warnings')
    site.outer.docker('network', 'disconnect', network, site.dinv.name)


def stops(site):
    equal(site.dinv.stop(), 0, 'exit status')
    site.dinv.remove()
    for network in site.outer.docker('network', 'ls', '--quiet', '--filter', f'name={site.outer.token}').split():
        site.outer.docker('network', 'rm', network)


def plan_avoids_them_all(site):
    inner = plan(site)
    outer = [ipaddress.ip_network(text) for text in ('172.17.0.0/16', *DEFAULTS)]
    for index, network in enumerate(inner):
        others = outer + [ipaddress.ip_network(text) for text in inner[:index]]
        equal([other for other in others if network.overlaps(other)], [], f'what overlaps {network}')


def clients_on_every_colliding_network(site):
    """Of a container on docker0, and of one on an inner network."""
    for network in ('bridge', *site.networks):
        address = site.address(network)
        *pages, who, own = site.client(network, f'http://{address}:8080/page', f'http://{address}:8081/page',
                                       f'http://{address}:8081/cgi-bin/who')
        equal(pages, ['web', 'second'], f'the pages on {network}')
        equal(who, own, f'the source address on {network}')


def body(outer):
    outer.docker.import_busybox()
    site = Site(outer, 'plain', [ELSEWHERE], ['--publish', '8080:8080'])
    site.serve('web', 8080)
    for check in (client_on_the_host, client_on_the_default_network, client_on_a_network_of_ones_own,
                  client_by_ipv6, colliding_network_joined_later, stops):
        outer.tap.check(check, site)
    site = Site(outer, 'collide', DEFAULTS)
    site.dinv.inner('network', 'create', 'own')
    site.serve('web', 8080)
    site.serve('second', 8081, '--network', 'own')
    for check in (plan_avoids_them_all, clients_on_every_colliding_network, no_ipv6_outside):
        outer.tap.check(check, site)
    outer.tap.check(stops, site, name='stops-as-well')


if __name__ == '__main__':
    main(body)
