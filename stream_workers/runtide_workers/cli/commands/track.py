"""Commands that make runs."""

from __future__ import annotations

from typing import Annotated

import typer

from runtide_workers.cli.registry import TRACKING, Directory, Json, Kafka, command


@command(
    "exec",
    TRACKING,
    "runtide exec -- python train.py --lr 0.1",
    "runtide exec --project llm --tag big -- ./train.sh",
    passes_on=True,
)
def execute(
    context: typer.Context,
    project: Annotated[str | None, typer.Option(help="RUNTIDE_PROJECT")] = None,
    name: Annotated[str | None, typer.Option(help="default: the command")] = None,
    group: Annotated[str | None, typer.Option(help="RUNTIDE_GROUP")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="may be given several times")] = None,
) -> int:
    from runtide import commands

    return commands.execute(context.args, project, name, group, tag)


@command("sync", TRACKING, "runtide sync", "runtide sync --dir ./journal --kafka kafka:9092")
def sync(
    directory: Directory = None,
    kafka: Kafka = None,
    timeout: Annotated[float, typer.Option(min=0, help="seconds to wait at most")] = 60.0,
    as_json: Json = False,
) -> int:
    from runtide import commands

    return commands.sync(directory, kafka, timeout, as_json)
