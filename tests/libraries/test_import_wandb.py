"""wandb's files, written by wandb itself, as runs."""

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from runtide.importing import wandb
from runtide.importing.bringing import Wishes
from runtide.importing.model import ImportFailed, Unreadable
from runtide.importing.writing import write
from tests.fixtures.import_stores import lines_of, points_of

pytest.importorskip("wandb", reason="wandb is not installed")

STEPS = 400
SCRIPT = """
import sys, wandb
run = wandb.init(project="digits", mode="offline", dir=sys.argv[1], id="abc", name="my run", group="g",
                 job_type="train", notes="words", tags=["a", "b"],
                 config={"lr": 0.1, "model": {"depth": 3}, "api_key": "hunter2"})
for step in range(int(sys.argv[2])):
    odd = {3: float("nan"), 4: float("inf"), 5: -float("inf")}.get(step, 0.1 * step)
    run.log({"loss": 1 / (step + 1), "deep": {"er": step}, "odd": odd, "text": "words", "yes": step % 2 == 0})
run.log({"late": 1e-300}, step=10_000)
run.config.update({"lr": 0.2}, allow_val_change=True)
run.summary["best"] = 0.5
if sys.argv[3] == "dies":
    import os
    os._exit(9)
run.finish(exit_code=int(sys.argv[3]))
"""


def log(folder: Path, steps: int = STEPS, ending: str = "0") -> Path:
    """The file of an offline run."""
    argv = [sys.executable, "-c", SCRIPT, str(folder), str(steps), ending]
    subprocess.run(argv, capture_output=True, timeout=120, check=ending != "dies")
    return max(folder.glob("wandb/offline-run-*/*.wandb"))


def expected(steps: int = STEPS) -> list[tuple[int, dict[str, Any]]]:
    odd = {3: math.nan, 4: math.inf, 5: -math.inf}
    return [
        (
            step,
            {"deep/er": 1.0 * step, "loss": 1 / (step + 1), "odd": odd.get(step, 0.1 * step), "yes": (step + 1.0) % 2},
        )
        for step in range(steps)
    ] + [(10_000, {"late": 1e-300})]


def history(run: wandb.WandbRun) -> list[tuple[int, dict[str, Any]]]:
    """Steps with their numbers. In the file there is no difference between 1 and 1.0."""
    return [
        (step, {name: float(value) for name, value in sorted(metrics.items())})
        for _, step, metrics in run.rows()
        if not any(name.startswith("system/") for name in metrics)
    ]


def test_an_offline_run(tmp_path: Path) -> None:
    log(tmp_path)
    [run] = wandb.runs(str(tmp_path))
    assert (run.project, run.run_id) == ("digits", "abc")
    assert repr(history(run)) == repr(expected())
    facts = run.facts()
    assert (facts.name, facts.group, facts.job_type, facts.notes, facts.tags, facts.state) == (
        "my run", "g", "train", "words", ["a", "b"], "finished",
    )  # fmt: skip
    assert facts.config == {"lr": 0.2, "model/depth": 3, "api_key": "hunter2"}
    assert facts.summary == {"best": 0.5, "text": "words"}
    assert {"python/version", "cpu/count", "hostname"} <= facts.meta.keys()
    assert 0 < facts.started_ns <= facts.ended_ns and run.lost == {}

    folder = tmp_path / "journal"
    folder.mkdir()
    write(run, None, str(folder), kind="wandb", kafka="k", fingerprint="f", adjust=Wishes().adjust)
    lines = list(lines_of(folder))
    assert "hunter2" not in str(lines)
    found = {name: points for name, points in points_of(lines).items() if not name.startswith("system/")}
    assert {name: len(points) for name, points in found.items()} == {
        **dict.fromkeys(("loss", "deep/er", "odd", "yes"), STEPS), "late": 1,
    }  # fmt: skip


def test_a_run_that_died_and_one_that_failed(tmp_path: Path) -> None:
    for name, ending, state in (("died", "dies", "killed"), ("failed", "3", "failed")):
        log(tmp_path / name, STEPS, ending)
        [run] = wandb.runs(str(tmp_path / name))
        rows = history(run)
        assert len(rows) > 0  # wandb keeps some of it in memory
        assert repr(rows) == repr(expected()[: len(rows)])
        assert run.facts().state == state


def test_a_run_that_was_resumed_is_one_run(tmp_path: Path) -> None:
    log(tmp_path, 10, "3")
    log(tmp_path, 20)
    [run] = wandb.runs(str(tmp_path))
    assert repr(history(run)) == repr(expected(10) + expected(20))
    assert run.facts().state == "finished"


def test_a_file_that_is_torn_or_broken(tmp_path: Path) -> None:
    file = log(tmp_path)
    [run] = wandb.runs(str(file))
    whole, data = history(run), file.read_bytes()
    assert len(data) > 64 << 10  # several blocks
    for size in (len(data) // 3, 32 << 10, (32 << 10) + 3, len(data) - 1):
        file.write_bytes(data[:size])
        rows = history(run)
        assert 0 < len(rows) <= len(whole) and repr(rows) == repr(whole[: len(rows)]) and run.lost == {}
    broken = bytearray(data)
    broken[len(data) // 2] ^= 0xFF
    file.write_bytes(broken)
    assert set(map(repr, history(run))) <= set(map(repr, whole)) and run.lost == {"broken records": 1}
    for rubbish in (b"", b"nothing of wandb's", data[:7]):
        file.write_bytes(rubbish)
        [run] = wandb.runs(str(file))
        with pytest.raises(Unreadable):
            list(run.rows())


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(ImportFailed, match=r"no \*\.wandb file"):
        wandb.runs(str(tmp_path))
    with pytest.raises(ImportFailed, match="there is no"):
        wandb.runs(str(tmp_path / "nope"))
