"""benchmarks.peers: what its figures rest on. No peer is needed: the floor stands for them, and a few scripts."""

import json
import os
import struct
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import psutil
import pytest

from benchmarks.peers import children, install, measure
from benchmarks.peers.adapters import DOWN, PEERS
from benchmarks.peers.adapters.floor import Floor
from benchmarks.peers.adapters.wandb import BLOCK_BYTES, records
from benchmarks.peers.install import Installed, find
from benchmarks.peers.measure import Found, Sizes
from benchmarks.peers.protocol import Adapter, Log, Point
from benchmarks.peers.table import Column, short, table
from benchmarks.report import Figure

HERE = Installed(Path(sys.executable), 338_000, {"orjson": "3"})
SMALL = Sizes(points=200, cap_s=5, down_s=5)


# --- what a peer says becomes figures ---------------------------------------------------------------------------------


def test_the_floor_goes_through_every_part_and_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "LATENCIES", {"log of 10": (10, False), "log of 1, after 1 ms of work": (1, True)})
    found = Found()
    for part in measure.ROUNDS.values():
        part("floor", HERE, SMALL, found)
    measure.read("floor", HERE, SMALL, found, repeat=2)
    assert found.notes == []
    assert found.values["lost, back to back"] == found.values["lost, 1 ms apart"] == [0]
    assert len(found.values["read"]) == 2
    wanted = {f"{name}: {share}" for name in measure.LATENCIES for share in ("p50", "p99")}
    wanted |= {"import", "init", "finish", "points per second", "cpu per point", "bytes per point"}
    assert wanted <= found.values.keys()
    assert 25 < found.values["bytes per point"][0] < 60  # a name, a number, and a tenth of the line's time and step


class Forgetful(Floor):
    """Writes when it likes: every tenth call, and what it holds is lost by a kill."""

    def init(self, run: str) -> Log:
        log, held = super().init(run), list[tuple[int, dict[str, float]]]()

        def later(step: int, data: dict[str, float]) -> None:
            held.append((step, data))
            if len(held) == 10:
                for each in held:
                    log(*each)
                held.clear()

        return later


class Wrong(Floor):
    """Keeps every call, but one of its values is another one."""

    def read(self, run: str, names: Iterable[str]) -> Iterator[Point]:
        for name, step, value in super().read(run, names):
            yield name, step, value + (step == 3)


@pytest.mark.parametrize(("adapter", "calls", "lost"), [(Forgetful, 27, 7), (Forgetful, 30, 0), (Wrong, 10, 1)])
def test_a_call_is_lost_unless_all_of_its_values_are_there(
    tmp_path: Path, adapter: type[Adapter], calls: int, lost: int
) -> None:
    import argparse

    from benchmarks.peers import stage

    args = argparse.Namespace(calls=calls, scalars=3, gap=0.0)
    child = os.fork()
    if child == 0:
        stage.kill(adapter(tmp_path), args, lambda: None)
        os._exit(0)  # not reached: it kills itself
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -9
    said: dict[str, int] = {}
    stage.recover(adapter(tmp_path), args, said.update)
    assert said == {"lost": lost}


def test_latency_is_of_all_calls_after_the_warm_up_or_of_those_that_fit() -> None:
    from benchmarks.peers import stage

    steps: list[int] = []
    assert len(stage.latencies_us(lambda step, _: steps.append(step), 1, 7, 60.0, None)) == 7
    assert steps == list(range(stage.WARM_UP_CALLS + 7))
    steps.clear()
    assert len(stage.latencies_us(lambda step, _: steps.append(step), 1, 7, 0.0, None)) == 1
    assert steps == [0]


def test_what_was_told_before_the_end_counts(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    assert measure.facts(path) == {}
    path.write_text('{"init_ms": 3}\n{"p50_us": 5}\n{"fini')
    assert measure.facts(path) == {"init_ms": 3, "p50_us": 5}


def test_a_peer_gets_nothing_of_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "the user's own")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://the.users.own")
    found = measure.environment(PEERS["mlflow-sqlite"], tmp_path)
    assert found["MLFLOW_TRACKING_URI"] == f"sqlite:///{tmp_path}/mlflow.db"
    assert "WANDB_API_KEY" not in found
    assert Path(found["HOME"]).is_relative_to(tmp_path)


@pytest.mark.parametrize("key", [*PEERS, *DOWN])
def test_every_peer_has_pinned_requirements(key: str) -> None:
    adapter = PEERS.get(key) or DOWN[key]
    own = install.requirements(adapter.venv)[0].read_text()
    lines = [line for line in own.splitlines() if line and not line.startswith("#")]
    assert lines == ["."] or all("==" in line for line in lines)
    assert "://" not in own and "index" not in own
    names = {line.partition("==")[0] for line in lines}
    assert adapter.distribution in (names if lines != ["."] else {"runtide"})


def test_addresses_are_of_this_machine_only() -> None:
    """No adapter names another host: not even one that can't be reached from here."""
    for adapter in [*PEERS.values(), *DOWN.values()]:
        for value in adapter.environment.values():
            host = value.partition("://")[2]
            assert not host or host.startswith(("127.0.0.1:", "{folder}", "/{folder}")), value


