#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: MIT
"""Containers resolve the names that the launcher resolves, by its resolvers, whatever these do.

Runs in a network and a mount namespace of its own, whose resolv.conf and hosts the checks write and whose
resolvers they play; there is no network beyond it.
"""

import http.server
import os
import re
import subprocess
import sys
import tempfile
import threading

from lib.dinv import resident_bytes
from lib.dns import NameServer
from lib.docker import BUSYBOX, Docker
from lib.session import main
from lib.tap import contains, equal
from lib.waiting import until

NAMES = {'web.outer.test': ['198.51.100.7'], 'six.outer.test': ['2001:db8::6'],
         'short.search.test': ['198.51.100.8'], 'short.later.test': ['198.51.100.9'],
         'long.outer.test': [f'198.51.100.{number}' for number in range(1, 101)]}
SEARCH = 'search search.test\noptions ndots:0\n'  # as Docker writes it for containers on a network
HOSTS = '127.0.0.1 localhost\n198.51.100.20 db.hosts.test db\n2001:db8::20 db.hosts.test\n'
ENGINES = ('bridge', 'network')  # a container on the default bridge, one on a network of its own


class Names:
    def __init__(self, session):
        self.tap = session.tap
        self.first = NameServer('127.0.0.53', NAMES)
        self.second = NameServer('127.0.0.54', NAMES)
        self.six = NameServer('::1', NAMES)
        use(SEARCH, '127.0.0.53')
        write('/etc/hosts', HOSTS)
        self.machine = session.boot()
        self.docker = Docker(self.machine.socket, session.work)
        self.docker.import_busybox()
        self.docker('network', 'create', '--ipv6', 'own')
        for name, network in zip(ENGINES, ('bridge', 'own')):
            self.docker('run', '-d', '--init', '--name', name, '--network', network, BUSYBOX, 'sleep', '100000')

    def ask(self, where, name, *options):
        """What nslookup says in a container."""
        done = self.docker.try_('exec', where, 'nslookup', *options, name)
        return done.out + done.err

    def expect(self, name, address, *options):
        for where in ENGINES:
            contains(self.ask(where, name, *options), address, f'{name} in the container "{where}"')

    def shell(self, script):
        return self.machine.verb('shell', 'sh', '-c', script, deadline=120)


def write(path, text):
    """In place: dinv sees the same file."""
    with open(path, 'w', encoding='utf-8') as file:
        file.write(text)


def use(text, *servers):
    write('/etc/resolv.conf', text + ''.join(f'nameserver {server}\n' for server in servers))


def names_of_the_outer_network(names):
    names.expect('web.outer.test', '198.51.100.7')
    names.expect('six.outer.test', '2001:db8::6', '-type=aaaa')
    contains(names.shell('getent hosts web.outer.test').expect(0).out, '198.51.100.7', 'in the guest')
    done = names.docker.try_('exec', 'bridge', 'nslookup', 'nothing.outer.test')
    equal(done.status, 1, 'the status for a name that does not exist')
    contains(done.out + done.err, 'NXDOMAIN', 'the message')


def search_domains(names):
    for where in ENGINES:
        contains(names.docker('exec', where, 'cat', '/etc/resolv.conf'), 'search search.test', where)
        contains(names.docker.try_('exec', where, 'ping', '-c', '1', '-W', '1', 'short').out, '(198.51.100.8)',
                 f'a short name in the container "{where}"')


def names_in_the_hosts_file(names):
    names.expect('db.hosts.test', '198.51.100.20')
    names.expect('DB.Hosts.Test', '2001:db8::20', '-type=aaaa')
    names.expect('db.', '198.51.100.20')  # without search domains
    equal(names.first.asked_for('db.hosts.test'), [], 'what the resolver was asked')


