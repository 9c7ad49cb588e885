"""Tables of a TOML file that know where they stand: every error names file, key, value, and what would be right."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, overload

from runtide.errors import SettingsError

T = TypeVar("T")


def read_toml(path: str, *, missing_is_fine: bool) -> dict[str, Any]:
    """The file's top table. Raises `SettingsError`."""
    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except FileNotFoundError:
        if missing_is_fine:
            return {}
        raise SettingsError(f"{path}: there is no such file") from None
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}") from None
    except RecursionError:
        raise SettingsError(f"{path}: this is nested too deeply") from None
    except ValueError as error:  # not TOML, not UTF-8, or a number of more digits than Python reads
        raise SettingsError(f"{path}: this is not TOML: {error}") from None


@dataclass(frozen=True, slots=True)
class Table:
    """`values` of the table `name` ("project[2]", "" for the top) of `file`; a key that is not `known` is an error."""

    file: str
    name: str
    values: Mapping[str, Any]
    known: Sequence[str]

    def __post_init__(self) -> None:
        for key in self.values:
            if key not in self.known:
                what = "table" if not self.name else "key"
                raise SettingsError(f"{self._place(key)}: there is no such {what}; known are {', '.join(self.known)}")

    @property
    def place(self) -> str:
        return f"{self.file}: {self.name}"

    def error(self, key: str, value: object, right: str) -> SettingsError:
        """For a value that can't be used; `right` says which could be."""
        from runtide_workers.detection.rules import shown

        return SettingsError(f"{self._place(key)} = {shown(value)}: expected {right}")

    def table(self, key: str, known: Sequence[str]) -> Table:
        """`[key]`; an empty one if it is not there."""
        value = self.values.get(key, {})
        if not isinstance(value, dict):
            raise self.error(key, value, f"one table [{key}]")
        return Table(self.file, key, value, known)

    def tables(self, key: str, known: Sequence[str]) -> list[Table]:
        """All `[[key]]`."""
        value = self.values.get(key, [])
        if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
            raise self.error(key, value, f"tables [[{key}]], with two brackets on each side")
        return [Table(self.file, f"{key}[{number}]", each, known) for number, each in enumerate(value, 1)]

    def text(self, key: str, default: str | None = None) -> str:
        """A string; without `default` there must be one that is not empty."""
        value = self._value(key, default)
        if not isinstance(value, str) or (default is None and not value.strip()):
            raise self.error(key, value, "a string" if default is not None else "a string that is not empty")
        return value

    def texts(self, key: str, default: tuple[str, ...] | None) -> tuple[str, ...] | None:
        """A list of strings."""
        value = self.values.get(key)
        if value is None:
            return default
        if not isinstance(value, list) or not all(isinstance(each, str) and each for each in value):
            raise self.error(key, value, "a list of strings")
        return tuple(value)

    @overload
    def number(self, key: str, default: float, *, least: float | None = None, above: float | None = None) -> float: ...
    @overload
    def number(
        self, key: str, default: None, *, least: float | None = None, above: float | None = None
    ) -> float | None: ...
    def number(
        self, key: str, default: float | None, *, least: float | None = None, above: float | None = None
    ) -> float | None:
        """A finite number, not below `least`, larger than `above`."""
        value = self.values.get(key)
        if value is None:
            return default
        right = "a number" + (f", {least:g} or more" if least is not None else "")
        right += f" above {above:g}" if above is not None else ""
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self.error(key, value, right)
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if (
            not math.isfinite(number)
            or (least is not None and number < least)
            or (above is not None and number <= above)
        ):
            raise self.error(key, value, right)
        return number

    def flag(self, key: str, default: bool) -> bool:
        value = self._value(key, default)
        if not isinstance(value, bool):
            raise self.error(key, value, "true or false")
        return value

    def choice(self, key: str, allowed: Sequence[T], default: T) -> T:
        value = self._value(key, default)
        for one in allowed:
            if value == one:
                return one
        raise self.error(key, value, f"one of {', '.join(map(str, allowed))}")

    def _value(self, key: str, default: Any) -> Any:
        value = self.values.get(key, default)
        if value is None:
            raise SettingsError(f"{self._place(key)}: it is missing, and must be there")
        return value

    def _place(self, key: str) -> str:
        return f"{self.file}: {self.name}.{key}" if self.name else f"{self.file}: {key}"
