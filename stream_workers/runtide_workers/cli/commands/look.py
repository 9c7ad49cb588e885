"""Commands that show what is stored."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from runtide_workers.cli.completion import run_names
from runtide_workers.cli.registry import READING, Json, command

A_RUN = typer.Argument(help="PROJECT/RUN, or RUN where that is unique", metavar="RUN", autocompletion=run_names)
Run = Annotated[str, A_RUN]
Runs = Annotated[
    list[str], typer.Argument(help="PROJECT/RUN, or RUN where that is unique", metavar="RUN…", autocompletion=run_names)
]
Attempts = Annotated[
    Literal["latest", "all"], typer.Option(help="of relaunched runs: what counts, or what every attempt logged")
]


@command(
    "runs",
    READING,
    "runtide runs --project llm --state running",
    "runtide runs --where 'config.lr > 0.01 and last.val/acc >= 0.9 and tags has \"prod\"' --sort=-last.val/acc",
    "runtide runs --project llm --columns config.lr,best.val/loss --spark val/loss",
)
def runs(
    project: Annotated[str | None, typer.Option(help="of this project only")] = None,
    state: Annotated[
        Literal["running", "finished", "failed", "crashed", "killed"] | None, typer.Option(help="in this state only")
    ] = None,
    group: Annotated[str | None, typer.Option(help="of this group only")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="with this tag; several: with all of them")] = None,
    where: Annotated[str | None, typer.Option(help="that pass this filter (docs/filters.md)", metavar="FILTER")] = None,
    sort: Annotated[str, typer.Option(help="fields, - before one turns it round", metavar="FIELD,…")] = "-started_at",
    columns: Annotated[str, typer.Option(help="fields to show besides", metavar="FIELD,…")] = "",
    spark: Annotated[str | None, typer.Option(help="a small curve of this metric", metavar="METRIC")] = None,
    limit: Annotated[int, typer.Option(min=1, help="so many")] = 20,
    offset: Annotated[int, typer.Option(min=0, help="leave out the first so many")] = 0,
    as_json: Json = False,
) -> int:
    from runtide_workers.cli import listing
    from runtide_workers.cli.paging import paged

    narrowed = {"project": project, "state": state, "group": group, "tag": tag or []}
    with paged():
        return listing.runs(narrowed, where, sort, columns, spark, limit, offset, as_json)


@command(
    "show", READING, "runtide show llm/k3v9x2ab", "runtide show k3v9x2ab --metrics 'val/*'", "runtide show k3 --json"
)
def show(
    run: Run,
    metrics: Annotated[
        str | None, typer.Option(help="only these: a part of the name, or * and ?", metavar="PATTERN")
    ] = None,
    as_json: Json = False,
) -> int:
    from runtide_workers.cli import data
    from runtide_workers.cli.paging import paged

    with paged():
        return data.show(run, metrics, as_json)


@command(
    "diff", READING, "runtide diff llm/a llm/b", "runtide diff a b --part code --part config", "runtide diff a b --json"
)
def diff(
    a: Annotated[str, typer.Argument(help="PROJECT/RUN, or RUN", metavar="A", autocompletion=run_names)],
    b: Annotated[str, typer.Argument(help="the other one", metavar="B", autocompletion=run_names)],
    part: Annotated[
        list[str] | None,
        typer.Option(help="config, code, environment, packages, hardware, dataset, input, output or result"),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="what is equal, too")] = False,
    metric: Annotated[
        str | None, typer.Option("--metric", "-m", help="the result to explain; default: one with a goal")
    ] = None,
    as_json: Json = False,
) -> int:
    from runtide_workers.cli import diffs
    from runtide_workers.cli.paging import paged

    with paged():
        return diffs.diff(a, b, part or [], everything, metric, as_json)


@command(
    "curves",
    READING,
    "runtide curves llm/a llm/b --metric val/loss",
    "runtide curves llm/a --metric train/loss --log --window 1000:5000",
    "runtide curves llm/a llm/b --metric val/acc --x relative",
)
def curves(
    runs: Runs,
    metric: Annotated[list[str] | None, typer.Option("--metric", "-m", help="which; may be given again")] = None,
    x: Annotated[str, typer.Option("--x", help="step, time, relative, or a metric")] = "step",
    window: Annotated[str | None, typer.Option(help="only from LOW to HIGH along x", metavar="LOW:HIGH")] = None,
    log: Annotated[bool, typer.Option("--log", help="a logarithmic axis of values")] = False,
    width: Annotated[int | None, typer.Option(min=30, help="in characters; default: the terminal's")] = None,
    height: Annotated[int, typer.Option(min=3, max=200, help="in lines")] = 15,
    as_json: Json = False,
) -> int:
    from runtide_workers.cli import curves as plots

    return plots.curves(runs, metric or [], x, window, log, width, height, as_json)


@command(
    "sql",
    READING,
    "runtide sql 'SELECT run_id, max(value) FROM v_points WHERE metric = {m:String} GROUP BY 1' --param m=acc",
    "runtide sql 'SELECT * FROM v_runs' --out runs.parquet",
    "runtide sql - --format markdown < question.sql",
)
def sql(
    query: Annotated[str, typer.Argument(help="one SELECT; '-' reads it from stdin", metavar="QUERY")],
    param: Annotated[list[str] | None, typer.Option(help="NAME=VALUE for a {NAME:Type} in the query")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="rows at most; default 1000, into a file all")] = None,
    format_: Annotated[
        Literal["table", "csv", "json", "jsonl", "markdown", "parquet", "arrow"] | None,
        typer.Option("--format", help="default: table, or that of the file's suffix"),
    ] = None,
    out: Annotated[str | None, typer.Option(help="write into this file", metavar="FILE")] = None,
    force: Annotated[bool, typer.Option("--force", help="replace the file")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="the same as --format csv")] = False,
    as_json: Json = False,
) -> int:
    from runtide_workers.cli import asking
    from runtide_workers.cli.paging import paged

    with paged():
        return asking.sql(query, param or [], limit, format_, out, force, as_csv, as_json)


@command(
    "export",
    READING,
    "runtide export points.parquet --project llm --metric val/loss",
    "runtide export runs.csv --where 'state = \"finished\"' --what runs",
    "runtide export a.jsonl.gz llm/a llm/b --what events",
)
def export(
    file: Annotated[
        str, typer.Argument(help="ends in .parquet, .csv, .arrow, .jsonl; the texts also with .gz", metavar="FILE")
    ],
    runs: Annotated[
        list[str] | None, typer.Argument(help="PROJECT/RUN, or RUN", metavar="RUN…", autocompletion=run_names)
    ] = None,
    project: Annotated[str | None, typer.Option(help="all runs of this project")] = None,
    where: Annotated[str | None, typer.Option(help="all runs that pass this filter", metavar="FILTER")] = None,
    what: Annotated[
        Literal["points", "runs", "summaries", "events", "values", "alerts"], typer.Option(help="what of them")
    ] = "points",
    format_: Annotated[
        Literal["parquet", "csv", "arrow", "jsonl"] | None, typer.Option("--format", help="default: that of the suffix")
    ] = None,
    metric: Annotated[list[str] | None, typer.Option("--metric", "-m", help="only these metrics")] = None,
    attempts: Attempts = "latest",
    force: Annotated[bool, typer.Option("--force", help="replace the file")] = False,
    as_json: Json = False,
) -> int:
    from runtide_workers.cli import exporting

    return exporting.export(file, runs or [], project, where, what, format_, metric or [], attempts, force, as_json)


@command(
    "completion",
    READING,
    "runtide completion bash >> ~/.bashrc",
    "runtide completion zsh > ~/.zfunc/_runtide",
    "runtide completion fish > ~/.config/fish/completions/runtide.fish",
)
def completion(
    shell: Annotated[Literal["bash", "zsh", "fish"], typer.Argument(help="which shell")],
) -> int:
    from runtide_workers.cli import completion as script

    return script.completion(shell)
