# SPDX-License-Identifier: MIT
"""What the integration tests share: TAP, the launcher, the docker CLI, terminals.

Python's standard library only. Nothing in here knows what a particular test checks.
"""
