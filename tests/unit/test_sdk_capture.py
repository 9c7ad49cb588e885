"""What is captured about code, machine and command, and that each part can be switched off."""

import json
import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import runtide
from runtide import capture, generators, system
from runtide.background import Jobs, Pulse
from runtide.settings import Settings
from tests.fixtures.journals import BARE, journal, run_python
from tests.fixtures.waiting import wait_until

SECRET = "ghp_0123456789abcdefghijKLMNOPQRST"


def collected(**switches: bool) -> dict[str, Any]:
    off = {name: False for name in BARE if name.startswith("capture_")}
    merged: dict[str, Any] = {}
    for part in capture.collect(Settings(**{**off, **switches}), None, generators.states()):  # type: ignore[arg-type]
        merged.update(part)
    return merged


def git(place: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    done = subprocess.run(["git", *identity, *arguments], cwd=place, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "code"
    place.mkdir()
    git(place, "init", "-q", "-b", "trunk")
    git(place, "remote", "add", "origin", f"https://me:{SECRET}@example.org/team/code.git")
    (place / "train.py").write_text("lr = 0.1\n")
    git(place, "add", ".")
    git(place, "commit", "-q", "-m", "first")
    monkeypatch.chdir(place)
    monkeypatch.setattr(capture, "_script", lambda: None)
    return place


def test_code_that_is_committed(repository: Path) -> None:
    assert collected(capture_git=True, capture_diff=True) | {"python/version": ""} == {
        **collected(),
        "python/version": "",
        "git/commit": git(repository, "rev-parse", "HEAD"),
        "git/root": str(repository),
        "git/branch": "trunk",
        "git/remote": "https://***@example.org/team/code.git",
        "git/dirty": False,
    }


def test_code_that_is_not_committed(repository: Path) -> None:
    (repository / "train.py").write_text(f'lr = 0.2\napi_key = "topsecret"\nurl = "https://u:pw@host/"\n# {SECRET}\n')
    found = collected(capture_git=True, capture_diff=True)
    assert found["git/dirty"] is True
    assert "+lr = 0.2" in found["git/diff"]
    assert all(secret not in found["git/diff"] for secret in ("topsecret", "pw", SECRET))
    assert "git/diff" not in collected(capture_git=True)


def test_a_huge_diff_is_cut(repository: Path) -> None:
    (repository / "train.py").write_text("x = 1\n" * 200_000)
    diff = collected(capture_git=True, capture_diff=True)["git/diff"]
    assert diff.endswith(f"(cut off at {capture.DIFF_BYTES_MAX} bytes)\n")
    assert len(diff) < capture.DIFF_BYTES_MAX + 100
    assert set(diff.splitlines()[6:-1]) == {"+x = 1"}  # no half lines: half a secret would not be known as one


def test_a_repository_can_not_make_us_run_its_programs(repository: Path) -> None:
    trap = repository.parent / "trap"
    command = f"touch {trap}; cat"
    for name in ("diff.external", "core.fsmonitor", "diff.evil.textconv", "diff.evil.command", "core.pager"):
        git(repository, "config", name, command)
    (repository / ".gitattributes").write_text("* diff=evil\n")
    (repository / "train.py").write_text("lr = 0.3\n")
    assert "lr = 0.3" in collected(capture_git=True, capture_diff=True)["git/diff"]
    assert not trap.exists()


def test_no_repository_no_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(capture, "_script", lambda: None)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert not [name for name in collected(capture_git=True, capture_diff=True) if name.startswith("git/")]
    monkeypatch.setenv("PATH", "")
    assert not [name for name in collected(capture_git=True, capture_diff=True) if name.startswith("git/")]


def test_packages_are_those_that_are_installed() -> None:
    from importlib.metadata import version

    packages = collected(capture_packages=True)["packages"]
    assert {name: packages[name] for name in ("orjson", "pytest", "numpy")} == {
        name: version(name) for name in ("orjson", "pytest", "numpy")
    }


def test_the_environment_without_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    monkeypatch.setenv("SLURM_JOB_TOKEN", "hidden-one")
    monkeypatch.setenv("TORCH_LOGS_URL", "https://u:hidden-two@h/")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden-three")
    monkeypatch.setenv("MY_OWN", "hidden-four")
    found = collected(capture_environment=True)
    assert found["env/CUDA_VISIBLE_DEVICES"] == "0,1"
    assert "hidden" not in str(found)


def test_the_random_generators_can_be_set_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    random.seed(5)
    np.random.seed(6)
    np.random.randn()  # draws two and keeps one
    found = collected(capture_seeds=True)
    expected = random.random(), *np.random.randn(3)
    assert generators.restore(found) == []
    assert (random.random(), *np.random.randn(3)) == expected
    assert generators.restore({"rng/random": {"state": "?"}, "rng/torch": ""}) == ["random", "torch"]


def test_the_first_run_of_a_process_begins_with_given_states(tmp_path: Path) -> None:
    random.seed(7)
    states = tmp_path / "states.json"
    states.write_text(json.dumps(generators.described(generators.states())))
    expected = random.random()
    script = "import random, runtide\nrun = runtide.init('p')\nrun.log({'x': random.random()})"
    run_python(script, tmp_path, RUNTIDE_GENERATORS=str(states))
    assert journal(tmp_path).points("x") == [(0, expected)]


def test_everything_is_captured_by_a_script_without_waiting(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text("import runtide\nrun = runtide.init('capture')\nrun.log({'x': 1.0})\n")
    run_python("import runpy, sys; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')",
               tmp_path, script, "--lr", "0.1", "--api-key", "hidden", CUDA_VISIBLE_DEVICES="3")  # fmt: skip
    found = journal(tmp_path).values("meta")
    assert found["argv"] == [str(script), "--lr", "0.1", "--api-key", "***"]
    assert found["python/version"] == ".".join(map(str, sys.version_info[:3]))
    assert found["hostname"] and found["platform"] and found["cpu/count"] == os.cpu_count()
    assert found["env/CUDA_VISIBLE_DEVICES"] == "3"
    assert "orjson" in found["packages"] and "rng/random" in found


def test_nothing_is_captured_that_is_switched_off(tmp_path: Path) -> None:
    runtide.init("capture", dir=tmp_path, settings=BARE).finish()
    assert sorted(journal(tmp_path).values("meta")) == [
        "hostname", "platform", "python/executable", "python/implementation", "python/version",
    ]  # fmt: skip


def test_the_machine_is_sampled(tmp_path: Path) -> None:
    settings = {**BARE, "system_interval_s": 0.3}
    run = runtide.init("capture", dir=tmp_path, settings=settings)
    wait_until(
        lambda: len(journal(tmp_path, may_be_torn=True).points("system/cpu_percent")) >= 2, 20, or_else="no samples"
    )
    run.finish()
    written = journal(tmp_path)
    steps = [step for step, values in written.metrics if "system/memory/percent" in values]
    assert steps == sorted(steps) and 0 <= steps[0] <= 10
    for name, low, high in (
        ("cpu_percent", 0, 100), ("memory/percent", 1, 100), ("process/memory_bytes", 1e6, 1e12),
        ("process/threads", 1, 1e4), ("disk/used_percent", 0, 100), ("network/sent_bytes", 0, 1e15),
    ):  # fmt: skip
        assert all(low <= value <= high for _, value in written.points(f"system/{name}")), name


def test_only_the_first_writer_of_a_host_samples_it(tmp_path: Path) -> None:
    first = runtide.init("capture", id="one", dir=tmp_path, settings={**BARE, "system_interval_s": 15})
    second = runtide.Run(first._settings)
    assert first._writer._system_pulse._thread is not None
    assert second._writer._system_pulse._thread is None
    second.finish()
    first.finish()


def test_gpus_are_none_where_there_are_none() -> None:
    if not os.path.exists("/dev/nvidiactl"):
        assert system.gpu_handles() == []
        assert "gpu/count" not in system.describe_hardware()


def test_heartbeats_and_drops_are_reported_on_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtide._writer.HOUSEKEEPING_INTERVAL_S", 0.1)
    run = runtide.init("capture", dir=tmp_path, settings={**BARE, "heartbeat_interval_s": 0.1})
    run.log({"bad": object()})
    wait_until(lambda: len(journal(tmp_path, may_be_torn=True).events("heartbeat")) >= 3, 20, or_else="no heartbeats")
    wait_until(lambda: journal(tmp_path, may_be_torn=True).events("drops") != [], 20, or_else="no drops")
    run.finish()
    assert journal(tmp_path).events("drops") == [{"count": 1, "reason": "a value that is not a number"}]


def test_jobs_are_done_in_order_and_survive_bad_ones(caplog: pytest.LogCaptureFixture) -> None:
    done: list[int] = []
    jobs = Jobs("test")
    for number in range(100):
        jobs.submit(lambda number=number: done.append(number))  # type: ignore[misc]
        if number % 10 == 0:
            jobs.submit(lambda: 1 / 0)
    assert jobs.wait(10)
    assert done == list(range(100))
    assert caplog.records
    blocked = threading.Event()
    jobs.submit(lambda: blocked.wait(10))
    assert not jobs.wait(0.05)
    blocked.set()
    assert jobs.wait(10)


def test_a_pulse_stops(caplog: pytest.LogCaptureFixture) -> None:
    beats: list[float] = []
    pulse = Pulse("test")
    pulse.every(0.01, lambda: beats.append(time.monotonic()), 0.0)
    pulse.every(0.01, lambda: 1 / 0)
    pulse.start()
    wait_until(lambda: len(beats) > 5, 10, or_else="no beats")
    pulse.stop()
    assert pulse._thread is not None
    pulse._thread.join(10)
    assert not pulse._thread.is_alive()
