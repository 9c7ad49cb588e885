"""Names to integers. ClickHouse computes the same with xxHash64(), so SQL can do without looking names up.

64 bits: with a million runs, or metric names, the chance of one collision is about 3 in 100 million.
"""

from __future__ import annotations

import xxhash


def run_key(project: str, run_id: str) -> int:
    """The run's id in every table: xxHash64('<project>/<run_id>')."""
    return _hash(f"{project}/{run_id}")


def key_id(metric: str) -> int:
    """The metric's id in `points` and `tiers`."""
    return _hash(metric)


def writer_key(writer_id: str) -> int:
    """The writer's id in every table."""
    return _hash(writer_id)


def _hash(text: str) -> int:
    return xxhash.xxh64_intdigest(text.encode("utf-8", "surrogatepass"))
