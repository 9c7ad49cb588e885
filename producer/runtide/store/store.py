"""A store of artifacts: what `runtide.store.open` gives."""

from __future__ import annotations

import getpass
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from runtide import identity, redact
from runtide.events import identity_fault
from runtide.plain import plain
from runtide.store import upkeep
from runtide.store.cutting import Limits
from runtide.store.errors import Damaged, NoSuchArtifact, StoreError
from runtide.store.fetching import fetch
from runtide.store.ledger import Entry
from runtide.store.manifest import Manifest, hex_digest, manifest_path
from runtide.store.names import LATEST, Ref, checked, checked_alias, parse
from runtide.store.objects import Objects
from runtide.store.register import ROOT, Move, Register, Version, now
from runtide.store.sending import GRACE_S, Progress, Sent, send, write_manifest
from runtide.store.upkeep import Collected, Verified

MARK = "store.json"
FORMAT = 1
_KEPT_VERSIONS = 5  # of an artifact, the newest: their chunks are there, and no `gc` takes them


@dataclass(frozen=True, slots=True)
class Kept:
    """What `put` made of it. `is_new`: False if a version with this content was there."""

    version: Version
    is_new: bool
    sent: Sent


class Store:
    """Versions of files, each chunk of them once. Threads and processes may use one store at the same time.

    A reference is `[project/]name[:alias|vN|digest]`, `latest` if nothing is said; or a digest alone. Methods raise
    `StoreError` (`NoSuchArtifact`, `Damaged`, `Unavailable`) and `OSError`.
    """

    def __init__(
        self, objects: Objects, project: str = "default", *, who: str | None = None, limits: Limits | None = None
    ) -> None:
        self.url = objects.url
        self.project = checked(project, "project")
        self._objects = objects
        self._who = user_at_host() if who is None else who
        self._limits = limits or Limits()
        self._known: dict[str, Entry] = {}

    def put(
        self,
        path: str | os.PathLike[str],
        name: str | None = None,
        *,
        project: str | None = None,
        type: str | None = None,  # noqa: A002 - wandb's word
        aliases: Iterable[str] = (),
        metadata: Mapping[str, Any] | None = None,
        run: str = "",
        progress: Progress | None = None,
    ) -> Kept:
        """Keep a file or a directory as the next version of `name` (default: its own name).

        The same content again is the same version, whatever its type and metadata; its aliases are set all the same,
        and `latest` follows. `run` is the `project/run_id` that made it. Whatever stops a put, the next one goes on.
        """
        source = os.path.abspath(path)
        register = self._register(checked(name or os.path.basename(source), "artifact"), project)
        names = [checked_alias(alias) for alias in dict.fromkeys(aliases)]
        self._mark()
        facts = redact.mapping({str(key): plain(value) for key, value in (metadata or {}).items()})
        versions = register.versions()
        manifest, sent = send(
            self._objects, source, type_=type, metadata=facts, kept=self._chunks_of(versions[-_KEPT_VERSIONS:]),
            limits=self._limits, progress=progress,
        )  # fmt: skip
        is_new = self._add(register, manifest, run)
        version = _with_content(register.versions(), manifest.digest)
        for alias in names if is_new else [LATEST, *names]:  # of a new version `latest` is there by itself
            register.move(alias, version, self._who)
        return Kept(_with_content(register.versions(), manifest.digest), is_new, sent)

    def get(
        self,
        ref: str | Version,
        target: str | os.PathLike[str],
        *,
        overwrite: bool = False,
        progress: Progress | None = None,
    ) -> str:
        """Write an artifact to `target` (its directory, or its file) and return the absolute path.

        A file goes into `target` if that is a directory. Every byte is checked. A download that was broken off goes on.
        """
        manifest, place = self.manifest(ref), os.fspath(target)
        if not manifest.is_directory and os.path.isdir(place):
            place = os.path.join(place, manifest.files[0].path.rpartition("/")[2])
        return fetch(self._objects, manifest, place, overwrite=overwrite, progress=progress)

    def find(self, ref: str | Version) -> Version:
        """The version that a reference means."""
        if isinstance(ref, Version):
            return ref
        wanted = parse(ref, self.project)
        return self._register(wanted.name, wanted.project).find(wanted) if wanted.name else self._by_digest(wanted)

    def manifest(self, ref: str | Version) -> Manifest:
        """The files of a version, its type and metadata."""
        return upkeep.read_manifest(self._objects, self.find(ref).manifest)

    def ls(self, project: str | None = None) -> list[Version]:
        """The latest version of each artifact, of one project or of all."""
        return [_latest(versions) for versions in self._all(project)]

    def versions(self, name: str) -> list[Version]:
        """All versions of `[project/]name`, the oldest first."""
        versions = self._register_of(name).versions()
        if not versions:
            raise NoSuchArtifact(f"there is no artifact {name} in {self.url}")
        return versions

    def alias(self, ref: str | Version, alias: str, reason: str = "") -> Version:
        """Set an alias to a version."""
        version = self.find(ref)
        self._register(version.name, version.project).move(alias, version, self._who, reason)
        return self.find(version.exact)

    def rollback(self, name: str, alias: str, reason: str = "") -> Version:
        """Set an alias of `[project/]name` to where it was before; the version that it is at then."""
        version = self._register_of(name).roll_back(checked_alias(alias), self._who, reason)
        return self.find(version.exact)

    def moves(self, name: str, alias: str) -> list[Move]:
        """Every move of an alias, the oldest first."""
        return self._register_of(name).moves(alias)

    def stage(self, ref: str | Version, stage: str, reason: str) -> Version:
        """Put a version into a stage, such as staging, production or archived."""
        if not reason.strip():
            raise StoreError("a stage has a reason")
        version = self.find(ref)
        self._register(version.name, version.project).stage(version, stage, self._who, reason)
        return self.find(version.exact)

    def stage_moves(self, name: str) -> list[Move]:
        """Who put which version into which stage, and why; the oldest first."""
        return self._register_of(name).stage_moves()

    def gc(self, older_than_s: float = GRACE_S, *, dry_run: bool = False) -> Collected:
        """Remove what no version names. Less than a day may take chunks from an upload that is going on."""
        named = (version.manifest for versions in self._all(None) for version in versions)
        return upkeep.collect(self._objects, named, older_than_s, dry_run=dry_run)

    def verify(
        self, ref: str | Version | None = None, *, drop: bool = False, progress: Progress | None = None
    ) -> Verified:
        """Read every chunk, of one version or of all. `drop`: remove damaged ones; the next put brings them back."""
        wanted = [self.find(ref)] if ref is not None else [each for versions in self._all(None) for each in versions]
        return upkeep.verify(self._objects, wanted, drop=drop, progress=progress)

    def _add(self, register: Register, manifest: Manifest, run: str) -> bool:
        """A version, after its manifest. False: one with this content is there."""
        entry = {
            "manifest": hex_digest(manifest.encode()), "digest": manifest.digest, "type": manifest.type or "",
            "bytes": manifest.size, "files": len(manifest.files), "at": now(), "who": self._who, "run": run,
        }  # fmt: skip
        same = next((each for each in register.versions() if each.digest == manifest.digest), None)
        if same is None or same.manifest == entry["manifest"]:
            write_manifest(self._objects, manifest)
        is_new = register.add(entry)
        if is_new and self._objects.look(manifest_path(str(entry["manifest"]))) is None:  # a `gc` at the same moment
            write_manifest(self._objects, manifest)
        return is_new

    def _chunks_of(self, versions: Iterable[Version]) -> set[str]:
        found: set[str] = set()
        for version in versions:
            try:
                found |= self.manifest(version).chunks().keys()
            except Damaged:  # then its chunks are looked at one by one
                continue
        return found

    def _all(self, project: str | None) -> Iterator[list[Version]]:
        """The versions of each artifact, by project and name."""
        root = f"{ROOT}/{checked(project, 'project')}" if project is not None else ROOT
        found: dict[tuple[str, str], list[str]] = {}
        for each in self._objects.list(root):
            parts = each.path.split("/")
            if len(parts) > 3 and not any(map(identity_fault, parts[1:3])):  # what else lies there is not ours
                found.setdefault((parts[1], parts[2]), []).append(each.path)
        for (of_project, name), paths in sorted(found.items()):
            if versions := self._register(name, of_project).versions(paths):
                yield versions

    def _by_digest(self, ref: Ref) -> Version:
        found = [each for versions in self._all(ref.project) for each in versions if _has(each, ref.digest)]
        if not found:
            raise NoSuchArtifact(f"nothing in project {ref.project} has the digest {ref.digest}")
        if len({each.digest for each in found}) > 1:
            raise StoreError(f"{ref.digest} could be any of {', '.join(each.ref for each in found[:5])}")
        return found[0]

    def _register_of(self, name: str) -> Register:
        ref = parse(name, self.project)
        return self._register(ref.name, ref.project)

    def _register(self, name: str, project: str | None) -> Register:
        return Register(self._objects, checked(project or self.project, "project"), name, self._known)

    def _mark(self) -> None:
        """Say what this is, for people and for later formats."""
        if self._objects.look(MARK) is None:
            self._objects.write(MARK, b'{"runtide-store": %d}\n' % FORMAT)


def user_at_host() -> str:
    """Who puts and moves things, as far as the system knows."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a container without a name for this user
        user = str(os.getuid())
    return f"{user}@{identity.host_name()}"


def _with_content(versions: list[Version], digest: str) -> Version:
    """By its content: its number may just have moved up, on a store that can't create a thing only once."""
    return next(version for version in versions if version.digest == digest)


def _latest(versions: list[Version]) -> Version:
    return next(version for version in versions if LATEST in version.aliases)


def _has(version: Version, digest: str | None) -> bool:
    return digest is not None and version.digest.startswith(f"blake2b:{digest}")
