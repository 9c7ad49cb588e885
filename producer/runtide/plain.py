"""Any Python value as plain, bounded JSON: for config, summary and what is captured. Never raises."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

TEXT_CHARS_MAX = 64 << 10
ITEMS_MAX = 10_000  # of a list
ARRAY_ITEMS_MAX = 1_000  # a larger array is described, not stored
DEPTH_MAX = 16
VALUES_MAX = 200_000  # of one config: objects that share parts can be exponentially many; more fit in no line
NAME_CHARS_MAX = 512
SEPARATOR = "/"

Json = None | bool | int | float | str | list[Any] | dict[str, Any]


class Budget:
    """How many values may still be looked at."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = VALUES_MAX


def plain(value: Any, budget: Budget | None = None, depth: int = 0) -> Json:
    """The value as JSON. What JSON can't say becomes a text that describes it; NaN and infinities as in metrics."""
    if value is None or value is True or value is False:
        return value
    try:
        if isinstance(value, str):
            return clip(value)
        if isinstance(value, int):
            number = int(value)
            return number if -(2**63) <= number < 2**63 else str(number)
        if isinstance(value, float):
            return _finite(float(value))
        budget = budget or Budget()
        if depth >= DEPTH_MAX or budget.left <= 0:
            return _described(value)
        if isinstance(value, Mapping):
            items = _first(value.items(), budget)
            return {clip(_name(key), NAME_CHARS_MAX): plain(item, budget, depth + 1) for key, item in items}
        if isinstance(value, (list, tuple)):
            return [plain(item, budget, depth + 1) for item in _first(value, budget)]
        if isinstance(value, (set, frozenset)):
            return sorted((plain(item, budget, depth + 1) for item in _first(value, budget)), key=repr)
        return _from_object(value, budget, depth)
    except Exception:  # noqa: BLE001 - other people's __str__, keys(), tolist() ... may do anything
        return _described(value)


def flatten(values: Mapping[Any, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one with "/" in the names. The leaves stay as they are; an empty mapping is a leaf."""
    return dict(_leaves(values, prefix, Budget(), 0))


def as_mapping(values: Any) -> Mapping[Any, Any] | None:
    """What people call a config: a mapping, a dataclass, an argparse.Namespace, ... None: it is nothing of the kind."""
    if isinstance(values, Mapping):
        return values
    try:
        if hasattr(values, "__dataclass_fields__") and not isinstance(values, type):
            return {name: getattr(values, name) for name in values.__dataclass_fields__}
        for method in ("model_dump", "to_dict", "_asdict", "as_dict"):
            if hasattr(values, method):
                found = getattr(values, method)()
                return found if isinstance(found, Mapping) else None
        attributes = vars(values)
    except Exception:  # noqa: BLE001 - as in plain()
        return None
    return {name: value for name, value in attributes.items() if not name.startswith("_")}


def clip(text: str, chars_max: int = TEXT_CHARS_MAX) -> str:
    """The text, valid UTF-8 and not longer than allowed."""
    if len(text) > chars_max:
        text = f"{text[:chars_max]}... ({len(text)} characters)"
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _leaves(values: Mapping[Any, Any], prefix: str, budget: Budget, depth: int) -> Iterator[tuple[str, Any]]:
    try:
        items = [(_name(key), value) for key, value in list(values.items())]
    except Exception:  # noqa: BLE001 - as in plain()
        items = []
    for key, value in items:
        budget.left -= 1
        if budget.left < 0:
            return
        name = f"{prefix}{SEPARATOR}{key}" if prefix else key
        if isinstance(value, Mapping) and value and depth < DEPTH_MAX:
            yield from _leaves(value, name, budget, depth + 1)
        else:
            yield clip(name, NAME_CHARS_MAX), value


def _name(key: Any) -> str:
    try:
        return str(key)
    except Exception:  # noqa: BLE001 - as in plain()
        return _described(key)


def _from_object(value: Any, budget: Budget, depth: int) -> Json:
    if hasattr(value, "shape") and hasattr(value, "tolist"):  # numpy, torch, jax
        size = math.prod(value.shape)
        return plain(value.tolist(), budget, depth + 1) if size <= ARRAY_ITEMS_MAX else _described(value)
    if hasattr(value, "item"):
        return plain(value.item(), budget, depth + 1)
    if isinstance(value, type) or hasattr(value, "__qualname__"):
        return f"{value.__module__}.{value.__qualname__}"
    if hasattr(value, "__fspath__"):
        return clip(str(value))
    if hasattr(value, "isoformat"):
        return clip(str(value.isoformat()))
    if hasattr(value, "name") and hasattr(type(value), "__members__"):  # an enum
        return plain(value.value, budget, depth + 1)
    if hasattr(value, "__dataclass_fields__"):
        return plain(as_mapping(value), budget, depth + 1)
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    return clip(str(value))


def _finite(value: float) -> float | str:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _first(items: Iterable[Any], budget: Budget) -> Iterator[Any]:
    for count, item in enumerate(items):
        budget.left -= 1
        if count >= ITEMS_MAX or budget.left < 0:
            return
        yield item


def _described(value: Any) -> str:
    kind = type(value).__name__
    try:
        return f"{kind} of {value.dtype} {tuple(value.shape)}"
    except Exception:  # noqa: BLE001 - as in plain()
        return f"<{kind}>"
