"""Every query of the pages and the command line on 100 million points, over HTTP: p50 and p95, warm and cold.

Warm: the same question about other runs each time. Cold: the engine started anew, nothing of its files in the system's
page cache, the first question of a connection. Then 32 analysts ask at once while trainers log, and what that does to
the points' way in. `--home DIR` keeps the data for the next time; `--scale 0.02` is enough to try it.
"""

import argparse
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from benchmarks import freshness
from benchmarks.query_data import SWEEP_METRICS, Size, fill
from benchmarks.report import Figure, report
from runtide_storage import Client
from runtide_storage.connect import connect
from runtide_storage.errors import StorageError
from runtide_storage.migrate import migrate
from runtide_storage.writer import Writer
from runtide_workers.embedded.clickhouse import ClickHouse
from runtide_workers.embedded.home import Home
from tests.fixtures.stack import Stack, free_port_base

TEN = list(SWEEP_METRICS)[:10]
TWENTY = list(SWEEP_METRICS)[:20]
LOSS, MARATHON, WIDE = "val/loss", "marathon/r000000", "wide/r000000"
SETTLE_S = 60.0  # at most, until the engine has merged what was loaded

Ask = Callable[[Client, int], Any]  # the second: a number that varies the question


@dataclass(frozen=True)
class Question:
    """What a page or a command asks."""

    name: str
    ask: Ask
    budget_ms: float | None = None


def ref(number: int) -> str:
    return f"sweep/r{number:06d}"


def refs(first: int, n: int, size: Size) -> list[str]:
    return [ref((first * n + each) % size.sweep_runs) for each in range(n)]


def questions(size: Size) -> list[Question]:
    """Named by what people do."""

    def zoom(number: int) -> tuple[int, int]:
        lo = number * 104_729 % max(1, size.marathon_steps - 300_000)
        return lo, lo + 300_000

    def one(number: int) -> str:
        return ref(number * 13 % size.sweep_runs)

    return [
        Question(
            "table of 2,000 runs x 10 metrics",
            lambda c, _: c.runs("sweep", limit=2_000, columns=[f"last.{name}" for name in TEN]),
            60,
        ),
        Question(
            "its first 100 rows, by best val/loss", lambda c, _: c.runs("sweep", order_by=f"best.{LOSS}", limit=100)
        ),
        Question("newest 1,000 of 100,000 runs", lambda c, _: c.runs("archive", limit=1_000)),
        Question(
            "filter: config, summary, tags",
            lambda c, n: c.runs("sweep", f'config.lr > 0.00{n % 9 + 1} and last.val/acc >= 0.3 and tags has "prod"'),
        ),
        Question("filter 100,000 runs by config", lambda c, n: c.runs("archive", f"config.seed = {n % 20}", limit=100)),
        Question("one run: row, config, summary", lambda c, n: c.run(one(n))),
        Question("one run by its name", lambda c, n: c.run(f"sweep-{n * 13 % size.sweep_runs}")),
        Question("its metrics with all statistics", lambda c, n: c.summaries(one(n))),
        Question("its events", lambda c, n: c.events(one(n))),
        Question("its alerts", lambda c, n: c.alerts(run=one(n))),
        Question("search 100,000 metrics of a run", lambda c, n: c.metrics(WIDE, search=f"unit{n % 1000:03d}")),
        Question("one curve of 1,000 points", lambda c, n: c.history(one(n), LOSS)),
        Question("50 runs overlaid, 1,000 points each", lambda c, n: c.history(refs(n, 50, size), LOSS), 60),
        Question("50 runs by relative time", lambda c, n: c.history(refs(n, 50, size), LOSS, x="relative")),
        Question("50 runs by another metric", lambda c, n: c.history(refs(n, 50, size), LOSS, x="schedule/tokens")),
        Question(
            "50 runs x 20 metrics, 200 points each", lambda c, n: c.history(refs(n, 50, size), TWENTY, points=200)
        ),
        Question("10 M steps to 1,000 buckets", lambda c, _: c.history(MARATHON, "train/loss"), 20),
        Question("... 300,000 steps of it", lambda c, n: c.history(MARATHON, "train/loss", window=zoom(n))),
        Question("baseline band of 20 runs", lambda c, n: c.baseline_band(refs(n, 20, size), LOSS), 40),
        Question("compare 50 runs, 10 metrics", lambda c, n: c.compare(refs(n, 50, size), metrics=TEN)),
        Question("diff of two runs", lambda c, n: c.diff(one(n), one(n + 1))),
        Question("pipeline", lambda c, _: c.pipeline()),
        Question("SQL: leaderboard", lambda c, _: c.sql(SQL["leaderboard"])),
        Question("SQL: effect of the learning rate", lambda c, _: c.sql(SQL["learning rate"])),
        Question("SQL: a curve by names", lambda c, n: c.sql(SQL["curve"], {"run": one(n).partition("/")[2]})),
    ]


