# SPDX-License-Identifier: MIT
"""A writer of the Test Anything Protocol.

Every check is a function; its name is the name in the report. An exception fails the check and is
printed as diagnostics. `Skip` skips it, unless DINV_MUST_WORK=1: then a skip is a failure.
"""

import os
import signal
import sys
import time
import traceback


class Skip(Exception):
    """This check cannot be made here; the text says why."""


class BailOut(Exception):
    """Nothing further can be checked; the text says why."""


class TimedOut(Exception):
    """A check took longer than its deadline."""


def equal(actual, expected, what):
    """Fails with both values, shortened, when they differ."""
    if actual != expected:
        raise AssertionError(f'{what}: got {_short(actual)}, expected {_short(expected)}')


def contains(text, part, what):
    if part not in text:
        raise AssertionError(f'{what}: {part!r} is not in {_short(text)}')


def _short(value):
    text = repr(value)
    if len(text) <= 2000:
        return text
    return f'{text[:1000]} … {text[-1000:]} ({len(text)} characters)'


class Tap:
    """One report. `only`, a list of names, restricts what is run; `explain` is called, without
    arguments, after a failure and returns lines that help to understand it."""

    def __init__(self, only=None, explain=None, out=sys.stdout):
        self._only = only
        self._explain = explain
        self._out = out
        self._count = 0
        self.failed = 0

    def say(self, text):
        """A line or more for the person who reads the report."""
        for line in str(text).splitlines():
            self._write(f'# {line}')

    def check(self, function, *arguments, deadline=300, name=None):
        """Runs one check; answers whether it passed. `deadline` is in seconds."""
        name = name or function.__name__.strip('_').replace('_', '-')
        if self._only and name not in self._only:
            return True
        begin = time.monotonic()
        try:
            with _Alarm(deadline):
                function(*arguments)
        except Skip as reason:
            return self._skip(name, reason)
        except BailOut:
            raise
        except Exception as error:  # whatever went wrong in a check is its failure
            self._fail(name, error)
            return False
        self._count += 1
        self._write(f'ok {self._count} - {name}')
        self.say(f'{name}: {time.monotonic() - begin:.1f} s')
        return True

    def bail_out(self, reason):
        first = str(reason).splitlines()[0] if str(reason) else type(reason).__name__
        self.say(reason)
        self._tell()
        self._write(f'Bail out! {first}')

    def finish(self):
        """Writes the plan; returns the exit status for the process."""
        self._write(f'1..{self._count}')
        return 1 if self.failed else 0

    def _skip(self, name, reason):
        must_work = os.environ.get('DINV_MUST_WORK') == '1'
        self._count += 1
        if must_work:
            self.failed += 1
            self._write(f'not ok {self._count} - {name}')
            self.say(f'skipped although DINV_MUST_WORK=1: {reason}')
        else:
            self._write(f'ok {self._count} - {name} # SKIP {reason}')
        return not must_work

    def _fail(self, name, error):
        self._count += 1
        self.failed += 1
        self._write(f'not ok {self._count} - {name}')
        self.say(''.join(traceback.format_exception(type(error), error, error.__traceback__)))
        self._tell()

    def _tell(self):
        if self._explain:
            for line in self._explain():
                self.say(line)

    def _write(self, line):
        # A carriage return or an escape of some console must not damage the report.
        clean = ''.join(c if c.isprintable() or c == '\t' else '?' for c in line)
        print(clean, file=self._out, flush=True)


class _Alarm:
    """Raises TimedOut in the main thread when the block takes longer than `seconds`."""

    def __init__(self, seconds):
        self._seconds = seconds

    def __enter__(self):
        self._old = signal.signal(signal.SIGALRM, self._ring)
        signal.setitimer(signal.ITIMER_REAL, self._seconds)

    def __exit__(self, *_):
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self._old)

    def _ring(self, *_):
        raise TimedOut(f'not done after {self._seconds:g} s')
