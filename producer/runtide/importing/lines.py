"""A source's rows and facts as journal lines (docs/events.md). Pure: the same rows give the same lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from math import isfinite
from typing import Any, NamedTuple

import orjson

from runtide import redact
from runtide.events import EVENT_BYTES, INT64_MAX, INT64_MIN, encode_event, name_fault
from runtide.importing.model import Facts, Row, Unreadable
from runtide.plain import Budget, clip, flatten, plain
from runtide.values import CHUNK_BYTES, NUMBER_BYTES, to_number

TITLE_CHARS_MAX = 512
SECTIONS = ("config", "meta", "summary")
Told = dict[str, Any]


class Line(NamedTuple):
    """A metric line. `content` is what has to stay the same: all of it, without its time where the source has none."""

    line: bytes
    content: bytes
    points: int


class Rows:
    """Makes lines of rows, and counts what the contract can't take."""

    def __init__(self, undated_ns: int) -> None:
        self.refused: Counter[str] = Counter()
        self._undated_ns = undated_ns
        self._good: set[str] = set()

    def lines(self, rows: Iterable[Row]) -> Iterator[Line]:
        """Raises `Unreadable` for a step that is none."""
        for time_ns, step, metrics in rows:
            if type(step) is not int or not INT64_MIN <= step <= INT64_MAX:
                raise Unreadable(f"step {step!r} is no whole number of 64 bit")
            at_ns = self._undated_ns if time_ns is None else time_ns
            start = b'{"t":%d,' % min(max(at_ns, 1), INT64_MAX)
            for part in self._parts(metrics):
                rest = orjson.dumps({"s": step, "m": part}, None, orjson.OPT_APPEND_NEWLINE)
                line = start + rest[1:]
                yield Line(line, rest if time_ns is None else line, len(part))

    def _parts(self, metrics: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        values = metrics.values()
        if (
            metrics.keys() <= self._good
            and set(map(type, values)) == {float}
            and isfinite(sum(values))  # one bad value makes it NaN or infinite; so may many good ones, which is no harm
            and len(metrics) * NUMBER_BYTES + 2 * sum(map(len, metrics)) < CHUNK_BYTES
        ):
            yield metrics
            return
        part: dict[str, Any] = {}
        size = 0
        for name, value in metrics.items():
            number = to_number(value)
            fault = None if name in self._good else name_fault(name)
            if number is None or fault is not None:
                self.refused[fault or "a value that is not a number"] += 1
                continue
            self._good.add(name)
            part[name] = number
            size += 2 * len(name) + NUMBER_BYTES
            if size >= CHUNK_BYTES:
                yield part
                part, size = {}, 0
        if part:
            yield part


def told_of(facts: Facts) -> Told:
    """The facts as plain JSON, bounded and without secrets, as the SDK captures them."""
    budget = Budget()
    texts = {name: redact.text(clip(getattr(facts, name), TITLE_CHARS_MAX)) for name in ("name", "group", "job_type")}
    sections = {
        section: {
            redact.text(name): redact.value_of(name, plain(value, budget))
            for name, value in sorted(flatten(getattr(facts, section)).items())
        }
        for section in SECTIONS
    }
    return {
        **texts,
        "tags": [redact.text(clip(str(tag), TITLE_CHARS_MAX)) for tag in facts.tags],
        "notes": redact.text(clip(facts.notes)),
        **sections,
        "started_ns": min(max(facts.started_ns, 1), INT64_MAX),
        "ended_ns": min(max(facts.ended_ns, facts.started_ns, 1), INT64_MAX),
        "state": facts.state,
    }


def first_words(told: Told) -> list[bytes]:
    """What a run says of itself, but how it ended."""
    start = {name: told[name] for name in ("name", "group", "job_type", "tags", "notes") if told[name]}
    lines = [encode_event(told["started_ns"], "start", start)]
    for section in SECTIONS:
        at_ns = told["ended_ns" if section == "summary" else "started_ns"]
        lines += _section(at_ns, section, told[section])
    return lines


def changed_words(told: Told, before: Told, at_ns: int) -> list[bytes]:
    """What it says otherwise than `before`; nothing: no lines."""
    lines = []
    texts = {name: told[name] for name in ("name", "group", "job_type", "notes") if told[name] != before[name]}
    if texts:
        lines.append(encode_event(at_ns, "start", texts))
    if told["tags"] != before["tags"]:
        lines.append(encode_event(at_ns, "tags", {"tags": told["tags"]}))
    for section in SECTIONS:
        now, then = told[section], before[section]
        gone = dict.fromkeys(then.keys() - now.keys())
        lines += _section(at_ns, section, {k: v for k, v in now.items() if k not in then or then[k] != v} | gone)
    return lines


def ended_otherwise(told: Told, before: Told) -> bool:
    """Later, or in another state?"""
    return bool(told["state"] != before["state"] or told["ended_ns"] > before["ended_ns"])


def ending(told: Told, at_ns: int) -> bytes:
    """How it ended: before the points, for nobody is to be told of what is long over, and as the last line."""
    if told["state"] in ("finished", "failed"):
        code = 0 if told["state"] == "finished" else 1
        return encode_event(at_ns, "finish", {"state": told["state"], "exit_code": code, "error": None})
    return encode_event(at_ns, "end", {"state": "killed"})


def _section(at_ns: int, kind: str, flat: Mapping[str, Any]) -> list[bytes]:
    if not flat:
        return []
    line = encode_event(at_ns, kind, dict(flat))
    if len(line) <= EVENT_BYTES or len(flat) == 1:
        return [line]
    names = list(flat)
    halves = names[: len(names) // 2], names[len(names) // 2 :]
    return [line for half in halves for line in _section(at_ns, kind, {name: flat[name] for name in half})]
