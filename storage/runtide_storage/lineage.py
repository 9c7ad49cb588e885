"""What a run used and made, and which other runs made or used the same.

Worked out from what the runs said when they trained (`use_dataset`, `use_artifact`, `log_artifact`); nothing else is
kept of it.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from runtide_storage.reader import Reader
from runtide_storage.runs import RunName
from runtide_storage.statements import statements

MENTIONS_MAX = 10_000  # of other runs, the newest: as many that made something, and as many that used it
LATEST = "latest"
_DIGEST = "blake2b:"

Role = Literal["dataset", "input", "output"]
_ROLES: Mapping[str, Role] = {"dataset": "dataset", "use_artifact": "input", "artifact": "output"}


@dataclass(frozen=True, slots=True)
class Item:
    """A dataset or an artifact that a run used, or an artifact that it made.

    `name`: as the run called it, with an alias or version if it gave one. `used_by` are the other runs that used the
    same, the newest first; `made_by` is the run that made what this one used. Runs are `project/run_id`. What is not
    known is empty; `size` in bytes.
    """

    role: Role
    name: str
    version: str
    digest: str
    type: str
    size: int | None
    files: int | None
    place: str
    aliases: tuple[str, ...]
    at: datetime
    made_by: str
    used_by: tuple[str, ...]


@dataclass(slots=True)
class Said:
    """One thing, as a run spoke of it, perhaps more than once: the digest comes later, and the store's version."""

    run_id: str
    role: Role
    name: str
    first_at: datetime
    facts: dict[str, Any] = field(default_factory=dict)

    def text(self, name: str) -> str:
        value = self.facts.get(name)
        return value if isinstance(value, str) else ""

    def number(self, name: str) -> int | None:
        value = self.facts.get(name)
        return value if isinstance(value, int) else None

    def add(self, facts: Mapping[str, Any]) -> None:
        """What it is called, it stays called."""
        known = self.aliases
        self.facts |= {key: value for key, value in facts.items() if value is not None}
        self.facts["aliases"] = [*known, *(alias for alias in self.aliases if alias not in known)]

    @property
    def aliases(self) -> tuple[str, ...]:
        found = self.facts.get("aliases")
        return tuple(str(each) for each in found) if isinstance(found, list) else ()


def lineage(reader: Reader, run: RunName) -> list[Item]:
    """What the run used, then what it made, each in the order of its first mention. Other runs are of its project."""
    sql = statements("lineage.sql")
    own = things(row | {"run_id": run.run_id} for row in reader.rows(sql["own"], {"run": run.key}))
    if not own:
        return []
    given = {"run": run.key, "project": run.project, "limit": MENTIONS_MAX}
    made = things(reader.rows(sql["others"], given | _named(own, run.project) | {"kinds": ["artifact"]}))
    kinds = ["dataset", "use_artifact"]
    used = things(reader.rows(sql["others"], given | _named([*own, *made], run.project) | {"kinds": kinds}))
    makers = Makers([*made, *(said for said in own if said.role == "output")])
    users: dict[object, list[Said]] = {}  # of the same, the oldest first
    for said in used:
        users.setdefault(identity(said, makers), []).append(said)
    return [
        _item(said, run.project, makers, users) for said in sorted(own, key=lambda said: said.role == "output")
    ]  # fmt: skip


class Makers:
    """Who made an artifact, to be found by whatever it may be called."""

    def __init__(self, made: Iterable[Said]) -> None:
        self._by_name: dict[tuple[str, str], list[Said]] = {}
        for said in sorted(made, key=lambda said: said.first_at):
            digest, version = said.text("digest"), said.text("version")
            names = {(said.name, wanted) for wanted in ("", version, *said.aliases)}
            for name in names | ({("", digest)} if digest else set()):
                self._by_name.setdefault(name, []).append(said)

    def of(self, used: Said) -> Said | None:
        """The newest that fits and was there before it was used; of what a run made, that itself."""
        if used.role == "output":
            return used
        if used.role == "dataset" or used.text("digest"):  # looked up in the artifact store when it was used
            called = ("", used.text("digest"))
        elif used.name.startswith(_DIGEST):
            called = ("", used.name)
        else:
            name, _, wanted = used.name.partition(":")
            called = (name, "" if wanted == LATEST else wanted)
            if called not in self._by_name:  # it may have said the project, too
                called = (name.partition("/")[2], called[1])
        known = self._by_name.get(called, [])
        before = bisect_right(known, used.first_at, key=lambda said: said.first_at)
        return known[before - 1] if before else None


def _named(said: Iterable[Said], project: str) -> dict[str, list[str]]:
    """Parameters: by which names and digests others may speak of the same."""
    names, digests = set(), set()
    for each in said:
        name = each.name.partition(":")[0] if each.role == "input" else each.name
        names |= {name, name.removeprefix(f"{project}/"), f"{project}/{name}"}
        digests |= {digest for digest in (each.text("digest"), each.name) if digest.startswith(_DIGEST)}
    return {"names": sorted(names), "digests": sorted(digests)}


def things(rows: Iterable[Mapping[str, Any]]) -> list[Said]:
    """Events as things, by their first mention, the oldest first: a later mention adds to what an earlier one said.

    What a run makes under one name again is another thing, if its content is another.
    """
    found: dict[tuple[str, Role, str], list[Said]] = {}
    for row in sorted(rows, key=lambda row: row["ts"]):
        facts = json.loads(row["body"])
        role = _ROLES[row["kind"]]
        name = facts.get("ref" if role == "input" else "name")
        if isinstance(name, str) and name:
            said = Said(row["run_id"], role, name, row["ts"])
            _mention(found.setdefault((row["run_id"], role, name), []), said, facts)
    return sorted((said for known in found.values() for said in known), key=lambda said: said.first_at)


def _mention(known: list[Said], said: Said, facts: Mapping[str, Any]) -> None:
    """Add it to one of those with its name, or to them. The digest of what was mentioned without one comes later."""
    digest = facts.get("digest")
    waiting = known[-1] if known and not known[-1].text("digest") else None
    same = next((each for each in known if digest and each.text("digest") == digest), None)
    if same is not None and waiting is not None:  # it was the same again
        known.remove(waiting)
        same.add(waiting.facts)
    elif same is None and not digest and said.role != "output" and known:
        same = known[-1]
    same = same or waiting
    if same is None:
        known.append(said)
        same = said
    same.add(facts)


def _item(said: Said, project: str, makers: Makers, users: Mapping[object, Sequence[Said]]) -> Item:
    maker = makers.of(said)
    source = maker or said
    same = [other for other in users.get(identity(said, makers), ()) if other.run_id != said.run_id]
    return Item(
        said.role, said.name, source.text("version"), source.text("digest"), source.text("type"),
        source.number("bytes"), source.number("files"), said.text("uri") or source.text("path"), source.aliases,
        said.first_at, f"{project}/{maker.run_id}" if maker is not None and maker is not said else "",
        tuple(dict.fromkeys(f"{project}/{other.run_id}" for other in reversed(same))),
    )  # fmt: skip


def identity(said: Said, makers: Makers) -> object:
    """The same for all mentions of the same artifact; of data that no run made, by what tells it from other data."""
    maker = makers.of(said)
    if maker is not None:
        return id(maker)
    if said.role == "input" and said.text("digest"):
        return said.text("digest")
    return said.role, said.name, said.text("version") or said.text("digest") or said.text("uri")
