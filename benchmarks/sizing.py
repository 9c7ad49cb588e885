"""How many workers, partitions, brokers, shards and bytes a rate of points needs, from what a million points cost.

    python -m benchmarks.ingest --json | tail -1 > costs.json
    python -m benchmarks.sizing costs.json

Costs are those of `benchmarks.ingest` with detection on, at its paced rate. A worker is one process and so one core at
most. Everything is planned to be half idle: for rebalances, a worker that is away, catching up, and queries.
"""

import argparse
import json
import math
from dataclasses import dataclass
from pathlib import Path

from runtide_workers.topics import PARTITIONS, REPLICATION

RATES = (10_000, 100_000, 1_000_000, 10_000_000)  # points/s
USED = 0.5  # of a core: what is planned with
SHARD_CORES = 16  # of a server for ClickHouse
BROKERS_MIN = REPLICATION
BROKER_BYTES_PER_S = 50e6  # written by one broker, replication included: half of what a plain 1 Gbit/s line takes
DAY_S = 86_400


@dataclass(frozen=True)
class Costs:
    """CPU seconds per million points, and bytes per point."""

    worker_s: float
    clickhouse_s: float
    shipper_s: float
    topic_bytes: float
    table_bytes: float


@dataclass(frozen=True)
class Size:
    """What a rate needs."""

    workers: int
    partitions: int
    brokers: int
    topic_bytes_per_day: float  # of one replica
    cores: float  # of ClickHouse, all shards together
    shards: int
    table_bytes_per_day: float


def size(rate: float, costs: Costs) -> Size:
    """`rate` in points/s, for good."""
    millions = rate / 1e6
    workers = max(2, math.ceil(millions * costs.worker_s / USED))  # two: one may be away
    cores = millions * costs.clickhouse_s / USED
    written = rate * costs.topic_bytes * REPLICATION
    return Size(
        workers,
        max(PARTITIONS, 2 * workers),  # room to grow: none should be added while runs go on
        max(BROKERS_MIN, math.ceil(written / BROKER_BYTES_PER_S)),
        rate * costs.topic_bytes * DAY_S,
        cores,
        max(1, math.ceil(cores / SHARD_CORES)),
        rate * costs.table_bytes * DAY_S,
    )


def costs_of(measured: dict[str, float], topic_bytes: float, table_bytes: float) -> Costs:
    """From the figures of `benchmarks.ingest`, by name. Raises KeyError if one is missing."""
    worker, clickhouse, shipper = (
        measured[f"detection on, paced: CPU of {part} per million points"]
        for part in ("worker", "clickhouse", "shipper")
    )
    return Costs(worker, clickhouse, shipper, topic_bytes, table_bytes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("costs", type=Path, help="the last line of `python -m benchmarks.ingest --json`")
    parser.add_argument(
        "--topic-bytes", type=float, default=35.0, help="per point, as brokers keep it; 15 with cramjam"
    )
    parser.add_argument("--table-bytes", type=float, default=5.3, help="per point, in ClickHouse")
    args = parser.parse_args()
    figures = json.loads(args.costs.read_text())["figures"]
    costs = costs_of({each["name"]: each["value"] for each in figures}, args.topic_bytes, args.table_bytes)
    print(
        f"CPU s per million points: worker {costs.worker_s:.2f}, ClickHouse {costs.clickhouse_s:.2f}, "
        f"shipper {costs.shipper_s:.2f}; "
        f"bytes per point: {costs.topic_bytes:g} in the topic, {costs.table_bytes:g} in the table\n"
    )
    print(
        "| points/s | workers | partitions | brokers | topic, GB a day | ClickHouse cores | shards | table, GB a day |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for rate in RATES:
        found = size(rate, costs)
        print(
            f"| {rate:,} | {found.workers} | {found.partitions} | {found.brokers} | "
            f"{found.topic_bytes_per_day / 1e9:,.0f} | {found.cores:,.1f} | {found.shards} | "
            f"{found.table_bytes_per_day / 1e9:,.1f} |"
        )


if __name__ == "__main__":
    main()