SQL = {
    "leaderboard": """
        SELECT run, best FROM v_summary WHERE project = 'sweep' AND metric = 'val/loss' ORDER BY best LIMIT 20
    """,
    "learning rate": """
        SELECT floor(log10(c.number), 1) AS lr, count() AS runs, avg(s.best) AS loss
        FROM v_config AS c INNER JOIN v_summary AS s ON c.project = s.project AND c.run_id = s.run_id
        WHERE c.project = 'sweep' AND s.project = 'sweep' AND c.name = 'lr' AND s.metric = 'val/loss'
        GROUP BY lr ORDER BY lr
    """,
    "curve": """
        SELECT step, value FROM v_points WHERE project = 'sweep' AND run_id = {run:String} AND metric = 'val/loss'
        ORDER BY step
    """,
}


@contextmanager
def engine(home: Home, port: int) -> Iterator[ClickHouse]:
    """The embedded ClickHouse of this home, as `runtide up` would start it."""
    with ClickHouse(home.clickhouse, port, home.passwords()) as server:
        yield server


def build(home: Home, port: int, size: Size) -> None:
    """Fill the home's database, unless it is filled already."""
    mark = home.path / f"filled-{size.points}"
    if mark.exists():
        return
    began = time.perf_counter()
    print(f"storing {size.points:,} points in {home.path} …", flush=True)
    with engine(home, port) as server:
        client = connect(server.url())
        migrate(client)
        fill(Writer(client), size, lambda line: print(line, flush=True))
        parts = "SELECT sum(active_parts) FROM system.tables WHERE database = currentDatabase()"
        before, deadline = -1, time.monotonic() + SETTLE_S
        while (now := client.query(parts).result_rows[0][0]) != before and time.monotonic() < deadline:
            before = now
            time.sleep(5)
        client.close()
    mark.touch()
    print(f"  took {time.perf_counter() - began:.0f} s", flush=True)


def sizes(server: ClickHouse) -> list[Figure]:
    client = connect(server.url())
    sql = (
        "SELECT name, total_rows, total_bytes FROM system.tables WHERE database = currentDatabase() AND total_bytes > 0"
    )
    tables = {name: (rows, size) for name, rows, size in client.query(sql).result_rows}
    client.close()
    points, raw = tables["points"]
    return [
        Figure("points", points, "points"),
        Figure("bytes per point, raw", raw / points, "bytes", 5.0),
        Figure("bytes per point, with everything else", sum(size for _, size in tables.values()) / points, "bytes"),
    ]


def warm(client: Client, question: Question, rounds: int) -> list[float]:
    """Milliseconds of each round, all of which were asked before: their files are in memory."""
    for number in range(rounds):
        question.ask(client, number)
    return [_timed(client, question, number) for number in range(rounds)]


def cold(home: Home, port: int, question: Question, number: int) -> float:
    """Milliseconds of the first question to an engine that was just started, its files not in memory."""
    forget(home.clickhouse)
    with engine(home, port) as server, Client(server.url("reader")) as client:
        return _timed(client, question, number)


def _timed(client: Client, question: Question, number: int) -> float:
    began = time.perf_counter()
    question.ask(client, number)
    return (time.perf_counter() - began) * 1000


def forget(folder: Path) -> None:
    """Let the system drop these files from its page cache."""
    for path in folder.rglob("*"):
        if path.is_file():
            fd = os.open(path, os.O_RDONLY)
            try:
                os.fsync(fd)
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(fd)


