"""Decoding gives back exactly what was encoded, and no bytes make it raise."""

import json
import struct
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from runtide.events import EVENTS_TOPIC
from runtide_storage.ids import key_id, run_key, writer_key
from runtide_workers.decode import Part, decode, decode_parts
from runtide_workers.envelope import Message, open_envelope
from runtide_workers.records import dead_letter_rows, records
from runtide_workers.shapes import Shapes

HEADER = {"runtide": 1, "project": "p", "run": "r", "writer": "w", "seq": 0, "start": 1}
Line = tuple[int, int, dict[str, float]]
WORDS: dict[float, str] = {float("inf"): "Infinity", float("-inf"): "-Infinity"}

names = st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=20)
values = st.floats(allow_nan=True, allow_infinity=True) | st.integers(-(2**63), 2**64 - 1)
steps = st.integers(-(2**63), 2**63 - 1)
times = st.integers(1, 2**63 - 1)
metric_lines = st.tuples(times, steps, st.dictionaries(names, values, max_size=6))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
odd_lines = st.dictionaries(st.sampled_from(["t", "s", "m", "e", "d", "x"]), json_values | times | steps, max_size=6)


def message(
    lines: list[bytes], first: int = 0, count: int | None = None, *, run: str = "r", writer: str = "w"
) -> Message:
    headers = {"runtide-v": "1", "run": run, "writer": writer, "first": str(first), "count": str(count or len(lines))}
    value = b"\n".join([json.dumps(HEADER | {"run": run, "writer": writer}).encode(), *lines]) + b"\n"
    return Message(EVENTS_TOPIC, 0, 0, 0, b"r", value, [(name, text.encode()) for name, text in headers.items()])


def encode(t: int, step: int, metrics: dict[str, float]) -> bytes:
    written = {name: "NaN" if value != value else WORDS.get(value, value) for name, value in metrics.items()}
    return json.dumps({"t": t, "s": step, "m": written}, allow_nan=False).encode()


def bits(value: float) -> bytes:
    return b"nan" if value != value else struct.pack(">d", value)


def rows(decoded: Any) -> list[tuple[Any, ...]]:
    """The points, line by line."""
    columns = [decoded.points[name].tolist() for name in ("seq", "ts", "step", "key")]
    return sorted(zip(*columns, map(bits, decoded.points["value"].tolist()), strict=True))


