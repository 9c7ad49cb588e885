"""Commands that show what is stored."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from runtide_workers.cli.registry import READING, Json, command


@command("runs", READING, "runtide runs --project llm --state running", "runtide runs --tag prod --limit 5 --json")
def runs(
    project: Annotated[str | None, typer.Option(help="of this project only")] = None,
    state: Annotated[
        Literal["running", "finished", "failed", "crashed", "killed"] | None, typer.Option(help="in this state only")
    ] = None,
    group: Annotated[str | None, typer.Option(help="of this group only")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="with this tag; several: with all of them")] = None,
    limit: Annotated[int, typer.Option(min=1, help="the newest so many")] = 20,
    as_json: Json = False,
) -> int:
    from runtide_workers.cli import data

    return data.runs(project, state, group, tag or [], limit, as_json)


@command("show", READING, "runtide show llm/k3v9x2ab", "runtide show k3v9x2ab --json")
def show(
    run: Annotated[str, typer.Argument(help="PROJECT/RUN, or RUN where that is unique", metavar="RUN")],
    as_json: Json = False,
) -> int:
    from runtide_workers.cli import data

    return data.show(run, as_json)


@command(
    "sql",
    READING,
    "runtide sql 'SELECT run_id, max(value) FROM v_points WHERE metric = {m:String} GROUP BY 1' --param m=acc",
    "runtide sql 'SELECT * FROM v_runs' --csv > runs.csv",
)
def sql(
    query: Annotated[str, typer.Argument(help="one SELECT; '-' reads it from stdin", metavar="QUERY")],
    param: Annotated[list[str] | None, typer.Option(help="NAME=VALUE for a {NAME:Type} in the query")] = None,
    limit: Annotated[int, typer.Option(min=1, help="rows at most")] = 1000,
    as_csv: Annotated[bool, typer.Option("--csv", help="print CSV")] = False,
    as_json: Json = False,
) -> int:
    from runtide_workers.cli import data

    return data.sql(query, param or [], limit, as_csv, as_json)
