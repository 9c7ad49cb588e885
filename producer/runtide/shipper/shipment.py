"""One writer's journal on its way: what is read, in flight, acknowledged and confirmed, and the files that can go."""

from __future__ import annotations

import asyncio
import fcntl
import os
import time
from collections import deque
from dataclasses import dataclass

from aiokafka.structs import RecordMetadata

from runtide.events import JOURNAL_SUFFIX, Header
from runtide.shipper.farewell import Fate, last_words, settle_fate
from runtide.shipper.progress import Checkpoint, Progress, load_state, save_state, state_path
from runtide.shipper.tail import Limits, Message, Position, Tail

LOOK_AGAIN_S_MAX = 0.5  # a writer that has been quiet for 10 s or more is looked at this often
QUIET_BEFORE_FATE_S = 1.0
FATE_AGAIN_S_MAX = 5.0


@dataclass(frozen=True, slots=True)
class InFlight:
    """A message that was handed to Kafka at `read_s` (monotonic seconds)."""

    future: asyncio.Future[RecordMetadata]
    message: Message
    read_s: float


class Shipment:
    """The state of one writer. All times are monotonic seconds."""

    __slots__ = (
        "_fate_s",
        "_saved",
        "_saved_s",
        "behind_s",
        "broken",
        "directory",
        "fate_known",
        "goal",
        "gone",
        "goodbye",
        "grew_s",
        "header",
        "in_flight",
        "in_flight_bytes",
        "look_s",
        "progress",
        "refused",
        "run",
        "tail",
        "writer",
    )

    def __init__(
        self, directory: str, run: str, writer: str, segments: list[int], *, limits: Limits, now: float
    ) -> None:
        confirmed = load_state(directory, writer)
        if confirmed.segment not in segments:
            later = [segment for segment in segments if segment > confirmed.segment]
            if later:  # that segment was deleted, all of it being confirmed
                confirmed = Position(later[0], 0, confirmed.seq)
        self.directory = directory
        self.run = run
        self.writer = writer
        self.tail = Tail(directory, writer, segments, confirmed, limits)
        self.progress = Progress(confirmed, confirmed)
        self.in_flight: deque[InFlight] = deque()
        self.in_flight_bytes = 0
        self.header: Header | None = None
        self.goal = self._end()  # (segment, offset) of what was there at first sight
        self.gone = False  # the writer is dead, and its journal complete
        self.fate_known = False  # it has been looked whether the writer lives
        self.refused: str | None = None  # why Kafka does not take it, though it takes others
        self.broken = False  # the journal can't be read; it stays where it is
        self.goodbye: Position | None = None  # the end of its `finish` or `end` line, once read
        self.grew_s = now
        self.look_s = now
        self.behind_s: float | None = None  # since when something waits to be acknowledged
        self._fate_s = now
        self._saved = confirmed
        self._saved_s = now

    @property
    def has_more(self) -> bool:
        """Is there something to read?"""
        segments = self.tail.segments
        return bool(segments) and (segments[-1] > self.tail.at.segment or self.tail.size_ahead() > 0)

    @property
    def goal_reached(self) -> bool:
        """Is what was there at first sight confirmed stored?"""
        return (self.progress.confirmed.segment, self.progress.confirmed.offset) >= self.goal

    @property
    def unsettled(self) -> bool:
        """Is something in flight, or acknowledged but not confirmed?"""
        return bool(self.in_flight) or self.progress.waits

    def read(self, now: float) -> list[Message]:
        """The next messages, if it is time to look. Raises as `Tail.read` does."""
        if self.has_more:
            messages = self.tail.read()
            if messages:
                self.grew_s = self.look_s = now
                if self.behind_s is None:
                    self.behind_s = now
                value = messages[-1].value
                if last_words(value[value.rfind(b"\n", 0, -1) + 1 :]):
                    self.goodbye = messages[-1].end
                    self._fate_s = now
                return messages
        self.look_s = now + min((now - self.grew_s) / 20, LOOK_AGAIN_S_MAX)
        return []

    def sent(self, future: asyncio.Future[RecordMetadata], message: Message, now: float) -> None:
        """`message`, the next one in order, is on its way."""
        self.in_flight.append(InFlight(future, message, now))
        self.in_flight_bytes += len(message.value)

    def settle_one(self, number: int) -> Message | None:
        """Take note of the oldest message in flight if it is delivered, and return it. Raises what Kafka raised."""
        if not self.in_flight or not self.in_flight[0].future.done():
            return None
        head = self.in_flight[0]
        metadata = head.future.result()
        self.in_flight.popleft()
        self.in_flight_bytes -= len(head.message.value)
        self.refused = None
        self.progress.acknowledge(
            Checkpoint((metadata.topic, metadata.partition), metadata.offset, head.message.end, number)
        )
        self.behind_s = self.in_flight[0].read_s if self.in_flight else None
        return head.message

    def rewind(self, *, to_confirmed: bool) -> int:
        """Give up what is in flight, to be sent again; with `to_confirmed` also what was acknowledged. Gives lines."""
        before = self.tail.at.seq
        self.in_flight.clear()
        self.in_flight_bytes = 0
        if to_confirmed:
            self.progress.forget_unconfirmed()
        self.tail.at = self.progress.acked
        return max(before - self.tail.at.seq, 0)

    def refuse(self, reason: str, again_s: float) -> int:
        """Kafka takes none of this for now: go back to what it has, and read on at `again_s`. Gives lines."""
        self.refused, self.look_s = reason, again_s
        return self.rewind(to_confirmed=False)

    def look_after_writer(self, now: float) -> Fate | None:
        """Find out whether the writer lives, when it is time to. None: not looked. Raises OSError."""
        if self.gone or now < self._fate_s:
            return None
        quiet_s = now - self.grew_s
        if quiet_s < QUIET_BEFORE_FATE_S and self.goodbye is None:
            return None
        self._fate_s = now + min(max(quiet_s / 10, QUIET_BEFORE_FATE_S / 2), FATE_AGAIN_S_MAX)
        fate = settle_fate(self.directory, self.writer, self.tail.segments[-1])
        self.fate_known = True
        if fate is Fate.EMPTY:  # what was never begun needs no goodbye; the segment before it may
            _unlink(self.tail.path(self.tail.segments.pop()))
            self._fate_s = now
        self.gone = fate is Fate.GONE or not self.tail.segments
        if self.gone:
            self.look_s = now
        return fate

    @property
    def complete(self) -> bool:
        """Is the writer gone and every line of its confirmed stored?"""
        all_confirmed = not self.unsettled and self.progress.confirmed.seq >= self.tail.at.seq
        return self.gone and all_confirmed and not self.has_more

    def save(self, now: float, interval_s: float) -> None:
        """Write the state file if the confirmed position has moved and the last time is long ago. Raises OSError."""
        if self._saved != self.progress.confirmed and now - self._saved_s >= interval_s:
            self.save_now(now)

    def save_now(self, now: float) -> None:
        save_state(self.directory, self.writer, self.progress.confirmed, self.progress.acked.seq)
        self._saved, self._saved_s = self.progress.confirmed, now

    def delete_confirmed_segments(self) -> None:
        """Delete the segments before the one in which the confirmed position lies. Raises OSError."""
        segments = self.tail.segments
        while len(segments) > 1 and segments[0] < self.progress.confirmed.segment:
            _unlink(self.tail.path(segments[0]))
            del segments[0]

    def delete(self) -> None:
        """Delete everything this writer left. Raises OSError."""
        for segment in self.tail.segments:  # oldest first: what a crash leaves behind is a valid journal
            _unlink(self.tail.path(segment))
        _unlink(state_path(self.directory, self.writer))

    def _end(self) -> tuple[int, int]:
        newest = self.tail.segments[-1]
        try:
            return newest, os.stat(self.tail.path(newest)).st_size
        except OSError:
            return newest, 0

    def backlog_bytes(self, since: Position) -> int:
        """Bytes after the position. 0 where files vanish meanwhile."""
        total = -since.offset
        for segment in self.tail.segments:
            if segment >= since.segment:
                try:
                    total += os.stat(self.tail.path(segment)).st_size
                except OSError:
                    pass
        return max(total, 0)


def remove_run_directory(directory: str) -> bool:
    """Remove a run's directory once no journal is in it. False: something is, or a writer is just beginning there."""
    try:
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the SDK holds it while it begins a journal
        names = os.listdir(directory)
        if any(name.endswith(JOURNAL_SUFFIX) for name in names):
            return False
        for name in names:
            # A state whose journal is deleted, or a segment whose writer was killed while it made it.
            if name.endswith(".state") or (name.endswith(".tmp") and _is_abandoned(os.path.join(directory, name))):
                _unlink(os.path.join(directory, name))
        os.rmdir(directory)
        return True
    except OSError:
        return False
    finally:
        os.close(fd)


def _is_abandoned(path: str) -> bool:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        facts = os.fstat(fd)
        return facts.st_size > 0 or time.time() - facts.st_mtime > 60  # an empty one may be locked the next moment
    except OSError:
        return False
    finally:
        os.close(fd)


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
