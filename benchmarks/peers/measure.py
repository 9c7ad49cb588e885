"""What is asked of each peer: the order of its processes, and how their answers become figures."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.peers import children
from benchmarks.peers.adapters import DOWN, PEERS
from benchmarks.peers.install import ROOT, Installed
from benchmarks.peers.protocol import Adapter
from benchmarks.peers.stage import FIRST_CALLS

SCALARS = 10  # of a call, where it isn't varied
LATENCIES = {
    f"log of {scalars}{', after 1 ms of work' if work else ''}": (scalars, work)
    for work in (True, False)
    for scalars in (1, 10, 100)
}
KILLS = {"1 ms apart": 0.001, "back to back": 0.0}  # seconds between calls
DOWN_CALLS = 100
DOWN_FACTS = {
    "init": "init_ms",
    "p50": "p50_us",
    "p99": "p99_us",
    "slowest call": "most_us",
    "finish": "finish_ms",
}
LINGER_S = 20.0  # that helpers may take to write what they hold, after their parent has ended or was killed
LIMIT_S = 300.0  # of a process; what takes longer is left out
KEPT_VARIABLES = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
IMPORT = """
import os, time
began = time.perf_counter()
{statement}
took = (time.perf_counter() - began) * 1e3
with open({result!r}, "w") as file:
    file.write('{{"import_ms": %f}}' % took)
