"""Decoded lines to rows of the small tables. Pure: the same lines give the same rows."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import orjson
import xxhash

from runtide.events import name_fault
from runtide_storage.fold import FOLDED_KINDS
from runtide_workers.decode import BadLine, DeadLetter, Decoded, Event

Row = dict[str, Any]

SECTIONS = frozenset(("config", "summary", "meta"))
FOLDED = frozenset(FOLDED_KINDS)  # what a row of `runs` is made of
LEVELS = frozenset(("INFO", "WARN", "ERROR"))
NOT_KEPT = frozenset(("heartbeat",))  # it has done its work once its line is counted as stored
DEAD_VALUE_BYTES_MAX = 1 << 20  # in the table; the topic has all of it
TITLE_CHARS_MAX = 1_000

_TEXTS = {
    "start": ("name", "group", "job_type", "notes"),
    "note": ("text",),
    "decision": ("verdict", "reason", "next_step", "hypothesis"),
    "name": ("name",),
}
ENDS = {"finish": ("finished", "failed"), "end": ("killed",)}


class Records:
    """Rows by table, and the runs to refold."""

    def __init__(self) -> None:
        self.tables: dict[str, list[Row]] = {}
        self.refold: set[int] = set()
        self.dead: list[DeadLetter] = []

    def add(self, table: str, row: Row) -> None:
        self.tables.setdefault(table, []).append(row)


def records(decoded: Decoded) -> Records:
    """The rows of all events; an event whose `d` is wrong becomes a dead letter."""
    made = Records()
    for event in decoded.events:
        try:
            _check(event)
            body = _json(event.data)
        except BadLine as bad:
            envelope = event.envelope
            line = event.seq - envelope.first
            made.dead.append(DeadLetter(envelope.message, line, bad.reason, bad.detail, event.raw))
            continue
        if event.kind in NOT_KEPT:
            continue
        _add(made, event, body)
    return made


def _add(made: Records, event: Event, body: str) -> None:
    run, data = event.envelope.run, event.data
    made.add(
        "run_events",
        {
            "run": run,
            "ts": event.t,
            "writer": event.envelope.writer,
            "seq": event.seq,
            "attempt": event.attempt,
            "kind": event.kind,
            "body": body,
        },
    )
    if event.kind in FOLDED:
        made.refold.add(run)
    elif event.kind in SECTIONS:
        for name, value in data.items():
            made.add("run_values", _value_row(run, event, name, value))
    elif event.kind == "define_metric":
        made.add("metric_defs", _definition_row(run, event))
    elif event.kind == "alert":
        made.add("alerts", alert_row(event))


def _check(event: Event) -> None:
    """What the worker itself needs of `d`; everything else is kept as it came. Raises `BadLine`."""
    kind, data = event.kind, event.data
    for name in _TEXTS.get(kind, ()):
        _expect(data.get(name) is None or type(data[name]) is str, kind, name, "a string")
    if kind in ("start", "tags"):
        tags = data.get("tags")
        fine = tags is None or (type(tags) is list and all(type(tag) is str for tag in tags))
        _expect(fine, kind, "tags", "an array of strings")
    if kind in ENDS:
        _expect(data.get("state") in ENDS[kind], kind, "state", " or ".join(ENDS[kind]))
    if kind == "finish":
        code = data.get("exit_code")
        _expect(code is None or (type(code) is int and -(2**31) <= code < 2**31), kind, "exit_code", "an int32")
    if kind == "define_metric":
        metric = data.get("name")
        _expect(type(metric) is str and name_fault(metric) is None, kind, "name", "a metric's name")
        _expect(data.get("goal") in (None, "minimize", "maximize"), kind, "goal", "minimize or maximize")
        for text in ("step_metric", "summary"):
            _expect(data.get(text) is None or type(data[text]) is str, kind, text, "a string")
    if kind == "alert":
        _expect(type(data.get("title")) is str and bool(data["title"]), kind, "title", "a string")
        _expect(data.get("text") is None or type(data["text"]) is str, kind, "text", "a string")
        _expect(data.get("level", "WARN") in LEVELS, kind, "level", "INFO, WARN or ERROR")


def _expect(fine: bool, kind: str, field: str, wanted: str) -> None:
    if not fine:
        raise BadLine("bad_data", f"{field} of {kind} must be {wanted}")


def _json(data: Any) -> str:
    try:
        return orjson.dumps(data).decode()
    except orjson.JSONEncodeError as error:  # orjson reads 1,024 levels and writes 254
        raise BadLine("bad_data", f"d: {error}") from None


def _value_row(run: int, event: Event, name: str, value: Any) -> Row:
    number: float | None = None
    if type(value) in (int, float) and math.isfinite(value):
        number = float(value)
    text = orjson.dumps(value).decode()
    return {"run": run, "section": event.kind, "name": name, "value": text, "number": number, "ts": event.t}


def _definition_row(run: int, event: Event) -> Row:
    data = event.data
    alert = data.get("alert")
    return {
        "run": run,
        "name": data["name"],
        "goal": data.get("goal") or "",
        "step_metric": data.get("step_metric") or "",
        "summary": data.get("summary") or "",
        "alert": "" if alert is None else orjson.dumps(alert).decode(),
        "ts": event.t,
    }


def alert_row(event: Event) -> Row:
    """The alert that a training process raised itself. Its id is made of the event's identity: a replay is the same."""
    data, envelope = event.data, event.envelope
    identity = f"{envelope.header.project}/{envelope.header.run}/{envelope.header.writer}/{event.seq}"
    wait_s = data.get("wait_duration")
    return {
        "id": xxhash.xxh3_128_hexdigest(identity.encode()),
        "run": envelope.run,
        "ts": event.t // 1_000_000,
        "kind": "user",
        "severity": {"INFO": "info", "WARN": "warn", "ERROR": "page"}[data.get("level", "WARN")],
        "title": data["title"][:TITLE_CHARS_MAX],
        "text": data.get("text") or "",
        "metric": "",
        "step": None,
        "state": "open",
        "detail": orjson.dumps({"wait_duration": wait_s, "attempt": event.attempt}).decode(),
        "version": event.t // 1_000_000,
    }


def dead_letter_rows(letters: Iterable[DeadLetter], broker: str) -> list[Row]:
    """Rows of the table. Bytes that are no UTF-8 are shown as \\xNN there."""
    rows = []
    for letter in letters:
        message, value, detail = letter.message, letter.value, letter.detail
        if len(value) > DEAD_VALUE_BYTES_MAX:
            detail += f" (the first {DEAD_VALUE_BYTES_MAX} of {len(value)} bytes are kept here)"
            value = value[:DEAD_VALUE_BYTES_MAX]
        rows.append(
            {
                "broker": broker,
                "topic": message.topic,
                "partition": message.partition,
                "offset": message.offset,
                "line": letter.line,
                "reason": letter.reason,
                "detail": detail,
                "key": _readable((message.key or b"")[:1024]),
                "value": _readable(value),
            }
        )
    return rows


def _readable(value: bytes) -> str:
    return value.decode("utf-8", "backslashreplace").replace("\x00", "\\x00")
