"""What `log` is given is what the worker decodes: every name, every step, every value to the bit, in order."""

import math
import struct
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import runtide
from runtide.events import name_fault
from runtide_storage.ids import key_id
from runtide_workers.decode import Decoded, decode
from runtide_workers.envelope import Message
from tests.fixtures.journals import BARE, Written, journal

# None of these is a control character; quotes, backslashes, separators and all planes of Unicode are among them.
NAMES = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=40).filter(
    lambda name: name_fault(name) is None
)
FLOATS = st.floats(width=64)
INTEGERS = st.integers(-(2**80), 2**80)
VALUES: st.SearchStrategy[Any] = st.one_of(
    FLOATS,
    INTEGERS,
    st.booleans(),
    FLOATS.map(np.float64),
    st.floats(width=32).map(np.float32),
    st.integers(-(2**63), 2**63 - 1).map(np.int64),
    st.floats(width=16).map(np.array),
)
JUNK: st.SearchStrategy[Any] = st.one_of(st.none(), st.text(), st.binary(), st.lists(FLOATS), st.complex_numbers())
STEPS = st.integers(-(2**63), 2**63 - 1)


@dataclass
class Call:
    data: dict[str, Any]
    step: int | None
    commit: bool | None
    junk: dict[str, Any] = field(default_factory=dict)


CALLS = st.builds(
    Call,
    # Names that come again take the short cut past the checks, others don't.
    st.dictionaries(st.sampled_from(["a", "loss/train", "ü"]) | NAMES, VALUES, max_size=6),
    st.none() | STEPS,
    st.sampled_from([None, None, True, False]),
    st.dictionaries(NAMES.map(lambda name: f"junk {name}"[:60]), JUNK, max_size=2),
)


def as_message(written: Written) -> Message:
    value = b"".join(line + b"\n" for line in (written.header.encode()[:-1], *written.raw))
    headers = {
        "runtide-v": "1", "run": written.header.run, "writer": written.header.writer, "first": "0",
        "count": str(len(written.raw)),
    }  # fmt: skip
    encoded = [(name, text.encode()) for name, text in headers.items()]
    return Message("runtide.events", 0, 0, 0, written.header.run.encode(), value, encoded)


def bits(value: float) -> bytes:
    """A double's bytes; all NaNs are one."""
    return b"nan" if math.isnan(value) else struct.pack(">d", value)


def decoded_points(decoded: Decoded) -> list[tuple[int, int, bytes]]:
    points = decoded.points
    return sorted(
        (int(key), int(step), bits(float(value)))
        for key, step, value in zip(points["key"], points["step"], points["value"], strict=True)
    )


@settings(max_examples=150)
@given(st.lists(CALLS, max_size=12), st.integers(200, 5000))
def test_what_is_logged_is_what_is_decoded(calls: list[Call], segment_bytes: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        run = runtide.init("p", dir=directory, settings={**BARE, "segment_bytes": segment_bytes})
        expected: list[tuple[int, int, bytes]] = []
        next_step = 0
        for call in calls:
            step = next_step if call.step is None else call.step
            expected += [(key_id(name), step, bits(float(value))) for name, value in call.data.items()]
            run.log({**call.data, **call.junk}, call.step, call.commit)
            next_step = step if call.commit is False else min(step + 1, 2**63 - 1)
        assert run.step == next_step
        run.finish()
        decoded = decode([as_message(journal(directory))])
    assert decoded.dead == []
    assert decoded_points(decoded) == sorted(expected)


NESTED: st.SearchStrategy[Any] = st.recursive(
    FLOATS, lambda inner: st.dictionaries(st.text("ab/", min_size=1, max_size=3), inner, max_size=4), max_leaves=20
)


def leaves(prefix: str, value: Any) -> list[tuple[str, float]]:
    if not isinstance(value, dict):
        return [(prefix, value)]
    return [leaf for name, inner in value.items() for leaf in leaves(f"{prefix}/{name}" if prefix else name, inner)]


@settings(max_examples=100)
@given(st.dictionaries(st.text("ab/", min_size=1, max_size=3), NESTED, max_size=4))
def test_nested_values_get_flat_names_and_none_is_lost(data: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        run = runtide.init("p", dir=directory, settings=BARE)
        run.log(data, step=5)
        run.finish()
        decoded = decode([as_message(journal(directory))])
    assert decoded.dead == []
    assert decoded_points(decoded) == sorted((key_id(name), 5, bits(value)) for name, value in leaves("", data))


@settings(max_examples=60)
@given(st.dictionaries(NAMES, JUNK | VALUES | st.dictionaries(NAMES, JUNK | VALUES, max_size=3), max_size=5))
def test_config_never_raises_and_every_line_is_decoded(values: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        run = runtide.init("p", dir=directory, settings=BARE, config=values)
        run.summary.update(values)
        run.note(str(values))
        run.finish()
        written = journal(directory)
        decoded = decode([as_message(written)])
    assert decoded.dead == []
    assert len(decoded.events) == len(written.raw)


def test_the_directory_of_a_journal_is_made(tmp_path: Path) -> None:
    runtide.init("p", dir=tmp_path / "a" / "b", settings=BARE).finish()
    assert journal(tmp_path / "a" / "b").header.project == "p"