os._exit(0)
"""

Facts = dict[str, Any]


@dataclass(frozen=True)
class Sizes:
    """How much is logged. All follow from `points`, so that a small one makes everything small."""

    points: int
    cap_s: float  # of one series of calls
    down_s: float  # that a start without a server may take

    @property
    def calls(self) -> int:
        """Of the measurements of latency."""
        return min(3000, max(1, self.points // 10))

    @property
    def killed_calls(self) -> int:
        return min(5000, max(1, self.points // SCALARS))

    @property
    def read_points(self) -> int:
        return min(100_000, self.points)


@dataclass
class Found:
    """Values of one peer by the figure's name, one per round, and what can't be said in a number."""

    values: dict[str, list[float]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, name: str, value: float | None) -> None:
        if value is not None:
            self.values.setdefault(name, []).append(float(value))


@dataclass(frozen=True)
class Place:
    """A peer and an empty folder: where one measurement happens."""

    key: str
    adapter: type[Adapter]
    python: Path
    folder: Path

    def run(self, measurement: str, *options: object, limit_s: float = LIMIT_S) -> tuple[Facts, children.Ended]:
        """Carry out one measurement of `stage` in a process of its own."""
        result = self.folder.with_suffix(".json")
        result.unlink(missing_ok=True)
        arguments = [measurement, "--folder", self.folder, "--result", result, *options]
        command = [str(self.python), "-m", "benchmarks.peers.stage", self.key, *map(str, arguments)]
        ended = children.run(command, environment(self.adapter, self.folder), self.log, limit_s, LINGER_S)
        return facts(result), ended

    def import_ms(self) -> float | None:
        result = self.folder.with_suffix(".json")
        script = IMPORT.format(statement=self.adapter.statement, result=str(result))
        command = [str(self.python), "-c", script]
        children.run(command, environment(self.adapter, self.folder), self.log, LIMIT_S, LINGER_S)
        return facts(result).get("import_ms")

    @property
    def log(self) -> Path:
        return self.folder.with_suffix(".log")

    def complaint(self) -> str:
        """The last words of what went wrong."""
        lines = self.log.read_text(errors="replace").split("\n") if self.log.exists() else []
        return next((line.strip()[:200] for line in reversed(lines) if line.strip()), "no word")


def environment(adapter: type[Adapter], folder: Path) -> dict[str, str]:
    """Nothing of the user's own: no settings, no keys, another home. Then what the adapter asks for."""
    kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    for name in ("home", "tmp"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    places = {"HOME": str(folder / "home"), "TMPDIR": str(folder / "tmp"), "PYTHONPATH": str(ROOT)}
    own = {name: value.replace("{folder}", str(folder)) for name, value in adapter.environment.items()}
    return kept | ONE_THREAD | places | own


@contextmanager
def place(key: str, installed: Installed) -> Iterator[Place]:
    """Somewhere new for `key`, a peer or a peer without its server. Gone afterwards."""
    parent = Path(tempfile.mkdtemp(prefix="runtide-peers-"))
    folder = parent / "run"
    folder.mkdir()
    try:
        yield Place(key, PEERS.get(key) or DOWN[key], installed.python, folder)
    finally:
        shutil.rmtree(parent, ignore_errors=True)


def facts(path: Path) -> Facts:
    """All lines of a result together. One that was ended in the middle has told less."""
    found: Facts = {}
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            found |= json.loads(line)
        except json.JSONDecodeError:
            break
    return found


def start(key: str, installed: Installed, _sizes: Sizes, found: Found) -> None:
    found.add("installed size", installed.size_bytes / 1e6)
    found.add("distributions", installed.distributions)
    with place(key, installed) as at:
        found.add("import", at.import_ms())
    with place(key, installed) as at:
        told, ended = at.run("start", "--scalars", SCALARS)
        _check(at, "start", told, "finish_ms", found)
        found.add("init", told.get("init_ms"))
        found.add("finish", told.get("finish_ms"))
        found.add("cpu of a short run", ended.cpu_s)
        found.add("bytes of a short run", _bytes(at.folder))


def latency(key: str, installed: Installed, sizes: Sizes, found: Found) -> None:
    for name, (scalars, work) in LATENCIES.items():
        with place(key, installed) as at:
            options = ["--scalars", scalars, "--calls", sizes.calls, "--cap", sizes.cap_s, *(["--work"] * work)]
            told, _ = at.run("latency", *options)
            if _check(at, name, told, "p99_us", found) and told["calls"] < sizes.calls:
                found.notes.append(f"{name}: only {told['calls']:,} calls in {sizes.cap_s:.0f} s")
            found.add(f"{name}: p50", told.get("p50_us"))
            found.add(f"{name}: p99", told.get("p99_us"))


def throughput(key: str, installed: Installed, sizes: Sizes, found: Found) -> None:
    """CPU and bytes are those of the points alone: what the same round's `start`, a short run, took is taken off."""
    with place(key, installed) as at:
        options = ("--scalars", SCALARS, "--calls", sizes.points // SCALARS, "--cap", sizes.cap_s)
        told, ended = at.run("throughput", *options)
        if not _check(at, "throughput", told, "points", found):
            return
        found.add("points per second", told["points"] / told["seconds"])
        more = told["points"] - FIRST_CALLS * SCALARS
        for what, total, per in (("cpu", ended.cpu_s, 1e6), ("bytes", _bytes(at.folder), 1)):
            short = found.values.get(f"{what} of a short run")
            if short and more > 0:
                found.add(f"{what} per point", (total - short[-1]) / more * per)  # below 0: lost in the noise


def kill(key: str, installed: Installed, sizes: Sizes, found: Found) -> None:
    for name, gap_s in KILLS.items():
        with place(key, installed) as at:
            options = ("--scalars", SCALARS, "--calls", sizes.killed_calls)
            _, ended = at.run("kill", *options, "--gap", gap_s)
            if ended.exit_code != -9:
                found.notes.append(f"kill, {name}: not killed by itself (exit {ended.exit_code}): {at.complaint()}")
                continue
            told, _ = at.run("recover", *options)
            _check(at, f"reading after the kill, {name}", told, "lost", found)
            found.add(f"lost, {name}", told.get("lost"))


def read(key: str, installed: Installed, sizes: Sizes, found: Found, repeat: int) -> None:
    """One run of one metric, written once."""
    if not PEERS[key].reader:
        return
    with place(key, installed) as at:
        told, _ = at.run("fill", "--calls", sizes.read_points, limit_s=LIMIT_S)
        if not _check(at, f"writing {sizes.read_points:,} points to read", told, "filled", found):
            return
        for _ in range(repeat):
            told, _ = at.run("read", "--calls", sizes.read_points)
            if _check(at, "read", told, "read_s", found) and told["found"] != sizes.read_points:
                found.notes.append(f"read: {told['found']:,} of {sizes.read_points:,} points came back")
            found.add("read", told.get("read_s"))


def down(key: str, installed: Installed, sizes: Sizes, found: Found) -> None:
    """Its server is away, from before it starts until after it has ended."""
    with place(key, installed) as at:
        options = ("--scalars", SCALARS, "--calls", DOWN_CALLS, "--cap", sizes.cap_s)
        told, ended = at.run("down", *options, limit_s=sizes.down_s)
        for name, fact in DOWN_FACTS.items():
            found.add(f"down: {name}", told.get(fact))
        if "raised" in told:
            found.notes.append(told["raised"])
        elif ended.exit_code is None:
            last = "init" if "init_ms" not in told else "log" if "p50_us" not in told else "finish"
            found.notes.append(f"{last} had not returned after {sizes.down_s:.0f} s")
        elif "finish_ms" not in told:
            found.notes.append(f"ended with exit code {ended.exit_code}: {at.complaint()}")


Part = Callable[[str, Installed, Sizes, Found], None]
ROUNDS: dict[str, Part] = {part.__name__: part for part in (start, latency, throughput, kill)}
PARTS = (*ROUNDS, read.__name__, down.__name__)


def _check(at: Place, what: str, told: Facts, wanted: str, found: Found) -> bool:
    """Did it tell what was asked? What a peer can't do is said and left out, and the others go on."""
    if wanted in told:
        return True
    found.notes.append(f"{what}: no figure: {at.complaint()}")
    print(f"{at.key}: {found.notes[-1]}", file=sys.stderr)
    return False


def _bytes(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())
