"""Which versions of artifacts storage knows of, where they stand, and which datasets runs have used.

The artifact store (`runtide.store`) has the bytes and the last word on aliases and stages; what it was told is told
here too, beside the run that made a version, so that SQL and pages know of it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from runtide import redact
from runtide.plain import clip, plain
from runtide_storage.annotate import Annotations
from runtide_storage.lineage import things
from runtide_storage.reader import Reader
from runtide_storage.runs import RunName
from runtide_storage.statements import statements

MENTIONS_MAX = 100_000  # events that are looked at, the newest
ALIAS_KIND = "artifact_alias"


@dataclass(slots=True)
class Registered:
    """A version that a run made. `run` is `project/run_id`; `stage` is empty if it never had one."""

    project: str
    name: str
    version: str
    digest: str
    type: str
    size: int | None
    run: str
    at: datetime
    aliases: tuple[str, ...] = ()
    stage: str = ""
    stage_who: str = ""
    stage_reason: str = ""


@dataclass(slots=True)
class Dataset:
    """Data that runs used: one version of it, or one content."""

    project: str
    name: str
    version: str
    digest: str
    size: int | None
    place: str
    first_at: datetime
    last_at: datetime
    runs: list[str] = field(default_factory=list)  # project/run_id, the oldest first


def registered(reader: Reader, project: str, name: str | None = None) -> list[Registered]:
    """The versions of a project's artifacts, or of one, in the order in which they were made."""
    rows = reader.rows(statements("registry.sql")["registered"], {"project": project, "limit": MENTIONS_MAX})
    made = [row for row in rows if row["kind"] == "artifact"]
    found: dict[tuple[str, str], Registered] = {}  # by name and digest
    for said in things(made):
        if said.text("version") and name in (None, said.name):
            version = Registered(
                project, said.name, said.text("version"), said.text("digest"), said.text("type"), said.number("bytes"),
                f"{project}/{said.run_id}", said.first_at, said.aliases,
            )  # fmt: skip
            _take(found.values(), said.name, said.aliases)
            found.setdefault((said.name, version.digest), version)
    for row in sorted(rows, key=lambda row: row["ts"]):
        if row["kind"] != "artifact":
            _move(found, row["kind"], json.loads(row["body"]))
    return list(found.values())


def datasets(reader: Reader, project: str | None, name: str | None = None) -> list[Dataset]:
    """What runs said with `use_dataset`, the last used first."""
    given = {"project": project or "", "name": name or "", "limit": MENTIONS_MAX}
    rows = reader.rows(statements("registry.sql")["datasets"], given)
    by_project: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        by_project.setdefault(row["project"], []).append(row)
    found: dict[tuple[str, ...], Dataset] = {}
    for of_project, some in by_project.items():
        for said in things(some):
            version, digest, place = said.text("version"), said.text("digest"), said.text("uri")
            key = (of_project, said.name, version or digest or place)
            dataset = found.get(key)
            if dataset is None:
                size = said.number("bytes")
                dataset = Dataset(of_project, said.name, version, digest, size, place, said.first_at, said.first_at)
                found[key] = dataset
            dataset.digest, dataset.last_at = digest or dataset.digest, max(dataset.last_at, said.first_at)
            run = f"{of_project}/{said.run_id}"
            if run not in dataset.runs:
                dataset.runs.append(run)
    return sorted(found.values(), key=lambda each: (each.last_at, each.project, each.name), reverse=True)


class ArtifactEvents(Annotations):
    """Tells storage, beside the run that made a version, what the store was told. Raises `Unreachable`."""

    def made(self, run: RunName, facts: Mapping[str, Any]) -> None:
        """A version was put for the run, as `Run.log_artifact` would say it."""
        self._say(run, "artifact", {key: redact.value_of("", plain(value)) for key, value in facts.items()})

    def moved(self, run: RunName, version: Mapping[str, str], alias: str, reason: str) -> None:
        """An alias was set to a version. `version`: its name, version and digest."""
        self._say(run, ALIAS_KIND, {**version, "alias": alias, "reason": redact.text(clip(reason))})

    def staged(self, run: RunName, version: Mapping[str, str], stage: str, reason: str) -> None:
        """A version was put into a stage: a decision like any other, with what it is about."""
        words = {"verdict": stage, "reason": redact.text(clip(reason)), "next_step": None}
        self._say(run, "decision", {**words, "stage": stage, "artifact": version["name"], **_without_name(version)})


def _move(found: Mapping[tuple[str, str], Registered], kind: str, body: Mapping[str, Any]) -> None:
    is_alias = kind == ALIAS_KIND
    name, digest = str(body.get("name" if is_alias else "artifact")), str(body.get("digest"))
    version = found.get((name, digest))
    if version is None:
        return
    if is_alias:
        alias = str(body.get("alias"))
        _take(found.values(), name, [alias])
        version.aliases = (*version.aliases, alias)
    else:
        version.stage, version.stage_reason = str(body.get("stage")), str(body.get("reason"))
        version.stage_who = str(body.get("who"))


def _take(versions: Iterable[Registered], name: str, aliases: Collection[str]) -> None:
    """An alias is at one version of a name: where it was set last."""
    for version in versions:
        if version.name == name:
            version.aliases = tuple(alias for alias in version.aliases if alias not in aliases)


def _without_name(version: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in version.items() if key != "name"}
