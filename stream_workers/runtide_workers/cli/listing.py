"""`runtide runs`: which runs there are, narrowed down, sorted, with the columns that are asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from runtide.cli import CommandError
from runtide_storage import Client
from runtide_storage.errors import FilterError
from runtide_storage.filter_syntax import quoted
from runtide_workers.cli import output

SPARK_POINTS = 24


def runs(
    narrowed: Mapping[str, Any], where: str | None, sort: str, columns: str, spark: str | None, limit: int, offset: int,
    as_json: bool,
) -> int:  # fmt: skip
    """A page of runs."""
    extra = list(fields(columns))
    with Client() as client:
        try:
            rows = client.runs(
                where=_filter(narrowed, where), order_by=fields(sort), limit=limit, offset=offset, columns=extra
            ).to_pylist()
        except FilterError as error:
            raise CommandError(f"--where: {error}", details=error.pointer.splitlines()) from None
        refs = [f"{row['project']}/{row['run_id']}" for row in rows]
        curves = _sparks(client, refs, spark) if spark and refs else {}
    if as_json:
        print(output.as_json({"runs": rows}))
        return 0
    if not rows:
        is_narrowed = where or any(narrowed.values()) or offset
        print("no runs" + (" like that" if is_narrowed else " yet: `runtide demo` makes some"))
        return 0
    names = ["run", "name", "state", "group", "tags", "started", "took", *extra, *([spark] if spark else ())]
    shown = [
        (
            ref, row["name"] or None, output.state(row), row["group"] or None, row["tags"] or None, row["started_at"],
            output.duration(row["duration_s"]), *(row[name] for name in extra),
            *([output.sparkline(curves.get(ref, ()))] if spark else ()),
        )
        for ref, row in zip(refs, rows, strict=True)
    ]  # fmt: skip
    numbers = [name for name in extra if any(isinstance(row[name], (int, float)) for row in rows)]
    output.table([output.clean(name) for name in names], shown, right=["took", *map(output.clean, numbers)])
    return 0


def fields(text: str) -> list[str]:
    """FIELD,… apart: a comma within quotes is part of a name."""
    found, quote = [""], ""
    for char in text:
        if char == "," and not quote:
            found.append("")
            continue
        quote = "" if char == quote else char if char in "\"'" and not quote else quote
        found[-1] += char
    return [name for name in map(str.strip, found) if name]


def _filter(narrowed: Mapping[str, Any], where: str | None) -> str | Mapping[str, Any] | None:
    """The options and the filter: both must hold."""
    given = {name: value for name, value in narrowed.items() if value}
    if where is None or not given:
        return where if where is not None else given
    parts = [f"({where})"]
    for name, value in given.items():
        parts += [f"tags has {quoted(each)}" for each in value] if name == "tag" else [f"{name} = {quoted(value)}"]
    return " and ".join(parts)


def _sparks(client: Client, refs: Sequence[str], metric: str) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for row in client.history(refs, metric, points=SPARK_POINTS).to_pylist():
        found.setdefault(f"{row['project']}/{row['run_id']}", []).append(row["mean"])
    return found
