"""What people log and configure: any tree of objects is taken without an exception, and what is kept comes back."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any
from unittest.mock import patch

import numpy as np
import orjson

from runtide import plain as plain_module
from runtide import values as values_module
from runtide.events import LINE_BYTES_MAX, encode_event, name_fault
from runtide.mapping import Config
from runtide.plain import plain
from runtide.values import chunks, to_number, to_step, to_time_ns
from runtide_storage.ids import key_id
from runtide_workers.decode import decode
from runtide_workers.envelope import Message
from tests.fuzz.draw import Draw

DEPTH_MAX = 40
NODES_MAX = 200
VISITS_MAX = 2000  # in place of the product's, which are for larger trees: this way both are reached
HEADER = b'{"runtide":1,"project":"p","run":"r","writer":"w","seq":0,"start":1}\n'
SEEDS = [bytes(range(start, start + 60)) + b"abc\xff\0/loss" * 3 for start in range(0, 190, 5)]


class Hostile:
    """Raises wherever it is touched."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)

    def __str__(self) -> str:
        raise RuntimeError("str")

    __repr__ = __str__

    def __float__(self) -> float:
        raise RuntimeError("float")


class HostileMapping(Mapping[str, Any]):
    """A mapping that can't be read."""

    def __getitem__(self, key: str) -> Any:
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        raise RuntimeError("iter")

    def __len__(self) -> int:
        return 3


def check(data: bytes) -> None:
    with patch.object(plain_module, "VALUES_MAX", VISITS_MAX), patch.object(values_module, "VISITS_MAX", VISITS_MAX):
        _check(Draw(data))


def _check(draw: Draw) -> None:
    nodes: list[Any] = []
    tree = {draw.text(20): _tree(draw, nodes, 0) for _ in range(1 + draw.below(6))}
    _logged(tree)
    _configured(tree)
    for value in nodes[:20]:
        step, time_ns = to_step(value), to_time_ns(value)
        assert step is None or (type(step) is int and -(2**63) <= step < 2**63)
        assert time_ns is None or (type(time_ns) is int and 0 < time_ns < 2**63)


def _logged(tree: dict[str, Any]) -> None:
    refused: list[tuple[str, str]] = []
    lines = [
        orjson.dumps({"t": 1, "s": 0, "m": chunk}, None, orjson.OPT_APPEND_NEWLINE | orjson.OPT_SERIALIZE_NUMPY)
        for chunk in chunks(tree, lambda reason, detail: refused.append((reason, detail)), frozenset())
    ]
    for line in lines:
        json.loads(line)
    found = _stored(lines)
    for reason, detail in refused:
        assert reason
        detail.encode()
    if any("first 10 million" in reason for reason, _ in refused):
        return
    for name, value in _plain_leaves("", tree):
        if name_fault(name) is None and (number := to_number(value)) is not None:
            assert (key_id(name), _bits(number)) in found


def _stored(lines: list[bytes]) -> set[tuple[int, bytes]]:
    if not lines:
        return set()
    own = {"runtide-v": "1", "run": "r", "writer": "w", "first": "0", "count": str(len(lines))}
    headers = [(name, text.encode()) for name, text in own.items()]
    decoded = decode([Message("runtide.events", 0, 0, 0, b"r", HEADER + b"".join(lines), headers)])
    assert decoded.dead == []
    return set(zip(decoded.points["key"].tolist(), map(_bits, decoded.points["value"].tolist()), strict=True))


def _plain_leaves(prefix: str, tree: dict[Any, Any], inside: tuple[int, ...] = ()) -> Iterator[tuple[str, Any]]:
    """The numbers that nobody could refuse: under texts, not deep, not in a circle."""
    for key, value in tree.items():
        if not isinstance(key, str):
            continue
        name = f"{prefix}/{key}" if prefix else key
        if type(value) in (bool, int, float):
            yield name, value
        elif type(value) is dict and len(inside) < 8 and id(value) not in (*inside, id(tree)):
            yield from _plain_leaves(name, value, (*inside, id(tree)))


