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
