"""What a million points cost worker and ClickHouse, as runs, metrics, partitions and workers become more.

Each row starts a broker (embedded), a ClickHouse and workers of its own, fills the topic with messages as the shipper
makes them, lets the workers store them, waits until merges and tiers are done, and divides the CPU seconds by the
points. Every row ends with an exact check. How many lines a message has follows from the load: the runs together log
`--load` points a second, and the shipper's pause grows with the runs that are active.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import orjson
from aiokafka import AIOKafkaProducer

from benchmarks.costs import cpu_s, settle
from benchmarks.report import Figure, report
from runtide.events import EVENTS_TOPIC, MESSAGE_LINES_BYTES_MAX
from runtide.shipper.loop import POLL_S, POLL_S_PER_WRITER
from runtide_storage.connect import connect
from runtide_storage.migrate import migrate
from runtide_workers.embedded.broker import Broker
from runtide_workers.embedded.clickhouse import ClickHouse
from runtide_workers.topics import ensure_topics
from tests.fixtures.messages import START_NS, Message
from tests.fixtures.shipping import free_port
from tests.fixtures.trainer import row
from tests.fixtures.waiting import wait_until
from tests.fixtures.workers import CHECK, PROJECT, Services

DEADLINE_S = 900.0
LOOK_S = 0.5  # seldom: looking is work for ClickHouse too
NO_DETECTION = {"RUNTIDE_DETECTION": "off"}


@dataclass(frozen=True)
class Shape:
    """One row of the table."""

    runs: int = 100
    metrics: int = 10
    partitions: int = 6
    workers: int = 1

    def __str__(self) -> str:
        parts = f"{self.runs:,} runs x {self.metrics:,} metrics, {self.partitions} partitions"
        return f"{parts}, {self.workers} worker{'s' if self.workers > 1 else ''}"

    def lines_per_message(self, load: int) -> int:
        """Of one run in one round of the shipper, at `load` points/s of all runs together."""
        pause_s = min(max(POLL_S[0], POLL_S_PER_WRITER * self.runs), POLL_S[1])
        fit = MESSAGE_LINES_BYTES_MAX // (60 + 16 * self.metrics)
        return max(1, min(fit, int(load / self.metrics / self.runs * pause_s)))


GROWTH = {
    "runs": [Shape(runs=runs) for runs in (10, 100, 1_000, 10_000)],
    "metrics": [Shape(metrics=metrics) for metrics in (1, 10, 100, 1_000)],
    "partitions": [Shape(partitions=partitions) for partitions in (6, 24)],
    "workers": [Shape(workers=workers) for workers in (1, 2, 4)],
}


@dataclass(frozen=True)
class Cost:
    points: int
    messages: int
    seconds: float  # from the first stored point to the last
    worker_cpu_s: float  # per million points
    clickhouse_cpu_s: float


def messages(shape: Shape, points: int, load: int) -> Iterator[Message]:
    """All runs take turns, as they do in a shipper's rounds."""
    lines = shape.lines_per_message(load)
    rounds = max(1, points // (shape.runs * shape.metrics * lines))
    header = {"runtide": 1, "project": PROJECT, "seq": 0, "start": START_NS, "host": "load", "pid": 1, "rank": 0}
    for turn in range(rounds):
        first = turn * lines
        for number in range(shape.runs):
            run, writer = f"p{number}", f"w{number}"
            made = [header | {"run": run, "writer": writer, "join": False}]
            made += [
                {"t": START_NS + step * 1_000_000, "s": step, "m": row(number, step, shape.metrics)}
                for step in range(first, first + lines)
            ]
            value = b"\n".join(map(orjson.dumps, made)) + b"\n"
            told = {"runtide-v": "1", "run": run, "writer": writer, "first": str(first), "count": str(lines)}
            yield Message(run.encode(), value, tuple((name, text.encode()) for name, text in told.items()))


async def fill(bootstrap: str, made: Iterator[Message]) -> int:
    """Produce them all; how many they were."""
    options = {"linger_ms": 10, "max_request_size": 9 << 20, "max_batch_size": 900_000}
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, **options)
    await producer.start()
    count = 0
    try:
        sent = []
        for each in made:
            sent.append(await producer.send(EVENTS_TOPIC, key=each.key, value=each.value, headers=list(each.headers)))
            count += 1
            if len(sent) >= 1_000:
                await asyncio.gather(*sent)
                sent.clear()
        await asyncio.gather(*sent)
    finally:
        await producer.stop()
    return count


def measure(shape: Shape, points: int, load: int) -> Cost:
    with (
        tempfile.TemporaryDirectory(prefix="runtide-scaling-") as folder,
        Broker(free_port()) as broker,
        ClickHouse(Path(folder) / "clickhouse", free_port()) as clickhouse,
    ):
        ensure_topics(broker.bootstrap, shape.partitions)
        migrate(connect(clickhouse.url("writer")))
        services = Services(Path(folder), broker, clickhouse)
        sent = asyncio.run(fill(broker.bootstrap, messages(shape, points, load)))
        lines = shape.lines_per_message(load)
        points = sent * lines * shape.metrics
        database = [clickhouse.pid or 0]
        before_s = cpu_s(database)
        try:
            started = [services.worker(number=number, env=NO_DETECTION) for number in range(shape.workers)]
            wait_until(lambda: all(each.get("/healthz")[0] for each in started), 60, or_else="a worker is not there")
            workers = [process.pid for process in services.workers]
            start_s = cpu_s(workers)  # of Python and its imports, before the first message is fetched
            seconds = stored_in_s(services, points)
            settle([*workers, *database])
            worker_s, clickhouse_s = cpu_s(workers) - start_s, cpu_s(database) - before_s
            [found] = services.query(CHECK, project=PROJECT)
            if found != {"points": points, "identities": points, "wrong": 0}:
                raise SystemExit(f"{shape}: {found}, expected {points} points")
        finally:
            for process in services.workers:
                process.kill()
                process.wait()
    return Cost(points, sent, seconds, worker_s / points * 1e6, clickhouse_s / points * 1e6)


def stored_in_s(services: Services, points: int) -> float:
    """Wait for all of them; the seconds since the first were there."""
    driver, first_s = services.driver, None
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        count = int(driver.query("SELECT count() FROM points").result_rows[0][0])
        if count and first_s is None:
            first_s = time.monotonic()
        if count >= points and first_s is not None:
            return time.monotonic() - first_s
        time.sleep(LOOK_S)
    raise SystemExit(f"only {count:,} of {points:,} points after {DEADLINE_S:.0f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    parser.add_argument("--points", type=int, default=5_000_000, help="of each row")
    parser.add_argument("--load", type=int, default=300_000, help="points/s that decide how long messages are")
    parser.add_argument("--only", choices=GROWTH, nargs="+", default=list(GROWTH))
    args = parser.parse_args()

    figures, known = [], dict[Shape, Cost]()
    for growth in args.only:
        for shape in GROWTH[growth]:
            if shape not in known:
                known[shape] = measure(shape, args.points, args.load)
            cost = known[shape]
            print(f"{shape}: {cost.points:,} points in {cost.messages:,} messages, {cost.seconds:.1f} s", flush=True)
            figures += [
                Figure(f"{growth}: {shape}, CPU of worker per million points", cost.worker_cpu_s, "s"),
                Figure(f"{growth}: {shape}, CPU of clickhouse per million points", cost.clickhouse_cpu_s, "s"),
            ]
    report("scaling", figures, as_json=args.json)


if __name__ == "__main__":
    main()
