"""`runtide artifact`: what is in the store, and what storage is told of it."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import runtide.store
from runtide.cli import CommandError
from runtide.store import Version
from runtide_storage.connect import connect
from runtide_storage.errors import QueryError, StorageError
from runtide_storage.reader import Reader
from runtide_storage.registry import ArtifactEvents
from runtide_storage.runs import RunName, resolve
from runtide_storage.settings import clickhouse_url
from runtide_storage.writer import Writer
from runtide_workers.cli import output
from runtide_workers.cli.alert_actions import seconds, who

_SHOW_INTERVAL_S = 0.2
_COLUMNS = ("version", "type", "size", "files", "aliases", "stage", "when", "who", "run")


def put(
    path: str, name: str | None, type_: str | None, aliases: Sequence[str], meta: Sequence[str], run: str | None,
    project: str | None, store: str | None, as_json: bool,
) -> int:  # fmt: skip
    """Keep it, and say so beside the run that made it."""
    metadata = _pairs(meta)
    with _stored(run) as told:
        kept_in = runtide.store.open(store, project or (told.run.project if told is not None else None))
        with _progress("put") as progress:
            kept = kept_in.put(
                path, name, type=type_, aliases=aliases, metadata=metadata, progress=progress,
                run=told.run.ref if told is not None else "",
            )  # fmt: skip
        version = kept.version
        if told is not None:
            facts = {**_named(version), "type": type_, "bytes": version.size, "files": version.files}
            told.events.made(
                told.run, {**facts, "aliases": list(aliases), **({"metadata": metadata} if metadata else {})}
            )
    if as_json:
        sent = {"chunks": kept.sent.chunks, "bytes": kept.sent.size}
        print(output.as_json({**_as_dict(version), "is_new": kept.is_new, "sent": sent}))
    else:
        state = f"{size(kept.sent.size)} sent" if kept.is_new else "is there already"
        print(f"{version.ref}: {size(version.size)} in {version.files} files, {state}")
    return 0


def get(ref: str, target: str | None, force: bool, project: str | None, store: str | None, as_json: bool) -> int:
    """Fetch it."""
    kept_in = runtide.store.open(store, project)
    version = kept_in.find(ref)
    with _progress("get") as progress:
        path = kept_in.get(version, target or version.name, overwrite=force, progress=progress)
    if as_json:
        print(output.as_json({**_as_dict(version), "path": path}))
    else:
        print(f"{version.ref}: {size(version.size)} in {output.clean(path)}")
    return 0


def ls(name: str | None, project: str | None, store: str | None, as_json: bool) -> int:
    """Artifacts with their latest version, or the versions of one."""
    kept_in = runtide.store.open(store, project)
    versions = kept_in.versions(name) if name is not None else kept_in.ls(project)
    if as_json:
        print(output.as_json({"store": kept_in.url, "versions": [_as_dict(version) for version in versions]}))
    elif not versions:
        print(f"no artifacts in {kept_in.url}: `runtide artifact put PATH`", file=sys.stderr)
    else:
        named = ("name", *_COLUMNS) if name is None else _COLUMNS
        rows = [_row(version)[0 if name is None else 1 :] for version in versions]
        output.table(named, rows, right=("size", "files"))
    return 0


def alias(ref: str, alias: str, reason: str, project: str | None, store: str | None, as_json: bool) -> int:
    """Set an alias."""
    version = runtide.store.open(store, project).alias(ref, alias, reason)
    is_told = _tell(version, lambda told: told.events.moved(told.run, _named(version), alias, reason))
    return _moved(version, f"{version.project}/{version.name}:{alias} is {version.version}", is_told, as_json)


def rollback(name: str, alias: str, reason: str, project: str | None, store: str | None, as_json: bool) -> int:
    """Set an alias to where it was."""
    version = runtide.store.open(store, project).rollback(name, alias, reason)
    is_told = _tell(version, lambda told: told.events.moved(told.run, _named(version), alias, reason))
    return _moved(version, f"{version.project}/{version.name}:{alias} is {version.version} again", is_told, as_json)


def stage(ref: str, stage: str, reason: str, project: str | None, store: str | None, as_json: bool) -> int:
    """Put a version into a stage, and keep it as a decision beside its run."""
    version = runtide.store.open(store, project).stage(ref, stage, reason)
    is_told = _tell(version, lambda told: told.events.staged(told.run, _named(version), stage, reason))
    return _moved(version, f"{version.ref} is in {stage}", is_told, as_json)


def history(name: str, project: str | None, store: str | None, as_json: bool) -> int:
    """Moves of aliases and stages, the oldest first."""
    kept_in = runtide.store.open(store, project)
    aliases = {alias for version in kept_in.versions(name) for alias in version.aliases}
    moves = [("alias", move) for alias in sorted(aliases) for move in kept_in.moves(name, alias)]
    moves += [("stage", move) for move in kept_in.stage_moves(name)]
    moves.sort(key=lambda each: each[1].at)
    if as_json:
        found = [
            {"kind": kind, "name": move.name, "version": f"v{move.number}", "at": move.at, "who": move.who,
             "reason": move.reason, "is_rollback": move.is_rollback}
            for kind, move in moves
        ]  # fmt: skip
        print(output.as_json({"moves": found}))
    else:
        rows = [
            (move.at[:19], kind, move.name, f"v{move.number}", "back" * move.is_rollback, move.who, move.reason)
            for kind, move in moves
        ]
        output.table(("when (UTC)", "kind", "name", "version", "", "who", "why"), rows)
    return 0


def gc(older_than: str, dry_run: bool, store: str | None, as_json: bool) -> int:
    """Remove what nothing names."""
    try:
        grace_s = seconds(older_than)
    except CommandError:
        raise CommandError(f"--older-than {older_than}: expected a duration such as 30m, 2h or 3d") from None
    found = runtide.store.open(store).gc(grace_s, dry_run=dry_run)
    if as_json:
        facts = {"chunks": found.chunks, "manifests": found.manifests, "unfinished": found.unfinished}
        more = {"bytes": found.size, "kept_chunks": found.kept_chunks, "kept_bytes": found.kept_size}
        print(output.as_json({**facts, **more, "removed": not dry_run}))
    else:
        verb = "would be removed" if dry_run else "removed"
        print(
            f"{found.chunks} chunks, {found.manifests} manifests, {found.unfinished} unfinished files {verb}: ", end=""
        )
        print(f"{size(found.size)}; {found.kept_chunks} chunks stay: {size(found.kept_size)}")
    return 0


def verify(ref: str | None, drop: bool, project: str | None, store: str | None, as_json: bool) -> int:
    """Read everything. 1: something is damaged."""
    kept_in = runtide.store.open(store, project)
    with _progress("verify") as progress:
        found = kept_in.verify(ref, drop=drop, progress=progress)
    if as_json:
        facts = {"versions": found.versions, "chunks": found.chunks, "bytes": found.size}
        print(output.as_json({**facts, "damaged": found.damaged, "touched": found.touched, "dropped": found.dropped}))
    else:
        print(f"{found.versions} versions, {found.chunks} chunks, {size(found.size)}: {len(found.damaged)} damaged")
        for fault in found.damaged.values():
            print(f"  {output.clean(fault)}")
        if found.touched:
            print(f"  needed by {', '.join(found.touched)}: put the same content again", end="")
            print("" if drop else " after `runtide artifact verify --drop`")
    return 1 if found.damaged else 0


def size(count: int) -> str:
    """Bytes as people read them."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.4g} TB"


