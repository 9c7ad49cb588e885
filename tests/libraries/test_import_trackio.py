"""Trackio's files, written by Trackio itself, as runs."""

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from runtide.importing import trackio

pytest.importorskip("trackio", reason="Trackio is not installed")

SCRIPT = """
import sys, trackio
for name in sys.argv[1:]:
    trackio.init(project="my digits", name=name, group="g", config={"lr": 0.1, "model": {"depth": 3}})
    for step in range(60):
        odd = {3: float("nan"), 4: float("inf"), 5: -float("inf")}.get(step, 0.1 * step)
        trackio.log({"loss": 1 / (step + 1), "deep": {"er": step}, "odd": odd, "text": "words"})
    trackio.log({"late": 2.0}, step=1000)
    trackio.finish()
"""


def log(folder: Path, *names: str) -> None:
    env = {**os.environ, "TRACKIO_DIR": str(folder), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *names], env=env, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr


def test_runs_of_trackio(tmp_path: Path) -> None:
    log(tmp_path, "one", "run two")
    runs = trackio.runs(str(tmp_path))
    assert [run.facts().name for run in runs] == ["one", "run two"]
    odd = {3: math.nan, 4: math.inf, 5: -math.inf}
    expected = [
        (step, {"loss": 1 / (step + 1), "odd": odd.get(step, 0.1 * step), "deep/er": step}) for step in range(60)
    ]
    for run in runs:
        rows = [(step, metrics) for _, step, metrics in run.rows() if not any(n.startswith("system/") for n in metrics)]
        assert repr([(s, sorted(m.items())) for s, m in rows]) == repr(
            [(s, sorted(m.items())) for s, m in [*expected, (1000, {"late": 2.0})]]
        )
        facts = run.facts()
        assert (facts.group, facts.config, facts.state) == ("g", {"lr": 0.1, "model": {"depth": 3}}, "finished")
        assert 0 < facts.started_ns <= facts.ended_ns


def test_a_run_that_grew_has_another_fingerprint_and_the_same_beginning(tmp_path: Path) -> None:
    log(tmp_path, "one")
    [before] = trackio.runs(str(tmp_path))
    rows = list(before.rows())
    log(tmp_path, "two")
    assert [run.fingerprint == before.fingerprint for run in trackio.runs(str(tmp_path))] == [True, False]
    assert repr(list(before.rows())) == repr(rows)
