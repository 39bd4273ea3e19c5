# SPDX-License-Identifier: MIT
"""Medians, ranges, ratios, and the table that is printed of them."""

from statistics import median


def summary(values):
    """Median, least and greatest of the rounds."""
    values = list(values)
    return {'median': median(values), 'min': min(values), 'max': max(values), 'values': values}


def ratio(ours, theirs):
    """Of two series whose rounds were taken in turns: the ratio round by round."""
    return summary(a / b for a, b in zip(ours, theirs, strict=True))


def percentile(values, percent):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(percent / 100 * (len(ordered) - 1)))]


class Table:
    """Rows of a measure, its figure, and what it is compared with."""

    HEAD = ('measured', 'median', 'min – max', 'compared', 'expected')

    def __init__(self):
        self.rows = []

    def value(self, what, figures, unit, digits=2, most=None):
        """A figure with a unit, and the most it may be, if anything is expected."""
        self._add(what, f'{figures["median"]:.{digits}f} {unit}', figures, digits, '',
                  _verdict(figures['median'], most, None, f'{unit}'))

    def ratio(self, what, figures, against, most=None, least=None):
        self._add(what, f'{figures["median"]:.2f}×', figures, 2, against,
                  _verdict(figures['median'], most, least, '×'))

    def _add(self, what, median_text, figures, digits, against, verdict):
        spread = f'{figures["min"]:.{digits}f} – {figures["max"]:.{digits}f}'
        self.rows.append((what, median_text, spread, against, verdict))

    def __str__(self):
        widths = [max(len(row[column]) for row in (self.HEAD, *self.rows))
                  for column in range(len(self.HEAD))]
        lines = ['| ' + ' | '.join(cell.ljust(width) for cell, width in zip(row, widths)) + ' |'
                 for row in (self.HEAD, *self.rows)]
        lines.insert(1, '|' + '|'.join('-' * (width + 2) for width in widths) + '|')
        return '\n'.join(lines)


def _verdict(value, most, least, unit):
    if most is None and least is None:
        return ''
    met = (most is None or value <= most) and (least is None or value >= least)
    bound = f'at most {most:g}' if most is not None else f'at least {least:g}'
    space = '' if unit == '×' else ' '
    return f'{bound}{space}{unit}: {"met" if met else "NOT MET"}'