@dataclass(frozen=True, slots=True)
class _Told:
    run: RunName
    events: ArtifactEvents


@contextmanager
def _stored(run: str | None) -> Iterator[_Told | None]:
    """A run that storage knows, and the way to say something beside it; None if none is named."""
    if run is None:
        yield None
        return
    client = connect(clickhouse_url("writer"))
    try:
        [found] = resolve(Reader(client), [run])
        yield _Told(found, ArtifactEvents(Writer(client), who()))
    finally:
        client.close()


def _tell(version: Version, say: Callable[[_Told], None]) -> bool:
    """Say it beside the run that made the version. The store knows it anyway: a stack that is down is no error."""
    if not version.run:
        return False
    try:
        with _stored(version.run) as told:
            if told is not None:
                say(told)
    except (QueryError, StorageError) as error:
        print(f"runtide: the store has it, storage was not told: {output.clean(error)}", file=sys.stderr)
        return False
    return True


def _moved(version: Version, told: str, is_told: bool, as_json: bool) -> int:
    print(output.as_json({**_as_dict(version), "told": is_told}) if as_json else told)
    return 0


def _named(version: Version) -> dict[str, str]:
    return {"name": version.name, "version": version.version, "digest": version.digest}


def _as_dict(version: Version) -> dict[str, Any]:
    facts = {"ref": version.ref, "project": version.project, **_named(version), "manifest": version.manifest}
    more = {"type": version.type, "bytes": version.size, "files": version.files, "at": version.at, "who": version.who}
    return {**facts, **more, "run": version.run, "aliases": list(version.aliases), "stage": version.stage}


def _row(version: Version) -> list[object]:
    names = [f"{version.project}/{version.name}", version.version, version.type, size(version.size), version.files]
    return [*names, version.aliases, version.stage, version.at[:19], version.who, version.run]


def _pairs(given: Sequence[str]) -> Mapping[str, Any]:
    """KEY=VALUE; a value that is JSON counts as that: numbers are numbers."""
    found: dict[str, Any] = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise CommandError(f"--meta {text}: expected KEY=VALUE")
        try:
            found[key] = json.loads(value)
        except ValueError:
            found[key] = value
    return found


@contextmanager
def _progress(verb: str) -> Iterator[Callable[[int, int], None] | None]:
    """On a terminal, a line on stderr that says how far it is."""
    if not sys.stderr.isatty():
        yield None
        return
    shown_at = began = time.monotonic()

    def show(done: int, total: int) -> None:
        nonlocal shown_at
        now = time.monotonic()
        if now - shown_at >= _SHOW_INTERVAL_S:
            shown_at = now
            share = f"{done / total:.0%} of {size(total)}" if total else size(done)
            print(f"\r{verb}: {share}, {size(int(done / (now - began)))}/s\x1b[K", end="", file=sys.stderr, flush=True)

    try:
        yield show
    finally:
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)
