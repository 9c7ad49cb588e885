"""`runtide exec`: any command as a run."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from runtide.execute import execute
from tests.fixtures.journals import BARE, journal, journals
from tests.fixtures.waiting import wait_until


def tracked(tmp_path: Path, *argv: str) -> int:
    return execute(argv, project="exec", dir=tmp_path, settings=BARE)


def test_output_passes_through_and_is_kept(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert tracked(tmp_path, "sh", "-c", "echo hello; echo API_KEY=hidden >&2; exit 3") == 3
    output = capfd.readouterr()
    assert (output.out, output.err) == ("hello\n", "API_KEY=hidden\n")
    written = journal(tmp_path)
    meta = written.values("meta")
    assert (meta["exec/exit_code"], meta["exec/stdout_tail"], meta["exec/stderr_tail"]) == (
        3,
        "hello\n",
        "API_KEY=***\n",
    )
    assert meta["exec/argv"][:2] == ["sh", "-c"] and "hidden" not in str(written.lines)
    assert written.events("finish") == [{"state": "failed", "exit_code": 3, "error": None}]


def test_a_command_that_succeeds(tmp_path: Path) -> None:
    assert tracked(tmp_path, "true") == 0
    assert journal(tmp_path).events("finish") == [{"state": "finished", "exit_code": 0, "error": None}]
    assert journal(tmp_path).events("start")[0]["name"] == "true"


def test_only_the_end_of_much_output_is_kept(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert tracked(tmp_path, sys.executable, "-c", "for i in range(100_000): print(i)") == 0
    assert len(capfd.readouterr().out.splitlines()) == 100_000
    tail = journal(tmp_path).values("meta")["exec/stdout_tail"]
    assert tail.endswith("99998\n99999\n") and len(tail) <= 32 << 10


def test_a_command_that_a_signal_ends(tmp_path: Path) -> None:
    assert tracked(tmp_path, "sh", "-c", "kill -KILL $$") == 137
    assert journal(tmp_path).values("meta")["exec/signal"] == "SIGKILL"
    assert journal(tmp_path).events("finish") == [{"state": "failed", "exit_code": 137, "error": "ended by SIGKILL"}]


@pytest.mark.parametrize(("command", "code"), [("no-such-command", 127), ("/", 126)])
def test_a_command_that_can_not_be_run(
    tmp_path: Path, command: str, code: int, capfd: pytest.CaptureFixture[str]
) -> None:
    assert tracked(tmp_path, command) == code
    assert command in capfd.readouterr().err
    assert journal(tmp_path).events("finish")[0]["state"] == "failed"


def test_a_script_that_uses_runtide_joins_the_run(tmp_path: Path) -> None:
    script = "import runtide\nrun = runtide.init('another')\nrun.log({'inner': 1.0})"
    assert tracked(tmp_path, sys.executable, "-c", script) == 0
    outer, inner = journals(tmp_path)
    assert (inner.header.project, inner.header.run) == (outer.header.project, outer.header.run)
    assert inner.header.join and not outer.header.join
    assert inner.points("inner") == [(0, 1.0)]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_go_to_the_command(tmp_path: Path, number: signal.Signals) -> None:
    ready = tmp_path / "ready"
    inner = (
        "import pathlib, signal, sys, time\n"
        f"signal.signal({int(number)}, lambda *_: sys.exit(42))\n"
        f"pathlib.Path({str(ready)!r}).touch()\n"
        "for _ in range(3000): time.sleep(0.01)\n"  # a signal just before a long sleep would wait for its end
    )
    outer = "import sys; from runtide.execute import execute; sys.exit(execute(sys.argv[1:], project='exec'))"
    env = {**os.environ, "RUNTIDE_DIR": str(tmp_path / "journal"), "RUNTIDE_MODE": "offline"}
    command = [sys.executable, "-c", outer, sys.executable, "-c", inner]
    process = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until(ready.exists, 30, or_else="the command does not run")
    process.send_signal(number)
    assert process.wait(30) == 42
    assert journal(tmp_path / "journal").events("finish")[0]["exit_code"] == 42


def test_a_reader_that_goes_away_does_not_stop_the_command(tmp_path: Path) -> None:
    outer = "import sys; from runtide.execute import execute; sys.exit(execute(sys.argv[1:], project='exec'))"
    inner = "import sys, time\nfor i in range(20_000): print('x' * 100)\nsys.exit(5)"
    env = {**os.environ, "RUNTIDE_DIR": str(tmp_path), "RUNTIDE_MODE": "offline"}
    process = subprocess.Popen(
        [sys.executable, "-c", outer, sys.executable, "-c", inner],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    time.sleep(0.01)
    process.wait(30)
    assert journal(tmp_path).events("finish")[0]["exit_code"] == 5
