"""The write side of the journal: segments, locks, and what happens when the disk says no."""

import errno
import fcntl
import os
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from runtide import journal as journal_module
from runtide.errors import ContractError
from runtide.events import Header, parse_header, parse_segment_name, segment_name
from runtide.journal import Journal
from runtide.refusals import Refusals
from runtide.run_directory import RunDirectory, any_writer_lives, lock_is_free, usage_bytes
from tests.fixtures.journals import journal, journals

HEADER = Header("p", "r", "w", 0, 1)
ROOM = 1 << 40


def make(tmp_path: Path, segment_bytes: int = 1 << 20, journal_bytes_max: int = ROOM) -> tuple[Journal, Refusals]:
    refusals = Refusals("r")
    directory = str(tmp_path / "r")
    made = Journal(
        directory, lambda join: Header("p", "r", f"w{time.time_ns()}", 0, time.time_ns(), join=join),
        lambda: [b'{"t":1,"e":"start","d":{}}\n'], refusals,
        segment_bytes=segment_bytes, journal_bytes_max=journal_bytes_max,
    )  # fmt: skip
    return made, refusals


def line(number: int, size: int = 100) -> bytes:
    start = b'{"t":1,"s":%d,"m":{"x":1},"pad":"' % number
    return start + b"x" * (size - len(start) - 3) + b'"}\n'


def steps(tmp_path: Path) -> list[int]:
    return [step for written in journals(tmp_path) for step, _ in written.metrics]


def test_segments_turn_over_and_seqs_go_on(tmp_path: Path) -> None:
    made, refusals = make(tmp_path, segment_bytes=1000)
    made.open()
    for number in range(100):
        assert made.append(line(number))
    made.close()
    written = journal(tmp_path)
    assert len(written.headers) > 5
    assert steps(tmp_path) == list(range(100))
    assert refusals.total == 0


def test_a_living_writer_holds_the_lock_of_its_newest_segment(tmp_path: Path) -> None:
    made, _ = make(tmp_path, segment_bytes=1000)
    made.open()
    assert any_writer_lives(made.directory, os.listdir(made.directory))
    for number in range(30):
        made.append(line(number))
    paths = sorted(Path(made.directory).glob("*.jsonl"))
    assert [lock_is_free(path) for path in paths] == [True] * (len(paths) - 1) + [False]
    made.close()
    assert lock_is_free(paths[-1])
    assert not any_writer_lives(made.directory, os.listdir(made.directory))


def test_a_segment_is_never_seen_without_its_header_or_its_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    rename = os.rename

    def watch(source: str, target: str) -> None:
        assert not lock_is_free(source)
        seen.append(parse_header(Path(source).read_bytes()).seq)
        rename(source, target)

    monkeypatch.setattr(os, "rename", watch)
    made, _ = make(tmp_path, segment_bytes=1000)
    made.open()
    for number in range(30):
        made.append(line(number))
    made.close()
    assert len(seen) == len(list(Path(made.directory).iterdir())) > 2


def full_disk(monkeypatch: pytest.MonkeyPatch, made: Journal, room: int, error: int = errno.ENOSPC) -> dict[str, int]:
    """From now on the journal's file takes only `room` more bytes, the last write in part."""
    left = {"bytes": room}
    write = os.write

    def limited(fd: int, data: bytes) -> int:
        if fd != made.fd or fd < 0:
            return write(fd, data)
        taken = min(left["bytes"], len(data))
        if not taken:
            raise OSError(error, os.strerror(error))
        left["bytes"] -= taken
        return write(fd, data[:taken])

    monkeypatch.setattr(journal_module, "_write", limited)
    return left


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS])
def test_a_full_disk_loses_whole_lines_only_and_they_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int, caplog: pytest.LogCaptureFixture
) -> None:
    made, refusals = make(tmp_path)
    made.open()
    left = full_disk(monkeypatch, made, 250, error)
    assert [made.append(line(number)) for number in range(5)] == [True, True, False, False, False]
    left["bytes"] = 10_000  # somebody made room
    assert made.append(line(9))
    made.close()
    assert steps(tmp_path) == [0, 1, 9]
    assert refusals.total == 3
    assert len(caplog.records) <= 2


