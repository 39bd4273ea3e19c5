#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: MIT
"""What the pages of dinv, usmol, Docker in gVisor and dind show their users, done with this image, as far
as it can be by the commands of those pages. Images of a registry are stand-ins (stories.py).
"""

import json
import os
import shlex
import urllib.request

from lib.markdown import commands, page, section
from lib.tap import contains, equal
from lib.waiting import until
from outer import BOOT_DEADLINE, main
from stories import Typist, stand_in

WHALESAY = """\
FROM ubuntu

RUN mkdir -p /usr/share/cowsay/cows/
RUN wget -O /usr/share/cowsay/cows/docker.cow http://{server}/docker.cow
RUN printf '#!/bin/sh\\necho "< $* >"; cat /usr/share/cowsay/cows/docker.cow\\n' >/usr/bin/cowsay && \\
    chmod 755 /usr/bin/cowsay
ENTRYPOINT ["/usr/bin/cowsay"]
"""
WHALE = r'''    \
     \   ##         .
    ## ## ##        ==
'''
COMPOSE = """\
services:
  writer:
    image: debian
    command: sh -c 'echo a file that travels > /shared/file'
    volumes: [shared:/shared]
  reader:
    image: debian
    command: cat /shared/file
    volumes: [shared:/shared]
    depends_on:
      writer: {condition: service_completed_successfully}
volumes:
  shared:
"""
# cgroup v2: a group with processes in it may hand no controller down, so those of the container move into
# one of their own first. That is what docker:dind's entry point does as well.
NESTED_DOCKERD = """\
mkdir -p /sys/fs/cgroup/init &&
for process in $(cat /sys/fs/cgroup/cgroup.procs); do echo $process >/sys/fs/cgroup/init/cgroup.procs; done
sed -e 's/ / +/g' -e 's/^/+/' /sys/fs/cgroup/cgroup.controllers >/sys/fs/cgroup/cgroup.subtree_control &&
exec dockerd
"""


class Story:
    def __init__(self, outer):
        self.outer = outer
        self.typist = Typist(outer, os.path.join(outer.work, 'home'))
        self.dinv = outer.adopt('dinv')

    def file(self, path, text):
        """A file in a directory of the dinv container."""
        command = f'mkdir -p {shlex.quote(os.path.dirname(path))} && cat >{shlex.quote(path)}'
        self.dinv.exec_('sh', '-c', command, options=['-i'], stdin=text.encode()).expect(0)


# --- dinv

def starts_as_the_page_says(story):
    story.typist.type('docker run -d --rm -p8080:8080 -e DINV_TCP_PORTS=8080 --name dinv --device /dev/kvm dinv:latest')
    story.dinv.expect_unprivileged(['/dev/kvm'])
    story.dinv.wait_ready()
    stand_in(story.dinv.inner, 'debian', 'nginx', 'ubuntu')


def basic_usage(story):
    with story.typist.start('docker exec -it dinv docker run -it --rm debian') as terminal:
        terminal.expect('# ')
        terminal.send('echo sum $((40 + 2)) on $(tty); exit 7\n')
        terminal.expect('sum 42 on /dev/pts/0')
        equal(terminal.wait(), 7, 'exit status of the shell')


def port_forwarding(story):
    """The page's "Currently Not Working": outer and inner engine are both on their default networks."""
    story.typist.type('docker exec -it dinv docker run -d -p8080:80 --rm --name web nginx')

    def page():
        try:
            with urllib.request.urlopen('http://127.0.0.1:8080', timeout=20) as answer:
                return answer.read().decode()
        except OSError:  # the server in the container is not there yet
            return None
    contains(until(page, 60, 'an answer of the web server'), 'Welcome to nginx!', 'the page')
    story.dinv.inner('stop', '--time', '1', 'web')


# --- docs/security.md

LISTENER = """\
use IO::Socket::INET;
my $listener = IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.1', LocalPort => 7) or die;
$| = 1; print "listening\\n";
while (my $client = $listener->accept) { print $client "loopback of the outer container\\n"; close $client }
"""


