"""What people log, made fit for the contract: numbers under flat names. What doesn't fit is refused one by one.

`Run.log` takes a short cut past this module when all names are known and all values are plain finite numbers.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from runtide.events import INT64_MAX, INT64_MIN, name_fault

Number = int | float | str  # str: one of the three below, since JSON has no such numbers
Refuse = Callable[[str, str], None]  # (reason, detail)
Describe = Callable[[str, Any], Mapping[str, float] | None]  # (name, value that is no number): metrics, or None

NAN, INFINITY, MINUS_INFINITY = "NaN", "Infinity", "-Infinity"
SEPARATOR = "/"
DEPTH_MAX = 32  # of nested dicts
VISITS_MAX = 10_000_000  # values looked at in one call: nested dicts that share parts can be exponentially many
CHUNK_BYTES = 128 << 10  # of names and numbers in one line; the contract's limit is 1 MiB
NUMBER_BYTES = 26  # the longest number with its punctuation


def chunks(
    data: Mapping[Any, Any], refuse: Refuse, good_names: AbstractSet[str], describe: Describe | None = None
) -> Iterator[dict[str, Number]]:
    """Flat names and numbers of one `log` call, cut so that each part fits in a line. `good_names` were checked before.

    `describe` is asked about values that are no numbers; the metrics that it gives come in parts of their own.
    No name comes twice in one part: JSON objects can't say that, but {"a/b": 1, "a": {"b": 2}} does.
    """
    chunk: dict[str, Number] = {}
    size = 0
    for name, value in _walk(data, refuse, good_names):
        number = to_number(value)
        if number is None:
            metrics = describe(name, value) if describe is not None else None
            if metrics is None:
                refuse("a value that is not a number", f"{_shown(name)}: {type(value).__name__}")
            else:
                yield from chunks(metrics, refuse, good_names)
            continue
        if name in chunk or size >= CHUNK_BYTES:
            yield chunk
            chunk, size = {}, 0
        chunk[name] = number
        size += len(name) * 2 + NUMBER_BYTES  # x2: quotes in names are escaped, and UTF-8 is longer than str
    if chunk:
        yield chunk


def to_number(value: Any) -> Number | None:
    """The value as the contract writes it; None if it is no number. Never raises.

    bool becomes 0 or 1, integers beyond 64 bit become floats. Scalars of numpy, torch, jax and other libraries are
    known by their behaviour (`item()` or `__float__`), so none of them is imported here.
    """
    kind = type(value)
    if kind is float:
        return _spell(value)
    if kind is int:
        return _fit(value)
    if kind is bool:
        return int(value)
    if value is None or isinstance(value, (str, bytes, bytearray, complex)):
        return None
    try:
        return _foreign(value)
    except Exception:  # noqa: BLE001 - other people's code: a deleted tensor, a __float__ that raises, ...
        return None


def to_step(step: Any) -> int | None:
    """An explicit step as int64; None if it can't be one. 3.0 is 3, but 3.5 is not a step."""
    if type(step) is not int:
        try:
            if hasattr(step, "item"):
                step = step.item()
            if isinstance(step, float):
                if not step.is_integer():
                    return None
                step = int(step)
            step = int(operator.index(step))
        except Exception:  # noqa: BLE001 - as above
            return None
    return step if INT64_MIN <= step <= INT64_MAX else None


def to_time_ns(timestamp: Any) -> int | None:
    """Seconds since 1970 (any real number) or a `datetime` (naive: local time) as ns; None if it is neither."""
    try:
        if hasattr(timestamp, "timestamp"):
            timestamp = timestamp.timestamp()
        if type(timestamp) is int:
            nanoseconds = timestamp * 1_000_000_000
        else:
            # A float of 2026 is good to 0.24 us: rounded to whole ones, 1700000000.123 is .123 and not .122999906.
            fraction, seconds = math.modf(float(timestamp))
            nanoseconds = int(seconds) * 1_000_000_000 + round(fraction * 1e6) * 1_000
    except Exception:  # noqa: BLE001 - as above
        return None
    return nanoseconds if 0 < nanoseconds <= INT64_MAX else None


def _foreign(value: Any) -> Number | None:
    if isinstance(value, float):  # a subclass, numpy.float64 among them
        return _spell(float(value))
    if isinstance(value, int):
        return _fit(int(value))
    item = getattr(value, "item", None)
    if item is not None:
        value = item()  # raises for arrays of more than one element
        if isinstance(value, bool | int):
            return _fit(int(value))
        if isinstance(value, float):
            return _spell(float(value))
        if isinstance(value, str | bytes | complex):
            return None
    if hasattr(type(value), "__float__"):  # Decimal, Fraction, numpy.longdouble, tensors without item()
        return _spell(float(value))
    return None


def _spell(value: float) -> Number:
    if math.isfinite(value):
        return value
    return NAN if math.isnan(value) else INFINITY if value > 0 else MINUS_INFINITY


def _fit(value: int) -> Number | None:
    if INT64_MIN <= value <= INT64_MAX:
        return value
    try:
        return float(value)
    except OverflowError:
        return None


def _walk(data: Mapping[Any, Any], refuse: Refuse, good_names: AbstractSet[str]) -> Iterator[tuple[str, Any]]:
    """(flat name, value) of all leaves with a good name, in order."""
    visits = 0
    stack: list[tuple[str, Iterator[tuple[Any, Any]], int]] = [("", _items(data, refuse), id(data))]
    open_ids = {id(data)}  # the dicts that we are inside of: meeting one again means going round in circles
    while stack:
        prefix, items, own_id = stack[-1]
        for key, value in items:
            visits += 1
            if visits > VISITS_MAX:
                refuse("values after the first 10 million of a call", "")
                return
            name = _join(prefix, key)
            if name is None:
                refuse("a name that is not a string", f"{type(key).__name__}")
            elif isinstance(value, dict) or (_may_be_mapping(value) and isinstance(value, Mapping)):
                if id(value) in open_ids or len(stack) >= DEPTH_MAX:
                    refuse("metrics nested too deeply", _shown(name))
                    continue
                stack.append((name, _items(value, refuse), id(value)))
                open_ids.add(id(value))
                break
            else:
                fault = None if name in good_names else name_fault(name)
                if fault is None:
                    yield name, value
                else:
                    refuse(fault, _shown(name))
        else:
            stack.pop()
            open_ids.discard(own_id)


def _items(data: Mapping[Any, Any], refuse: Refuse) -> Iterator[tuple[Any, Any]]:
    try:
        return iter(list(data.items()))  # a copy: another thread may change the dict meanwhile
    except Exception as error:  # noqa: BLE001 - as above
        refuse("a mapping that can't be read", type(error).__name__)
        return iter(())


def _may_be_mapping(value: Any) -> bool:
    return not isinstance(value, (int, float, str)) and hasattr(
        type(value), "keys"
    )  # not of the value: its __getattr__ may raise


def _join(prefix: str, key: Any) -> str | None:
    if not isinstance(key, str):
        if type(key) is not int:  # {0: ..., 1: ...} are layers or classes; anything else is a mistake
            return None
        key = str(key)
    return f"{prefix}{SEPARATOR}{key}" if prefix else str(key)


def _shown(name: str) -> str:
    return ascii(name if len(name) <= 60 else name[:57] + "...")
