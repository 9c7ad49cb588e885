"""What storage can raise.

StorageError (a RuntideError)
+-- Unreachable       storage can't do it now (not there, overloaded, no space, not migrated): call again later
+-- Rejected          storage will never take these rows
+-- QueryError        a query that can't be answered as it was asked
|   +-- NotFound      there is no such run
|   +-- Ambiguous     several runs could be meant
+-- MigrationError    the schema can't be brought up to date
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar

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


class MigrationError(StorageError):
    """The schema can't be brought up to date."""


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
