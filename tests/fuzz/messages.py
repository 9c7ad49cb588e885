"""Kafka messages of any bytes: each line is stored or a dead letter with its reason, and no way of decoding differs."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import orjson

from runtide.events import EVENTS_TOPIC, name_fault
from runtide_storage import fold
from runtide_storage.ids import key_id
from runtide_workers import decode as decoding
from runtide_workers.decode import Decoded, Part, decode
from runtide_workers.envelope import BadMessage, Message, open_envelope
from runtide_workers.records import dead_letter_rows, records
from runtide_workers.shapes import Shapes
from runtide_workers.shippers import Shippers
from tests.fuzz.draw import Draw

_FORMS = 8  # how much of a message is the fuzzer's: its lines always; header line, headers, count
_FILE = Path(__file__).parents[2] / "docs" / "event-vectors.jsonl"
_VECTORS = [vector["value"] for vector in map(json.loads, _FILE.read_bytes().splitlines())]
_HEADER = b'{"runtide":1,"project":"p","run":"r","writer":"w","seq":0,"start":1}\n'
_REPORT = {
    "host": "h", "directory": "/d", "lag_s": 0.5, "pid": 1, "journals": 1, "writers": 1, "backlog_bytes": 0,
    "resent_lines": 0, "oversize_lines": 0, "lost_files": 0, "failures": 0,
}  # fmt: skip
REASONS = frozenset(
    (
        "no_value", "message_too_large", "unknown_version", "bad_envelope", "torn", "wrong_count", "other_header",
        "other_project", "bad_header_line", "missing_header", "line_too_large", "bad_json", "not_an_object", "bad_time",
        "bad_kind", "bad_data", "no_content", "bad_step", "bad_metrics", "bad_metric_name", "bad_metric_value",
        "ambiguous_line",
    )
)  # fmt: skip


def _seeds() -> list[bytes]:
    values = [value.encode() for value in _VECTORS if isinstance(value, str)]
    found = [b"\0" + value.partition(b"\n")[2] for value in values] + [b"\1" + value for value in values[:3]]
    found += [b"\2\x03run\x01r" + b'{"t":1,"s":1,"m":{"a":1}}\n', b"\4\x01" + b'{"t":1,"e":"note","d":{}}\n']
    found.append(b"\3" + orjson.dumps(_REPORT))
    kinds = ("start", "tags", "finish", "end", "name", "define_metric", "alert", "note", "decision", "config", "meta")
    found += [b'\0{"t":1000000,"e":"%b","d":{"name":"a","state":"failed"}}\n' % kind.encode() for kind in kinds]
    return found


SEEDS = _seeds()


def check(data: bytes) -> None:
    draw = Draw(data)
    form = draw.below(_FORMS)
    if form == 3:
        _shipper_report(draw.rest())
        return
    message = _message(form, draw)
    whole = decode([message])
    _same(whole, decode([message], Shapes()))
    try:
        envelope = open_envelope(message)
    except BadMessage as bad:
        assert bad.reason in REASONS
        assert [(letter.line, letter.reason) for letter in whole.dead] == [(-1, bad.reason)]
        dead_letter_rows(whole.dead, "b")
        return
    strict = decoding._Batch(Shapes())
    lines = envelope.lines()
    part = Part(envelope, 1, [(envelope.first, envelope.next)])
    for seq, line in enumerate(lines, envelope.first):
        strict._add_strictly(part, line, seq)
    strict.ends.append((part, len(strict.t)))
    _same(whole, strict.finish())
    _each_is_accounted_for(whole, lines, envelope.first)
    _is_storable(whole)


def _message(form: int, draw: Draw) -> Message:
    headers: list[tuple[str, bytes | None]] = []
    if form == 2:
        headers = [(draw.text(20), draw.some(30)) for _ in range(draw.below(6))]
    header_line = b"" if form == 1 else _HEADER
    first = draw.below(1 << 20) if form == 4 else 0
    value = header_line + draw.rest()
    if form != 5 and not value.endswith(b"\n"):
        value += b"\n"
    own = {"runtide-v": "1", "run": "r", "writer": "w", "first": str(first), "count": str(value.count(b"\n") - 1)}
    headers = [(name, text.encode()) for name, text in own.items()] + headers
    return Message(EVENTS_TOPIC, 0, 0, 0, b"r", value, headers)  # type: ignore[arg-type]


def _same(left: Decoded, right: Decoded) -> None:
    assert _rows(left) == _rows(right)
    assert left.metrics == right.metrics
    assert [(e.seq, e.t, e.kind, e.data) for e in left.events] == [(e.seq, e.t, e.kind, e.data) for e in right.events]
    assert sorted((d.line, d.reason, d.detail) for d in left.dead) == sorted(
        (d.line, d.reason, d.detail) for d in right.dead
    )
    assert (left.touched, left.point_at_ms) == (right.touched, right.point_at_ms)


def _rows(decoded: Decoded) -> list[tuple[Any, ...]]:
    columns = [decoded.points[name].tolist() for name in ("seq", "ts", "step", "key")]
    return sorted(zip(*columns, map(_bits, decoded.points["value"].tolist()), strict=True))


def _bits(value: float) -> bytes:
    return b"nan" if value != value else struct.pack(">d", value)


def _each_is_accounted_for(decoded: Decoded, lines: list[bytes], first: int) -> None:
    """By the standard library's JSON: a stored line's values are those it holds, and no line is passed over."""
    dead = {letter.line: letter for letter in decoded.dead}
    assert all(letter.reason in REASONS and letter.detail for letter in decoded.dead)
    events = {event.seq for event in decoded.events}
    points: dict[int, dict[int, bytes]] = {}
    for seq, _, step, key, bits in _rows(decoded):
        points.setdefault(seq, {})[key] = bits
        assert json.loads(lines[seq - first])["s"] == step
    for number, line in enumerate(lines):
        seq = first + number
        if seq in events:
            assert number not in dead and seq not in points
            continue
        if number in dead and seq not in points:
            continue
        told = json.loads(line)["m"]
        good = {
            key_id(name): _bits(float(decoding.NON_FINITE.get(value, 0.0) if isinstance(value, str) else value))
            for name, value in told.items()
            if name_fault(name) is None and (type(value) in (int, float) or value in ("NaN", "Infinity", "-Infinity"))
        }
        assert points.get(seq, {}) == good
        assert (number in dead) == (len(good) < len(told))


def _is_storable(decoded: Decoded) -> None:
    """Rows of all tables can be made, as JSON, and the run's own row folded."""
    made = records(decoded)
    for letter in made.dead:
        assert letter.reason in REASONS
    for rows in (*made.tables.values(), dead_letter_rows([*decoded.dead, *made.dead], "b")):
        for row in rows:
            orjson.dumps(row)
    kept = [row for row in made.tables.get("run_events", []) if row["kind"] in fold.FOLDED_KINDS]
    events = [fold.Event(r["ts"], r["writer"], r["seq"], r["kind"], orjson.loads(r["body"])) for r in kept]
    writers = {event.writer: fold.Writer(1, 0, "h", 1) for event in events} | {1: fold.Writer(1, 1, "", 1)}
    run = fold.fold(events, writers)
    assert all(isinstance(text, str) for text in (run.name, run.group, run.job_type, run.notes, *run.tags))


def _shipper_report(value: bytes) -> None:
    """It comes beside good lines: whatever it holds, it is a row that can be stored, or nothing."""
    shippers = Shippers()
    shippers.note([Message(EVENTS_TOPIC, 0, 0, 1, b"r", b"", [("shipper", value)])])
    for row in shippers.take():
        assert 0 <= row["lag_s"] <= 1e9
        assert isinstance(row["host"], str) and isinstance(row["directory"], str)
        assert all(type(row[name]) is int and row[name] >= 0 for name in row.keys() - {"lag_s", "host", "directory"})
        orjson.dumps(row)
