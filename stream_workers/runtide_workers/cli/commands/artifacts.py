"""`runtide artifact` and `runtide dataset`: what their parts take. What they do is in artifacts.py and lineages.py."""

from __future__ import annotations

from typing import Annotated

import typer

from runtide.cli import COMMANDS
from runtide_workers.cli.registry import KEEPING, READING, Json
from runtide_workers.cli.registry import app as cli

Ref = Annotated[
    str, typer.Argument(help="[project/]name, :alias, :vN or :digest behind it; or a digest", metavar="REF")
]
Name = Annotated[str, typer.Argument(help="[project/]name", metavar="NAME")]
Project = Annotated[str | None, typer.Option(help="default: RUNTIDE_PROJECT")]
Reason = Annotated[str, typer.Option(help="why")]
Store = Annotated[
    str | None, typer.Option("--store", help="folder or URL (RUNTIDE_ARTIFACTS, default <home>/artifacts)")
]

EXAMPLES = (
    "runtide artifact put checkpoints/best --name net --type model --alias best --run llm/k3v9x2ab",
    "runtide artifact get net:best restored",
    "runtide artifact rollback net production",
    "runtide artifact stage net:v3 production --reason 'better over 5 seeds'",
    "runtide artifact lineage net:v3",
    "runtide artifact gc --dry-run",
)
DATASET_EXAMPLES = ("runtide dataset ls", "runtide dataset ls digits --project llm --json")


def _app(examples: tuple[str, ...]) -> typer.Typer:
    return typer.Typer(
        no_args_is_help=True,
        rich_markup_mode="rich",
        epilog="\n\n".join(["Examples:", *examples]),
        context_settings={"help_option_names": ["-h", "--help"]},
    )


app = _app(EXAMPLES)
dataset_app = _app(DATASET_EXAMPLES)
cli.add_typer(app, name="artifact", help=f"{COMMANDS['artifact'][0].capitalize()}.", rich_help_panel=KEEPING)
cli.add_typer(dataset_app, name="dataset", help=f"{COMMANDS['dataset'][0].capitalize()}.", rich_help_panel=READING)


@app.command("put", help="Keep a file or a directory as the next version of its name. Broken off, it goes on.")
def put(
    path: Annotated[str, typer.Argument(help="a file or a directory", metavar="PATH")],
    name: Annotated[str | None, typer.Option(help="default: that of the file or directory")] = None,
    type_: Annotated[str | None, typer.Option("--type", help="model, dataset, ...")] = None,
    alias: Annotated[list[str] | None, typer.Option("--alias", help="may be given again")] = None,
    meta: Annotated[list[str] | None, typer.Option("--meta", help="KEY=VALUE, may be given again")] = None,
    run: Annotated[str | None, typer.Option(help="that made it: PROJECT/RUN, or RUN where that is unique")] = None,
    project: Project = None,
    store: Store = None,
    as_json: Json = False,
) -> int:
    from runtide_workers.cli import artifacts

    return artifacts.put(path, name, type_, alias or [], meta or [], run, project, store, as_json)


@app.command("get", help="Fetch a version, every byte checked. Broken off, it goes on.")
def get(
    ref: Ref,
    target: Annotated[str | None, typer.Argument(help="default: ./NAME", metavar="[TARGET]")] = None,
    force: Annotated[bool, typer.Option("--force", help="replace files that are there with other content")] = False,
    project: Project = None,
    store: Store = None,
    as_json: Json = False,
) -> int:
    from runtide_workers.cli import artifacts

    return artifacts.get(ref, target, force, project, store, as_json)


@app.command("ls", help="List artifacts, or the versions of one.")
def ls(
    name: Annotated[str | None, typer.Argument(help="[project/]name", metavar="[NAME]")] = None,
    project: Annotated[str | None, typer.Option(help="of this project only")] = None,
    store: Store = None,
    as_json: Json = False,
) -> int:
    from runtide_workers.cli import artifacts

    return artifacts.ls(name, project, store, as_json)


@app.command("alias", help="Set an alias to a version.")
def alias(
    ref: Ref,
    alias: Annotated[str, typer.Argument(help="such as production", metavar="ALIAS")],
    reason: Reason = "",
    project: Project = None,
    store: Store = None,
    as_json: Json = False,
) -> int:
    from runtide_workers.cli import artifacts

    return artifacts.alias(ref, alias, reason, project, store, as_json)


@app.command("rollback", help="Set an alias to where it was before; once more: to where it was before that.")
def rollback(
    name: Name,
    alias: Annotated[str, typer.Argument(help="such as production, or latest", metavar="ALIAS")],
    reason: Reason = "",
    project: Project = None,
    store: Store = None,
    as_json: Json = False,
) -> int:
    from runtide_workers.cli import artifacts

    return artifacts.rollback(name, alias, reason, project, store, as_json)


@app.command("stage", help="Put a version into a stage, and keep who did and why.")
def stage(
    ref: Ref,
    stage: Annotated[str, typer.Argument(help="staging, production, archived, or your own word", metavar="STAGE")],
    reason: Annotated[str, typer.Option(help="why")],
    project: Project = None,
    store: Store = None,
    as_json: Json = False,
) -> int:
    from runtide_workers.cli import artifacts

    return artifacts.stage(ref, stage, reason, project, store, as_json)


@app.command("history", help="Every move of an alias or a stage: when, who and why.")
def history(name: Name, project: Project = None, store: Store = None, as_json: Json = False) -> int:
    from runtide_workers.cli import artifacts

    return artifacts.history(name, project, store, as_json)


@app.command("gc", help="Remove what no version names: what uploads left that were killed.")
def gc(
    older_than: Annotated[
        str, typer.Option("--older-than", help="spare what is newer: an upload may be going on", metavar="DURATION")
    ] = "1d",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would be removed")] = False,
    store: Store = None,
    as_json: Json = False,
) -> int:
    from runtide_workers.cli import artifacts

    return artifacts.gc(older_than, dry_run, store, as_json)


@app.command("verify", help="Read every chunk, of one version or of all. Exit 1: something is damaged.")
def verify(
    ref: Annotated[str | None, typer.Argument(help="default: everything", metavar="[REF]")] = None,
    drop: Annotated[
        bool, typer.Option("--drop", help="remove damaged chunks: a put of the same brings them back")
    ] = False,
    project: Project = None,
    store: Store = None,
    as_json: Json = False,
) -> int:
    from runtide_workers.cli import artifacts

    return artifacts.verify(ref, drop, project, store, as_json)


@app.command("lineage", help="What led to a dataset, a model or a run, and what came of it, as the runs said.")
def lineage(
    ref: Annotated[str, typer.Argument(help="[project/]name, with :alias or :vN; a digest; or a run", metavar="REF")],
    depth: Annotated[int, typer.Option(min=1, max=100, help="so many steps each way")] = 10,
    project: Project = None,
    as_json: Json = False,
) -> int:
    from runtide_workers.cli import lineages

    return lineages.lineage(ref, depth, project, as_json)


@dataset_app.command("ls", help="List the datasets that runs used, the last used first.")
def dataset_ls(
    name: Annotated[str | None, typer.Argument(help="of this name only", metavar="[NAME]")] = None,
    project: Annotated[str | None, typer.Option(help="of this project only")] = None,
    as_json: Json = False,
) -> int:
    from runtide_workers.cli import lineages

    return lineages.datasets(name, project, as_json)
