# SPDX-License-Identifier: MIT
"""The measurements of `make bench`, each a module with a function that returns plain data."""
