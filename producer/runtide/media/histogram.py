"""How many values lie where: `Histogram(gradients)`. Its mean, deviation, extremes and quantiles become metrics."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any

from runtide.media.base import Media

BINS_MAX = 512
QUANTILES = {"p05": 0.05, "p50": 0.5, "p95": 0.95}


class Histogram(Media):
    """Of a sequence, an array or a tensor; or of `np_histogram=numpy.histogram(...)`, whose values are gone.

    `numbers()` of a sequence: mean, std, min, p05, p50, p95, max of its finite values, exactly. Of a ready histogram
    mean and quantiles are estimated, each bin's values taken as spread evenly over it.
    """

    kind = "histogram"

    def __init__(self, sequence: Any = None, np_histogram: Any = None, num_bins: int = 64) -> None:
        if np_histogram is not None:
            counts, edges = np_histogram
            self.histogram = [float(count) for count in counts]
            self.bins = [float(edge) for edge in edges]
            if len(self.bins) != len(self.histogram) + 1:
                raise ValueError(f"{len(self.histogram)} counts need {len(self.histogram) + 1} edges")
            self._numbers = _estimated(self.histogram, self.bins)
            self._others = 0
            return
        bins = max(1, min(int(num_bins), BINS_MAX))
        numpy = _numpy()
        finite, others = _sorted(sequence) if numpy is None else _sorted_array(numpy, sequence)
        self._others = others
        if not len(finite):
            self.bins, self.histogram, self._numbers = [0.0, 1.0], [0.0], {}
        elif numpy is None:
            self.bins, self.histogram = _binned(finite, bins)
            self._numbers = _exact(finite)
        else:
            counts, edges = numpy.histogram(finite, bins)
            self.bins, self.histogram = edges.tolist(), counts.astype(float).tolist()
            self._numbers = _exact_of_array(numpy, finite)

    def describe(self) -> dict[str, Any]:
        found: dict[str, Any] = {"count": sum(self.histogram), "bins": self.bins, "counts": self.histogram}
        return found | ({"nonfinite": self._others} if self._others else {})

    def numbers(self) -> dict[str, float]:
        return self._numbers


def _numpy() -> Any:
    """numpy if it is there: a million weights take it 0.1 s, and Python ten times as long."""
    try:
        import numpy as np
    except ImportError:
        return None
    return np


def _sorted_array(numpy: Any, sequence: Any) -> tuple[Any, int]:
    """The finite values in order, and how many others there were."""
    if hasattr(sequence, "detach"):  # torch: it may need gradients, lie on a device, or be of a type numpy lacks
        sequence = sequence.detach().cpu().double()
    values = numpy.asarray([] if sequence is None else sequence, dtype=float).ravel()
    finite = values[numpy.isfinite(values)]
    return numpy.sort(finite), len(values) - len(finite)


def _sorted(sequence: Any) -> tuple[list[float], int]:
    values = [] if sequence is None else list(_flat(sequence))
    finite = sorted(value for value in values if math.isfinite(value))
    return finite, len(values) - len(finite)


def _flat(values: Any) -> Iterator[float]:
    if isinstance(values, Iterable):
        for value in values:
            yield from _flat(value)
    else:
        yield float(values)


def _binned(ordered: Sequence[float], bins: int) -> tuple[list[float], list[float]]:
    """Edges and counts of equal bins; a value on an edge belongs to the bin above, the greatest to the last one."""
    low, high = ordered[0], ordered[-1]
    if low == high:
        low, high = low - 0.5, high + 0.5
    width = high / bins - low / bins
    counts = [0.0] * bins
    for value in ordered:
        counts[min(bins - 1, int((value - low) / width)) if width else 0] += 1
    return [low + width * number for number in range(bins)] + [high], counts


def _exact(ordered: Sequence[float]) -> dict[str, float]:
    mean = math.fsum(value / len(ordered) for value in ordered)
    spread = math.sqrt(math.fsum((value - mean) ** 2 / len(ordered) for value in ordered))
    found = {"mean": mean, "std": spread, "min": ordered[0], "max": ordered[-1]}
    for name, share in QUANTILES.items():
        place = share * (len(ordered) - 1)
        below = math.floor(place)
        above = min(below + 1, len(ordered) - 1)
        found[name] = ordered[below] + (ordered[above] - ordered[below]) * (place - below)
    return found


def _exact_of_array(numpy: Any, ordered: Any) -> dict[str, float]:
    found = {"mean": ordered.mean(), "std": ordered.std(), "min": ordered[0], "max": ordered[-1]}
    found |= zip(QUANTILES, numpy.quantile(ordered, list(QUANTILES.values())), strict=True)
    return {name: float(value) for name, value in found.items()}


def _estimated(counts: Sequence[float], edges: Sequence[float]) -> dict[str, float]:
    total = math.fsum(counts)
    if not total > 0:
        return {}
    middles = [(low + high) / 2 for low, high in pairwise(edges)]
    found = {"mean": math.fsum(count * middle for count, middle in zip(counts, middles, strict=True)) / total}
    for name, share in QUANTILES.items():
        left = share * total
        for number, count in enumerate(counts):
            if left <= count and count:
                found[name] = edges[number] + (edges[number + 1] - edges[number]) * left / count
                break
            left -= count
    return found