def reaches_the_outer_loopback(story):
    """A limit that people have to know."""
    story.file('/listener.pl', LISTENER)
    story.dinv.exec_('sh', '-c', 'perl /listener.pl >/listener.log 2>&1', options=['--detach']).expect(0)
    until(lambda: 'listening' in story.dinv.exec_('cat', '/listener.log').out, 30, 'the listener')
    said = story.dinv.inner('run', '--rm', '--add-host', 'host.docker.internal:host-gateway', 'debian',
                            'nc', 'host.docker.internal', '7')
    equal(said, 'loopback of the outer container', 'what an inner container got')


# --- usmol

def exit_codes_and_arguments(story):
    done = story.dinv.inner_try('run', '--rm', 'debian', 'sh', '-c', 'echo out; echo err >&2; exit 42')
    equal((done.status, done.out, done.err), (42, 'out\n', 'err\n'), 'exit status, stdout and stderr')
    done = story.dinv.inner_try('run', '--rm', '--init', 'debian', 'sh', '-c', 'kill -KILL $$')
    equal(done.status, 137, 'killed')
    equal(story.dinv.inner_try('run', '--rm', 'debian', 'no-such-program').status, 127, 'no such program')
    words = ['', ' two words ', "it's", '"$HOME"', 'a\nb', '*', '\\', '-x', 'naïve']
    done = story.dinv.inner_try('run', '--rm', 'debian', 'printf', '<%s>', *words).expect(0)
    equal(done.out, ''.join(f'<{word}>' for word in words), 'arguments as the program got them')


def compose_demo(story):
    """A file from one container to another."""
    story.file('/demo/compose.yaml', COMPOSE)
    done = story.dinv.exec_('docker', 'compose', 'run', '--rm', 'reader', options=['--workdir', '/demo'],
                            deadline=180).expect(0)
    equal(done.out, 'a file that travels\n', 'what the reader read')
    story.dinv.exec_('docker', 'compose', 'down', '--volumes', options=['--workdir', '/demo'], deadline=120).expect(0)


# --- Docker in gVisor

def builds_and_runs_a_dockerfile(story):
    """On the ordinary bridge network, which the page has to do without; RUN fetches from the outer one."""
    server = story.outer.other('server', story.outer.docker.import_busybox(), command=[
        'sh', '-c', f'printf %s {shlex.quote(WHALE)} >/var/docker.cow; exec httpd -f -h /var'])
    address = server.inspect('{{.NetworkSettings.IPAddress}}')
    story.file('/whalesay/Dockerfile', WHALESAY.format(server=address))
    done = story.dinv.exec_('docker', 'build', '-t', 'whalesay', '.', options=['--workdir', '/whalesay'],
                            deadline=240).expect(0)
    contains(done.out + done.err, 'whalesay', 'the build')
    said = story.typist.type('docker exec -it dinv docker run -it --rm whalesay "Containers do not contain!"')
    contains(said, '< Containers do not contain! >\n' + WHALE, 'the whale')


# --- dind

def docker_in_docker_in_docker(story):
    """A privileged dind inside the inner engine. Its programs are the guest's own and the image's client."""
    mounts = [word for place in ('bin', 'lib', 'lib64', 'sbin', 'usr') for word in ('-v', f'/{place}:/{place}:ro')]
    story.dinv.inner('create', '--privileged', '--name', 'nested', '-v', '/var/lib/docker', *mounts, 'debian',
                     'sh', '-c', NESTED_DOCKERD)
    story.dinv.inner('cp', '/usr/bin/docker', 'nested:/docker')
    story.dinv.inner('start', 'nested')

    def answers():
        if story.dinv.inner('inspect', '--format', '{{.State.Running}}', 'nested') != 'true':
            raise AssertionError(f'it ended: {story.dinv.inner_try("logs", "--tail", "20", "nested").err}')
        return story.dinv.inner_try('exec', 'nested', '/docker', 'version').status == 0
    until(answers, 240, 'the nested engine', interval=1)
    story.dinv.exec_('sh', '-c', 'docker save debian | docker exec -i nested /docker load', deadline=120).expect(0)
    with story.typist.start('docker exec -it dinv docker exec -it nested /docker run -it --rm debian') as terminal:
        terminal.expect('# ')
        terminal.send('hostname; exit 5\n')
        name = terminal.expect('[0-9a-f]{12}').group()
        equal(terminal.wait(), 5, 'exit status through three engines')
    assert name not in story.dinv.inner('ps', '--all', '--format', '{{.ID}}'), 'the inner engine has the container'
    story.dinv.inner('rm', '--force', '--volumes', 'nested')


