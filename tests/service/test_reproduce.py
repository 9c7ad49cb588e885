"""A run again: the code as it was, the same random numbers, and the same curves; or a word on what is otherwise."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.stack import Stack
from tests.service.test_path_story import wait_for_state

TRAIN = """
import os, random, sys, time
import numpy as np
import runtide
np.random.rand()  # from now on numpy has a generator, seeded by the system
run = runtide.init(project=sys.argv[1], group="g", config={"scale": SCALE})
run.use_dataset("numbers", sys.argv[2])
numbers = [float(line) for line in open(sys.argv[2])]
for step in range(50):
    loss = SCALE * random.random() + np.random.randn() + numbers[step % len(numbers)]
    run.log({"loss": loss, "step_time": time.perf_counter()}, step=step)
if "--odd" in sys.argv:
    run.log({"entropy": int.from_bytes(os.urandom(4), "little")})
run.finish(timeout=30)
"""


class Code:
    """A git repository with a training script, of which the last change is not committed."""

    def __init__(self, place: Path) -> None:
        self.place = place
        place.mkdir()
        self.git("init", "-q", "-b", "trunk")
        self.git("config", "user.email", "me@example.org")
        self.git("config", "user.name", "me")
        self.change(1, commit=True)
        self.change(2, commit=False)
        self.data = place.parent / "numbers.txt"
        self.data.write_text("0.25\n0.5\n")

    def git(self, *arguments: str) -> str:
        return subprocess.check_output(["git", "-C", str(self.place), *arguments], text=True).strip()

    def change(self, scale: int, *, commit: bool) -> None:
        (self.place / "train.py").write_text(TRAIN.replace("SCALE", str(scale)))
        if commit:
            self.git("add", ".")
            self.git("commit", "-q", "-m", f"scale {scale}")

    def train(self, stack: Stack, project: str, *options: str) -> str:
        """Run it from its directory; the run's name."""
        command = [sys.executable, "train.py", project, str(self.data), *options]
        env = {**stack.env, "RUNTIDE_RUN_ID": "first"}
        subprocess.run(command, cwd=self.place, env=env, check=True, capture_output=True)
        wait_for_state(stack, project, "first", "finished")
        return f"{project}/first"


def reproduce(stack: Stack, run: str, code: int, *options: str) -> dict[str, Any]:
    done = stack.runtide("reproduce", run, "--run", "--json", *options, check=False, timeout_s=180)
    assert done.returncode == code, done.stdout + done.stderr
    facts: dict[str, Any] = json.loads(done.stdout)
    return facts


def verdicts(facts: dict[str, Any]) -> dict[str, str]:
    return {row["metric"]: row["verdict"] for row in facts["metrics"]}


def test_the_same_numbers_although_nothing_was_seeded(stack: Stack, project: str, tmp_path: Path) -> None:
    code = Code(tmp_path / "code")
    run = code.train(stack, project)
    printed = stack.runtide("reproduce", run).stdout
    assert f"git checkout {code.git('rev-parse', 'HEAD')}" in printed and "train.py" in printed

    facts = reproduce(stack, run, 0)  # where it was: nothing has changed
    assert verdicts(facts) == {"loss": "same", "step_time": "clock"} and facts["same"] is True
    assert [row["n_same"] for row in facts["metrics"] if row["metric"] == "loss"] == [50]

    code.change(3, commit=True)  # life goes on: from now on in a worktree
    facts = reproduce(stack, run, 0)
    assert verdicts(facts)["loss"] == "same" and facts["otherwise"] == []
    assert "worktree" not in code.git("worktree", "list", "--porcelain").replace(f"worktree {code.place}", "")
    again = stack.client.run(facts["again"])
    assert again["tags"] == ["reproduction"] and again["config"]["scale"] == 2


def test_what_is_otherwise_is_told_before_and_after(stack: Stack, project: str, tmp_path: Path) -> None:
    code = Code(tmp_path / "code")
    run = code.train(stack, project, "--odd")
    code.data.write_text("0.25\n0.75\n")
    facts = reproduce(stack, run, 1)
    assert [each["name"] for each in facts["otherwise"]] == ["numbers"]
    assert verdicts(facts) == {"loss": "differs", "step_time": "clock", "entropy": "differs"}
    assert [row["first_step"] for row in facts["metrics"] if row["metric"] == "loss"] == [1]


def test_a_commit_that_is_not_here(stack: Stack, project: str, tmp_path: Path) -> None:
    code = Code(tmp_path / "code")
    run = code.train(stack, project)
    code.place.rename(tmp_path / "moved")
    refused = stack.runtide("reproduce", run, "--run", check=False)
    assert refused.returncode == 2 and "--repo" in refused.stderr and "Traceback" not in refused.stderr
    facts = reproduce(stack, run, 0, "--repo", str(tmp_path / "moved"), "--dir", str(tmp_path / "there"), "--keep")
    assert verdicts(facts)["loss"] == "same"
    assert (tmp_path / "there" / "code" / "train.py").read_text() == TRAIN.replace("SCALE", "2")


@pytest.mark.parametrize("options", [[], ["--run"]])
def test_no_such_run(stack: Stack, options: list[str]) -> None:
    assert stack.runtide("reproduce", "nobody/knows", *options, check=False).returncode == 2
