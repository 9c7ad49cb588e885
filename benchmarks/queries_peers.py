"""The same questions to Runtide, MLflow (SQLite) and Trackio (SQLite), on the same points, at a size that they bear.

Each is asked in its own process through the interface that it recommends: MLflow by `search_runs` and
`get_metric_history`, Trackio by its storage module (what its command line and dashboard use), Runtide by `Client`, over
HTTP. Points are loaded by the fastest way that each has: `log_batch`, `log` of many runs in one process, the worker's
`Writer`. Peers are installed into virtual environments of their own below `--folder`.
"""

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

RUNS, METRICS, STEPS = 200, 10, 200
PEERS = {"MLflow": ("mlflow==3.8.1", "sqlalchemy<2.1"), "Trackio": ("trackio==0.43.0",)}
QUESTIONS = ("table of all runs, 10 last values", "runs with val/acc above 0.1", "one curve", "50 curves of one metric")
ROUNDS = 7


def value(run: int, metric: int, step: int) -> float:
    """What a run logs: falls, with a wiggle of its own."""
    return 1 / (1 + step / (20 + run % 17)) + 0.01 * math.sin(run * 7 + metric * 3 + step)


def names() -> list[str]:
    return ["val/acc", *(f"train/m{number}" for number in range(1, METRICS))]


def rows(run: int) -> Iterator[dict[str, float]]:
    for step in range(STEPS):
        yield {name: value(run, number, step) for number, name in enumerate(names())}


# How to load, what to ask, and how many bytes are on disk then.
Adapter = tuple[Callable[[], None], dict[str, Callable[[], Any]], Callable[[], int]]


