"""Where a store's bytes lie: named objects under a root, on this machine's disk or anywhere that fsspec reaches.

Six verbs, the same everywhere. What an object store can't promise is said in docs/artifacts.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from runtide import redact
from runtide.store.errors import StoreError


@dataclass(frozen=True, slots=True)
class Listed:
    """An object as it lies there."""

    path: str  # under the root, with /
    size: int
    modified_s: float | None  # since 1970; None: this kind of store doesn't say


class Objects(Protocol):
    """A path is relative, with /. Every method may raise `OSError`, and what the store's own library raises."""

    url: str

    @property
    def creates_once(self) -> bool:
        """Whether of two that create the same object at once one is told so, always."""
        ...

    def read(self, path: str) -> bytes:
        """Raises `FileNotFoundError`."""
        ...

    def write(self, path: str, data: bytes) -> None:
        """The object is there whole or not at all; one that was there is replaced."""
        ...

    def create(self, path: str, data: bytes) -> None:
        """The same, but raises `FileExistsError` if there is one. Only to be used if `creates_once`."""
        ...

    def look(self, path: str) -> Listed | None:
        """What is known of it; None: it isn't there."""
        ...

    def list(self, folder: str) -> Sequence[Listed]:
        """All below a folder, by path. Nothing of a folder that isn't there."""
        ...

    def remove(self, path: str) -> None:
        """It may be gone already."""
        ...


def open_objects(url: str) -> Objects:
    """A folder of this machine (a path or file://), or what fsspec understands. Raises `StoreError`."""
    scheme, separator, rest = url.partition("://")
    if not separator or scheme in ("file", "local"):
        from runtide.store.local import LocalObjects

        return LocalObjects(rest if separator else url)
    try:
        from runtide.store.remote import RemoteObjects

        return RemoteObjects(url)
    except ImportError as error:
        if error.name is not None and error.name.partition(".")[0] == "fsspec":
            raise StoreError(f"{scheme}:// needs fsspec: pip install 'runtide[artifacts]'") from None
        needs = " ".join(str(error).split()) or "a package that is not installed"
        raise StoreError(f"{scheme}://: {needs} (pip install it beside runtide[artifacts])") from None
    except ValueError as error:  # a scheme that nobody knows, or half a URL
        raise StoreError(f"RUNTIDE_ARTIFACTS={redact.text(url)!r}: {error}") from None
