#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: MIT
"""Names and addresses between the inner containers and the networks of the outer engine."""

from lib.docker import BUSYBOX
from lib.tap import contains, equal
from lib.waiting import until
from outer import main

SERVE = 'mkdir /www; echo "{page}" > /www/page; exec httpd -f -v -p {address} -h /www'
# Of the inner container that stays, to save starts.
CLIENT = 'client'


class Names:
    def __init__(self, outer):
        self.outer = outer
        outer.docker.import_busybox()
        self.network = outer.network('net')
        self.web = self.server('web', ['--network', self.network, '--network-alias', 'db.search.test'])
        self.dinv = outer.start('dinv', ['--network', self.network, '--dns-search', 'search.test',
                                         '--add-host', 'listed.test:198.51.100.20'])
        self.dinv.wait_ready()
        self.dinv.import_busybox()
        self.dinv.inner('network', 'create', 'own')
        self.dinv.inner('run', '--detach', '--init', '--name', CLIENT, '--network', 'own', BUSYBOX, 'sleep',
                        '100000')

    def server(self, what, options, address='80'):
        """An outer container that serves /page, a page with its name."""
        script = SERVE.format(page=what, address=address)
        return self.outer.other(what, BUSYBOX, options, ['sh', '-c', script])

    def fetch(self, url):
        done = self.dinv.inner_try('exec', CLIENT, 'wget', '-qO-', url)
        return done.out.strip()


def reaches_an_outer_container_by_name(names):
    """By the outer engine's own resolver, 127.0.0.11; from the default bridge, too."""
    url = f'http://{names.web.name}/page'
    until(lambda: names.fetch(url) == 'web', 60, 'the page of the outer container')
    equal(names.dinv.inner('run', '--rm', BUSYBOX, 'wget', '-qO-', url), 'web', 'on the default bridge')


def search_domain(names):
    equal(names.fetch('http://db/page'), 'web', 'the page by a short name')
    contains(names.dinv.inner('exec', CLIENT, 'cat', '/etc/resolv.conf'), 'search.test', 'resolv.conf')


def added_hosts(names):
    contains(names.dinv.inner('exec', CLIENT, 'nslookup', 'listed.test.'), '198.51.100.20', 'the address')


def reaches_the_dinv_container(names):
    """What listens there on the loopback only, as a container does that shares its network."""
    names.server('side', ['--network', f'container:{names.dinv.name}'], '127.0.0.1:8000')
    for name in ('host.docker.internal', 'gateway.docker.internal'):
        until(lambda url=f'http://{name}:8000/page': names.fetch(url) == 'side', 60, f'the page of {name}')


def network_joined_later(names):
    """`docker network connect`: its names resolve at once, without a restart."""
    later = names.outer.network('later')
    late = names.server('late', ['--network', later])
    equal(names.fetch(f'http://{late.name}/page'), '', 'what is there before')
    names.outer.docker('network', 'connect', later, names.dinv.name)
    until(lambda: names.fetch(f'http://{late.name}/page') == 'late', 60, 'the page on the new network')


def service_sees_the_real_client(names):
    """An outer container asks a port that is published inside."""
    names.dinv.inner('run', '--detach', '--init', '--name', 'service', '--publish', '8080:80', BUSYBOX, 'sh', '-c',
                     SERVE.format(page='inner', address='80'))
    until(lambda: names.outer.docker.try_('exec', names.web.name, 'wget', '-qO-',
                                          f'http://{names.dinv.name}:8080/page').out == 'inner\n',
          60, 'the page of the inner service')
    template = f'{{{{(index .NetworkSettings.Networks "{names.network}").IPAddress}}}}'
    client = names.web.inspect(template)
    logs = names.dinv.inner_try('logs', 'service')
    contains(logs.out + logs.err, client, 'the address of the client in its log')


def stops(names):
    equal(names.dinv.stop(), 0, 'exit status')


def body(outer):
    names = Names(outer)
    for check in (reaches_an_outer_container_by_name, search_domain, added_hosts, reaches_the_dinv_container,
                  network_joined_later, service_sees_the_real_client, stops):
        outer.tap.check(check, names)


if __name__ == '__main__':
    main(body)
