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
    "runtide exec --metrics -- ./train   # step=10 loss=0.25 becomes a point of loss",
    "runtide exec --pattern 'iter (?P<step>\\d+).*loss (?P<train__loss>\\S+)' -- ./train",
    passes_on=True,
)
def execute(
    context: typer.Context,
    project: Annotated[str | None, typer.Option(help="RUNTIDE_PROJECT")] = None,
    name: Annotated[str | None, typer.Option(help="default: the command")] = None,
    group: Annotated[str | None, typer.Option(help="RUNTIDE_GROUP")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="may be given several times")] = None,
    metrics: Annotated[bool, typer.Option("--metrics", help="log each NAME=NUMBER or NAME: NUMBER it prints")] = False,
    pattern: Annotated[
        list[str] | None,
        typer.Option(help="log what this regular expression's named groups find in a line; __ is /, step is the step"),
    ] = None,
) -> int:
    from runtide import commands

    return commands.execute(context.args, project, name, group, tag, metrics, pattern or [])


@command("sync", TRACKING, "runtide sync", "runtide sync --dir ./journal --kafka kafka:9092")
def sync(
    directory: Directory = None,
    kafka: Kafka = None,
    timeout: Annotated[float, typer.Option(min=0, help="seconds to wait at most")] = 60.0,
    as_json: Json = False,
) -> int:
    from runtide import commands

    return commands.sync(directory, kafka, timeout, as_json)


@command(
    "reproduce",
    TRACKING,
    "runtide reproduce llm/k3v9x2ab          # prints the lines",
    "runtide reproduce llm/k3v9x2ab --run    # the commit in a worktree, the same seeds; then compares the numbers",
    "runtide reproduce k3v9x2ab --run --venv --tolerance 1e-6",
)
def reproduce(
    run: Annotated[str, typer.Argument(help="PROJECT/RUN, or RUN where that is unique", metavar="RUN")],
    perform: Annotated[
        bool, typer.Option("--run", help="do it, as a run of its own with the tag reproduction")
    ] = False,
    repository: Annotated[
        str | None, typer.Option("--repo", help="a clone with its commit; default: where it was")
    ] = None,
    directory: Annotated[str | None, typer.Option("--dir", help="where worktree and environment are made")] = None,
    with_packages: Annotated[bool, typer.Option("--venv", help="install its packages in an environment first")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="leave the worktree")] = False,
    tolerance: Annotated[float, typer.Option(min=0, help="relative difference of a point that counts as none")] = 0.0,
    as_json: Json = False,
) -> int:
    from runtide_workers.cli import reproducing

    return reproducing.reproduce(
        run, perform=perform, repository=repository, directory=directory, with_packages=with_packages, keep=keep,
        tolerance=tolerance, as_json=as_json,
    )  # fmt: skip