# --- an environment is what its requirements say ----------------------------------------------------------------------


def test_an_environment_from_other_requirements_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = tmp_path / "requirements"
    asked.mkdir()
    (asked / "floor.txt").write_text("orjson==3\n")
    monkeypatch.setattr(install, "REQUIREMENTS", asked)
    (tmp_path / "floor").mkdir()
    assert find(tmp_path, "floor") is None
    record = {"requirements": "orjson==3\n", "bytes": 7, "versions": {"orjson": "3"}}
    (tmp_path / "floor" / install.RECORD).write_text(json.dumps(record))
    there = find(tmp_path, "floor")
    assert there is not None
    assert (there.size_bytes, there.distributions) == (7, 1)
    (asked / "floor.txt").write_text("orjson==4\n")
    assert find(tmp_path, "floor") is None


# --- processes --------------------------------------------------------------------------------------------------------

BURN = "import time; began = time.process_time()\nwhile time.process_time() - began < 0.2: pass\n"
LEAVES_A_HELPER = """
import subprocess, sys
helper = subprocess.Popen([sys.executable, "-c", sys.argv[1]], start_new_session=True)
open(sys.argv[2], "w").write(str(helper.pid))
"""


def run(tmp_path: Path, script: str, *arguments: str, limit_s: float = 60, linger_s: float = 60) -> children.Ended:
    command = [sys.executable, "-c", script, *arguments]
    return children.run(command, os.environ, tmp_path / "log", limit_s, linger_s)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux gives orphans to whom asks for them")
def test_cpu_of_helpers_that_outlive_their_parent_counts(tmp_path: Path) -> None:
    ended = run(tmp_path, LEAVES_A_HELPER, BURN, str(tmp_path / "pid"))
    assert ended.exit_code == 0
    assert ended.cpu_s >= 0.2  # CPU time, not the clock's: the helper does not end before it has used it
    assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))


@pytest.mark.skipif(sys.platform != "linux", reason="as above")
def test_helpers_that_stay_are_ended(tmp_path: Path) -> None:
    stays = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_DFL); time.sleep(600)"
    assert run(tmp_path, LEAVES_A_HELPER, stays, str(tmp_path / "pid"), linger_s=0).exit_code == 0
    assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))


def test_what_else_runs_here_is_left_alone(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as bystander:
        assert run(tmp_path, LEAVES_A_HELPER, BURN, str(tmp_path / "pid")).exit_code == 0
        assert bystander.poll() is None
        bystander.kill()


def test_a_peer_that_hangs_is_ended(tmp_path: Path) -> None:
    assert run(tmp_path, "import time; time.sleep(600)", limit_s=0.2).exit_code is None


# --- wandb's files: their reader is ours, since there is none in Python -----------------------------------------------


def written(messages: list[bytes]) -> bytes:
    """LevelDB's log format: records in parts that never cross a block's end."""
    data = b":W&B\xc6\xbe\x00"
    assert len(data) == 7
    for message in messages:
        first, rest = True, message
        while True:
            room = BLOCK_BYTES - len(data) % BLOCK_BYTES
            if room < 7:
                data, room = data + bytes(room), BLOCK_BYTES
            part, rest = rest[: room - 7], rest[room - 7 :]
            kind = (1 if first else 4) if not rest else (2 if first else 3)
            data += struct.pack("<IHB", 0, len(part), kind) + part
            first = False
            if not rest:
                break
    return data


def test_wandbs_records_are_put_together_from_their_parts(tmp_path: Path) -> None:
    messages = [bytes([size % 251]) * size for size in (1, 40_000, 3, 100_000, BLOCK_BYTES - 20, 12, 5)]
    (tmp_path / "run").write_bytes(written(messages))
    assert list(records(tmp_path / "run")) == messages


def test_a_record_that_a_kill_cut_in_two_is_left_out(tmp_path: Path) -> None:
    data = written([b"whole", b"x" * 70_000])
    for cut in (1, 100, 40_000):
        (tmp_path / "run").write_bytes(data[:-cut])
        assert list(records(tmp_path / "run")) == [b"whole"]


# --- tables -----------------------------------------------------------------------------------------------------------


def test_a_table_shows_medians_the_first_ones_spread_and_no_empty_rows() -> None:
    columns = [Column("log, us", ("p50", "p99")), Column("lost", ("lost",)), Column("never", ("never",))]
    rows = {
        "ours": {"p50": Figure.of("p50", [4, 6, 5], "us"), "p99": Figure.of("p99", [9, 8, 7], "us")},
        "theirs": {"lost": Figure("lost", 12_345, "calls")},
        "absent": dict[str, Figure](),
    }
    assert table(rows, columns).splitlines() == [
        "|        | log, us     | lost   |",
        "|--------|-------------|--------|",
        "| ours   | 5 / 8 (4-6) | -      |",
        "| theirs | -           | 12,345 |",
    ]
    assert table({"absent": {}}, columns) == ""
    assert [short(value) for value in (0.01234, 12.34, 1234.5)] == ["0.0123", "12.3", "1,234"]