def test_a_part_of_a_line_that_can_not_be_cut_off_ends_its_segment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, _ = make(tmp_path)
    made.open()
    left = full_disk(monkeypatch, made, 150)

    def broken(fd: int, length: int) -> None:
        left["bytes"] = 10_000
        raise OSError(errno.EIO, "no")

    monkeypatch.setattr(os, "ftruncate", broken)
    made.append(line(0))
    made.append(line(1))
    made.append(line(2))
    made.close()
    first, second = sorted(Path(made.directory).glob("*.jsonl"))
    header, start, zero, torn = first.read_bytes().split(b"\n")
    assert torn and zero + b"\n" == line(0)
    after, *rest = second.read_bytes().splitlines(keepends=True)
    assert parse_header(after).seq == 3  # start, 0 and the torn line have 0, 1 and 2
    assert rest[-1] == line(2)
    assert header and start


def test_a_directory_that_can_not_be_written_costs_the_lines_only(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    made, refusals = make(tmp_path / "file")
    assert not made.open()
    assert not made.append(line(0))
    made.note_usage(0)
    made.close()
    assert refusals.take() == {"lines lost: no journal": 1}


def test_a_directory_that_comes_back_is_written_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "r").touch()
    made, refusals = make(tmp_path)
    assert not made.open()
    made.append(line(0))
    (tmp_path / "r").unlink()
    made.append(line(1))  # too early to look again
    monkeypatch.setattr(journal_module, "REOPEN_INTERVAL_S", 0.0)
    made._reopen_at = 0.0
    assert made.append(line(2))
    made.close()
    assert steps(tmp_path) == [2]
    assert refusals.total == 2


def test_a_next_segment_that_can_not_be_made_is_tried_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "STRETCH_BYTES", 300)
    made, refusals = make(tmp_path, segment_bytes=1000)
    made.open()
    broken = {"now": True}
    rename = os.rename

    def fail(source: str, target: str) -> None:
        if broken["now"]:
            raise OSError(errno.ENOSPC, "no")
        rename(source, target)

    monkeypatch.setattr(os, "rename", fail)
    for number in range(20):
        made.append(line(number))
    broken["now"] = False
    for number in range(20, 40):
        made.append(line(number))
    made.close()
    assert steps(tmp_path) == list(range(40))
    assert refusals.total == 0
    assert [name for name in os.listdir(made.directory) if name.endswith(".tmp")] == []


def test_all_journals_together_are_bounded(tmp_path: Path) -> None:
    made, refusals = make(tmp_path, segment_bytes=1000, journal_bytes_max=3000)
    made.open()
    for number in range(100):
        if number % 3 == 0:
            made.note_usage(usage_bytes(str(tmp_path)))
        made.append(line(number))
    used = usage_bytes(str(tmp_path))
    assert 2500 < used < 3500
    assert made.full and refusals.total == 100 - len(steps(tmp_path))
    next(iter(sorted(Path(made.directory).glob("*.jsonl")))).unlink()  # delivered
    made.note_usage(usage_bytes(str(tmp_path)))
    assert made.append(line(100))
    made.close()


def test_a_signal_handler_may_log_while_a_segment_turns_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, refusals = make(tmp_path, segment_bytes=1000)
    made.open()
    rename = os.rename
    extra = iter(range(1000, 2000))

    def interrupted(source: str, target: str) -> None:
        made.append(line(next(extra)))
        rename(source, target)
        made.append(line(next(extra)))

    monkeypatch.setattr(os, "rename", interrupted)
    for number in range(50):
        made.append(line(number))
    made.close()
    found = steps(tmp_path)
    assert [step for step in found if step < 1000] == list(range(50))
    assert [step for step in found if step >= 1000] == list(range(1000, next(extra)))
    assert refusals.total == 0


