"""`runtide baseline` and its parts: what each takes. What they do is in baselines.py."""

from __future__ import annotations

from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="print one JSON object")]
Project = Annotated[str | None, typer.Option(help="default: RUNTIDE_PROJECT, or the run's own")]
Group = Annotated[str | None, typer.Option(help="of the runs to be compared; default: the run's own, else none")]
Reason = Annotated[str, typer.Option(help="why")]
Named = Annotated[str, typer.Argument(help="a run, tag:NAME, or alias:NAME of an artifact", metavar="REF")]
Run = Annotated[str, typer.Argument(help="PROJECT/RUN, or RUN where that is unique", metavar="RUN")]

EXAMPLES = (
    "runtide baseline show --project llm --group small",
    "runtide baseline show llm/k3v9x2ab --metric val/loss",
    "runtide baseline pin tag:reference --project llm --group small",
    "runtide baseline exclude llm/k3v9x2ab --reason 'wrong data set'",
    "runtide baseline accept llm/p7q2m1zz --reason 'slower on purpose'",
)

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    epilog="\n\n".join(["Examples:", *EXAMPLES]),
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command("show", help="Whom a run is compared with, or whom the next runs of a project will be, and how they were.")
def show(
    run: Annotated[str | None, typer.Argument(help="default: the next run of each family", metavar="[RUN]")] = None,
    project: Project = None,
    group: Annotated[str | None, typer.Option(help="families of this group only")] = None,
    metric: Annotated[list[str] | None, typer.Option(help="this metric, or glob, only; may be given again")] = None,
    as_json: Json = False,
) -> int:
    from runtide_workers.cli import baselines

    return baselines.show(run, project, group, metric or [], as_json)


@app.command("pin", help="Compare with these runs, and no longer with the latest ones of the family.")
def pin(ref: Named, group: Group = None, project: Project = None, reason: Reason = "", as_json: Json = False) -> int:
    from runtide_workers.cli import baselines

    return baselines.pin(ref, group, project, reason, as_json, active=True)


@app.command("unpin", help="Take a pin back.")
def unpin(ref: Named, group: Group = None, project: Project = None, reason: Reason = "", as_json: Json = False) -> int:
    from runtide_workers.cli import baselines

    return baselines.pin(ref, group, project, reason, as_json, active=False)


@app.command("exclude", help="Never compare with this run.")
def exclude(run: Run, group: Group = None, project: Project = None, reason: Reason = "", as_json: Json = False) -> int:
    from runtide_workers.cli import baselines

    return baselines.mark_run("exclude", run, group, project, reason, as_json, active=True)


@app.command("include", help="Take an exclusion back.")
def include(run: Run, group: Group = None, project: Project = None, reason: Reason = "", as_json: Json = False) -> int:
    from runtide_workers.cli import baselines

    return baselines.mark_run("exclude", run, group, project, reason, as_json, active=False)


@app.command("accept", help="Compare with this run although an alert was raised on it.")
def accept(run: Run, group: Group = None, project: Project = None, reason: Reason = "", as_json: Json = False) -> int:
    from runtide_workers.cli import baselines

    return baselines.mark_run("accept", run, group, project, reason, as_json, active=True)