def reaches_the_outer_container(names):
    """By both names, from containers and from the guest: a server on the loopback outside."""
    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'outer page')

        def log_message(self, *_):
            pass
    server = http.server.ThreadingHTTPServer(('127.0.0.1', 8000), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for name in ('host.docker.internal', 'gateway.docker.internal'):
        for where in ENGINES:
            equal(names.docker('exec', where, 'wget', '-qO-', f'http://{name}:8000/'), 'outer page', where)
        equal(names.shell(f'wget -qO- http://{name}:8000/').expect(0).out, 'outer page', 'in the guest')
    server.shutdown()
    server.server_close()


def long_answers_come_over_tcp(names):
    with names.first.being('truncate') as server:
        contains(names.shell('getent ahostsv4 long.outer.test').expect(0).out, '198.51.100.40', 'in the guest')
        contains(names.docker.try_('exec', 'bridge', 'ping', '-c', '1', '-W', '1', 'long.outer.test').out,
                 '(198.51.100.', 'in a container')
        contains(server.asked_for('long.outer.test'), 'tcp', 'how the resolver was asked')


def first_resolver_is_silent(names):
    with names.second.being('silent'):
        use(SEARCH, '127.0.0.54', '127.0.0.53')
        names.expect('web.outer.test', '198.51.100.7')


def first_resolver_is_not_there(names):
    use(SEARCH, '127.0.0.99', '127.0.0.53')
    names.expect('web.outer.test', '198.51.100.7')


def first_resolver_fails(names):
    with names.second.being('fail'):
        use(SEARCH, '127.0.0.54', '127.0.0.53')
        names.expect('web.outer.test', '198.51.100.7')
        use(SEARCH, '127.0.0.54')
        contains(names.ask('bridge', 'web.outer.test'), 'SERVFAIL', 'the answer of one that fails')


def only_resolver_has_an_ipv6_address(names):
    names.six.asked.clear()
    use(SEARCH, '::1')
    names.expect('web.outer.test', '198.51.100.7')
    contains(names.six.asked_for('web.outer.test'), 'udp', 'how it was asked')


def resolv_conf_changes(names):
    """A new search domain is there before the next query: for the guest, and for new containers."""
    use('search later.test\noptions ndots:1 timeout:7\n', '127.0.0.53')
    until(lambda: 'later.test' in names.shell('cat /etc/resolv.conf').out, 30, 'the new domain in the guest')
    contains(names.shell('cat /etc/resolv.conf').out, 'timeout:7', 'options in the guest')
    contains(names.docker('run', '--rm', '--network', 'own', BUSYBOX, 'sh', '-c',
                          'ping -c 1 -W 1 short || true'), '(198.51.100.9)', 'a short name in a new container')


def redirected_once(names):
    """Between the rules of dockerd, which has made networks meanwhile, and no other port or address."""
    rules = names.shell('iptables -t nat -S').expect(0).out.splitlines()
    equal(len([rule for rule in rules if rule.endswith('-j DINV-NAMES')]), 2, f'jumps in {rules}')
    equal([re.sub(r'10\.0\.2\.2:\d+', 'LAUNCHER', rule) for rule in rules if rule.startswith('-A DINV-NAMES')],
          [f'-A DINV-NAMES -d 10.0.2.3/32 -p {protocol} -m {protocol} --dport 53 -j DNAT --to-destination '
           'LAUNCHER' for protocol in ('udp', 'tcp')], 'rules')
    assert any(rule.startswith('-A PREROUTING') and rule.endswith('-j DOCKER') for rule in rules), rules


def flood(names):
    """Queries that nobody answers, and connections that say nothing: bounded memory and descriptors, and
    names resolve as soon as it is over."""
    pid = names.machine.process.pid
    script = ('for i in $(seq 150); do (sleep 100 | nc host.docker.internal PORT) & done; '
              'for i in $(seq 300); do nslookup n$i.outer.test >/dev/null 2>&1 & '
              '[ $((i % 50)) = 0 ] && sleep 0.1; done; echo sent; sleep 100')
    port = re.search(r'10\.0\.2\.2:(\d+)', names.shell('iptables -t nat -S DINV-NAMES').out).group(1)
    with names.second.being('silent') as server:
        use(SEARCH, '127.0.0.54')
        names.expect('db.hosts.test', '198.51.100.20')
        before, most = resident_bytes(pid), []
        names.docker('run', '-d', '--init', '--name', 'flood', BUSYBOX, 'sh', '-c', script.replace('PORT', port))

        def sent():
            most.append(len(os.listdir(f'/proc/{pid}/fd')))
            return 'sent' in names.docker('logs', 'flood')
        until(sent, 120, 'the end of the flood', interval=0.05)
        assert len(server.asked) > 100, f'only {len(server.asked)} queries came through'
        assert max(most) < 150, f'{max(most)} descriptors in the launcher'
        grown = resident_bytes(pid) - before
        assert grown < 16 << 20, f'{grown >> 10} KiB more in the launcher'
        names.docker('rm', '-f', 'flood')
    use(SEARCH, '127.0.0.53')
    until(lambda: '198.51.100.7' in names.ask('bridge', 'web.outer.test'), 30, 'an answer after the flood')


def ipv6_inside(names):
    """Two containers on a network made with --ipv6, by address and by name; more such networks, with an
    address of the user's, too."""
    names.docker('run', '-d', '--init', '--name', 'six', '--network', 'own', BUSYBOX, 'sh', '-c',
                 'mkdir /www; echo six > /www/page; exec httpd -f -p [::]:80 -h /www')
    address = names.docker('inspect', '-f', '{{.NetworkSettings.Networks.own.GlobalIPv6Address}}', 'six')
    contains(address, 'fd64:696e:7600:', 'the address')
    names.docker('network', 'create', '--ipv6', 'another')
    names.docker('network', 'create', '--ipv6', '--subnet', 'fd00:d::/64', 'chosen')
    until(lambda: names.docker.try_('exec', 'network', 'wget', '-qO-', f'http://[{address}]/page').out == 'six\n',
          30, 'the page by address')
    contains(names.ask('network', 'six.', '-type=aaaa'), address, 'its name')
    contains(names.docker('exec', 'network', 'ping6', '-c', '1', 'six'), ' 0% packet loss', 'ping by name')


def stops_in_order(names):
    equal(names.machine.stop(), 0, 'exit status')
    names.machine.expect_nothing_left()


def body(session):
    names = Names(session)
    # What an ordinary user may be refused: ports, the resolver's and inotify's.
    small = (names_of_the_outer_network, first_resolver_is_silent, resolv_conf_changes, stops_in_order)
    for check in (names_of_the_outer_network, search_domains, names_in_the_hosts_file,
                  reaches_the_outer_container, long_answers_come_over_tcp, first_resolver_is_silent,
                  first_resolver_is_not_there, first_resolver_fails, only_resolver_has_an_ipv6_address,
                  resolv_conf_changes, redirected_once, ipv6_inside, flood, stops_in_order):
        if check in small or not session.options.small:
            session.tap.check(check, names)


def enter_namespaces():
    """Runs this program again in namespaces of its own, with a resolv.conf and a hosts that anybody may
    write, and with loopback addresses only."""
    unprivileged = ['--map-root-user'] if os.geteuid() != 0 else []
    os.environ['DINV_TEST_NAMES'] = 'inside'
    os.execvp('unshare', ['unshare', *unprivileged, '--mount', '--net', '--', sys.executable, '-B', *sys.argv])


def prepare_namespaces():
    subprocess.run(['ip', 'link', 'set', 'lo', 'up'], check=True)
    write('/proc/sys/net/ipv4/ip_unprivileged_port_start', '0')
    for path in ('/etc/resolv.conf', '/etc/hosts'):
        with tempfile.NamedTemporaryFile(dir='/tmp') as file:
            os.chmod(file.name, 0o666)
            subprocess.run(['mount', '--bind', file.name, os.path.realpath(path)], check=True)


if __name__ == '__main__':
    if os.environ.get('DINV_TEST_NAMES') != 'inside':
        enter_namespaces()
    if not os.environ.get('ITEST_AS_USER'):
        prepare_namespaces()
    main(body)