def of_files(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def of_mlflow(folder: Path) -> Adapter:
    import mlflow
    from mlflow.entities import Metric

    mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
    mlflow.set_experiment("e")
    client = mlflow.MlflowClient()
    ids: list[str] = []

    def load() -> None:
        for run in range(RUNS):
            with mlflow.start_run(run_name=f"r{run}") as started:
                ids.append(started.info.run_id)
                batch = [
                    Metric(k, v, 1_700_000_000_000 + step, step)
                    for step, row in enumerate(rows(run))
                    for k, v in row.items()
                ]
                for at in range(0, len(batch), 1000):
                    client.log_batch(ids[-1], metrics=batch[at : at + 1000])

    def history(run: str) -> list[Any]:
        found: list[Any] = client.get_metric_history(run, "val/acc")
        return found

    return (
        load,
        {
            QUESTIONS[0]: lambda: mlflow.search_runs(experiment_names=["e"]),
            QUESTIONS[1]: lambda: mlflow.search_runs(experiment_names=["e"], filter_string="metrics.`val/acc` > 0.1"),
            QUESTIONS[2]: lambda: history(ids[7]),
            QUESTIONS[3]: lambda: [history(run) for run in ids[:50]],
        },
        lambda: of_files(folder),
    )


def of_trackio(folder: Path) -> Adapter:
    import os

    os.environ.update(TRACKIO_DIR=str(folder), HF_HUB_OFFLINE="1", GRADIO_ANALYTICS_ENABLED="False")
    import trackio
    from trackio.sqlite_storage import SQLiteStorage

    def load() -> None:
        for run in range(RUNS):
            trackio.init(project="p", name=f"r{run}", auto_log_gpu=False, auto_log_cpu=False)
            for step, row in enumerate(rows(run)):
                trackio.log(row, step=step)
            trackio.finish()

    def asked(sql: str) -> list[Any]:
        found: list[Any] = SQLiteStorage.query_project("p", sql, max_rows=RUNS * STEPS)["rows"]
        return found

    def of(name: str) -> str:
        return f"json_extract(m.metrics, '$.\"{name}\"')"

    # Its calls for the others read whole runs and are several times slower than its SQL.
    last = "(SELECT run_name, max(step) AS step FROM metrics GROUP BY run_name) l"
    table = (
        f"SELECT m.run_name, {', '.join(of(name) for name in names())} FROM metrics m"  # noqa: S608 - own names
        f" JOIN {last} ON l.run_name = m.run_name AND l.step = m.step"
    )
    fifty = ", ".join(f"'r{run}'" for run in range(50))
    columns = f"m.run_name, m.step, {of('val/acc')}"
    curves = f"SELECT {columns} FROM metrics m WHERE m.run_name IN ({fifty}) ORDER BY 1, 2"  # noqa: S608 - own names
    return (
        load,
        {
            QUESTIONS[0]: lambda: asked(table),
            QUESTIONS[1]: lambda: asked(f"{table} WHERE {of('val/acc')} > 0.1"),
            QUESTIONS[2]: lambda: SQLiteStorage.get_metric_values("p", "r7", "val/acc"),
            QUESTIONS[3]: lambda: asked(curves),
        },
        lambda: of_files(folder),
    )


def of_runtide(folder: Path) -> Adapter:
    import numpy as np

    from runtide_storage import Client
    from runtide_storage.connect import connect
    from runtide_storage.ids import key_id, run_key, writer_key
    from runtide_storage.migrate import migrate
    from runtide_storage.writer import Touched, Writer
    from runtide_workers.embedded.clickhouse import ClickHouse
    from tests.fixtures.stack import free_port_base

    server = ClickHouse(folder, free_port_base())
    server.start()
    server.wait_ready()
    driver = connect(server.url())
    migrate(driver)
    writer, client = Writer(driver), Client(server.url("reader"))
    refs = [f"p/r{run}" for run in range(RUNS)]

    def load() -> None:
        writer.rows("metrics", [{"id": key_id(name), "name": name} for name in names()])
        ids = [run_key("p", f"r{run}") for run in range(RUNS)]
        about = {"project": "p", "attempt": 1, "rank": 0, "host": "h", "pid": 1, "started_at": 1_700_000_000_000}
        made = [
            about | {"run": key, "run_id": f"r{run}", "writer": writer_key(f"w{run}"), "writer_id": f"w{run}"}
            for run, key in enumerate(ids)
        ]
        writer.rows("writers", made)
        n = STEPS * METRICS
        for run, key in enumerate(ids):
            step = np.repeat(np.arange(STEPS), METRICS)
            values = [v for row in rows(run) for v in row.values()]
            writer.points(
                {
                    "run": np.full(n, key, np.uint64),
                    "key": np.tile(np.array([key_id(name) for name in names()], np.uint64), STEPS),
                    "step": step,
                    "ts": 1_700_000_000_000 + step,
                    "value": np.array(values),
                    "attempt": np.ones(n, np.uint16),
                    "writer": np.full(n, writer_key(f"w{run}"), np.uint64),
                    "seq": step.astype(np.uint64),
                }
            )
        writer.rollup([Touched(key) for key in ids])
        writer.refold(ids)

    def stored_bytes() -> int:
        """Of the parts that count; those that were merged into them wait some minutes for their deletion."""
        sql = "SELECT sum(total_bytes) FROM system.tables WHERE database = currentDatabase()"
        return int(str(driver.command(sql)))

    return (
        load,
        {
            QUESTIONS[0]: lambda: client.runs("p", columns=[f"last.{name}" for name in names()]).to_pandas(),
            QUESTIONS[1]: lambda: client.runs("p", "last.val/acc > 0.1").to_pandas(),
            QUESTIONS[2]: lambda: client.history(refs[7], "val/acc").to_pandas(),
            QUESTIONS[3]: lambda: client.history(refs[:50], "val/acc").to_pandas(),
        },
        stored_bytes,
    )


def child(which: str, folder: Path) -> None:
    """Load, ask, and print what it took as one line of JSON."""
    load, questions, size_bytes = {"MLflow": of_mlflow, "Trackio": of_trackio, "Runtide": of_runtide}[which](folder)
    began = time.perf_counter()
    load()
    found: dict[str, Any] = {"load_s": time.perf_counter() - began, "ms": {}}
    for name, ask in questions.items():
        ask()
        took = []
        for _ in range(ROUNDS):
            began = time.perf_counter()
            ask()
            took.append(1000 * (time.perf_counter() - began))
        found["ms"][name] = took
    found["bytes"] = size_bytes()
    print(json.dumps(found), flush=True)
    import os

    os.kill(os.getpid(), 9) if which == "Trackio" else os._exit(0)  # its threads would hold the end


def main() -> None:
    from benchmarks.report import Figure, report

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    parser.add_argument("--folder", type=Path, default=Path(".peers"), help="where peers are installed, and kept")
    args = parser.parse_args()

    points = RUNS * METRICS * STEPS
    figures = []
    for which in ("Runtide", *PEERS):
        python = sys.executable if which == "Runtide" else _installed(args.folder, which)
        with tempfile.TemporaryDirectory(prefix="runtide-peers-", ignore_cleanup_errors=True) as folder:
            argv = [python, "-m", "benchmarks.queries_peers"] if which == "Runtide" else [python, __file__]
            done = subprocess.run([*argv, "--child", which, folder], stdout=subprocess.PIPE, text=True, check=False)
            lines = [line for line in done.stdout.splitlines() if line.startswith('{"load_s"')]
            if not lines:
                print(f"{which}: exit {done.returncode}", file=sys.stderr)
                continue
            found = json.loads(lines[-1])
        figures.append(Figure(f"{which}: loading {points:,} points", found["load_s"], "s"))
        figures += [Figure.of(f"{which}: {name}", took, "ms") for name, took in found["ms"].items()]
        figures.append(Figure(f"{which}: on disk, per point", found["bytes"] / points, "bytes"))
    report(f"queries on {RUNS} runs x {METRICS} metrics x {STEPS} steps", figures, as_json=args.json)


def _installed(folder: Path, which: str) -> str:
    home = (folder / which.lower()).absolute()
    python = home / "bin" / "python"
    if not python.exists():
        print(f"installing {PEERS[which][0]} …", flush=True)
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", *PEERS[which]], check=True)
    return str(python)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2], Path(sys.argv[3]))
    else:
        main()
