"""One artifact's versions, aliases and stages, and every move of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from runtide.store.errors import Damaged, NoSuchArtifact, StoreError
from runtide.store.ledger import Entry, Ledger, read_entries
from runtide.store.names import DIGEST_PREFIX, LATEST, Ref, checked_alias
from runtide.store.objects import Objects

ROOT = "artifacts"
REASON_CHARS_MAX = 10_000
_CONTENT = re.compile(r"blake2b:[0-9a-f]{40}", re.ASCII)
_HEX = re.compile(r"[0-9a-f]{40}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Version:
    """One version of an artifact. `digest` is that of the content; `manifest` names what lists its files."""

    project: str
    name: str
    number: int
    digest: str
    manifest: str
    type: str
    size: int
    files: int
    at: str  # ISO 8601, UTC
    who: str
    run: str  # project/run_id of the run that made it; may be empty
    aliases: tuple[str, ...] = ()
    stage: str = ""

    @property
    def version(self) -> str:
        return f"v{self.number}"

    @property
    def ref(self) -> str:
        return f"{self.project}/{self.name}:v{self.number}"

    @property
    def exact(self) -> str:
        """The reference by content: where numbers may move, this stays."""
        return f"{self.project}/{self.name}:{self.digest}"


@dataclass(frozen=True, slots=True)
class Move:
    """An alias was set to a version, or a version was put into a stage."""

    name: str  # of the alias or stage
    number: int
    at: str
    who: str
    reason: str
    is_rollback: bool = False


class Register:
    """Every method looks anew: another writer may have been there. Raises `StoreError`."""

    def __init__(self, objects: Objects, project: str, name: str, known: dict[str, Entry]) -> None:
        self._objects = objects
        self._project = project
        self._name = name
        self._folder = f"{ROOT}/{project}/{name}"
        self._known = known

    def add(self, entry: Entry) -> bool:
        """A version. False: one with the same content is there already."""

        def same(known: Sequence[Entry]) -> int | None:
            return next((number for number, each in enumerate(known, 1) if each.get("digest") == entry["digest"]), None)

        return self._ledger("versions").append(entry, same)[1]

    def versions(self, listed: Iterable[str] | None = None) -> list[Version]:
        """The oldest first. Empty: there is no such artifact. `listed`: the paths of what is there, if known."""
        return self._look(listed).versions

    def find(self, ref: Ref) -> Version:
        """What a reference means."""
        seen = self._look()
        if not seen.versions:
            raise NoSuchArtifact(f"there is no artifact {self._project}/{self._name} in {self._objects.url}")
        if ref.number is not None:
            fitting = [version for version in seen.versions if version.number == ref.number]
        elif ref.digest is not None:
            wanted = DIGEST_PREFIX + ref.digest
            fitting = [version for version in seen.versions if version.digest.startswith(wanted)]
        else:
            number = seen.standing(ref.alias) or seen.in_stage(ref.alias)
            fitting = [version for version in seen.versions if version.number == number]
        if len({version.digest for version in fitting}) > 1:
            raise StoreError(f"{ref} could be any of {', '.join(version.version for version in fitting)}")
        if not fitting:
            has = f"v1 to v{len(seen.versions)}" if len(seen.versions) > 1 else "v1"
            names = ", ".join(sorted({LATEST, *seen.moves, *(move.name for move in seen.stages)}))
            raise NoSuchArtifact(f"there is no {ref}: {self._project}/{self._name} has {has}, and {names}")
        return fitting[0]

    def moves(self, alias: str) -> list[Move]:
        """Of an alias, the oldest first."""
        return self._look().moves.get(alias, [])

    def stage_moves(self) -> list[Move]:
        """Who put which version into which stage, and why; the oldest first."""
        return self._look().stages

    def move(self, alias: str, version: Version, who: str, reason: str = "") -> bool:
        """Set an alias. False: it is there already."""
        seen, alias = self._look(), checked_alias(alias)
        if any(move.name == alias for move in seen.stages):
            raise StoreError(f"{alias} is a stage of {self._project}/{self._name}: `runtide artifact stage` moves it")
        if seen.standing(alias) == seen.now(version).number:
            return False
        self._say(f"aliases/{alias}", version.digest, who, reason, {"seen": len(seen.versions)})
        return True

    def roll_back(self, alias: str, who: str, reason: str = "") -> Version:
        """Set an alias to where it was before, and once more to where it was before that."""
        seen = self._look()
        stack = seen.stack(alias)
        if not stack:
            raise NoSuchArtifact(f"{self._project}/{self._name} has no alias {alias}")
        if len(stack) == 1:
            raise StoreError(f"{self._project}/{self._name}:{alias} was never anything but v{stack[0]}")
        version = seen.versions[stack[-2] - 1]
        self._say(f"aliases/{alias}", version.digest, who, reason, {"seen": len(seen.versions), "back": True})
        return version

    def stage(self, version: Version, stage: str, who: str, reason: str) -> bool:
        """Put a version into a stage. False: it is there already."""
        seen = self._look()
        if checked_alias(stage) == LATEST or stage in seen.moves:
            raise StoreError(f"{stage} is an alias of {self._project}/{self._name}: a stage needs another name")
        if seen.now(version).stage == stage:
            return False
        self._say("stages", version.digest, who, reason, {"stage": stage})
        return True

    def _say(self, ledger: str, digest: str, who: str, reason: str, more: Entry) -> None:
        entry = {"digest": digest, "at": now(), "who": who, "reason": reason[:REASON_CHARS_MAX], **more}
        self._ledger(ledger).append(entry)

    def _ledger(self, name: str) -> Ledger:
        return Ledger(self._objects, f"{self._folder}/{name}", self._known)

    def _look(self, listed: Iterable[str] | None = None) -> _Seen:
        """One listing, and a read of each entry that is new."""
        ledgers: dict[str, list[str]] = {}
        for path in (each.path for each in self._objects.list(self._folder)) if listed is None else listed:
            folder, _, _ = path[len(self._folder) + 1 :].rpartition("/")
            ledgers.setdefault(folder, []).append(path)
        read = {name: read_entries(self._objects, paths, self._known) for name, paths in ledgers.items()}
        return _seen(self._project, self._name, read)


class _Seen:
    """What was there when it was looked at."""

    def __init__(self) -> None:
        self.versions: list[Version] = []
        self.moves: dict[str, list[Move]] = {}  # by alias
        self.seen: dict[str, list[int]] = {}  # how many versions there were at each move
        self.stages: list[Move] = []

    def stack(self, alias: str) -> list[int]:
        """Where the alias has been, without what was rolled back; it is at the last.

        Each new version is a move of `latest`, said by nothing but its being there: so a writer that is killed between
        the two leaves nothing to mend.
        """
        moves = list(zip(self.seen.get(alias, []), self.moves.get(alias, []), strict=True))
        stack: list[int] = []
        told = 0  # versions
        for seen, move in [*moves, (len(self.versions), None)]:
            if alias == LATEST:
                stack += range(told + 1, seen + 1)
                told = max(told, seen)
            if move is not None and move.is_rollback:
                del stack[max(1, len(stack) - 1) :]
            elif move is not None:
                stack.append(move.number)
        return stack

    def standing(self, alias: str) -> int | None:
        stack = self.stack(alias)
        return stack[-1] if stack else None

    def in_stage(self, stage: str) -> int | None:
        """The version that was put there last, of those that are still there."""
        return next((move.number for move in reversed(self.stages) if self._stage_of(move.number) == stage), None)

    def _stage_of(self, number: int) -> str:
        return next((move.name for move in reversed(self.stages) if move.number == number), "")

    def now(self, version: Version) -> Version:
        """The same version as it is called now."""
        return next((each for each in self.versions if each.digest == version.digest), version)

    def finish(self) -> None:
        """Tell the versions what they are called."""
        called: dict[int, list[str]] = {}
        for alias in sorted({LATEST, *self.moves}):
            if (number := self.standing(alias)) is not None:
                called.setdefault(number, []).append(alias)
        self.versions = [
            _with_names(version, tuple(called.get(version.number, ())), self._stage_of(version.number))
            for version in self.versions
        ]


def _seen(project: str, name: str, read: dict[str, list[Entry]]) -> _Seen:
    seen = _Seen()
    entries = read.get("versions", [])
    seen.versions = [_version(project, name, number, entry) for number, entry in enumerate(entries, 1)]
    numbers = {version.digest: version.number for version in reversed(seen.versions)}
    for ledger, moves in read.items():
        kind, _, alias = ledger.partition("/")
        known = [entry for entry in moves if entry.get("digest") in numbers]
        if kind == "aliases":
            seen.moves[alias] = [_move(alias, numbers, entry) for entry in known]
            seen.seen[alias] = [_number(entry.get("seen")) for entry in known]
        elif kind == "stages":
            seen.stages = [_move(_text(entry, "stage"), numbers, entry) for entry in known]
    seen.finish()
    return seen


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _version(project: str, name: str, number: int, entry: Entry) -> Version:
    digest, manifest = _text(entry, "digest"), _text(entry, "manifest")
    if not _CONTENT.fullmatch(digest) or not _HEX.fullmatch(manifest):
        raise Damaged(f"version {number} of {project}/{name} is damaged: it has no digest")
    return Version(
        project, name, number, digest, manifest, _text(entry, "type"), _number(entry.get("bytes")),
        _number(entry.get("files")), _text(entry, "at"), _text(entry, "who"), _text(entry, "run"),
    )  # fmt: skip


def _with_names(version: Version, aliases: tuple[str, ...], stage: str) -> Version:
    return replace(version, aliases=aliases, stage=stage)


def _move(name: str, numbers: dict[str, int], entry: Entry) -> Move:
    at, who, reason = _text(entry, "at"), _text(entry, "who"), _text(entry, "reason")
    return Move(name, numbers[entry["digest"]], at, who, reason, entry.get("back") is True)


def _text(entry: Entry, name: str) -> str:
    value = entry.get(name)
    return value if isinstance(value, str) else ""


def _number(value: Any) -> int:
    return value if type(value) is int and value >= 0 else 0
