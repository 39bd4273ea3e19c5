#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: MIT
"""The recipes in docs/ci: what stands there behind `<!-- test: … -->` is taken from the page and run.

`<!-- test: file NAME -->` before a block makes it the file NAME in the page's directory; `<!-- test: run -->`
is a script of one command a line, each of which must end with 0 (but where a check says so). Images of a registry are stand-ins
(stories.py), made in the inner engine as soon as the first command has started it.
"""

import functools
import os
import re

from lib.markdown import commands, page
from lib.tap import contains, equal
from outer import main
from stories import Typist, install_plugin, stand_in

MARKED = re.compile(r'^<!-- test: (run|file (\S+)) -->\n(```\w+\n.*?^```$)', re.MULTILINE | re.DOTALL)
RUNNER = 'code.forgejo.org/forgejo/runner:6'


class Recipe:
    """A page and the directory of the person who follows it."""

    def __init__(self, outer, name):
        self.outer = outer
        self.directory = os.path.join(outer.work, name)
        self.typist = Typist(outer, self.directory)
        self.typist.environment['WORKSPACE'] = self.directory
        self.commands = []
        for kind, file, block in MARKED.findall(page(f'docs/ci/{name}.md')):
            if kind == 'run':
                self.commands += commands(block)
            else:
                self.write(file, re.sub(r'\A```\w+\n|```\Z', '', block))
        assert self.commands, f'docs/ci/{name}.md has nothing to run'

    def write(self, name, text, mode=0o644):
        path = os.path.join(self.directory, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, 'w', encoding='utf-8') as file:
            file.write(text)
        os.chmod(path, mode)

    def follow(self, engine, socket='/run/dinv/docker.sock'):
        """Types all commands; answers what they showed. `engine` is the name of the container that the first
        one starts, and that then has the image \"debian\"; `socket` where its engine answers."""
        shown = ''
        for number, command in enumerate(self.commands):
            if number == 1:
                container = self.outer.adopt(self.typist.type(f'docker ps -q --filter name={engine}').strip())
                container.expect_unprivileged(['/dev/kvm'])
                stand_in(functools.partial(container.inner, '--host', f'unix://{socket}'), 'debian')
            shown += self.typist.type(command, deadline=300)
        return shown


def compose(outer):
    recipe = Recipe(outer, 'compose')
    contains(recipe.follow('docker'), 'from the inner engine', 'what the job showed')


def gitlab(outer):
    recipe = Recipe(outer, 'gitlab')
    network, *recipe.commands = recipe.commands
    recipe.typist.type(network)
    contains(recipe.follow('engine', socket='/var/run/docker.sock'), 'result', 'what the job showed')


def jenkins(outer):
    recipe = Recipe(outer, 'jenkins')
    recipe.write('Dockerfile', 'FROM debian\nRUN echo built >/result\n')
    recipe.write('test', '#!/bin/sh\ncat /result >result-of-the-test\n', 0o755)
    recipe.follow('engine', socket='/var/run/docker.sock')
    with open(os.path.join(recipe.directory, 'result-of-the-test'), encoding='utf-8') as file:
        equal(file.read(), 'built\n', 'what the job wrote into the workspace')


def github_actions(outer):
    """The runner in dinv, which ends with the runner's exit status."""
    recipe = Recipe(outer, 'github-actions')
    build, run = recipe.commands
    recipe.typist.type(build)
    contains(recipe.typist.type(run, status=3), 'the engine is Alpine Linux', 'what the runner showed')


def kubernetes(outer):
    recipe = Recipe(outer, 'kubernetes')
    recipe.write('workspace-of-the-pod', '')
    contains(recipe.follow('engine'), 'workspace-of-the-pod', 'what the job saw')


def forgejo(outer):
    """The runner is a stand-in: the image's client, which does what a runner does with its engine."""
    recipe = Recipe(outer, 'forgejo')
    stand_in_for_the_runner = os.path.join(recipe.directory, 'stand-in')
    os.mkdir(stand_in_for_the_runner)
    recipe.write('stand-in/forgejo-runner', '#!/bin/sh\nid -u\n'
                 'docker run --rm -v /run/docker.sock:/var/run/docker.sock debian ls -l /var/run/docker.sock\n', 0o755)
    recipe.write('stand-in/Dockerfile', 'FROM dinv\nCOPY forgejo-runner /usr/bin/\nENTRYPOINT []\n')
    outer.docker('build', '-t', RUNNER, stand_in_for_the_runner)
    shown = recipe.follow('docker')
    contains(shown, '1000', 'the user of the runner')
    contains(shown, ' /var/run/docker.sock', 'the socket in a job')


def body(outer):
    install_plugin(outer, 'docker-compose')
    for check in (compose, gitlab, jenkins, github_actions, forgejo, kubernetes):
        outer.tap.check(check, outer, deadline=600)


if __name__ == '__main__':
    main(body)
