#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: MIT
"""`docker run … dinv COMMAND`: the command has stdin, stdout, stderr and the terminal to itself, its exit
status comes out, signals reach it, and the engine is there until it has ended. DINV_ON_READY."""

import os

from lib.tap import contains, equal
from lib.waiting import until
from outer import BOOT_DEADLINE, QUIET, main

DOCKERFILE = 'FROM scratch\nCOPY file /file\nLABEL built=here\n'

BUILD = '''
docker build --quiet --tag built . >/dev/null || exit 1
docker image inspect --format "{{.Config.Labels.built}}" built
cat
echo "an error" >&2
exit 42
'''
STOPPED = '''
trap 'echo asked; docker info --format "{{.OSType}} {{json .Labels}}"; exit 7' TERM
echo up
while :; do sleep 1000 & wait; done
'''
HOOK = 'until [ -e /tmp/go ]; do sleep 0.1; done; exit 9'


def builds_a_mounted_directory(outer):
    """stdin piped, stdout and stderr to the byte, exit status 42."""
    work = os.path.join(outer.work, 'workspace')
    os.mkdir(work)
    for name, text in (('Dockerfile', DOCKERFILE), ('file', 'content')):
        with open(os.path.join(work, name), 'w', encoding='utf-8') as file:
            file.write(text)
    stdin = b'first line\n\0\xff last, without an end'
    done = outer.run('build', ['--volume', f'{work}:/w:ro', '--workdir', '/w'], ['sh', '-c', BUILD],
                     stdin=stdin, **QUIET)
    equal(done.status, 42, f'exit status ({done.err})')
    equal(done.raw_out, b'here\n' + stdin, 'stdout')
    equal(done.err, 'an error\n', 'stderr')


def terminal_and_signal(outer):
    """-it: a shell with the terminal's size, and nothing of ours in between; killed, it is 128 + 9."""
    container, words = outer.argv('terminal', ['--interactive', '--tty'], ['sh'], **QUIET)
    with outer.docker.terminal('run', *words, rows=30, columns=100) as terminal:
        def at_prompt(line, deadline=60):
            """What is typed earlier is echoed before the prompt, which then stands before the answer."""
            terminal.expect(r'# ', deadline=deadline)
            terminal.send(line + '\n')
        at_prompt('until [ "$(stty size)" = "30 100" ]; do :; done; echo sized-$((1+1))', BOOT_DEADLINE)
        begin = terminal.output.rindex('# ')
        terminal.expect(r'\nsized-2\n')
        at_prompt('docker version --format "os-{{.Server.Os}}"')
        terminal.expect(r'\nos-linux\n')
        # Said by the process that sleeps: the shell itself would swallow a Ctrl-C while it starts one.
        at_prompt("sh -c 'echo asleep-$((1+1)); exec sleep 1000'")
        terminal.expect(r'\nasleep-2\n')
        terminal.send('\x03')
        terminal.expect(r'\^C')
        at_prompt('echo interrupted-$?')
        terminal.expect(r'\ninterrupted-130\n')
        equal(container.inspect('{{.State.Running}}'), True, 'it goes on after Ctrl-C')
        assert 'dinv: ' not in terminal.output[begin:], terminal.output[begin:]
        at_prompt('kill -KILL $$')
        equal(terminal.wait(60), 137, 'exit status')
    container.expect_unprivileged([])
    container.remove()


def stop_reaches_the_command_first(outer):
    """Its engine still answers while it ends; a flag before it was dockerd's."""
    container = outer.start('stop', (), ['--label', 'a=b', '--', 'sh', '-c', STOPPED], **QUIET)

    def command_runs():
        assert container.inspect('{{.State.Running}}'), container.logs()
        return 'up' in container.logs()
    until(command_runs, BOOT_DEADLINE, 'the command')
    equal(container.stop(), 7, 'exit status')
    equal(outer.docker.try_('logs', container.name).out, 'up\nasked\nlinux ["a=b"]\n', 'stdout')
    equal(outer.docker.try_('logs', container.name).err, '', 'stderr')
    container.remove()


def failed_hook_ends_it(outer):
    """Until DINV_ON_READY has ended it is not healthy; its status comes out, and CMD is not run."""
    container = outer.start('hook', (), ['echo', 'the command'], DINV_ON_READY=HOOK, **QUIET)

    def hook_runs():
        assert container.inspect('{{.State.Running}}'), container.logs()
        done = container.exec_('dinv', 'health')
        assert done.status == 1, done
        return 'DINV_ON_READY still runs' in done.err
    until(hook_runs, BOOT_DEADLINE, 'DINV_ON_READY', interval=0.5)
    container.exec_('touch', '/tmp/go').expect(0)
    equal(container.wait_exit(), 9, 'exit status')
    contains(container.logs(), 'DINV_ON_READY ended with status 9', 'the message')
    assert 'the command' not in container.logs(), container.logs()
    container.remove()


def body(outer):
    for check in (builds_a_mounted_directory, terminal_and_signal, stop_reaches_the_command_first,
                  failed_hook_ends_it):
        outer.tap.check(check, outer)


if __name__ == '__main__':
    main(body)
