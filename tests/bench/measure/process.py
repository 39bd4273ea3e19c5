# SPDX-License-Identifier: MIT
"""What /proc says of a process."""

import os
import re


def status_bytes(pid, *fields):
    with open(f'/proc/{pid}/status', encoding='utf-8') as file:
        text = file.read()
    return {field: int(re.search(rf'^{field}:\s+(\d+) kB', text, re.MULTILINE).group(1)) * 1024
            for field in fields}


def cpu_seconds(pid):
    with open(f'/proc/{pid}/stat', encoding='utf-8', errors='replace') as file:
        fields = file.read().rpartition(')')[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')
