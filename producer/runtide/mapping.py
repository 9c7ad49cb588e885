"""`run.config` and `run.summary`: nested dicts with attribute access, where each change is an event.

run.config.lr = 1e-3
run.config["optimizer"] = {"name": "adam", "beta": 0.9}
run.config.optimizer.beta          # 0.9;  also run.config["optimizer/beta"]
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any

from runtide import redact
from runtide.plain import SEPARATOR, Budget, as_mapping, flatten, plain

Emit = Callable[[dict[str, Any]], None]  # gets {"flat/key": JSON}; None deletes


class Section(MutableMapping[str, Any]):
    """A part of a config (or all of it): the items whose flat names begin with a prefix."""

    __slots__ = ("_emit", "_flat", "_prefix", "_told")

    def __init__(self, flat: dict[str, Any], told: dict[str, Any], prefix: str, emit: Emit) -> None:
        object.__setattr__(self, "_flat", flat)  # flat name -> the value as it was given
        object.__setattr__(self, "_told", told)  # flat name -> the JSON that was last emitted
        object.__setattr__(self, "_prefix", prefix)
        object.__setattr__(self, "_emit", emit)

    def __getitem__(self, name: str) -> Any:
        full = self._prefix + str(name)
        if full in self._flat:
            return self._flat[full]
        inside = full + SEPARATOR
        if any(key.startswith(inside) for key in tuple(self._flat)):
            return Section(self._flat, self._told, inside, self._emit)
        raise KeyError(name)

    def __setitem__(self, name: str, value: Any) -> None:
        self._apply({str(name): value})

    def __delitem__(self, name: str) -> None:
        gone = self._covered(self._prefix + str(name))
        if not gone:
            raise KeyError(name)
        self._forget(gone)
        self._tell(dict.fromkeys(gone))

    def __iter__(self) -> Iterator[str]:
        start = len(self._prefix)
        names = (key[start:].partition(SEPARATOR)[0] for key in tuple(self._flat) if key.startswith(self._prefix))
        return iter(dict.fromkeys(names))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"there is no {name!r} here") from None

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __delattr__(self, name: str) -> None:
        try:
            del self[name]
        except KeyError:
            raise AttributeError(f"there is no {name!r} here") from None

    def __repr__(self) -> str:
        return repr(self.as_dict())

    def update(self, *others: Any, **values: Any) -> None:
        """Set many at once, as one event. Nested values are merged into what is there. Also takes a Namespace."""
        merged: dict[str, Any] = {}
        values.pop("allow_val_change", None)  # wandb's: changes are always allowed here
        for other in (*others, values):
            given = other if isinstance(other, Mapping) else as_mapping(other)
            if given is None:
                given = dict(other)
            merged.update(flatten(given))
        self._apply(merged)

    def setdefaults(self, *others: Any, **values: Any) -> None:
        """`update`, but what is set already stays."""
        for other in (*others, values):
            given = as_mapping(other) or {}
            self.update({name: value for name, value in given.items() if name not in self})

    def as_dict(self) -> dict[str, Any]:
        """A plain nested copy."""
        return {name: value.as_dict() if isinstance(value, Section) else value for name, value in self.items()}

    def _apply(self, values: Mapping[str, Any]) -> None:
        """Set names to values; a name takes the place of whatever was under it, or above it."""
        changes: dict[str, Any] = {}
        budget = Budget()
        was_empty = not self._flat  # the first update may be large, and can't replace anything
        for name, value in values.items():
            full = self._prefix + name
            leaves = flatten(value, full) if isinstance(value, Mapping) and value else {full: value}
            if not was_empty:
                replaced = (self._covered(full) | self._covering(full)) - leaves.keys()
                self._forget(replaced)
                changes.update(dict.fromkeys(replaced))
            for key, leaf in leaves.items():
                json = redact.value_of(key, plain(leaf, budget))
                if key not in self._told or self._told[key] != json or type(self._told[key]) is not type(json):
                    self._told[key] = changes[key] = json
                self._flat[key] = leaf
        if changes:
            self._tell(changes)

    def _tell(self, changes: Mapping[str, Any]) -> None:
        self._emit(_without_secrets(changes))

    def _forget(self, keys: set[str]) -> None:
        for key in keys:
            self._flat.pop(key, None)
            self._told.pop(key, None)

    def _covered(self, full: str) -> set[str]:
        inside = full + SEPARATOR
        return {key for key in tuple(self._flat) if key == full or key.startswith(inside)}

    def _covering(self, full: str) -> set[str]:
        parts = full.split(SEPARATOR)
        return {key for end in range(1, len(parts)) if (key := SEPARATOR.join(parts[:end])) in self._flat}


class Config(Section):
    """A whole config or summary."""

    __slots__ = ()

    def __init__(self, emit: Emit) -> None:
        super().__init__({}, {}, "", emit)

    def as_event(self) -> dict[str, Any]:
        """All of it as the data of one event, for a journal that is opened late."""
        return _without_secrets(self._told)


class Summary(Config):
    """A summary also knows what was logged: `run.summary["loss"]` is the last value if nothing was put there by hand.

    Only what this process has logged; and what was not put there is not iterated over.
    """

    __slots__ = ("_last",)

    def __init__(self, emit: Emit, last: Callable[[str], Any]) -> None:
        super().__init__(emit)
        object.__setattr__(self, "_last", last)  # name -> number, None without any

    def __getitem__(self, name: str) -> Any:
        try:
            return super().__getitem__(name)
        except KeyError:
            value = self._last(str(name))
            if value is None:
                raise
            return value


def _without_secrets(told: Mapping[str, Any]) -> dict[str, Any]:
    """Values were cleaned under their names before; here the names themselves are."""
    return {redact.text(name): value for name, value in told.items()}
