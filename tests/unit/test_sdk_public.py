"""The SDK's public face: its names, its types, what it loads, and that wandb's common calls work."""

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import runtide
from tests.fixtures.journals import BARE, journal, run_python

USAGE = Path(__file__).parents[1] / "typing" / "sdk_usage.py"


def test_all_is_what_there_is() -> None:
    assert runtide.__all__ == sorted(runtide.__all__)
    for name in set(runtide.__all__) - {"config", "summary"}:
        assert hasattr(runtide, name)


def test_signatures_are_those_of_the_design() -> None:
    assert list(inspect.signature(runtide.init).parameters) == [
        "project", "name", "id", "group", "job_type", "config", "tags", "notes", "dir", "mode", "resume", "settings",
        "wandb",
    ]  # fmt: skip
    for function in (runtide.log, runtide.Run.log):
        parameters = [name for name in inspect.signature(function).parameters if name != "self"]
        assert parameters == ["data", "step", "commit", "timestamp"]
    assert list(inspect.signature(runtide.Run.finish).parameters) == ["self", "exit_code", "timeout", "quiet"]


def test_before_init_it_says_what_to_do() -> None:
    script = """
import runtide
for call in (lambda: runtide.log({"x": 1}), lambda: runtide.config, lambda: runtide.alert("x")):
    try: call()
    except runtide.RuntideError as error: print(error)
runtide.finish()
assert runtide.run is None and not hasattr(runtide, "nonsense")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.count("call runtide.init() first") == 3


def test_import_loads_little() -> None:
    script = "import sys, runtide; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    heavy = {"aiokafka", "asyncio", "subprocess", "logging", "ssl", "numpy", "psutil", "http.client", "multiprocessing"}
    assert loaded & heavy == set()


def test_training_with_the_kafka_library_missing(tmp_path: Path) -> None:
    """The trainer itself needs none of it: neither online nor offline."""
    script = (
        "import sys; sys.modules['aiokafka'] = None\nimport runtide\nwith runtide.init('x') as run: run.log({'a': 1.0})"
    )
    run_python(script, tmp_path, RUNTIDE_MODE="online")
    assert journal(tmp_path).points("a") == [(0, 1.0)]


def test_wandb_muscle_memory(tmp_path: Path) -> None:
    import runtide as wandb

    run = wandb.init(project="memory", config={"lr": 0.1}, dir=tmp_path, name="n", tags=["t"], notes="x", settings=BARE)
    wandb.define_metric("loss", summary="min")
    wandb.log({"loss": 1.0, "lr": wandb.config.lr})
    wandb.log({"loss": 0.5}, step=7)
    wandb.log({"more": 1.0}, commit=False)
    wandb.config.update({"seed": 1}, allow_val_change=True)
    wandb.summary["best"] = 0.5
    assert wandb.run is run
    wandb.alert(title="t", text="x", level="INFO", wait_duration=1)
    wandb.finish()
    assert [step for step, _ in journal(tmp_path).metrics] == [0, 7, 8]


@pytest.mark.parametrize("checker", ["mypy"])
def test_user_code_type_checks(checker: str, tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", checker, "--strict", "--cache-dir", str(tmp_path), str(USAGE)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
