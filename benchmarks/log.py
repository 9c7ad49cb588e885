"""What logging costs the training process, beside the bare floor (orjson + os.write) measured in the same process.

Latency is measured in turns, some hundred calls of one and then of the other, so that whatever else the machine does
hits both alike. "After work" has a ~1 ms matrix product between the calls, which leaves the caches cold, as a training
does. Import, init and full speed are measured with nothing running: no broker, no stack, an unwritable directory.
The last part kills trainers right after the N-th `log` returned and counts what is in the journal.
"""

import argparse
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import orjson

import runtide
from benchmarks.report import Figure, report

BUDGETS_US = {1: 4.0, 10: 6.0, 100: 20.0}
TIMES_FLOOR = 2.0
TURN_CALLS = 200
WORK_SIZE = 320  # of the matrices: about 1 ms

IMPORT = """
import time; began = time.perf_counter(); import runtide; print((time.perf_counter() - began) * 1e3)
"""
INIT = """
import os, runtide, time
began = time.perf_counter(); runtide.init(project="bench"); took = (time.perf_counter() - began) * 1e3
os.write(1, str(took).encode()); os._exit(0)
"""
FULL_SPEED = """
import runtide, time
run = runtide.init(project="bench")
rows = [{f"m{metric}": step + metric / 1000 for metric in range(10)} for step in range(20_000)]
began = time.perf_counter()
for row in rows:
    run.log(row)
print((time.perf_counter() - began) / len(rows) * 1e6)
run.finish(timeout=0)
"""
KILLED = """
import os, signal, sys, runtide
calls, scalars = int(sys.argv[1]), int(sys.argv[2])
run = runtide.init(project="bench", id=sys.argv[3])
for step in range(calls):
    run.log({f"m{metric}": step + metric / 1000 for metric in range(scalars)})
os.kill(os.getpid(), signal.SIGKILL)
"""

Log = Callable[[dict[str, float], int], None]


def floor(path: Path) -> Log:
    """The cheapest thing that keeps a line: encode it and write it."""
    fd = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    clock, dumps, write, newline = time.time_ns, orjson.dumps, os.write, orjson.OPT_APPEND_NEWLINE

    def log(data: dict[str, float], step: int) -> None:
        write(fd, dumps({"t": clock(), "s": step, "m": data}, None, newline))

    return log


def latencies_us(log: Log, names: list[str], first: int, work: bool) -> list[float]:
    """One turn. Each call gets a new dict with new values, as training loops make them."""
    clock, found = time.perf_counter_ns, []
    left, right = np.ones((WORK_SIZE, WORK_SIZE)), np.empty((WORK_SIZE, WORK_SIZE))
    for step in range(first, first + TURN_CALLS):
        if work:
            np.matmul(left, left, out=right)
        data = {name: step * 0.001 + number * 0.37 for number, name in enumerate(names)}
        began = clock()
        log(data, step)
        found.append((clock() - began) / 1e3)
    return found


def compare(ours: Log, bare: Log, scalars: int, turns: int, work: bool) -> list[Figure]:
    names = [f"train/metric_{number:03d}" for number in range(scalars)]
    times: dict[Log, list[float]] = {ours: [], bare: []}
    for turn in range(turns + 1):
        for log in (ours, bare):
            found = latencies_us(log, names, turn * TURN_CALLS, work)
            times[log] += found if turn else []  # the first turn warms up
    what = f"log of {scalars}{', after 1 ms of work' if work else ''}"
    p50, bare_p50 = statistics.median(times[ours]), statistics.median(times[bare])
    return [
        Figure(f"{what}: p50", p50, "us", None if work else BUDGETS_US[scalars]),
        Figure(f"{what}: p99", float(np.quantile(times[ours], 0.99)), "us"),
        Figure(f"{what}: floor's p50", bare_p50, "us"),
        Figure(f"{what}: p50 / floor's p50", p50 / bare_p50, "x", TIMES_FLOOR),
    ]


