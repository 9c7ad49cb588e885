"""However often the worker is killed, the same alerts are raised, and none of them twice."""

import os
import pickle
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from runtide_storage import Client
from tests.fixtures.alert_replay import as_batches
from tests.fixtures.families import Training, family, interleaved
from tests.fixtures.storage import Engine

RUNS = 200
STEPS = 240
KILLS = 30
START_NS = time.time_ns() - 30 * 10**9  # nobody is told of runs that ended long ago
ALERTS = """
SELECT run_id, metric, kind, severity, state, step, JSONExtractFloat(detail, 'statistic') AS statistic
FROM v_alerts ORDER BY run_id, metric, kind
"""
VERDICTS = "SELECT run_id, metric, verdict, value, effect FROM v_verdicts ORDER BY run_id, metric"


def trainings() -> list[Training]:
    """Two thirds healthy; the others worse, a little worse, broken, slower, better, or only worse for a while."""
    kinds: list[dict[str, Any]] = [
        {"worse": 1.3}, {"worse": 1.06, "onset": 0.2}, {"nan_at": 120}, {"step_s": 0.13}, {"worse": 0.8},
        {"worse": 1.3, "until": 0.5},
    ]  # fmt: skip
    return [
        Training(f"r{i:03d}", i, start_ns=START_NS, steps=STEPS, **({} if i % 3 else kinds[i // 3 % len(kinds)]))
        for i in range(RUNS)
    ]


def start(folder: Path, url: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.fixtures.alert_replay", str(folder), url],
        cwd=Path(__file__).parents[2], stdin=subprocess.DEVNULL, stderr=(folder / "log").open("ab"),
    )  # fmt: skip


def finished(process: subprocess.Popen[bytes], folder: Path) -> None:
    try:
        assert process.wait(120) == 0, (folder / "log").read_text()[-2000:]
    finally:
        process.kill()


def record(folder: Path, stream: Any, size: int) -> Path:
    folder.mkdir()
    (folder / "batches").write_bytes(pickle.dumps(as_batches(stream, size)))
    return folder


def outcome(database: Engine) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    client = Client(database.url("analyst"))
    return client.sql(ALERTS).to_pylist(), client.sql(VERDICTS).to_pylist()


@pytest.fixture(scope="module")
def expected(clickhouse: Engine, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Alerts and verdicts without any kill."""
    from tests.fixtures.storage import fresh_database

    folder = tmp_path_factory.mktemp("unharmed")
    with fresh_database(clickhouse) as database:
        for name, stream in (("before", interleaved(family(8, steps=STEPS))), ("runs", interleaved(trainings()))):
            place = record(folder / name, stream, 40)
            finished(start(place, database.url()), place)
        return outcome(database)


def test_the_reference_is_worth_something(expected: Any) -> None:
    alerts, verdicts = expected
    kinds = Counter(row["kind"] for row in alerts)
    assert {"nan", "throughput", "improvement"} < kinds.keys()
    assert sum(row["severity"] == "page" and row["state"] == "open" for row in alerts) > 20
    assert sum(row["state"] == "resolved" for row in alerts) > 5
    healthy = {f"r{i:03d}" for i in range(RUNS) if i % 3}
    paged = {row["run_id"] for row in alerts if row["severity"] == "page"}
    assert len(paged & healthy) <= 2
    assert len([row for row in verdicts if row["metric"] == "" and row["run_id"].startswith("r")]) == RUNS


@pytest.mark.timeout(600)
def test_killed_thirty_times(database: Engine, expected: Any, tmp_path: Path) -> None:
    place = record(tmp_path / "before", interleaved(family(8, steps=STEPS)), 40)
    finished(start(place, database.url()), place)
    place = record(tmp_path / "runs", interleaved(trainings()), 8)  # other batches than the reference had
    chance = random.Random(30)
    for _ in range(KILLS):
        process = start(place, database.url())
        time.sleep(chance.uniform(0.5, 2.5))
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
        process.wait()
    finished(start(place, database.url()), place)

    alerts, verdicts = outcome(database)
    assert alerts == expected[0]
    assert verdicts == expected[1]
    assert len({(row["run_id"], row["metric"], row["kind"]) for row in alerts}) == len(alerts)
    told = Counter(line for line in (place / "published").read_text().splitlines())
    assert max(told.values()) <= 3  # at least once: a death between topic and table says it again, under the same id
