# SPDX-License-Identifier: MIT
"""Waiting for a condition with a deadline; never for a time."""

import time


class Expired(AssertionError):
    """The condition did not come true before the deadline."""


def until(condition, deadline, what, interval=0.1):
    """Calls `condition` until it returns something true, which is returned.

    Raises Expired, which names `what` was waited for, after `deadline` seconds. The last call is
    made after the deadline, so that a test machine that stood still does not fail a condition that
    holds.
    """
    end = time.monotonic() + deadline
    while True:
        last = time.monotonic() >= end
        result = condition()
        if result:
            return result
        if last:
            raise Expired(f'waited {deadline:g} s for {what}')
        time.sleep(interval)