def test_a_signal_handler_may_log_just_before_a_segment_turns_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It turns the segment over itself; what it interrupted must not take the new one, half empty, for full disks."""
    made, refusals = make(tmp_path, segment_bytes=1000)
    made.open()
    at_limit = Journal._at_limit
    extra = iter(range(1000, 2000))

    def interrupted(self: Journal) -> None:
        monkeypatch.setattr(Journal, "_at_limit", at_limit)
        self.append(line(next(extra)))
        monkeypatch.setattr(Journal, "_at_limit", interrupted)
        at_limit(self)

    monkeypatch.setattr(Journal, "_at_limit", interrupted)
    for number in range(50):
        made.append(line(number))
    made.close()
    assert not made.full and refusals.total == 0
    assert [step for step in steps(tmp_path) if step < 1000] == list(range(50))


def test_the_run_directory_may_be_deleted_while_it_is_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, _ = make(tmp_path)
    opened = os.open
    removed: list[Any] = []

    def remove_first(path: Any, *arguments: Any, **more: Any) -> int:
        if str(path).endswith(".tmp") and not removed:
            removed.append(path)
            os.rmdir(made.directory)
        return opened(path, *arguments, **more)

    monkeypatch.setattr(os, "open", remove_first)
    assert made.open()
    made.close()
    assert removed and len(journal(tmp_path).lines) == 1


def test_beginners_wait_for_each_other_but_not_for_ever(tmp_path: Path) -> None:
    directory = str(tmp_path / "r")
    os.makedirs(directory)
    fd = os.open(directory, os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_EX)
    with RunDirectory(directory) as names:
        assert names == []
    os.close(fd)


def test_names_of_segments() -> None:
    assert segment_name("a.b", 12) == "a.b.000012.jsonl"
    assert parse_segment_name("a.b.000012.jsonl") == ("a.b", 12)
    for name in ("a.jsonl", "a.12.jsonl", ".a.000012.jsonl.tmp", "a.000012.json", ".000012.jsonl", "a b.000012.jsonl"):
        assert parse_segment_name(name) is None


def test_a_header_comes_back_as_it_was() -> None:
    full = Header("p", "r", "w", 5, 2**62, "host", 4242, 3, True, 2, "online", "a:1,b:2")
    for header in (HEADER, full):
        assert parse_header(header.encode()) == header
    assert parse_header(HEADER.encode().replace(b"}", b',"later":1}')) == HEADER


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"runtide": 2}, "version 2"), ({"runtide": True}, "version"), ({"runtide": None}, "version"),
        ({"project": None}, "project"), ({"run": "a/b"}, "run"), ({"run": ".."}, "run"),
        ({"writer": "x" * 129}, "writer"),
        ({"seq": -1}, "seq"), ({"seq": 2**63}, "seq"), ({"seq": True}, "seq"), ({"start": 1.5}, "start"),
        ({"pid": "1"}, "pid"), ({"rank": -1}, "rank"), ({"join": 1}, "join"), ({"attempt": 0}, "attempt"),
        ({"host": 1}, "host"), ({"kafka": []}, "kafka"),
    ],
)  # fmt: skip
def test_a_bad_header_says_why(change: dict[str, Any], words: str) -> None:
    import json

    fields = json.loads(HEADER.encode())
    with pytest.raises(ContractError, match=words):
        parse_header(json.dumps({**fields, **change}).encode())


@pytest.mark.parametrize("data", [b"", b"x", b"[]", b"\xff", b"{}", b'{"runtide":1}', b" " * (2 << 20)])
def test_no_header_at_all(data: bytes) -> None:
    with pytest.raises(ContractError):
        parse_header(data)


def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    """Whatever the user's umask: a journal holds what a run captured."""
    code = (
        "import os, runtide; os.umask(0)\n"
        f"run = runtide.init(project='p', id='r', dir={str(tmp_path / 'j')!r}, mode='offline')\n"
        "run.log({'a': 1}); run.finish()"
    )
    env = {name: text for name, text in os.environ.items() if not name.startswith("RUNTIDE_")}
    subprocess.run([sys.executable, "-c", code], check=True, env=env | {"RUNTIDE_HOME": str(tmp_path / "home")})
    found = [path for path in (tmp_path / "j").rglob("*") if path.suffix in (".jsonl", "") or path.is_dir()]
    assert any(path.suffix == ".jsonl" for path in found)
    assert [path for path in found if stat.S_IMODE(path.stat().st_mode) & 0o077] == []