def _bits(value: Any) -> bytes:
    words = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
    number = float(words[value]) if isinstance(value, str) else float(value)
    return b"nan" if math.isnan(number) else struct.pack(">d", number)


def _configured(tree: dict[str, Any]) -> None:
    """As config: every event is one line of JSON that the worker takes, with what JSON can say as it was given."""
    events: list[dict[str, Any]] = []
    Config(events.append).update(tree)
    for event in events:
        line = encode_event(1, "config", event)
        assert json.loads(line)["d"] == json.loads(orjson.dumps(event))
        assert len(line) < LINE_BYTES_MAX * 4
    for value in tree.values():
        found = plain(value)
        orjson.dumps(found)
        if type(value) in (bool, type(None)) or (type(value) is int and -(2**63) <= value < 2**63):
            assert found is value or found == value
        if type(value) is float and math.isfinite(value):
            assert found == value
        if type(value) is str and value.isascii() and len(value) < 1000:
            assert found == value


def _tree(draw: Draw, nodes: list[Any], depth: int) -> Any:
    value = _node(draw, nodes, depth)
    nodes.append(value)
    return value


def _node(draw: Draw, nodes: list[Any], depth: int) -> Any:
    kind = draw.below(32)
    if depth < DEPTH_MAX and len(nodes) < NODES_MAX:
        match kind:
            case 0 | 1 | 2:
                return {_key(draw): _tree(draw, nodes, depth + 1) for _ in range(draw.below(4))}
            case 3:
                return [_tree(draw, nodes, depth + 1) for _ in range(draw.below(4))]
            case 4:
                return tuple(_tree(draw, nodes, depth + 1) for _ in range(draw.below(3)))
            case 5 if nodes:  # shared: as a tree it may be exponentially large
                return [draw.pick(nodes)] * draw.below(12)
            case 6 if nodes:
                shared = draw.pick(nodes)
                return {str(number): shared for number in range(draw.below(12))}
            case 7:  # going round in circles
                ring: dict[str, Any] = {"a": 1}
                ring["b"], ring["c"] = ring, [ring, ring]
                return ring
            case 8:
                loop: list[Any] = []
                loop += [loop] * draw.below(12)
                return loop
    return _leaf(draw, kind)


def _leaf(draw: Draw, kind: int) -> Any:
    match kind:
        case 9 | 10:
            return int.from_bytes(draw.some(16), "little", signed=True)
        case 11 | 12:
            return struct.unpack("<d", draw.take(8).ljust(8, b"\0"))[0]
        case 13:
            return draw.text()
        case 14:
            return draw.some()
        case 15:
            return draw.flag()
        case 16:
            return draw.pick([np.float64, np.float32, np.float16, np.longdouble])(draw.below(1000) - 500)
        case 17:
            one = np.frombuffer(draw.take(8).ljust(8, b"\0"), np.float64)
            return draw.pick([one[0], one, one[:0]])
        case 18:
            return np.zeros((draw.below(50), draw.below(50)), draw.pick(["i1", "?", "c8", "U3", "O", "M8[s]"]))
        case 19:
            return draw.pick([*map(Decimal, ("1e400", "NaN", "sNaN", "0.1")), Fraction(1, 3), 10**400])
        case 20:
            return Hostile()
        case 21:
            return HostileMapping()
        case 22:
            return draw.pick([Hostile, int, len, _leaf, Ellipsis, NotImplemented, np])
        case 23:
            return {draw.text(), draw.below(9), None}
        case 24:
            return datetime.fromtimestamp(draw.below(1 << 24), UTC)
        case 25:
            return draw.pick([complex(1, 2), range(5), iter([1]), np.datetime64("NaT"), np.array(None), np.str_("x")])
        case 26:
            return draw.pick([-0.0, math.nan, math.inf, -math.inf, 5e-324, 2**63, -(2**63), 2**64, -(2**63) - 1])
        case _:
            return draw.below(1000)


def _key(draw: Draw) -> Any:
    kind = draw.below(10)
    if kind < 7:
        return draw.text(20)
    return draw.pick([draw.below(100), None, 1.5, (1, 2), True, b"x", Hostile()])
