"""The shipper's parts without Kafka: positions, states, farewells, discovery, locks, status."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from runtide.errors import ContractError
from runtide.events import LINE_BYTES_MAX, Header, segment_name
from runtide.shipper import spawn, status
from runtide.shipper.discovery import Discovery
from runtide.shipper.farewell import Fate, last_words, settle_fate
from runtide.shipper.locks import FileLock, is_held
from runtide.shipper.progress import CHECKPOINTS_MAX, START, Checkpoint, Progress, load_state, save_state, state_path
from runtide.shipper.shipment import remove_run_directory
from runtide.shipper.tail import Limits, Position, Tail
from tests.fixtures.waiting import wait_until

PLACE = ("runtide.events", 0)


def write_segment(folder: Path, number: int, seq: int, body: bytes, writer: str = "w") -> Path:
    path = folder / segment_name(writer, number)
    path.write_bytes(Header("p", "r", writer, seq, 1).encode() + body)
    return path


def tail_of(folder: Path, segments: list[int], at: Position = START, limits: Limits | None = None) -> Tail:
    return Tail(str(folder), "w", segments, at, limits or Limits())


class TestTail:
    def test_a_line_without_its_end_waits(self, tmp_path: Path) -> None:
        path = write_segment(tmp_path, 0, 0, b"a\nb")
        tail = tail_of(tmp_path, [0])
        assert [message.count for message in tail.read()] == [1]
        assert tail.read() == []
        with path.open("ab") as file:
            file.write(b"c\n")
        (message,) = tail.read()
        assert message.value.splitlines()[1:] == [b"bc"] and message.first == 1

    def test_a_torn_line_that_was_counted_is_sent(self, tmp_path: Path) -> None:
        write_segment(tmp_path, 0, 0, b"a\ntorn")
        write_segment(tmp_path, 1, 2, b"c\n")
        tail = tail_of(tmp_path, [0, 1])
        messages = tail.read() + tail.read() + tail.read()
        assert [(message.first, message.value.splitlines()[1:]) for message in messages] == [
            (0, [b"a"]),
            (1, [b"torn"]),
            (2, [b"c"]),
        ]

    def test_a_torn_line_that_was_not_counted_is_left(self, tmp_path: Path) -> None:
        write_segment(tmp_path, 0, 0, b"a\ntorn")
        write_segment(tmp_path, 1, 1, b"b\n")
        tail = tail_of(tmp_path, [0, 1])
        messages = tail.read() + tail.read()
        assert [message.first for message in messages] == [0, 1]

    def test_seq_comes_from_each_header(self, tmp_path: Path) -> None:
        write_segment(tmp_path, 4, 70, b"a\nb\n")
        (message,) = tail_of(tmp_path, [4]).read()
        assert (message.first, message.count) == (70, 2)

    def test_a_deleted_segment_is_stepped_over(self, tmp_path: Path) -> None:
        write_segment(tmp_path, 3, 9, b"a\n")
        (message,) = tail_of(tmp_path, [2, 3], Position(2, 500, 7)).read()
        assert message.first == 9

    def test_a_line_no_broker_takes_is_shortened_and_keeps_its_seq(self, tmp_path: Path) -> None:
        write_segment(tmp_path, 0, 0, b"a\n" + b"x" * (LINE_BYTES_MAX + 10) + b"\nb\n")
        tail = tail_of(tmp_path, [0])
        messages = tail.read()
        while more := tail.read():
            messages += more
        assert [message.shortened for message in messages] == [False, True, False]
        assert [message.first for message in messages] == [0, 1, 2]
        assert max(len(message.value) for message in messages) < 10_000

    def test_a_line_that_was_refused_is_told_of_and_its_neighbours_go_on(self, tmp_path: Path) -> None:
        write_segment(tmp_path, 0, 0, b"a\n" + b"x" * 9000 + b"\nb\nc\n")
        tail = tail_of(tmp_path, [0])
        tail.refused.add(1)
        messages = tail.read()
        assert [(message.first, message.count, message.shortened) for message in messages] == [
            (0, 1, False), (1, 1, True), (2, 1, False), (3, 1, False),
        ]  # fmt: skip
        stand_in = messages[1].value.splitlines()[1]
        assert json.loads(stand_in) == {"oversize": 9001, "begins": "x" * 1000}

    def test_a_bad_header_is_said(self, tmp_path: Path) -> None:
        (tmp_path / segment_name("w", 0)).write_bytes(b'{"runtide":9}\n')
        with pytest.raises(ContractError):
            tail_of(tmp_path, [0]).read()

    def test_a_file_cut_by_a_power_loss_does_not_stop_its_writer(self, tmp_path: Path) -> None:
        path = write_segment(tmp_path, 0, 0, b"a\n")
        tail = tail_of(tmp_path, [0], Position(0, 5000, 60))
        assert tail.read() == []
        with path.open("ab") as file:
            file.write(b"b\n")
        assert tail.read()[0].value.splitlines()[1:] == [b"b"]


class TestProgress:
    def test_memory_stays_bounded_when_nothing_is_confirmed(self) -> None:
        progress = Progress(START, START)
        for n in range(10_000):
            progress.acknowledge(Checkpoint(PLACE, n, Position(0, n, n), n))
        assert len(progress._checkpoints) <= CHECKPOINTS_MAX
        assert progress.confirm({PLACE: 10_000}, 10_000) and progress.confirmed.seq == 9_999

    def test_a_broker_that_forgot_takes_back_what_was_not_confirmed(self) -> None:
        progress = Progress(START, START)
        progress.acknowledge(Checkpoint(PLACE, 0, Position(0, 10, 1), 1))
        progress.acknowledge(Checkpoint(PLACE, 1, Position(0, 20, 2), 2))
        progress.confirm({PLACE: 1}, 2)
        progress.forget_unconfirmed()
        assert progress.acked == progress.confirmed == Position(0, 10, 1) and not progress.waits

    def test_state_survives_and_garbage_means_the_start(self, tmp_path: Path) -> None:
        save_state(str(tmp_path), "w", Position(3, 999, 77), 80)
        assert load_state(str(tmp_path), "w") == Position(3, 999, 77)
        state = json.loads(Path(state_path(str(tmp_path), "w")).read_bytes())
        assert state == {"sent": 80, "confirmed": 77, "segment": 3, "offset": 999}
        for garbage in (b"", b"\0" * 160, b"[1]", b'{"segment":-1,"offset":0,"confirmed":0}', b'{"segment":"x"}'):
            Path(state_path(str(tmp_path), "w")).write_bytes(garbage)
            assert load_state(str(tmp_path), "w") == START


class TestFarewell:
    def test_a_writer_that_holds_its_lock_lives(self, tmp_path: Path) -> None:
        path = write_segment(tmp_path, 0, 0, b"a\n")
        with path.open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            assert settle_fate(str(tmp_path), "w", 0) is Fate.LIVES
        assert path.read_bytes().endswith(b"a\n")

    @pytest.mark.parametrize("body", [b"", b"a\n", b'{"t":1,"s":2,"m":{"finish":1}}\n', b"torn", b'a\n{"e":"finish"'])
    def test_a_vanished_writer_gets_an_end_line(self, tmp_path: Path, body: bytes) -> None:
        path = write_segment(tmp_path, 0, 0, body)
        os.utime(path, ns=(5_000, 5_000))
        assert settle_fate(str(tmp_path), "w", 0) is Fate.GONE
        *_, last = path.read_bytes().splitlines()
        assert json.loads(last) == {"t": 5_000, "e": "end", "d": {"state": "killed"}}
        size = path.stat().st_size
        assert settle_fate(str(tmp_path), "w", 0) is Fate.GONE and path.stat().st_size == size

    def test_a_writer_that_finished_gets_none(self, tmp_path: Path) -> None:
        path = write_segment(tmp_path, 0, 0, b'{"t":1,"e":"finish","d":{"state":"failed"}}\n')
        size = path.stat().st_size
        assert settle_fate(str(tmp_path), "w", 0) is Fate.GONE and path.stat().st_size == size

    def test_last_words_that_filled_a_segment_are_found_in_it(self, tmp_path: Path) -> None:
        write_segment(tmp_path, 0, 0, b'{"t":1,"e":"finish","d":{"state":"finished"}}\n')
        path = write_segment(tmp_path, 1, 1, b"")
        size = path.stat().st_size
        assert settle_fate(str(tmp_path), "w", 1) is Fate.GONE and path.stat().st_size == size

    def test_a_turned_over_segment_is_no_death(self, tmp_path: Path) -> None:
        write_segment(tmp_path, 0, 0, b"a\n")
        write_segment(tmp_path, 1, 1, b"")
        assert settle_fate(str(tmp_path), "w", 0) is Fate.LIVES

    def test_a_file_without_a_header_is_empty(self, tmp_path: Path) -> None:
        (tmp_path / segment_name("w", 0)).touch()
        assert settle_fate(str(tmp_path), "w", 0) is Fate.EMPTY

    def test_last_words(self) -> None:
        assert last_words(b'{"t":1,"e":"end","d":{}}') and not last_words(b'{"e":"note","d":{"text":"finish"}}')


class TestDiscovery:
    def test_only_changes_are_reported(self, tmp_path: Path) -> None:
        run = tmp_path / "r"
        run.mkdir()
        write_segment(run, 0, 0, b"")
        os.utime(run, ns=(1, 1))
        os.utime(tmp_path, ns=(1, 1))
        discovery = Discovery(str(tmp_path))
        assert discovery.look() == {"r": {"w": [0]}}
        assert discovery.look() == {}
        write_segment(run, 1, 0, b"")
        assert discovery.look() == {"r": {"w": [0, 1]}}

    def test_what_changed_in_the_same_tick_is_seen(self, tmp_path: Path) -> None:
        discovery = Discovery(str(tmp_path))
        (tmp_path / "r").mkdir()
        discovery.look()
        write_segment(tmp_path / "r", 0, 0, b"")
        assert discovery.look()["r"] == {"w": [0]}

    def test_a_vanished_run_is_reported_empty_and_other_files_are_nothing(self, tmp_path: Path) -> None:
        (tmp_path / "r").mkdir()
        (tmp_path / "r" / "notes.txt").touch()
        (tmp_path / "shipper-1.json").touch()
        discovery = Discovery(str(tmp_path))
        assert discovery.look() == {"r": {}}
        (tmp_path / "r" / "notes.txt").unlink()
        (tmp_path / "r").rmdir()
        assert discovery.look() == {"r": {}}
        assert Discovery(str(tmp_path / "absent")).look() == {}


class TestRunDirectory:
    def test_what_dead_writers_left_goes_with_it(self, tmp_path: Path) -> None:
        run = tmp_path / "r"
        run.mkdir()
        (run / "w.state").touch()
        (run / ".w.000000.jsonl.tmp").write_bytes(b"{}\n")
        assert remove_run_directory(str(run)) and not run.exists()

    @pytest.mark.parametrize("name", ["v.000000.jsonl", "notes.txt", ".v.000000.jsonl.tmp"])
    def test_a_directory_in_use_stays(self, tmp_path: Path, name: str) -> None:
        (tmp_path / name).touch()
        assert not remove_run_directory(str(tmp_path)) and (tmp_path / name).exists()

    def test_a_beginning_writer_keeps_it(self, tmp_path: Path) -> None:
        fd = os.open(tmp_path, os.O_RDONLY)
        fcntl.flock(fd, fcntl.LOCK_EX)
        assert not remove_run_directory(str(tmp_path))
        os.close(fd)


class TestLocksAndStatus:
    def test_one_holder_at_a_time(self, tmp_path: Path) -> None:
        path = str(tmp_path / "x.lock")
        first, second = FileLock(path), FileLock(path)
        assert not is_held(path)
        assert first.acquire() and is_held(path) and not second.acquire()
        first.release()
        assert second.acquire(1.0)
        second.release()
        assert not is_held(path)

    def test_a_forked_child_does_not_keep_the_lock(self, tmp_path: Path) -> None:
        path = str(tmp_path / "x.lock")
        code = (
            "import os, sys, time; from runtide.shipper.locks import FileLock\n"
            "lock = FileLock(sys.argv[1]); lock.acquire()\n"
            "child = os.fork()\n"
            "if child == 0: os.close(1); time.sleep(30); os._exit(0)\n"
            "print(child, flush=True)\n"
        )
        done = subprocess.run([sys.executable, "-c", code, path], stdout=subprocess.PIPE, check=True)
        try:
            assert not is_held(path)
        finally:
            os.kill(int(done.stdout), 9)

    def test_status_is_read_back_and_shown_to_prometheus(self, tmp_path: Path) -> None:
        kafka = 'a"b:1'
        written = status.ShipperStatus(directory="d", kafka=kafka, lag_s=1.5, backlog_bytes=7, reachable=True)
        status.write(spawn.path_of(str(tmp_path), kafka, "json"), written)
        (tmp_path / "shipper-ffffffff.json").write_bytes(b"{")
        (found,) = status.read(tmp_path)
        assert (found.kafka, found.backlog_bytes, found.running) == (kafka, 7, False)
        text = status.prometheus([found])
        assert 'runtide_shipper_lag_seconds{directory="d",kafka="a\\"b:1"} 1.5' in text
        assert "# TYPE runtide_shipper_sent_lines_total counter" in text
        assert status.read(tmp_path / "absent") == []

    def test_spawn_never_raises(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        assert not spawn.ensure(tmp_path / "absent", "k:1")
        monkeypatch.setattr(sys, "executable", "")
        assert not spawn.ensure(tmp_path, "k:1")

    def test_a_shipper_that_dies_at_once_is_not_tried_all_the_time(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sys, "executable", "/bin/false")
        assert spawn.ensure(tmp_path, "k:1")
        wait_until(lambda: not spawn.is_running(tmp_path, "k:1"), 10, or_else="the lock is held by nobody")
        assert not spawn.ensure(tmp_path, "k:1")
        assert spawn.ensure(tmp_path, "k:1", at_once=True)

    def test_while_a_shipper_starts_it_counts_as_running(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """It has the lock before its first statement, so of many who ask one starts it, and its death is seen."""
        program = tmp_path / "slow"
        program.write_text("#!/bin/sh\necho $$ > pid; exec sleep 60\n".replace("pid", str(tmp_path / "pid")))
        program.chmod(0o700)
        monkeypatch.setattr(sys, "executable", str(program))
        assert spawn.ensure(tmp_path, "k:1")
        assert spawn.is_running(tmp_path, "k:1")
        wait_until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text() != "", 10, or_else="no pid")
        os.kill(int((tmp_path / "pid").read_text()), 9)
        wait_until(lambda: not spawn.is_running(tmp_path, "k:1"), 10, or_else="the lock outlives its process")

    def test_importing_the_shipper_package_loads_nothing_heavy(self) -> None:
        code = "import sys, runtide.shipper.spawn; print([m for m in ('aiokafka', 'asyncio') if m in sys.modules])"
        done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True, text=True)
        assert done.stdout.strip() == "[]"
