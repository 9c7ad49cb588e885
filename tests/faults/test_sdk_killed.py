"""What `log` accepted survives SIGKILL of the trainer, whenever it comes and whatever was logged."""

import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fixtures.journals import journal, journals, run_python

AT_ONCE = 10
# Says on a pipe which call has just returned, then kills itself after the last: nothing may be missing.
KILLS_ITSELF = """
import os, signal, sys, runtide
calls, scalars, size = map(int, sys.argv[1:4])
run = runtide.init(project="kill", id=sys.argv[4], mode="offline", settings={"quiet": True, "segment_bytes": size})
for step in range(calls):
    run.log({f"m{metric}": step + metric / 1000 for metric in range(scalars)})
os.kill(os.getpid(), signal.SIGKILL)
"""
COUNTS_ALOUD = """
import os, sys, runtide
run = runtide.init(project="kill", id=sys.argv[1], mode="offline", settings={"quiet": True, "segment_bytes": 30_000})
step = 0
while True:
    run.log({"m0": float(step), "m1": -float(step)}, step=step)
    os.write(1, b"%d\\n" % step)
    step += 1
"""


def start(script: str, directory: Path, *arguments: object) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.Popen(
        command, env={"RUNTIDE_DIR": str(directory), "PATH": "/usr/bin:/bin"}, stdout=subprocess.PIPE
    )


def test_a_hundred_trainers_killed_right_after_a_call(tmp_path: Path) -> None:
    chance = random.Random(2)
    trials = [
        (chance.choice((1, 2, 7, 50, 1000)), chance.choice((1, 10, 100)), chance.choice((2_000, 64 << 20)))
        for _ in range(100)
    ]
    running: dict[int, subprocess.Popen[bytes]] = {}
    for number, trial in enumerate(trials):
        running[number] = start(KILLS_ITSELF, tmp_path / str(number), *trial, f"t{number}")
        if len(running) == AT_ONCE or number == len(trials) - 1:
            for process in running.values():
                assert process.communicate(timeout=60)[0] == b""
                assert process.returncode == -signal.SIGKILL
            running.clear()
    for number, (calls, scalars, _) in enumerate(trials):
        written = journal(tmp_path / str(number))
        assert [(step, len(values)) for step, values in written.metrics if "m0" in values] == [
            (step, scalars) for step in range(calls)
        ]
        last = f"m{scalars - 1}"
        assert written.points(last) == [(step, step + (scalars - 1) / 1000) for step in range(calls)]


def test_trainers_killed_from_outside_at_any_moment(tmp_path: Path) -> None:
    chance = random.Random(3)
    for number in range(20):
        process = start(COUNTS_ALOUD, tmp_path / str(number), f"t{number}")
        assert process.stdout is not None
        for _ in range(chance.randint(1, 2000)):
            process.stdout.readline()
        process.kill()
        said = process.stdout.read().splitlines()
        process.communicate(timeout=60)
        # The kernel may stop between two pages of a write when it kills: that call of `log` had not returned.
        written = journal(tmp_path / str(number), may_be_torn=True)
        points = written.points("m0")
        assert points == [(step, float(step)) for step in range(len(points))]
        if said:
            assert len(points) > int(said[-1])


def test_a_file_size_limit_begins_new_files(tmp_path: Path) -> None:
    """A real `ulimit -f`: Python ignores SIGXFSZ, so writes come out short or fail."""
    script = """
import resource, runtide
resource.setrlimit(resource.RLIMIT_FSIZE, (8192, resource.RLIM_INFINITY))
run = runtide.init("limits")
for step in range(2000): run.log({"x": float(step)}, step=step)
"""
    run_python(script, tmp_path)
    written = journal(tmp_path)
    assert written.points("x") == [(step, float(step)) for step in range(2000)]
    assert len(written.headers) > 10
    assert written.events("finish")[0]["state"] == "finished"


@pytest.fixture
def tiny_disk(tmp_path: Path) -> object:
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", place], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"a small disk can't be mounted here: {mounted.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def test_a_full_disk_never_stops_the_training(tiny_disk: Path) -> None:
    script = """
import os, sys, runtide
run = runtide.init("full")
for step in range(20_000): run.log({f"m{number}": step + number / 10 for number in range(10)}, step=step)
os.unlink(os.path.join(sys.argv[1], "ballast"))
run.log({"after": 1.0})
"""
    (tiny_disk / "ballast").write_bytes(b"x" * 50_000)
    output = run_python(script, tiny_disk, tiny_disk)
    assert output.count("disk full") == 1
    written = journal(tiny_disk)
    kept = [step for step, values in written.metrics if "m0" in values]
    assert kept == sorted(set(kept)) and kept[:500] == list(range(500))
    assert written.points("after") == [(20_000, 1.0)]
    assert written.events("finish")[0]["state"] == "finished"
    [drop] = [drop for drop in written.events("drops") if "disk full" in drop["reason"]]
    assert 0 <= drop["count"] - (20_000 - len(kept)) <= 15  # events about the machine may be among them


@pytest.mark.parametrize(
    "environment",
    [
        {"RUNTIDE_DIR": "/dev/null/journal"},
        {"RUNTIDE_HOME": "/dev/null/home", "RUNTIDE_DIR": ""},
        {"RUNTIDE_KAFKA": "::not,a;broker::\n"},
        {"RUNTIDE_KAFKA": "x" * 100_000},
    ],
    ids=["unwritable directory", "unwritable home", "garbage for a broker", "much garbage for a broker"],
)
def test_a_training_runs_to_its_end_whatever_is_broken(tmp_path: Path, environment: dict[str, str]) -> None:
    script = "import runtide\nrun = runtide.init('broken')\nfor _ in range(5000): run.log({'x': 1.0})\nprint('done')"
    output = run_python(script, tmp_path, exit_code=0, **environment)
    assert "done" in output and "Traceback" not in output
    for written in journals(tmp_path):
        assert len(written.points("x")) == 5000
