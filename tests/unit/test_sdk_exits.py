"""How a run ends when its process does, and that it never gets in the way of that."""

import signal
from pathlib import Path
from typing import Any

import pytest

import runtide
from tests.fixtures.journals import BARE, journal, journals, run_python

START = "import os, signal, sys, threading, time, runtide\nrun = runtide.init('exits')\nrun.log({'x': 1.0})\n"


def finish(directory: Path) -> dict[str, Any]:
    events = journal(directory).events("finish")
    return events[0] if events else {}


@pytest.mark.parametrize(
    ("ending", "code", "state", "exit_code", "error"),
    [
        ("", 0, "finished", 0, None),
        ("run.finish()", 0, "finished", 0, None),
        ("run.finish(3)", 0, "failed", 3, None),
        ("sys.exit(0)", 0, "finished", 0, None),
        ("sys.exit(3)", 3, "failed", 3, None),
        ("sys.exit('words')", 1, "failed", 1, None),
        ("raise ValueError('boom')", 1, "failed", 1, "ValueError: boom"),
        ("raise KeyboardInterrupt", -signal.SIGINT, "failed", 130, "KeyboardInterrupt"),
        ("os.kill(os.getpid(), signal.SIGINT); time.sleep(5)", -signal.SIGINT, "failed", 130, "KeyboardInterrupt"),
        ("raise ValueError('password=hunter2')", 1, "failed", 1, "password=***"),
        ("try: sys.exit(3)\nexcept SystemExit: pass\nrun.log({'x': 2.0})", 0, "finished", 0, None),
        ("t = threading.Thread(target=sys.exit, args=(3,)); t.start(); t.join()", 0, "finished", 0, None),
        ("with run: raise SystemExit(4)", 4, "failed", 4, None),
        ("with run:\n  raise ValueError('inside')", 1, "failed", 1, "ValueError: inside"),
        ("try:\n  with run: 1 / 0\nexcept ZeroDivisionError: pass", 0, "failed", 1, "ZeroDivisionError"),
        ("signal.signal(signal.SIGTERM, lambda *_: sys.exit(143)); os.kill(os.getpid(), signal.SIGTERM)", 143, "failed",
         143, None),
    ],
)  # fmt: skip
def test_endings(tmp_path: Path, ending: str, code: int, state: str, exit_code: int, error: str | None) -> None:
    output = run_python(START + ending, tmp_path, exit_code=code)
    found = finish(tmp_path)
    assert (found["state"], found["exit_code"]) == (state, exit_code)
    assert found["error"] is None if error is None else error in found["error"]
    assert "hunter2" not in str(found)
    if error and "Error" in error and "except" not in ending:
        assert "Traceback" in output  # Python's own message is still there


@pytest.mark.parametrize("ending", ["os._exit(0)", "os.kill(os.getpid(), signal.SIGKILL)", "os.kill(os.getpid(), 15)"])
def test_endings_without_a_goodbye(tmp_path: Path, ending: str) -> None:
    run_python(START + ending, tmp_path, exit_code=None)
    assert journal(tmp_path).points("x") == [(0, 1.0)]
    assert finish(tmp_path) == {}


def test_other_hooks_are_called_too(tmp_path: Path) -> None:
    script = f"import sys\nsys.excepthook = lambda *_: print('mine')\n{START}raise ValueError"
    assert "mine" in run_python(script, tmp_path, exit_code=1)
    assert finish(tmp_path)["state"] == "failed"


def test_a_forked_child_that_is_silent_is_nobody(tmp_path: Path) -> None:
    script = START + "if os.fork() == 0: sys.exit(7)\nos.wait(); run.log({'x': 2.0})"
    run_python(script, tmp_path)
    assert journal(tmp_path).points("x") == [(0, 1.0), (1, 2.0)]
    assert finish(tmp_path)["state"] == "finished"


