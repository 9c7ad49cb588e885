"""Lines to points, in the order in which the table keeps them.

ClickHouse sorts what it is given by run, metric and step, which is a third of the cost of an insert; columns that are
in that order already it only checks. Lines hold all metrics of a step, so their points are brought into order here, by
radix sorts over small integers. Within a metric of a run points stay as they arrived: in the order of steps as a rule,
and if not, ClickHouse sorts after all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtide_workers.shapes import Table

RADIX = 1 << 16  # numpy sorts integers of 16 bits by radix


def spread(
    shape: NDArray[np.int64],
    run: NDArray[np.uint64],
    lines: Mapping[str, NDArray[Any]],
    values: NDArray[np.float64],
    table: Table,
) -> dict[str, NDArray[Any]]:
    """Points from lines, each with its shape, run and the other columns of `lines`; `values` are theirs, line by line.

    Columns run, key, those of `lines`, and value; sorted by run and key, and by arrival within these.
    """  # fmt: skip
    lens = table.lens[shape]
    line = np.repeat(np.arange(len(shape)), lens)
    before = np.cumsum(lens) - lens
    metric = table.ranks[np.repeat(table.starts[shape] - before, lens) + np.arange(len(line))]
    runs, number = np.unique(run, return_inverse=True)
    if len(runs) * len(table.unique) <= RADIX:
        place = (number.astype(np.uint16) * np.uint16(len(table.unique)))[line] + metric.astype(np.uint16)
        order = np.argsort(place, kind="stable")
    else:
        order = np.argsort(_narrow(metric, len(table.unique)), kind="stable")
        order = order[np.argsort(_narrow(number, len(runs))[line[order]], kind="stable")]
    line = line[order]
    points: dict[str, NDArray[Any]] = {"run": run[line], "key": table.unique[metric[order]]}
    points |= {name: column[line] for name, column in lines.items()}
    return points | {"value": values[order]}


def _narrow(numbers: NDArray[Any], below: int) -> NDArray[Any]:
    return numbers.astype(np.uint16 if below <= RADIX else np.uint32)