def measure_log(directory: Path, turns: int) -> list[Figure]:
    run = runtide.init(project="bench", dir=directory / "journal", mode="offline", settings={"quiet": True})
    bare = floor(directory / "floor.jsonl")
    figures = []
    for work in (False, True):
        for scalars in BUDGETS_US:
            figures += compare(run.log, bare, scalars, max(3, turns // 10) if work else turns, work)
    run.finish()
    return figures


def python(script: str, directory: Path, *arguments: object, **environment: str) -> str:
    """What a script prints; its journal is in `directory` unless `environment` says otherwise."""
    known = {
        "RUNTIDE_HOME": str(directory),
        "RUNTIDE_KAFKA": "127.0.0.1:9",
        "RUNTIDE_QUIET": "1",
        "PYTHONWARNINGS": "ignore",
    }
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RUNTIDE_")}
    command = [sys.executable, "-c", script, *map(str, arguments)]
    env = {**kept, **known, **environment}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode not in (0, -signal.SIGKILL):
        raise SystemExit(f"a measured script failed: {done.stderr}")
    return done.stdout


def measure_start(directory: Path, repeat: int) -> list[Figure]:
    """Nothing runs: no broker answers, and in one case no directory can be written."""
    unwritable = {"RUNTIDE_DIR": "/dev/null/journal"}
    garbage = {"RUNTIDE_KAFKA": "::not,a;broker::"}
    figures = [Figure.of("import runtide", [float(python(IMPORT, directory)) for _ in range(repeat)], "ms", 60)]
    for what, environment in (
        ("no broker", {}),
        ("unwritable directory", unwritable),
        ("garbage RUNTIDE_KAFKA", garbage),
    ):
        took = [float(python(INIT, directory, **environment)) for _ in range(repeat)]
        figures.append(Figure.of(f"init, {what}", took, "ms", 50))
        per_call = [float(python(FULL_SPEED, directory, **environment)) for _ in range(3)]
        figures.append(Figure.of(f"mean call of 10, {what}", per_call, "us", 2 * BUDGETS_US[10]))
    return figures


def measure_kills(directory: Path, trials: int) -> Figure:
    """Trainers killed right after the N-th call: how many of all calls are not in the journal?"""
    chance, lost = random.Random(2), 0
    for trial in range(trials):
        calls, scalars = chance.choice((1, 2, 10, 100, 1000, 5000)), chance.choice((1, 10, 100))
        python(KILLED, directory, calls, scalars, f"t{trial}", RUNTIDE_SHIPPER="external")
        found = set()
        for path in (directory / "journal" / f"t{trial}").glob("*.jsonl"):
            for line in map(orjson.loads, path.read_bytes().splitlines()):
                if "m" in line and "m0" in line["m"]:
                    found.add((line["s"], len(line["m"])))
        lost += calls - len(found & {(step, scalars) for step in range(calls)})
    return Figure(f"calls lost in {trials} SIGKILL trials", lost, "calls", 0)


def end_shippers(directory: Path) -> None:
    """The scripts above have started real ones, which would go on trying to reach a broker."""
    from runtide.shipper import status

    for shipper in status.read(directory / "journal"):
        if shipper.running:
            with suppress(ProcessLookupError):
                os.kill(shipper.pid, signal.SIGTERM)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    parser.add_argument("--turns", type=int, default=100, help=f"of {TURN_CALLS} calls each")
    parser.add_argument("--repeat", type=int, default=11, help="fresh processes for import and init")
    parser.add_argument("--trials", type=int, default=100, help="SIGKILL trials")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="runtide-bench-", ignore_cleanup_errors=True) as name:
        directory = Path(name)
        try:
            figures = measure_log(directory, args.turns)
            figures += measure_start(directory, args.repeat)
            figures.append(measure_kills(directory, args.trials))
        finally:
            end_shippers(directory)
    report("log", figures, as_json=args.json)


if __name__ == "__main__":
    main()
