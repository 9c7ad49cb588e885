"""How far one writer is sent and confirmed, and the `.state` file that a restarted shipper goes on from.

Only the *confirmed* position is trusted after a restart: a broker may lose what it acknowledged. Resending is harmless,
because an event's identity makes duplicates collapse.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

import orjson

from runtide.shipper.tail import Position

Place = tuple[str, int]  # topic and partition

CHECKPOINTS_MAX = 64  # kept per writer while nothing is confirmed; thinned out beyond
_STATE_BYTES = 160  # always written whole and in place, by one write(2): the directory's time stamp stays as it is
START = Position(0, 0, 0)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Everything up to `end` is stored once the sink has committed past `offset` at `place`.

    `number` counts the acknowledgements of all writers, so that an answer isn't taken for what came after its question.
    """

    place: Place
    offset: int
    end: Position
    number: int


@dataclass(slots=True)
class Progress:
    """confirmed <= acked: stored for good, and acknowledged by the broker."""

    confirmed: Position
    acked: Position
    _checkpoints: deque[Checkpoint] = field(default_factory=deque)

    @property
    def waits(self) -> bool:
        """Is anything acknowledged that isn't confirmed?"""
        return bool(self._checkpoints)

    def acknowledge(self, checkpoint: Checkpoint) -> None:
        """The broker has everything up to `checkpoint.end`. Called in order."""
        self.acked = checkpoint.end
        self._checkpoints.append(checkpoint)
        if len(self._checkpoints) > CHECKPOINTS_MAX:
            self._thin_out()

    def confirm(self, committed: Mapping[Place, int], number: int) -> bool:
        """Take the sink's committed offsets by place. True if the confirmed position has moved.

        Only what was acknowledged before the question was asked (checkpoints up to `number`) can be confirmed by its
        answer: later acknowledgements may come from a broker that started anew in between, with other offsets.
        """
        moved = False
        while self._checkpoints:
            first = self._checkpoints[0]
            if first.number > number or committed.get(first.place, -1) <= first.offset:
                break
            self.confirmed = first.end
            self._checkpoints.popleft()
            moved = True
        return moved

    def forget_unconfirmed(self) -> None:
        """The broker has lost its memory: go on from what is confirmed."""
        self._checkpoints.clear()
        self.acked = self.confirmed

    def _thin_out(self) -> None:
        """Drop every second checkpoint that a later one of the same place stands for as well."""
        kept: deque[Checkpoint] = deque()
        points = self._checkpoints
        while points:
            point = points.popleft()
            if points and points[0].place == point.place and points[0].offset > point.offset:
                point = points.popleft()
            kept.append(point)
        self._checkpoints = kept


def state_path(directory: str, writer: str) -> str:
    return os.path.join(directory, f"{writer}.state")


def load_state(directory: str, writer: str) -> Position:
    """The confirmed position of a writer; the very start if there is none or it can't be read."""
    try:
        with open(state_path(directory, writer), "rb") as file:
            state = orjson.loads(file.read(4 * _STATE_BYTES).partition(b"\n")[0])  # behind it may be rubbish
        position = Position(int(state["segment"]), int(state["offset"]), int(state["confirmed"]))
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return START
    return position if all(0 <= part < 2**63 for part in (position.segment, position.offset, position.seq)) else START


def save_state(directory: str, writer: str, confirmed: Position, sent_seq: int) -> None:
    """Write down how far a writer is; `sent_seq`: of the next line to be acknowledged. Raises OSError."""
    state = {"sent": sent_seq, "confirmed": confirmed.seq, "segment": confirmed.segment, "offset": confirmed.offset}
    data = orjson.dumps(state)
    fd = os.open(state_path(directory, writer), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.pwrite(fd, data.ljust(_STATE_BYTES - 1) + b"\n", 0)
    finally:
        os.close(fd)
