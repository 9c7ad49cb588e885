"""The training processes of the fault campaign: a steady crowd, and families in which some runs get worse."""

from __future__ import annotations

import os
import random
import signal
import struct
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from runtide_storage.ids import key_id, run_key
from tests.fixtures.trainer import LOSS, ONSET
from tests.fixtures.workers import PROJECT

ROOT = Path(__file__).parents[1]
FAMILY_PROJECT, GROUP, TAG = "family", "nightly", "baseline"
SCALARS = 10  # of one of the crowd, in each call
STEPS, STEPS_PER_S, WORSE = 100, 3.0, 1.3  # of a run of a family
BASELINES = 8
STEADY_KEYS = [key_id(f"m{number}") for number in range(SCALARS)]
LOSS_KEY = key_id(LOSS)
FOUND_BY = 0.3  # of the steps after the onset: killed later than that, a run must have been found


@dataclass(eq=False)
class Producer:
    """One process, and what is known of it. `number` makes its values its own."""

    number: int
    is_family: bool
    worse: float
    process: subprocess.Popen[bytes]
    tally: Path
    killed: bool = False

    @property
    def run_id(self) -> str:
        return f"{'f' if self.is_family else 'p'}{self.number}"

    @property
    def run(self) -> int:
        return run_key(FAMILY_PROJECT if self.is_family else PROJECT, self.run_id)

    @property
    def scalars(self) -> int:
        return 1 if self.is_family else SCALARS

    def accepted(self) -> int:
        """How many of its calls of log have returned. Killed in between, one more may have been written."""
        try:
            data = self.tally.read_bytes()
        except FileNotFoundError:
            return 0
        return int(struct.unpack("<q", data)[0]) if len(data) == 8 else 0

    def pages(self) -> tuple[int, int]:
        """How many incidents must be paged, at least and at most: it may have died in the middle of the regression."""
        if not self.is_family or self.worse == 1.0 or (calls := self.accepted()) <= ONSET * STEPS:
            return 0, 0
        return (1 if not self.killed or calls >= (ONSET + FOUND_BY) * STEPS else 0), 1


class Producers:
    """`slots` processes at any time, `families` of them in short runs of a family: who ends is followed by another."""

    def __init__(self, home: Path, kafka: str, slots: int, families: int, calls_per_s: float, seed: int) -> None:
        self.home, self.kafka, self.slots, self.families = home, kafka, slots, families
        self.calls_per_s = calls_per_s  # of one of the crowd
        self.all: list[Producer] = []
        self.alive: list[Producer] = []
        self._chance = random.Random(seed)
        self._end = home / "end"
        self._folder = home / "producers"  # no repository: commits of this one must not tell runs apart
        self._folder.mkdir()

    def baselines(self) -> list[Producer]:
        """Start what the families are compared with: runs that go well, marked so that they stay the baseline."""
        return [self._start(is_family=True, worse=1.0, tag=TAG) for _ in range(BASELINES)]

    def tend(self) -> None:
        """See to it that all slots are filled. Raises AssertionError if a process failed by itself."""
        for each in [each for each in self.alive if each.process.poll() is not None]:
            self.alive.remove(each)
            code = each.process.returncode
            assert code == 0 or (each.killed and code == -signal.SIGKILL), f"{each.run_id} ended with {code}"
        if self._end.exists():
            return
        while sum(each.is_family for each in self.alive) < self.families:
            self._start(is_family=True, worse=WORSE if self._chance.random() < 1 / 3 else 1.0)
        while len(self.alive) < self.slots:
            self._start(is_family=False)

    def kill(self, pick: float) -> Producer:
        """SIGKILL one; `tend` starts another process in its place."""
        victim = self.one(pick)
        victim.killed = True
        victim.process.kill()
        victim.process.wait()
        return victim

    def one(self, pick: float) -> Producer:
        return self.alive[int(pick * len(self.alive))]

    def finish(self) -> None:
        """Let all come to their end: the crowd soon, families after their last step."""
        self._end.touch()

    def destroy(self) -> None:
        for each in self.all:
            if each.process.poll() is None:
                each.process.kill()
            each.process.wait()

    def _start(self, *, is_family: bool, worse: float = 1.0, tag: str = "") -> Producer:
        number = len(self.all)
        tally = self._folder / f"{number}.tally"
        words: list[object] = ["--process", number, "--tally", tally]
        if is_family:
            words += ["--project", FAMILY_PROJECT, "--run", f"f{number}", "--group", GROUP, "--worse", worse]
            words += ["--calls", STEPS, "--rate", STEPS_PER_S, *(["--tag", tag] if tag else [])]
        else:
            words += ["--project", PROJECT, "--calls", 10**9, "--rate", self.calls_per_s, "--until", self._end]
        env = {name: text for name, text in os.environ.items() if not name.startswith("RUNTIDE_")}
        env |= {"RUNTIDE_KAFKA": self.kafka, "RUNTIDE_DIR": str(self.home / "journal"), "PYTHONPATH": str(ROOT)}
        with (self.home / "producers.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.fixtures.trainer", *map(str, words)],
                cwd=self._folder, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        made = Producer(number, is_family, worse, process, tally)
        self.all.append(made)
        self.alive.append(made)
        return made