class Analysts:
    """People who ask one query after the other, as fast as they are answered."""

    def __init__(self, url: str, n: int, size: Size) -> None:
        self.ms: list[float] = []
        self.refused = 0
        self._url, self._size = url, size
        self._end = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(n)]

    def _ask(self, number: int) -> None:
        asked = number
        with Client(self._url) as client:
            while not self._end.is_set():
                began = time.perf_counter()
                name = list(SQL)[asked % len(SQL)]
                run = ref(asked * 13 % self._size.sweep_runs).partition("/")[2]
                try:
                    client.sql(SQL[name], {"run": run} if name == "curve" else None)
                    self.ms.append((time.perf_counter() - began) * 1000)
                except StorageError:
                    self.refused += 1
                asked += 1

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()


def under_load(home: Home, size: Size, analysts: int, rate: int, seconds: float) -> list[Figure]:
    """Trainers log at `rate` points/s through the whole stack, first alone, then while analysts ask."""
    stack = Stack(home.path, {})
    mark = f"{time.time_ns():x}"
    try:
        alone = freshness.run(stack, f"alone-{mark}", rate, seconds, 4)
        print(f"ingest of {rate:,} points/s alone: {alone}", flush=True)
        with Analysts(stack.described()["clickhouse_analyst"], analysts, size) as people:
            busy = freshness.run(stack, f"busy-{mark}", rate, seconds, 4)
        print(f"... with {analysts} analysts: {busy}; {len(people.ms)} answers, {people.refused} refused", flush=True)
    finally:
        stack.down()
    p50, p95 = np.quantile(people.ms, (0.5, 0.95))
    return [
        Figure(f"log to SELECT at {rate:,} points/s, p50, nobody asks", alone.p50_s, "s"),
        Figure(f"log to SELECT at {rate:,} points/s, p99, nobody asks", alone.p99_s, "s"),
        Figure(f"log to SELECT at {rate:,} points/s, p50, {analysts} analysts", busy.p50_s, "s"),
        Figure(f"log to SELECT at {rate:,} points/s, p99, {analysts} analysts", busy.p99_s, "s"),
        Figure(f"queries of {analysts} analysts meanwhile", len(people.ms) / seconds, "queries/s"),
        Figure("... answered in, p50", float(p50), "ms"),
        Figure("... answered in, p95", float(p95), "ms"),
    ]


def figures_of(question: Question, warm_ms: Sequence[float], cold_ms: Sequence[float]) -> list[Figure]:
    found = [
        Figure(f"{question.name}, p50", float(np.quantile(warm_ms, 0.5)), "ms", None, min(warm_ms), max(warm_ms)),
        Figure(f"{question.name}, p95", float(np.quantile(warm_ms, 0.95)), "ms", question.budget_ms),
    ]
    return [*found, Figure.of(f"{question.name}, cold", cold_ms, "ms")] if cold_ms else found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    parser.add_argument("--home", type=Path, help="a folder that keeps the data for the next time")
    parser.add_argument(
        "--scale", type=float, default=1.0, help="of the data: 1 is 101 M points, about 3 minutes to store"
    )
    parser.add_argument("--rounds", type=int, default=30, help="warm askings of each question")
    parser.add_argument("--cold-rounds", type=int, default=3)
    parser.add_argument("--analysts", type=int, default=32, help="0: leave them out")
    parser.add_argument("--rate", type=int, default=20_000, help="points/s that are logged meanwhile")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--only", default="", help="questions whose name contains this")
    args = parser.parse_args()

    size = Size.of(args.scale)
    asked = [question for question in questions(size) if args.only in question.name]
    with tempfile.TemporaryDirectory(prefix="runtide-queries-", ignore_cleanup_errors=True) as folder:
        home = Home.find(args.home or folder)
        home.prepare()
        port = free_port_base()
        build(home, port, size)
        with engine(home, port) as server:
            figures = sizes(server)
            with Client(server.url("reader")) as client:
                warm_ms = {question.name: warm(client, question, args.rounds) for question in asked}
        for question in asked:
            cold_ms = [cold(home, port, question, number) for number in range(args.cold_rounds)]
            figures += figures_of(question, warm_ms[question.name], cold_ms)
        if args.analysts:
            figures += under_load(home, size, args.analysts, args.rate, args.seconds)
    report(f"queries on {size.points:,} points", figures, as_json=args.json)


if __name__ == "__main__":
    main()
