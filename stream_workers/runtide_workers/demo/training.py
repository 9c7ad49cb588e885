"""Train the whole plan in processes of their own, a few at a time, and watch what each has logged."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from . import counted
from .plan import Training

KILL_AT = 0.4  # of its steps: the victim dies in mid-training
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}  # several share the cores
EXPECTED_EXIT = {"finished": 0, "failed": 1, "killed": -signal.SIGKILL}


@dataclass
class Trainee:
    """One process of the plan, from before its start until after its end."""

    training: Training
    run_id: str
    folder: Path
    process: subprocess.Popen[bytes] | None = None
    count: counted.Count = field(default_factory=lambda: counted.Count(0, 0, -1))
    exit_code: int | None = None

    @property
    def record(self) -> Path:
        return self.folder / f"{self.run_id}.count"

    @property
    def output(self) -> Path:
        return self.folder / f"{self.run_id}.out"

    @property
    def as_planned(self) -> bool:
        return self.exit_code == EXPECTED_EXIT[self.training.fate]

    def start(self, environment: Mapping[str, str]) -> None:
        command = [sys.executable, "-m", "runtide_workers.demo.counted", str(self.record), *self.training.command()]
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                command,
                env={**environment, **ONE_THREAD, "RUNTIDE_RUN_ID": self.run_id},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def look(self) -> None:
        """Bring `count` and `exit_code` up to date; kill the victim when its time has come."""
        if self.process is None:
            return
        self.exit_code = self.process.poll()
        self.count = counted.read(self.record)
        if self.training.fate == "killed" and self.count.step >= KILL_AT * self.training.steps:
            self.process.kill()
            self.exit_code = self.process.wait()
            self.count = counted.read(self.record)


Watch = Callable[[Sequence[Trainee]], None]


def train(
    trainees: Sequence[Trainee], at_once: int, watch: Watch, environment: Mapping[str, str], period_s: float = 0.1
) -> None:
    """Run all of `trainees`, at most `at_once` at a time; `watch` is called with all of them every `period_s`.

    No process outlives this call, whatever ends it.
    """
    waiting = list(trainees)
    try:
        while waiting or any(trainee.exit_code is None for trainee in trainees):
            for trainee in trainees:
                if trainee.exit_code is None:
                    trainee.look()
            training = sum(t.process is not None and t.exit_code is None for t in trainees)
            while waiting and training < at_once:
                waiting.pop(0).start(environment)
                training += 1
            watch(trainees)
            time.sleep(period_s)
    finally:
        for trainee in trainees:
            if trainee.process is not None and trainee.process.poll() is None:
                trainee.process.kill()
                trainee.process.wait()


@contextmanager
def progress() -> Iterator[Watch]:
    """A way to show progress: one bar per process on a terminal, a line every few seconds elsewhere."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

    console = Console()
    if not console.is_terminal:
        yield lines()
        return
    tasks: dict[str, TaskID] = {}
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[state]}"),
    )
    with Progress(*columns, console=console) as bars:

        def watch(trainees: Sequence[Trainee]) -> None:
            for trainee in trainees:
                if trainee.run_id not in tasks:
                    plan = trainee.training
                    tasks[trainee.run_id] = bars.add_task(plan.name, total=plan.steps, state="")
                state = "waiting" if trainee.process is None else "training"
                if trainee.exit_code is not None:
                    state = trainee.training.fate if trainee.as_planned else f"exit {trainee.exit_code}"
                bars.update(tasks[trainee.run_id], completed=trainee.count.step + 1, state=state)

        yield watch


def lines(period_s: float = 5.0) -> Watch:
    began = said = time.monotonic()
    ended: set[str] = set()

    def watch(trainees: Sequence[Trainee]) -> None:
        nonlocal said
        now = time.monotonic()
        for trainee in trainees:
            if trainee.exit_code is not None and trainee.run_id not in ended:
                ended.add(trainee.run_id)
                fate = trainee.training.fate if trainee.as_planned else f"exit {trainee.exit_code}"
                print(f"  {now - began:5.1f} s  {trainee.training.name}: {fate} after {trainee.count.step + 1:,} steps")
        if now - said >= period_s:
            said = now
            points = sum(trainee.count.points for trainee in trainees)
            print(f"  {now - began:5.1f} s  {len(ended)} of {len(trainees)} done, {points:,} points logged", flush=True)

    return watch
