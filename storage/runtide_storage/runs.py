"""From what people type to one run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from runtide_storage.errors import Ambiguous, NotFound, QueryError
from runtide_storage.ids import run_key
from runtide_storage.reader import ONE_THREAD, Reader, integers

CANDIDATES_SHOWN_MAX = 8
_NAMES = (
    "SELECT run AS key, project, run_id, name, toUnixTimestamp64Milli(started_at) AS started_ms, attempt AS attempts"
    " FROM runs FINAL"
)


@dataclass(frozen=True, slots=True)
class RunName:
    """A run that exists."""

    key: int
    project: str
    run_id: str
    name: str  # as given; may be empty
    started_ms: int
    attempts: int = 1

    @property
    def ref(self) -> str:
        return f"{self.project}/{self.run_id}"


def exact(refs: Sequence[str]) -> list[RunName] | None:
    """The runs that references of the form `project/run_id` name, whether they exist or not; None if one has no /."""
    found = []
    for ref in dict.fromkeys(refs):
        if not isinstance(ref, str) or "/" not in ref:
            return None
        project, run_id = ref.split("/", 1)
        found.append(RunName(run_key(project, run_id), project, run_id, "", 0))
    return found


def found_exactly(reader: Reader, runs: Sequence[RunName]) -> list[RunName] | None:
    """The same with what a curve needs of a run, its start and attempts, but no name; None unless all are there."""
    ids = integers(run.key for run in runs)
    columns = "run, toUnixTimestamp64Milli(started_at) AS started_ms, attempt"
    sql = f"SELECT {columns} FROM runs FINAL WHERE run IN ({ids})"  # noqa: S608 - integers
    known = {row["run"]: row for row in reader.rows(sql, settings=ONE_THREAD)} if ids else {}
    if any(run.key not in known for run in runs):
        return None
    return [replace(run, started_ms=known[run.key]["started_ms"], attempts=known[run.key]["attempt"]) for run in runs]


def resolve(reader: Reader, refs: Iterable[str], project: str | None = None) -> list[RunName]:
    """The runs that these references mean, in their order.

    A reference is `project/run_id`, a run id, a run's name, or the beginning of a run id that only one run has; the
    first of these that fits counts. `project` narrows all but the first. Raises `NotFound`, and `Ambiguous` with the
    candidates.
    """
    wanted = list(dict.fromkeys(refs))
    if any(not isinstance(ref, str) for ref in wanted):
        raise QueryError("a run is named by a string: project/run_id, run id, name or the beginning of a run id")
    full = {run.ref: run.key for run in exact([ref for ref in wanted if "/" in ref]) or ()}
    known = {run.key: run for run in _fetch(reader, full.values())}
    found = {ref: known[key] for ref, key in full.items() if key in known and known[key].ref == ref}
    rest = [ref for ref in wanted if ref not in found]
    if rest:
        candidates = _candidates(reader, rest, project)
        found.update((ref, _choose(ref, candidates, project)) for ref in rest)
    return [found[ref] for ref in wanted]


def _fetch(reader: Reader, keys: Iterable[int]) -> list[RunName]:
    ids = integers(keys)
    return [RunName(**row) for row in reader.rows(f"{_NAMES} WHERE run IN ({ids})")] if ids else []


def _candidates(reader: Reader, refs: Sequence[str], project: str | None) -> list[RunName]:
    sql = f"""{_NAMES} WHERE ({{project:String}} = '' OR project = {{project:String}}) AND (
        run_id IN {{refs:Array(String)}} OR name IN {{refs:Array(String)}}
        OR arrayExists(ref -> ref != '' AND (startsWith(run_id, ref) OR startsWith(concat(project, '/', run_id), ref)),
                       {{refs:Array(String)}}))
        ORDER BY started_ms DESC, project, run_id"""
    return [RunName(**row) for row in reader.rows(sql, {"refs": refs, "project": project or ""})]


def _choose(ref: str, candidates: Sequence[RunName], project: str | None) -> RunName:
    ways = (
        [run for run in candidates if run.run_id == ref],
        [run for run in candidates if run.name == ref],
        [run for run in candidates if ref and (run.run_id.startswith(ref) or run.ref.startswith(ref))],
    )
    fitting = next((way for way in ways if way), [])
    shown = ref if len(ref) <= 100 else f"{ref[:99]}…"
    if not fitting:
        where = f" in project {project}" if project else ""
        raise NotFound(f"there is no run {shown!r}{where}: `runtide runs` lists them")
    if len(fitting) > 1:
        refs = [run.ref for run in fitting]
        more = f" and {len(refs) - CANDIDATES_SHOWN_MAX} more" if len(refs) > CANDIDATES_SHOWN_MAX else ""
        listed = ", ".join(refs[:CANDIDATES_SHOWN_MAX])
        raise Ambiguous(f"{shown!r} could be any of {len(refs)} runs: {listed}{more}", refs)
    return fitting[0]
