"""Journal lines to columns. Pure: the same messages give the same rows, whatever the clock or the database say.

The normal line is decoded by C code only (orjson, map, chain, numpy): about 120 ns per point where a line has 100 of
them, 750 ns where it has one. Anything unusual (an event, a bad line) sends that line, or at worst that message, down
the strict path, which looks at every value and says what is wrong with it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain, repeat
from operator import contains, itemgetter
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from runtide.events import LINE_BYTES_MAX, name_fault
from runtide_workers.envelope import BadMessage, Envelope, Message, open_envelope
from runtide_workers.shapes import BAD_SHAPE, Shapes
from runtide_workers.spread import spread

INT64_MAX = 2**63 - 1
KIND_CHARS = frozenset("abcdefghijklmnopqrstuvwxyz_")
KIND_CHARS_MAX = 64
NON_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}

_NUMBER = frozenset((float, int))
_NUMBER_OR_TEXT = frozenset((float, int, str))
_ONLY_INT = frozenset((int,))
_ONLY_DICT = frozenset((dict,))
_m, _t, _s = itemgetter("m"), itemgetter("t"), itemgetter("s")

Range = tuple[int, int]  # [first, next) of seq


@dataclass(frozen=True, slots=True)
class Part:
    """What to take from one message: the lines of `wanted` (half-open ranges of seq, inside the envelope's)."""

    envelope: Envelope
    attempt: int
    wanted: Sequence[Range]


@dataclass(frozen=True, slots=True)
class Event:
    """One line that is not metrics."""

    envelope: Envelope
    attempt: int
    seq: int
    t: int  # ns since 1970 UTC
    kind: str
    data: dict[str, Any]
    raw: bytes


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A line (`line` >= 0, counted in its message) or a whole message (-1) that can't be stored, and why."""

    message: Message
    line: int
    reason: str  # short and stable: people group by it
    detail: str
    value: bytes


@dataclass(slots=True)
class Decoded:
    """The rows of some messages.

    `points` has the columns run, key, step, ts (ms), value, attempt, writer, seq, and is sorted by run and key; within
    these points stand as they arrived.
    """

    points: dict[str, NDArray[Any]]
    metrics: dict[int, str]  # key -> name of every metric in `points`
    events: list[Event]
    dead: list[DeadLetter]
    touched: dict[int, Range] = field(default_factory=dict)  # run -> lowest and highest step (both included)
    point_at_ms: dict[tuple[int, int], int] = field(default_factory=dict)  # (run, writer) -> newest user's point

    def __len__(self) -> int:
        return len(self.points["value"])


class BadLine(Exception):
    """A line that can't be stored."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


def decode(messages: Iterable[Message], shapes: Shapes | None = None) -> Decoded:
    """All lines of all messages, as of a first attempt: for tools and tests. The sink asks for what is not stored."""
    parts: list[Part] = []
    dead: list[DeadLetter] = []
    for message in messages:
        try:
            envelope = open_envelope(message)
        except BadMessage as bad:
            dead.append(whole(message, bad.reason, bad.detail))
        else:
            parts.append(Part(envelope, 1, [(envelope.first, envelope.next)]))
    decoded = decode_parts(parts, Shapes() if shapes is None else shapes)
    decoded.dead[:0] = dead
    return decoded


def whole(message: Message, reason: str, detail: str) -> DeadLetter:
    return DeadLetter(message, -1, reason, detail, message.value or b"")


def decode_parts(parts: Iterable[Part], shapes: Shapes) -> Decoded:
    """The wanted lines of each part. Never raises on what a message holds."""
    batch = _Batch(shapes)
    for part in parts:
        batch.add(part)
    return batch.finish()


class _Batch:
    """Collects lines of many messages, per line, and spreads them to points at the end in one go."""

    def __init__(self, shapes: Shapes) -> None:
        self.shapes = shapes
        self.events: list[Event] = []
        self.dead: list[DeadLetter] = []
        # One entry per metric line, in order:
        self.t: list[int] = []
        self.steps: list[int] = []
        self.seqs: list[int] = []
        self.shape: list[int] = []
        # One entry per point:
        self.values: list[float] = []
        # One entry per message: (part, lines so far after it)
        self.ends: list[tuple[Part, int]] = []

    def add(self, part: Part) -> None:
        envelope = part.envelope
        lines = envelope.lines()
        for first, after in part.wanted:
            self._add_lines(part, lines[first - envelope.first : after - envelope.first], first)
        self.ends.append((part, len(self.t)))

    def _add_lines(self, part: Part, lines: list[bytes], first: int) -> None:
        try:
            docs = list(map(orjson.loads, lines))
            if _ONLY_DICT.issuperset(map(type, docs)) and max(map(len, lines)) < LINE_BYTES_MAX:
                if not any(map(contains, docs, repeat("e"))):
                    self._add_metrics(docs, range(first, first + len(docs)))
                    return
                common = [i for i, doc in enumerate(docs) if "e" not in doc]
                self._add_metrics([docs[i] for i in common], [first + i for i in common])
                for i in sorted(set(range(len(docs))).difference(common)):
                    self._add_strictly(part, lines[i], first + i)
                return
        except (_Unusual, orjson.JSONDecodeError):
            pass
        for seq, line in enumerate(lines, first):
            self._add_strictly(part, line, seq)

    def _add_metrics(self, docs: list[dict[str, Any]], seqs: Sequence[int]) -> None:
        """Metric lines with nothing unusual; raises `_Unusual` before it has kept anything."""
        try:
            maps = list(map(_m, docs))
            times, steps = list(map(_t, docs)), list(map(_s, docs))
            values: list[Any] = list(chain.from_iterable(map(dict.values, maps)))
            shape = list(map(self.shapes.__getitem__, map(tuple, maps)))
        except (KeyError, TypeError):
            raise _Unusual from None
        if not docs:
            return
        types = set(map(type, values))
        if not types <= _NUMBER:
            if not types <= _NUMBER_OR_TEXT:
                raise _Unusual
            try:
                values = [NON_FINITE[value] if type(value) is str else value for value in values]
            except KeyError:
                raise _Unusual from None
        if not (_ONLY_INT.issuperset(map(type, times)) and _ONLY_INT.issuperset(map(type, steps))):
            raise _Unusual
        if min(times) <= 0 or max(times) > INT64_MAX or max(steps) > INT64_MAX or BAD_SHAPE in shape:
            raise _Unusual
        self.t += times
        self.steps += steps
        self.seqs += seqs
        self.shape += shape
        self.values += values

    def _add_strictly(self, part: Part, line: bytes, seq: int) -> None:
        """One line by the letter of the contract. With some bad metrics it is stored without them *and* reported."""
        try:
            doc = _object(line)
            t = _time(doc)
            if "e" in doc:
                if "m" in doc:
                    raise BadLine("ambiguous_line", "both m and e")
                self.events.append(Event(part.envelope, part.attempt, seq, t, *_kind_and_data(doc), line))
                return
            step, names, values, faults = _metrics(doc)
        except BadLine as bad:
            self._bury(part, line, seq, bad.reason, bad.detail)
            return
        self.t.append(t)
        self.steps.append(step)
        self.seqs.append(seq)
        self.shape.append(self.shapes[tuple(names)])
        self.values += values
        if faults:
            reason, detail = faults[0]
            more = f" and {len(faults) - 1} more" if len(faults) > 1 else ""
            self._bury(part, line, seq, reason, detail + more)

    def _bury(self, part: Part, line: bytes, seq: int, reason: str, detail: str) -> None:
        envelope = part.envelope
        self.dead.append(DeadLetter(envelope.message, seq - envelope.first, reason, detail, line))

    def finish(self) -> Decoded:
        table = self.shapes.table()
        shape = np.array(self.shape, dtype=np.int64)
        lens = table.lens[shape]
        ends = np.array([end for _, end in self.ends], dtype=np.int64)
        lines_of = np.diff(ends, prepend=0)
        ts = np.array(self.t, dtype=np.int64) // 1_000_000
        steps = np.array(self.steps, dtype=np.int64)

        def of_parts(values: Iterable[int], dtype: type) -> NDArray[Any]:
            return np.repeat(np.fromiter(values, dtype, len(self.ends)), lines_of)

        lines: dict[str, NDArray[Any]] = {
            "step": steps,
            "ts": ts,
            "attempt": of_parts((part.attempt for part, _ in self.ends), np.uint16),
            "writer": of_parts((part.envelope.writer for part, _ in self.ends), np.uint64),
            "seq": np.array(self.seqs, dtype=np.uint64),
        }
        run = of_parts((part.envelope.run for part, _ in self.ends), np.uint64)
        points = spread(shape, run, lines, np.array(self.values, dtype=np.float64), table)
        metrics = {key: name for used in set(self.shape) for key, name in self.shapes.names(used)}
        decoded = Decoded(points, metrics, self.events, self.dead)
        users = table.has_user_metric[shape]
        start = 0
        for part, end in self.ends:
            _measure(decoded, part, steps[start:end][lens[start:end] > 0], ts[start:end][users[start:end]])
            start = end
        return decoded


def _measure(decoded: Decoded, part: Part, steps: NDArray[np.int64], user_ts: NDArray[np.int64]) -> None:
    run, writer = part.envelope.run, part.envelope.writer
    if len(steps):
        low, high = int(steps.min()), int(steps.max())
        known = decoded.touched.get(run)
        decoded.touched[run] = (min(low, known[0]), max(high, known[1])) if known else (low, high)
    if len(user_ts):
        newest = int(user_ts.max())
        decoded.point_at_ms[run, writer] = max(newest, decoded.point_at_ms.get((run, writer), 0))


class _Unusual(Exception):
    """These lines need the strict path."""


def _object(line: bytes) -> dict[str, Any]:
    if len(line) >= LINE_BYTES_MAX:  # its newline counts
        raise BadLine("line_too_large", f"{len(line) + 1} bytes, at most {LINE_BYTES_MAX}")
    try:
        doc = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise BadLine("bad_json", str(error)) from None
    if type(doc) is not dict:
        raise BadLine("not_an_object", f"a line is a JSON object, not {_kind_of(doc)}")
    if "oversize" in doc and "t" not in doc:  # what the shipper sends in place of a line that Kafka refused
        raise BadLine("line_too_large", f"{_show(doc['oversize'])} bytes, more than Kafka takes (max.message.bytes)")
    return doc


def _time(doc: dict[str, Any]) -> int:
    t = doc.get("t")
    if type(t) is not int or not 0 < t <= INT64_MAX:
        raise BadLine("bad_time", f"t must be ns since 1970 in 1..2^63-1, not {_show(t)}")
    return t


def _kind_and_data(doc: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    kind, data = doc["e"], doc.get("d")
    if type(kind) is not str or not 0 < len(kind) <= KIND_CHARS_MAX or not KIND_CHARS.issuperset(kind):
        raise BadLine("bad_kind", f"e must be 1-{KIND_CHARS_MAX} characters a-z_, not {_show(kind)}")
    if type(data) is not dict:
        raise BadLine("bad_data", f"d must be an object, not {_kind_of(data)}")
    return kind, data


def _metrics(doc: dict[str, Any]) -> tuple[int, list[str], list[float], list[tuple[str, str]]]:
    """Step, good names, good values, and what is wrong with the others."""
    if "m" not in doc:
        raise BadLine("no_content", "neither m nor e")
    step, metrics = doc.get("s"), doc["m"]
    if type(step) is not int or not -INT64_MAX - 1 <= step <= INT64_MAX:
        raise BadLine("bad_step", f"s must be an int64, not {_show(step)}")
    if type(metrics) is not dict:
        raise BadLine("bad_metrics", f"m must be an object, not {_kind_of(metrics)}")
    names: list[str] = []
    values: list[float] = []
    faults: list[tuple[str, str]] = []
    for name, value in metrics.items():
        fault = name_fault(name)
        if fault is not None:
            faults.append(("bad_metric_name", f"{fault}: {_show(name)}"))
            continue
        if type(value) is str and value in NON_FINITE:
            value = NON_FINITE[value]
        elif type(value) not in _NUMBER:
            faults.append(("bad_metric_value", f"{_show(name)} is {_show(value)}, not a number"))
            continue
        names.append(name)
        values.append(float(value))
    return step, names, values, faults


def _show(value: Any) -> str:
    if type(value) in (dict, list):
        return _kind_of(value)  # repr of a deep one would exhaust the stack
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _kind_of(value: Any) -> str:
    return {dict: "an object", list: "an array", str: "a string", bool: "a boolean", type(None): "null"}.get(
        type(value), "a number"
    )
