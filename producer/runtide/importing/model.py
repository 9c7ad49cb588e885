"""What every source of runs gives, and how it says that it can't."""

from __future__ import annotations

import hashlib
import importlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, Protocol

from runtide import identity
from runtide.errors import RuntideError

Row = tuple[int | None, int, Mapping[str, Any]]  # ns since 1970 (None: the source has no times), step, metric -> number
State = Literal["finished", "failed", "killed", "running"]

_NUMBER = re.compile(r"[+-]?(?:0|[1-9]\d{0,17})(?:\.\d+)?(?:[eE][+-]?\d{1,3})?")  # 007 and 1_000 are names
_FRACTION = re.compile(r"[.eE]")

ID_CHARS_MAX = 100
HASH_CHARS = 8
SECOND_NS = 1_000_000_000
MILLISECOND_NS = 1_000_000


class ImportFailed(RuntideError):
    """Nothing can be imported from there; the message says why and what would help."""


class Unreadable(RuntideError):
    """One run can't be imported; the others can."""


@dataclass(slots=True)
class Facts:
    """What a run says of itself besides its points. Times in ns since 1970; config, summary and meta may be nested.

    A run that is `running` in its tracker counts as killed until a later import finds it ended: it must not become a
    baseline half way.
    """

    started_ns: int
    ended_ns: int
    state: State = "finished"
    name: str = ""
    group: str = ""
    job_type: str = ""
    tags: list[str] = field(default_factory=list)
    notes: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    summary: Mapping[str, Any] = field(default_factory=dict)
    meta: Mapping[str, Any] = field(default_factory=dict)


class SourceRun(Protocol):
    """A run as it lies in its tracker.

    `origin`: which run of which store it is, for people and so that two don't become one. `fingerprint`: another one
    whenever anything of the run may have changed, found without reading its points. `undated_ns`: the time of rows
    that have none. `lost`: what could not be read of it, by reason, once it was read.
    """

    project: str
    run_id: str
    origin: str
    fingerprint: str
    undated_ns: int
    lost: dict[str, int]

    def rows(self) -> Iterator[Row]:
        """The points, in an order that stays when more are added. May be called again, and begins anew."""
        ...

    def facts(self) -> Facts:
        """Everything else. Asked for after all rows were read."""
        ...


def library(name: str, what: str, mend: str = "pip install 'runtide[import]'") -> Any:
    """A module that the SDK does not depend on. Raises `ImportFailed` that says how to get it."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportFailed(f"{what} needs {name.partition('.')[0]} ({error}): {mend}") from None


def run_id_of(name: str) -> str:
    """A run's id made of its name in the source: the same each time, and another one for another name."""
    cleaned = identity.clean(name, "run")
    if cleaned == name and len(name) <= ID_CHARS_MAX:
        return name
    return f"{cleaned[:ID_CHARS_MAX]}-{digest(name)[:HASH_CHARS]}"


def project_of(name: str, fallback: str) -> str:
    """A project's id made of what it is called in the source."""
    return identity.clean(name, identity.clean(fallback, "imported"))


def digest(*parts: object) -> str:
    """Hex digits that stand for the parts."""
    return hashlib.blake2b(repr(parts).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def typed(text: str) -> Any:
    """A setting that a tracker keeps as text, as the number or truth value that it was."""
    if text in ("True", "False", "true", "false"):
        return text in ("True", "true")
    if _NUMBER.fullmatch(text):
        return float(text) if _FRACTION.search(text) else int(text)
    return text


def of_iso(text: str) -> int:
    """ISO 8601 as ns; without a zone it is UTC. Raises `ValueError`."""
    moment = datetime.fromisoformat(text)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    whole = round(moment.replace(microsecond=0).timestamp())
    return whole * SECOND_NS + moment.microsecond * 1000


def of_seconds(seconds: float) -> int:
    """Seconds since 1970 as ns, good to the microsecond that a double can tell apart."""
    return round(seconds * 1e6) * 1000


class Broken:
    """Stands for the runs of a file that can't be read, so that they are told of and the others imported."""

    def __init__(self, project: str, origin: str, reason: str) -> None:
        self.project, self.origin, self._reason = project, origin, reason
        self.run_id = run_id_of(origin.rpartition("/")[2])
        self.fingerprint = ""
        self.undated_ns = 0
        self.lost: dict[str, int] = {}

    def rows(self) -> Iterator[Row]:
        raise Unreadable(self._reason)

    def facts(self) -> Facts:
        raise Unreadable(self._reason)
