"""`runtide alerts` and its parts: what each takes. What they do is in alert_feed, alert_actions and alert_replay."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from runtide.cli import CommandError

Json = Annotated[bool, typer.Option("--json", help="print one JSON object")]
Project = Annotated[str | None, typer.Option(help="of this project only")]
State = Literal["open", "acknowledged", "resolved"]
Severity = Literal["page", "warn", "info"]

EXAMPLES = (
    "runtide alerts --state open --severity page",
    "runtide alerts --project llm --follow",
    "runtide alerts show 3f2a91c0",
    "runtide alerts mute --project llm --group sweep-7 --for 2h --reason 'known bad data'",
    "runtide alerts replay --metric train/loss --rule '> 5'",
    "runtide alerts test",
)

app = typer.Typer(
    invoke_without_command=True,
    no_args_is_help=False,
    rich_markup_mode="rich",
    epilog="\n\n".join(["Examples:", *EXAMPLES]),
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def feed(
    context: typer.Context,
    project: Project = None,
    run: Annotated[str | None, typer.Option(help="of this run only: PROJECT/RUN, or RUN where that is unique")] = None,
    state: Annotated[State | None, typer.Option(help="in this state only")] = None,
    severity: Annotated[Severity | None, typer.Option(help="so severe, or more")] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="go on with what is new and what changes; --json: a line for each")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="the newest so many")] = 20,
    as_json: Json = False,
) -> int:
    if context.invoked_subcommand is not None:
        return 0
    from runtide_workers.cli import alert_feed

    return alert_feed.feed(alert_feed.Filter(project, run, state, severity), limit, follow, as_json)


@app.command("show", help="Everything about one alert.")
def show(
    alert: Annotated[str, typer.Argument(help="its id, or the beginning of it", metavar="ID")],
    as_json: Json = False,
) -> int:
    from runtide_workers.cli import alert_feed

    return alert_feed.show(alert, as_json)


@app.command("mute", help="Tell nobody of such alerts. They are kept and shown all the same.")
def mute(
    project: Project = None,
    group: Annotated[str | None, typer.Option(help="of this group of runs; * and ? fit anything")] = None,
    metric: Annotated[str | None, typer.Option(help="on this metric; * and ? fit anything")] = None,
    kind: Annotated[str | None, typer.Option(help="of this kind: regression, nan, stalled ...")] = None,
    everything: Annotated[bool, typer.Option("--all", help="of every alert")] = False,
    duration: Annotated[str | None, typer.Option("--for", help="30m, 2h, 3d; default: until it is lifted")] = None,
    reason: Annotated[str, typer.Option(help="why")] = "",
    as_json: Json = False,
) -> int:
    from runtide_workers.cli import alert_actions

    return alert_actions.mute(project, group, metric, kind, everything, duration, reason, as_json)


@app.command("unmute", help="Lift a mute. What is still open and younger than a day is told then.")
def unmute(
    mute: Annotated[str | None, typer.Argument(help="its id, or the beginning of it", metavar="[ID]")] = None,
    everything: Annotated[bool, typer.Option("--all", help="all mutes")] = False,
    as_json: Json = False,
) -> int:
    from runtide_workers.cli import alert_actions

    return alert_actions.unmute(mute, everything, as_json)


@app.command("mutes", help="What is muted now.")
def mutes(as_json: Json = False) -> int:
    from runtide_workers.cli import alert_actions

    return alert_actions.mutes(as_json)


@app.command("test", help="Send a message to every channel, and say which took it.")
def try_channels(as_json: Json = False) -> int:
    from runtide_workers.cli import alert_actions

    return alert_actions.try_channels(as_json)


@app.command("replay", help="What a rule, or another threshold, would have found in the runs that have ended.")
def replay(
    rule: Annotated[str | None, typer.Option(help='\'> 5\', or JSON: \'{"change": "+20%", "window": 9}\'')] = None,
    metric: Annotated[str | None, typer.Option(help="that the rule is about; * and ? fit anything")] = None,
    threshold: Annotated[float | None, typer.Option(min=0, help="of the comparison with baselines")] = None,
    project: Project = None,
    limit: Annotated[int, typer.Option(min=1, help="the newest so many runs")] = 200,
    as_json: Json = False,
) -> int:
    if (rule is None) == (threshold is None):
        raise CommandError("replay what? Either --rule with --metric, or --threshold")
    from runtide_workers.cli import alert_replay

    if rule is not None and metric is not None:
        return alert_replay.rule(rule, metric, project, limit, as_json)
    if threshold is not None and metric is None:
        return alert_replay.detection(threshold, project, as_json)
    raise CommandError("--rule and --metric belong together, and --threshold stands for itself")
