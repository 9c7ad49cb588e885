"""How long a run waits at its end: until the broker has everything, and no longer than is any use."""

import fcntl
import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from runtide import delivery
from runtide.events import Header
from runtide.journal import Journal
from runtide.refusals import Refusals
from runtide.shipper import spawn

KAFKA = "127.0.0.1:9"


@pytest.fixture
def closed(tmp_path: Path) -> Journal:
    """A journal of three lines whose writer has said goodbye."""
    made = Journal(
        str(tmp_path / "r"), lambda _: Header("p", "r", "w", 0, 1), list, Refusals(), segment_bytes=1000,
        journal_bytes_max=10**9,
    )  # fmt: skip
    made.open()
    for _ in range(3):
        made.append(b'{"t":1,"s":1,"m":{"x":1}}\n')
    made.close()
    return made


@contextmanager
def shipper(root: Path, **status: Any) -> Iterator[None]:
    """As the shipper looks from outside: it holds its lock and writes its status."""
    fd = os.open(spawn.path_of(str(root), KAFKA, "lock"), os.O_RDWR | os.O_CREAT)
    fcntl.flock(fd, fcntl.LOCK_EX)
    Path(spawn.path_of(str(root), KAFKA, "json")).write_text(json.dumps(status))
    yield
    os.close(fd)


def wait(closed: Journal, root: Path, timeout_s: float, *, is_starting: bool = False) -> tuple[bool, bool]:
    """(delivered, the whole time was waited)"""
    begun = time.monotonic()
    delivered = delivery.wait(closed, str(root), KAFKA, begun + timeout_s, is_starting=is_starting)
    return delivered, time.monotonic() - begun >= timeout_s


def test_all_sent_is_enough(tmp_path: Path, closed: Journal) -> None:
    with shipper(tmp_path, reachable=True):
        state = Path(closed.directory) / "w.state"
        later = threading.Timer(0.2, state.write_text, ['{"sent": 3, "confirmed": 0}'])
        state.write_text('{"sent": 2, "confirmed": 0}')
        later.start()
        assert wait(closed, tmp_path, 20) == (True, False)


def test_a_deleted_journal_was_delivered(tmp_path: Path, closed: Journal) -> None:
    (Path(closed.directory) / "other.000000.jsonl").touch()
    (Path(closed.directory) / "w.000000.jsonl").unlink()
    assert wait(closed, tmp_path, 20) == (True, False)
    (Path(closed.directory) / "other.000000.jsonl").unlink()
    Path(closed.directory).rmdir()
    assert wait(closed, tmp_path, 20) == (True, False)


def test_it_gives_up_in_time(tmp_path: Path, closed: Journal) -> None:
    with shipper(tmp_path, reachable=True):
        assert wait(closed, tmp_path, 0.3) == (False, True)
        assert wait(closed, tmp_path, 0.0) == (False, True)


def test_a_broker_that_can_not_be_reached_is_not_waited_for(tmp_path: Path, closed: Journal) -> None:
    with shipper(tmp_path, reachable=False):
        assert wait(closed, tmp_path, 20) == (False, False)


def test_an_old_status_says_nothing(tmp_path: Path, closed: Journal) -> None:
    with shipper(tmp_path, reachable=False):
        path = spawn.path_of(str(tmp_path), KAFKA, "json")
        os.utime(path, (time.time() - 60, time.time() - 60))
        assert wait(closed, tmp_path, 0.3) == (False, True)


def test_without_a_shipper_there_is_nothing_to_wait_for(tmp_path: Path, closed: Journal) -> None:
    assert wait(closed, tmp_path, 20) == (False, False)
    assert wait(closed, tmp_path, 0.3, is_starting=True) == (False, True)


@pytest.mark.parametrize("junk", ["", "{", "[]", '{"sent": "x"}', "{}"])
def test_a_broken_state_is_no_state(tmp_path: Path, closed: Journal, junk: str) -> None:
    (Path(closed.directory) / "w.state").write_text(junk)
    assert wait(closed, tmp_path, 20) == (False, False)


def test_a_journal_that_was_never_opened_is_delivered(tmp_path: Path) -> None:
    never = Journal(
        "/dev/null/r", lambda _: Header("p", "r", "w", 0, 1), list, Refusals(), segment_bytes=1, journal_bytes_max=1
    )
    assert wait(never, tmp_path, 20) == (True, False)