@given(st.lists(metric_lines, min_size=1, max_size=8), st.integers(0, 2**62))
def test_every_value_comes_back_to_the_bit(lines: list[Line], first: int) -> None:
    decoded = decode([message([encode(*line) for line in lines], first)])
    assert decoded.dead == []
    assert rows(decoded) == sorted(
        (seq, t // 1_000_000, step, key_id(name), bits(float(value)))
        for seq, (t, step, metrics) in enumerate(lines, first)
        for name, value in metrics.items()
    )


@given(st.lists(st.binary(max_size=60).map(lambda raw: raw.replace(b"\n", b" ")), min_size=1, max_size=6))
def test_any_bytes_are_dead_letters_and_harm_no_neighbour(junk: list[bytes]) -> None:
    good = encode(1_000_000, 5, {"loss": 0.5})
    decoded = decode([message([good, *junk, good])])
    assert [row for row in rows(decoded) if row[0] in (0, len(junk) + 1)] == [
        (0, 1, 5, key_id("loss"), bits(0.5)),
        (len(junk) + 1, 1, 5, key_id("loss"), bits(0.5)),
    ]
    assert {letter.line for letter in decoded.dead} <= set(range(1, len(junk) + 1))


@settings(max_examples=300)
@given(st.lists(odd_lines, min_size=1, max_size=6))
def test_fast_and_strict_path_agree(lines: list[dict[str, Any]]) -> None:
    """One message of all lines gives what one message per line gives, and every line is stored, dead, or both."""
    raw = [json.dumps(line).encode() for line in lines]
    together = decode([message(raw)])
    alone = [decode([message([line], seq)]) for seq, line in enumerate(raw)]
    assert sorted(rows(together), key=str) == sorted([row for one in alone for row in rows(one)], key=str)
    assert [(event.seq, event.kind) for event in together.events] == [
        (event.seq, event.kind) for one in alone for event in one.events
    ]
    assert sorted((letter.line, letter.reason) for letter in together.dead) == sorted(
        (seq, letter.reason) for seq, one in enumerate(alone) for letter in one.dead
    )
    made = records(together)
    dead_letter_rows([*together.dead, *made.dead], "broker")


@given(
    st.binary(max_size=200) | st.none(),
    st.dictionaries(st.sampled_from(["runtide-v", "run", "writer", "first", "count", "x"]), st.binary(max_size=20)),
)
def test_any_message_is_stored_or_dead(value: bytes | None, headers: dict[str, bytes]) -> None:
    decoded = decode([Message(EVENTS_TOPIC, 0, 0, 0, None, value, list(headers.items()))])
    assert [letter.line for letter in decoded.dead] == [-1]
    dead_letter_rows(decoded.dead, "broker")


@given(
    st.integers(1, 1100),
    st.sampled_from(['{"a":', "["]),
    st.sampled_from(['"m":{"x":%s},"s":1', '"e":"note","d":{"x":%s}']),
)
def test_no_depth_of_nesting_is_too_deep(depth: int, opening: str, line: str) -> None:
    closing = "}" if opening[0] == "{" else "]"
    raw = '{"t":1,' + line % (opening * depth + "1" + closing * depth) + "}"
    decoded = decode([message([raw.encode(), encode(1, 1, {"loss": 0.5})])])
    made = records(decoded)
    assert len(decoded) == 1
    if depth > 253 or "m" in line[:3]:
        assert [letter.line for letter in [*decoded.dead, *made.dead]] == [0]
    dead_letter_rows([*decoded.dead, *made.dead], "broker")


@given(st.integers(1, 1000), st.sampled_from(["runtide", "project", "seq", "join", "host", "attempt", "unknown"]))
def test_a_deep_header_line_is_a_dead_letter(depth: int, field: str) -> None:
    good = message([encode(1, 1, {"loss": 0.5})])
    assert good.value is not None
    head, _, lines = good.value.partition(b"\n")
    deep = head[:-1] + b',"%b":' % field.encode() + b"[" * depth + b"]" * depth + b"}"
    decoded = decode([replace(good, value=deep + b"\n" + lines)])
    assert [letter.line for letter in decoded.dead] == ([] if field == "unknown" else [-1])


@given(st.lists(metric_lines, min_size=1, max_size=6), st.data())
def test_wanted_ranges_are_taken_and_nothing_else(lines: list[Line], data: st.DataObject) -> None:
    raw = [encode(*line) for line in lines]
    cut = data.draw(st.integers(0, len(lines)))
    until = data.draw(st.integers(cut, len(lines)))
    envelope = open_envelope(message(raw, first=100))
    wanted = [(100, 100 + cut), (100 + until, 100 + len(lines))]
    decoded = decode_parts([Part(envelope, 3, [part for part in wanted if part[0] < part[1]])], Shapes())
    everything = rows(decode([message(raw, first=100)]))
    assert rows(decoded) == [row for row in everything if not 100 + cut <= row[0] < 100 + until]
    assert set(decoded.points["attempt"].tolist()) <= {3}


@given(
    st.lists(
        st.tuples(
            st.sampled_from("abc"),
            st.sampled_from("vw"),
            st.lists(metric_lines, min_size=1, max_size=4),
            st.integers(0, 9),
        ),
        max_size=9,
    )
)
def test_points_come_by_run_and_metric_and_as_they_arrived(parts: list[tuple[str, str, list[Line], int]]) -> None:
    """Whatever is mixed in a batch, no column is shifted against another, and a metric's points keep their order."""
    made, expected = [], []
    for run, writer, lines, first in parts:
        made.append(message([encode(*line) for line in lines], first, run=run, writer=writer))
        expected += [
            (run_key("p", run), key_id(name), writer_key(writer), seq, t // 1_000_000, step, bits(float(value)))
            for seq, (t, step, metrics) in enumerate(lines, first)
            for name, value in metrics.items()
        ]
    points = decode(made).points
    columns = [points[name].tolist() for name in ("run", "key", "writer", "seq", "ts", "step")]
    found = list(zip(*columns, map(bits, points["value"].tolist()), strict=True))
    assert found == sorted(expected, key=lambda row: row[:2])


@given(st.lists(metric_lines, min_size=1, max_size=6), st.integers(1, 5))
def test_batching_makes_no_difference(lines: list[Line], size: int) -> None:
    messages = [message([encode(*line)], first=seq) for seq, line in enumerate(lines)]
    shapes = Shapes()
    cut = [decode(messages[at : at + size], shapes) for at in range(0, len(messages), size)]
    assert sorted(row for one in cut for row in rows(one)) == rows(decode(messages))
