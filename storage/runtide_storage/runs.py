"""Which runs: filters of the runs table, and from what people type to one run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runtide_storage.errors import Ambiguous, NotFound, QueryError
from runtide_storage.ids import run_key
from runtide_storage.reader import Reader, integers

CANDIDATES_SHOWN_MAX = 8
COLUMNS = (
    "project, run_id, name, run, state, health, `group`, job_type, tags, notes, host, attempt, exit_code,"
    " started_at, ended_at, duration_s, seen_at, point_at"
)
_ORDERS = {
    name: name
    for name in ("started_at", "ended_at", "duration_s", "seen_at", "name", "state", "project", "run_id", "host")
}
# Filter -> condition. A value may be one string or several: any of them; of tags, all of them.
_FILTERS = {
    "project": "project IN {project:Array(String)}",
    "run_id": "run_id IN {run_id:Array(String)}",
    "name": "run IN {name:Array(String)}",
    "state": "state IN {state:Array(String)}",
    "health": "health IN {health:Array(String)}",
    "group": "`group` IN {group:Array(String)}",
    "job_type": "job_type IN {job_type:Array(String)}",
    "host": "host IN {host:Array(String)}",
    "tag": "hasAll(tags, {tag:Array(String)})",
}

_NAMES = "SELECT run AS key, project, run_id, name, toUnixTimestamp64Milli(started_at) AS started_ms FROM runs FINAL"

Where = Mapping[str, str | Sequence[str]]


@dataclass(frozen=True, slots=True)
class RunName:
    """A run that exists."""

    key: int
    project: str
    run_id: str
    name: str  # as given; may be empty
    started_ms: int

    @property
    def ref(self) -> str:
        return f"{self.project}/{self.run_id}"


def runs_query(where: Where, order_by: str, limit: int, offset: int) -> tuple[str, dict[str, Any]]:
    """SQL and parameters for the runs table. Raises `QueryError` for a filter or an order that does not exist."""
    parameters: dict[str, Any] = {"limit": limit, "offset": offset}
    conditions = ["true"]
    for name, value in where.items():
        if name not in _FILTERS:
            raise QueryError(f"where: there is no filter {name!r}; there are {', '.join(_FILTERS)}")
        conditions.append(_FILTERS[name])
        parameters[name] = [value] if isinstance(value, str) else list(value)
    column = _ORDERS.get(order_by.lstrip("-"))
    if column is None:
        raise QueryError(f"order_by: there is no order {order_by!r}; there are {', '.join(_ORDERS)}, each also with -")
    direction = "DESC" if order_by.startswith("-") else "ASC"
    sql = (
        f"SELECT {COLUMNS} FROM run_states WHERE {' AND '.join(conditions)}"  # noqa: S608 - own texts only
        f" ORDER BY {column} {direction}, project, run_id LIMIT {{limit:UInt64}} OFFSET {{offset:UInt64}}"
    )
    return sql, parameters


def resolve(reader: Reader, refs: Iterable[str], project: str | None = None) -> list[RunName]:
    """The runs that these references mean, in their order.

    A reference is `project/run_id`, a run id, a run's name, or the beginning of a run id that only one run has; the
    first of these that fits counts. `project` narrows all but the first. Raises `NotFound`, and `Ambiguous` with the
    candidates.
    """
    wanted = list(dict.fromkeys(refs))
    if any(not isinstance(ref, str) for ref in wanted):
        raise QueryError("a run is named by a string: project/run_id, run id, name or the beginning of a run id")
    exact = {ref: run_key(*ref.split("/", 1)) for ref in wanted if "/" in ref}
    known = {run.key: run for run in _fetch(reader, exact.values())}
    found = {ref: known[key] for ref, key in exact.items() if key in known and known[key].ref == ref}
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
