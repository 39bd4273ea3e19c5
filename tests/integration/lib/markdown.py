# SPDX-License-Identifier: MIT
"""Commands and files that a Markdown page shows its readers."""

import os
import re

from . import artefacts

_FENCE = re.compile(r'^```(\S*)\n(.*?)^```$', re.MULTILINE | re.DOTALL)
_SHELLS = ('sh', 'console', 'bash', 'shell')


def page(name):
    """The text of a page, by its path in the source tree."""
    with open(os.path.join(artefacts.source_root(), name), encoding='utf-8') as file:
        return file.read()


def section(text, heading):
    """What stands under the heading, down to the next one of any level."""
    found = re.search(rf'^#+ {re.escape(heading)}\n(.*?)(?=^#|\Z)', text, re.MULTILINE | re.DOTALL)
    if not found:
        raise AssertionError(f'there is no section "{heading}"')
    return found.group(1)


def blocks(text, *languages):
    """The contents of all fenced blocks of these languages."""
    return [block for language, block in _FENCE.findall(text) if language in languages]


def commands(text):
    """The command lines in all fenced shell blocks: without comment and prompt, joined where they end in a
    backslash."""
    for block in blocks(text, *_SHELLS):
        for line in re.sub(r'\\\n\s*', '', block).splitlines():
            line = re.sub(r'(^|\s)#.*$', '', line).strip()
            if line.startswith('$ '):
                line = line[2:].strip()
            if line:
                yield re.sub(r'\s+', ' ', line)


def pages():
    """The paths of all pages in the source tree, build directories left out."""
    root = artefacts.source_root()
    for directory, below, names in os.walk(root):
        below[:] = [name for name in below if not name.startswith(('.', 'build'))]
        yield from (os.path.relpath(os.path.join(directory, name), root) for name in names if name.endswith('.md'))


def _anchors(text):
    """What the headings are called in links."""
    without_blocks = _FENCE.sub('', text)
    for heading in re.findall(r'^#+ +(.*)$', without_blocks, re.MULTILINE):
        yield re.sub(r'[^\w -]', '', heading.lower()).replace(' ', '-')


def dead_links(name):
    """Links of a page to files or headings of this tree that are not there."""
    for target in re.findall(r'\]\(([^)\s]+)\)', _FENCE.sub('', page(name))):
        if re.match(r'[a-z]+:', target):
            continue
        path, _, anchor = target.partition('#')
        path = os.path.normpath(os.path.join(os.path.dirname(name), path)) if path else name
        if not os.path.exists(os.path.join(artefacts.source_root(), path)):
            yield target
        elif anchor and anchor not in _anchors(page(path)):
            yield target
