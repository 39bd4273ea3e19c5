#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: MIT
"""Every command that README.md tells people to type is run by some test, named in the table here.

A line of a fenced `sh` block that the table does not know fails, and so does a line of the table
that README.md no longer has, and a test that is not there. So does a dead link of any page.
"""

import os

from lib import artefacts
from lib.markdown import commands, dead_links, page, pages
from lib.session import main
from lib.tap import equal

# Line of README.md (without comment, joined where it ends in a backslash): the file that runs it,
# from the root of the sources.
RUN_BY = {
    'docker build -t dinv .': 'tests/container/test-dockerfile.py',
    'docker run -d --name dinv --device /dev/kvm -p 8080:8080 dinv': 'tests/container/test-stories.py',
    'docker exec -it dinv docker run -it --rm debian': 'tests/container/test-stories.py',
    'docker exec dinv docker run -d -p 8080:80 nginx': 'tests/container/test-stories.py',
    'curl http://127.0.0.1:8080': 'tests/container/test-stories.py',
    'docker rm -f -v dinv': 'tests/container/test-stories.py',
    'docker run --rm --device /dev/kvm -v "$PWD:/w" -w /w dinv docker build -t app .': 'tests/container/test-stories.py',
    'make run': '.ci/run',
    'make test': '.ci/run',
    'export DOCKER_HOST="unix://$PWD/build/run/docker.sock"': 'tests/demo/run',
    'docker info': 'tests/integration/test-engine.py',
    'build/launcher/dinv --help': 'tests/integration/test-cli.py',
}


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


def links_lead_somewhere():
    """On all pages, not only on README.md."""
    names = sorted(pages())
    assert len(names) > 10, f'only {names}'
    dead = {name: list(dead_links(name)) for name in names}
    equal({name: links for name, links in dead.items() if links}, {}, 'links to what is not there')


def body(session):
    session.tap.check(finds_commands)
    shown = list(commands(page('README.md')))
    session.tap.check(every_command_is_run_by_a_test, shown)
    session.tap.check(table_is_up_to_date, shown)
    session.tap.check(links_lead_somewhere)


if __name__ == '__main__':
    main(body)