def test_a_forked_child_that_logs_is_a_writer_of_its_own(tmp_path: Path) -> None:
    script = START + (
        "for child in range(3):\n"
        "  if os.fork() == 0:\n"
        "    for step in range(100): run.log({'child': float(step)}, step=step)\n"
        "    sys.exit(0) if child else os._exit(0)\n"
        "for child in range(3): os.wait()\n"
        "run.log({'x': 2.0})\n"
    )
    run_python(script, tmp_path)
    parent, *children = journals(tmp_path)
    assert parent.points("x") == [(0, 1.0), (1, 2.0)] and parent.points("child") == []
    assert len(parent.events("finish")) == 1 and not parent.header.join
    assert len(children) == 3
    for child in children:
        assert child.header.join and child.header.pid != parent.header.pid
        assert child.lines[0]["e"] == "start"
        assert child.points("child") == [(step, float(step)) for step in range(100)]
    assert sorted(len(child.events("finish")) for child in children) == [0, 1, 1]


def test_a_child_does_not_keep_its_dead_parents_lock(tmp_path: Path) -> None:
    script = START + (
        "if os.fork() == 0:\n"
        "  os.close(0); os.close(1); os.close(2); time.sleep(3); os._exit(0)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    run_python(script, tmp_path, exit_code=-9)
    from runtide.run_directory import lock_is_free

    [path] = tmp_path.glob("*/*.jsonl")
    assert lock_is_free(path)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_children_of_multiprocessing_say_goodbye(tmp_path: Path, method: str) -> None:
    script = tmp_path / "work.py"
    script.write_text(
        "import multiprocessing, os, runtide\n"
        "def work(number):\n"
        "    run = runtide.run or runtide.init('exits', id='shared')\n"
        "    for step in range(50): run.log({f'child{number}': float(step)}, step=step)\n"
        "if __name__ == '__main__':\n"
        "    run = runtide.init('exits', id='shared')\n"
        f"    context = multiprocessing.get_context('{method}')\n"
        "    children = [context.Process(target=work, args=(number,)) for number in range(2)]\n"
        "    for child in children: child.start()\n"
        "    for child in children: child.join(); assert child.exitcode == 0\n"
    )
    run_python("import subprocess, sys; subprocess.run([sys.executable, sys.argv[1]], check=True)", tmp_path, script)
    parent, *children = journals(tmp_path)
    assert sorted(len(child.metrics) for child in children) == [50, 50]
    assert all(child.header.join for child in children)
    assert all(child.events("finish")[0]["state"] == "finished" for child in children), "os._exit skips atexit"
    assert parent.events("finish")[0]["state"] == "finished"


def test_forking_while_threads_log_never_locks_up(tmp_path: Path) -> None:
    script = START + (
        "stop = threading.Event()\n"
        "def work(number):\n"
        "  step = 0\n"
        "  while not stop.is_set(): run.log({f'thread{number}': float(step)}, step=step); step += 1\n"
        "threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]\n"
        "for t in threads: t.start()\n"
        "for _ in range(30):\n"
        "  pid = os.fork()\n"
        "  if pid == 0: run.log({'child': 1.0}, step=0); os._exit(0)\n"
        "  assert os.waitpid(pid, 0)[1] == 0\n"
        "stop.set()\n"
        "for t in threads: t.join()\n"
    )
    run_python(script, tmp_path, RUNTIDE_SEGMENT_BYTES="20000")
    parent, *children = journals(tmp_path)
    assert len(children) == 30 and all(child.points("child") == [(0, 1.0)] for child in children)
    for number in range(4):
        points = parent.points(f"thread{number}")
        assert points == [(step, float(step)) for step in range(len(points))]


def test_logging_from_a_signal_handler(tmp_path: Path) -> None:
    script = START + (
        "def handler(*_): run.log({'signal': 1.0}, step=0)\n"
        "signal.signal(signal.SIGALRM, handler)\n"
        "signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)\n"
        "for step in range(20000): run.log({'x': float(step), 'y': 1.0}, step=step)\n"
        "signal.setitimer(signal.ITIMER_REAL, 0)\n"
    )
    run_python(script, tmp_path, RUNTIDE_SEGMENT_BYTES="5000")
    written = journal(tmp_path)
    assert [step for step, _ in written.points("x")][1:] == list(range(20000))
    assert len(written.points("signal")) > 10


def test_runs_that_end_are_forgotten(tmp_path: Path) -> None:
    from runtide.exits import process_end

    before = len(process_end._live)
    for _ in range(3):
        runtide.init("exits", dir=tmp_path, settings=BARE).finish()
    assert len(process_end._live) == before
