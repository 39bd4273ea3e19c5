#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: MIT
"""Every command that README.md tells people to type is run by some test, named in the table here.

A line of a fenced `sh` block that the table does not know fails, and so does a line of the table
that README.md no longer has, and a test that is not there.
"""

import os
import re

from lib import artefacts
from lib.session import main
from lib.tap import equal

# Line of README.md (without comment, joined where it ends in a backslash): the file that runs it,
# from the root of the sources.
RUN_BY = {
    'make run': '.ci/run',
    'make test': '.ci/run',
    'export DOCKER_HOST="unix://$PWD/build/run/docker.sock"': 'tests/demo/run',
    'docker info': 'tests/integration/test-engine.py',
    'build/launcher/dinv --help': 'tests/integration/test-cli.py',
}

FENCE = re.compile(r'^```(sh|console|bash|shell)\n(.*?)^```$', re.MULTILINE | re.DOTALL)


def commands(text):
    """The command lines in all fenced shell blocks of a Markdown text."""
    for _, block in FENCE.findall(text):
        for line in re.sub(r'\\\n\s*', '', block).splitlines():
            line = re.sub(r'(^|\s)#.*$', '', line).strip()
            if line.startswith('$ '):
                line = line[2:].strip()
            if line:
                yield re.sub(r'\s+', ' ', line)


def finds_commands():
    text = ('text\n```sh\nmake run   # a comment\n\n# only that\na \\\n  b\n$ c d\n```\n'
            '```json\n{}\n```\n')
    equal(list(commands(text)), ['make run', 'a b', 'c d'], 'commands')


def every_command_is_run_by_a_test(shown):
    assert shown, 'README.md shows no command at all'
    equal([line for line in shown if line not in RUN_BY], [], 'commands that no test is known for')


def table_is_up_to_date(shown):
    equal([line for line in RUN_BY if line not in shown], [], 'lines that README.md no longer has')
    missing = [test for test in RUN_BY.values()
               if not os.path.exists(os.path.join(artefacts.source_root(), test))]
    equal(missing, [], 'tests that are not there')


def body(session):
    session.tap.check(finds_commands)
    with open(os.path.join(artefacts.source_root(), 'README.md'), encoding='utf-8') as file:
        shown = list(commands(file.read()))
    session.tap.check(every_command_is_run_by_a_test, shown)
    session.tap.check(table_is_up_to_date, shown)


if __name__ == '__main__':
    main(body)