def settings_of_dind(story):
    """All four commands of its page at once: a shell to play in, LOG=file, the engine exposed on PORT, and
    options for the daemon; and the size of its disk. With no privilege, and no device either, as usmol's."""
    command = ('docker run -t -i --name dind -e LOG=file -p 4444 -e PORT=4444 -e DOCKER_DAEMON_ARGS="-D" '
               '-e VAR_LIB_DOCKER_SIZE=5 dinv bash')
    dind = story.outer.adopt('dind')
    with story.typist.start(command) as terminal:
        terminal.expect('# ', deadline=BOOT_DEADLINE)
        dind.expect_unprivileged([])
        port = story.outer.docker('port', 'dind', '4444').split(':')[-1]
        shown = story.typist.type(f'docker -H tcp://127.0.0.1:{port} info --format "{{{{.Name}}}} {{{{.Debug}}}}"')
        equal(shown.split(), [dind.inspect('{{.Config.Hostname}}'), 'true'], 'what the engine says through PORT')
        contains(dind.exec_('cat', '/var/log/docker.log').out, 'level=debug', 'the daemon\'s log')
        status = json.loads(dind.exec_('dinv', 'status', '--json').expect(0).out)
        equal(status['disk_bytes'], 5 << 30, 'bytes of the disk')
        terminal.send('docker ps -q | wc -l; exit 4\n')
        equal(terminal.wait(), 4, 'exit status of the shell')


# --- README.md

def commands_of_the_readme(story):
    """Its section for users of the container, but for the build (test-dockerfile.py)."""
    story.typist.type('docker stop dinv')  # the last container; --rm removes it
    until(lambda: story.outer.docker.try_('container', 'inspect', 'dinv').status != 0, 30, 'the end of the last container')
    build, run, *rest, job = commands(section(page('README.md'), 'In a container'))
    equal(build, 'docker build -t dinv .', 'its first command')
    story.typist.type(run)
    story.dinv.expect_unprivileged(['/dev/kvm'])
    until(lambda: story.dinv.exec_('test', '-S', '/var/run/docker.sock').status == 0, 20, 'the socket')
    stand_in(story.dinv.inner, 'debian', 'nginx')  # waits for the engine, as the page says
    shown = []
    for command in rest:
        with story.typist.start(command) as terminal:
            if ' -it ' in command:
                terminal.expect('# ')
                terminal.send('exit\n')
            equal(terminal.wait(120), 0, f'exit status of {command!r}, which showed {terminal.output!r}')
            shown.append(terminal.output)
    contains(''.join(shown), 'Welcome to nginx!', 'what they showed')
    assert story.outer.docker.try_('container', 'inspect', 'dinv').status != 0, 'the container stays'
    with open(os.path.join(story.typist.directory, 'Dockerfile'), 'w', encoding='utf-8') as file:
        file.write('FROM scratch\nCOPY Dockerfile /\nCMD ["/none"]\n')
    contains(story.typist.type(job, deadline=BOOT_DEADLINE), 'naming to docker.io/library/app', 'what the job showed')


def body(outer):
    story = Story(outer)
    for check in (starts_as_the_page_says, basic_usage, port_forwarding, reaches_the_outer_loopback,
                  exit_codes_and_arguments, compose_demo, builds_and_runs_a_dockerfile,
                  docker_in_docker_in_docker, settings_of_dind, commands_of_the_readme):
        outer.tap.check(check, story, deadline=600)


if __name__ == '__main__':
    main(body)
