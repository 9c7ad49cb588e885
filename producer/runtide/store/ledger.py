"""A list that only grows, kept as numbered objects in a folder: versions, the moves of an alias, stages.

Two writers at once both get their entry. Where the store creates an object only once (`Objects.creates_once`) the name
is the number alone, so that each number is given once and for ever. Elsewhere the entry's digest is part of the name:
no entry ever replaces another, but two that were written at the same moment share a number, and count in the order of
their digests; a number that one of them was told may then move up by one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from runtide.store.crew import Crew
from runtide.store.errors import Damaged, StoreError
from runtide.store.manifest import hex_digest
from runtide.store.objects import Objects

_NAME = re.compile(r"[0-9]{8}(-[0-9a-f]{40})?\.json", re.ASCII)
_TRIES_MAX = 100  # each means that somebody else was faster

Entry = dict[str, Any]


class Ledger:
    """Entries are small JSON objects, and never change: what was read once is remembered."""

    def __init__(self, objects: Objects, folder: str, known: dict[str, Entry] | None = None) -> None:
        self._objects = objects
        self._folder = folder
        self._known = {} if known is None else known

    def entries(self) -> list[Entry]:
        """All, in their order: the number of an entry is its place, from 1."""
        return read_entries(self._objects, [each.path for each in self._objects.list(self._folder)], self._known)

    def append(
        self, entry: Mapping[str, Any], same: Callable[[Sequence[Entry]], int | None] = lambda _: None
    ) -> tuple[int, bool]:
        """The number of the new entry, and True; or that of one that `same` finds among all, and False."""
        data = orjson.dumps(entry, option=orjson.OPT_SORT_KEYS)
        for _ in range(_TRIES_MAX):
            known = self.entries()
            found = same(known)
            if found is not None:
                return found, False
            path = f"{self._folder}/{len(known) + 1:08d}"
            if not self._objects.creates_once:
                path = f"{path}-{hex_digest(data)}.json"
                self._objects.write(path, data)
                return self._place(path), True
            try:
                self._objects.create(f"{path}.json", data)
            except FileExistsError:
                continue
            return len(known) + 1, True
        raise StoreError(f"{self._folder} in {self._objects.url}: others write all the time: try again")

    def _place(self, path: str) -> int:
        return entry_paths(each.path for each in self._objects.list(self._folder)).index(path) + 1


def entry_paths(paths: Any) -> list[str]:
    """Those of entries, in their order."""
    return sorted(path for path in paths if _NAME.fullmatch(path.rpartition("/")[2]))


def read_entries(objects: Objects, paths: Sequence[str], known: dict[str, Entry]) -> list[Entry]:
    """The entries of one ledger, in their order. `known`: those that were read before; it is added to."""
    wanted = entry_paths(paths)

    def read(path: str) -> None:
        try:
            entry = orjson.loads(objects.read(path))
        except orjson.JSONDecodeError:
            entry = None
        if not isinstance(entry, dict):
            raise Damaged(f"{path} in {objects.url} is damaged: no JSON object")
        known[path] = entry

    new = [path for path in wanted if path not in known]
    if len(new) == 1:
        read(new[0])
    elif new:
        with Crew(read) as crew:
            for path in new:
                crew.give(path)
    return [known[path] for path in wanted]
