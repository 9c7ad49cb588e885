"""A trainer that gets SIGKILL right after a `log` returned loses nothing, and nobody has to sync anything."""

import random
import signal
import subprocess

from tests.fixtures.expect import Logged, exactly
from tests.fixtures.stack import Stack
from tests.fixtures.waiting import wait_until

TRIALS = 100
AT_ONCE = 10


def test_a_hundred_trainers_killed_right_after_log(stack: Stack, project: str) -> None:
    chance = random.Random(4)
    logged: list[Logged] = []
    going: list[subprocess.Popen[str]] = []

    def reap(trainer: subprocess.Popen[str]) -> None:
        output, _ = trainer.communicate(timeout=60)
        assert trainer.returncode == -signal.SIGKILL, output

    for trial in range(TRIALS):
        scalars = chance.choice([1, 3, 10, 100, 1000])
        calls = 1 if trial % 10 == 0 else chance.randint(1, 20_000 // scalars)
        logged.append(Logged(f"p{trial}", calls, scalars))
        arguments = ["--process", trial, "--calls", calls + 1, "--scalars", scalars, "--kill-after", calls]
        going.append(stack.trainer(project, *arguments))
        if len(going) == AT_ONCE:
            reap(going.pop(0))
    for trainer in going:
        reap(trainer)
    exactly(stack.client, project, logged)

    def states() -> dict[str, int]:
        rows = stack.client.runs(project=project, limit=1000).to_pylist()
        found: dict[str, int] = {}
        for row in rows:
            found[row["state"]] = found.get(row["state"], 0) + 1
        return found

    wait_until(lambda: states() == {"killed": TRIALS}, 60, or_else=lambda: f"the states are {states()}")
