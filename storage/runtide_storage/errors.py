"""What storage can raise.

StorageError (a RuntideError)
+-- Unreachable       storage can't do it now (not there, overloaded, no space, not migrated): call again later
+-- Rejected          storage will never take these rows
+-- QueryError        a query that can't be answered as it was asked
|   +-- NotFound      there is no such run
|   +-- Ambiguous     several runs could be meant
|   +-- FilterError   a filter that is not one
+-- MissingPackage    an optional package is not installed
+-- MigrationError    the schema can't be brought up to date
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar
from unicodedata import combining, east_asian_width

from runtide.errors import RuntideError


class StorageError(RuntideError):
    """ClickHouse can't do what was asked."""

    retriable: ClassVar[bool] = False


class Unreachable(StorageError):
    """ClickHouse can't do it now."""

    retriable: ClassVar[bool] = True


class Rejected(StorageError):
    """ClickHouse will never take these rows."""

    @property
    def reason(self) -> str:
        """What is wrong with them, in one line."""
        return str(self)


class QueryError(StorageError):
    """This query can't be answered as it was asked."""


class NotFound(QueryError):
    """There is no such run."""


class Ambiguous(QueryError):
    """Several runs could be meant."""

    def __init__(self, message: str, candidates: Sequence[str]) -> None:
        super().__init__(message)
        self.candidates = list(candidates)


class FilterError(QueryError):
    """A filter that is not one. `position` is where in `text`, from 0; at its end if something is missing there."""

    def __init__(self, message: str, text: str, position: int) -> None:
        self.reason = " ".join(message.split())
        super().__init__(f"{self.reason} (at column {position + 1})")
        self.text = text
        self.position = position

    @property
    def pointer(self) -> str:
        """Two lines: the filter, or the part of it around the position, and a ^ below the character."""
        start = max(0, self.position - 60)
        end = self.position + 40
        before = ("…" if start else "") + _on_one_line(self.text[start : self.position])
        after = _on_one_line(self.text[self.position : end]) + ("…" if end < len(self.text) else "")
        return f"{before}{after}\n{' ' * _cells(before)}^"


class MissingPackage(StorageError, ImportError):
    """An optional package is not installed."""


class MigrationError(StorageError):
    """The schema can't be brought up to date."""


def _on_one_line(text: str) -> str:
    """With a space for each character that would move the ones after it."""
    return "".join(char if char.isprintable() else " " for char in text)


def _cells(text: str) -> int:
    """How wide a terminal shows it."""
    widths = {"W": 2, "F": 2}
    return sum(widths.get(east_asian_width(char), 1) for char in text if not combining(char))


_VERSION = re.compile(r"\s*\(version [^)]*(\([^)]*\))?\)\s*")
_WHERE = re.compile(r"\s*\(for url [^)]*\)")


def one_line(error: BaseException) -> str:
    """The server's message without codes, versions, addresses and stack."""
    text = str(error)
    for marker in ("DB::Exception: ", "server response: "):
        if marker in text:
            text = text.split(marker, 1)[1]
            break
    text = _WHERE.sub("", _VERSION.sub(" ", text))
    return " ".join(text.split()) or type(error).__name__
