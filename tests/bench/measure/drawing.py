# SPDX-License-Identifier: MIT
"""The timeline of the boot as an SVG, drawn by gnuplot."""

import subprocess

# A phase ends at a boundary of the timeline (measure/boot.py) and begins at the one before it. Several
# boundaries with one title are one phase.
PHASES = (
    ('launcher', '#999999', ('machine started',)),
    ('QEMU, firmware, early kernel', '#e69f00', ('kernel clock runs',)),
    ('kernel up to its first program', '#d55e00', ('initramfs started', 'hello')),
    ('initramfs: udev', '#cc79a7', ('udev settled',)),
    ('initramfs: modules for the engine', '#f0a8cc', ('engine modules loaded',)),
    ('initramfs: root file system', '#994f88', ('root mounted',)),
    ('guest set up', '#009e73', ('configured', 'data mounted', 'network up', 'dockerd started')),
    ('dockerd', '#56b4e9', ('engine ready',)),
    ('first answer outside', '#0072b2', ('engine answers',)),
)
BARS = (('dinv', 'dinv\'s kernel'), ('stock', 'Debian\'s kernel, initramfs'))
HALF_HEIGHT = 0.32


def spans(times):
    """(title, from, to) of a timeline {boundary: seconds}."""
    before = 0.0
    for boundary, seconds in times.items():
        title = next(title for title, _, boundaries in PHASES if boundary in boundaries)
        # From the root's mount to PID 1's hello it is the initramfs that hands over, not the kernel.
        if boundary == 'hello' and 'root mounted' in times:
            title = 'guest set up'
        yield title, before, max(seconds, before)
        before = max(seconds, before)


def script(timelines, caption, output):
    lines = [
        'set terminal svg size 960,360 dynamic background "white" font "sans-serif,13"',
        f'set output "{output}"',
        f'set title "{caption}" noenhanced',
        'set key bottom outside center horizontal Left reverse maxcols 3 samplen 1 width 2 noenhanced',
        'set xlabel "seconds since the start of dinv run"',
        'set xtics nomirror out', 'set grid xtics back lt 1 lc rgb "#dddddd"', 'set border 1',
        'set style fill solid 1.0 noborder',
        f'set yrange [{-len(BARS) + 0.4}:0.6]',
        f'set xrange [0:{max(times["engine answers"] for times in timelines.values()) * 1.08:.2f}]',
        'set ytics scale 0 (' + ', '.join(f'"{label}" {-row}' for row, (_, label) in enumerate(BARS)) + ')',
    ]
    for row, (kind, _) in enumerate(BARS):
        end = timelines[kind]['engine answers']
        lines.append(f'set label "{end:.1f} s" at {end:.3f},{-row} left offset 0.5,0')
    plots = []
    for number, (title, colour, _) in enumerate(PHASES):
        rows = [f'{(begin + end) / 2:.4f} {-row} {begin:.4f} {end:.4f} {-row - HALF_HEIGHT} {-row + HALF_HEIGHT}'
                for row, (kind, _) in enumerate(BARS)
                for name, begin, end in spans(timelines[kind]) if name == title]
        if rows:
            lines += [f'$phase{number} << END', *rows, 'END']
            plots.append(f'$phase{number} using 1:2:3:4:5:6 with boxxyerror lc rgb "{colour}" title "{title}"')
    lines.append('plot ' + ', '.join(plots))
    return '\n'.join(lines) + '\n'


def draw(boot, output):
    rounds = boot['rounds']['dinv']
    kernels = ' and '.join(boot['rounds'][kind][0]['kernel'] for kind, _ in BARS)
    caption = (f'Start to the engine\'s first answer under {rounds[0]["accel"].upper()}, '
               f'medians of {len(rounds)} starts each ({kernels})')
    subprocess.run(['gnuplot'], input=script(boot['timeline'], caption, output).encode(), check=True)
