"""Commands that judge runs: alerts, baselines, verdicts."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from runtide.cli import COMMANDS
from runtide_workers.cli import alerts, baseline
from runtide_workers.cli.registry import JUDGING, Json, app, command

app.add_typer(alerts.app, name="alerts", help=f"{COMMANDS['alerts'][0].capitalize()}.", rich_help_panel=JUDGING)


@command("ack", JUDGING, "runtide ack 3f2a91c0", "runtide ack llm/k3v9x2ab --reason 'the new data set'")
def ack(
    target: Annotated[
        str, typer.Argument(help="an alert's id or its beginning; or a run: all its open alerts", metavar="ID|RUN")
    ],
    reason: Annotated[str, typer.Option(help="why it is all right")] = "",
    reopen: Annotated[bool, typer.Option("--reopen", help="take the acknowledgement back")] = False,
    as_json: Json = False,
) -> int:
    from runtide_workers.cli import alert_actions

    return alert_actions.ack(target, reason, reopen, as_json)


Refs = Annotated[
    list[str] | None,
    typer.Option("--baseline", help="runs, tag:NAME, alias:NAME or group:NAME, with commas between; default: its own"),
]
Metrics = Annotated[list[str] | None, typer.Option("--metric", help="this metric, or glob, only; may be given again")]


@command("verdict", JUDGING, "runtide verdict llm/k3v9x2ab")
def verdict(
    run: Annotated[str, typer.Argument(help="PROJECT/RUN, or RUN where that is unique", metavar="RUN")],
    as_json: Json = False,
) -> int:
    from runtide_workers.cli import verdicts

    return verdicts.verdict(run, as_json)


@command(
    "compare",
    JUDGING,
    "runtide compare llm/k3v9x2ab llm/p7q2m1zz",
    "runtide compare llm/k3v9x2ab --baseline tag:reference --metric 'val/*'",
)
def compare(
    run: Annotated[list[str], typer.Argument(help="runs to put side by side", metavar="RUN...")],
    refs: Refs = None,
    metric: Metrics = None,
    as_json: Json = False,
) -> int:
    from runtide_workers.cli import verdicts

    return verdicts.compare(run, refs or [], metric or [], as_json)


@command(
    "gate",
    JUDGING,
    "runtide gate llm/k3v9x2ab --wait 600 --junit gate.xml --markdown gate.md",
    "runtide gate llm/k3v9x2ab --baseline group:main --metric val/loss",
)
def gate(
    run: Annotated[str, typer.Argument(help="the run to judge", metavar="RUN")],
    refs: Refs = None,
    metric: Metrics = None,
    junit: Annotated[str | None, typer.Option(help="write JUnit XML to this file", metavar="FILE")] = None,
    markdown: Annotated[
        str | None, typer.Option(help="write Markdown to this file; -: to stdout", metavar="FILE")
    ] = None,
    wait: Annotated[float, typer.Option(min=0, help="seconds to wait for the run's end and verdict")] = 0.0,
    as_json: Json = False,
) -> int:
    from runtide_workers.cli import gate

    return gate.gate(run, refs or [], metric or [], junit, markdown, wait, as_json)


app.add_typer(baseline.app, name="baseline", help=f"{COMMANDS['baseline'][0].capitalize()}.", rich_help_panel=JUDGING)


@command(
    "regressions",
    JUDGING,
    "runtide regressions --project llm",
    "runtide regressions --project llm --group nightly --metric val/loss --by best --json",
)
def regressions(
    project: Annotated[str | None, typer.Option(help="of this project only")] = None,
    group: Annotated[str | None, typer.Option(help="of this group only")] = None,
    metric: Annotated[str | None, typer.Option(help="default: the one that each family is judged by")] = None,
    by: Annotated[Literal["final", "best"], typer.Option(help="the value that stands for a run")] = "final",
    as_json: Json = False,
) -> int:
    from runtide_workers.cli import history

    return history.regressions(project, group, metric, by, as_json)
