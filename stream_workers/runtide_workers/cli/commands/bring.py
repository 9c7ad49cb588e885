"""`runtide import` and its sources: what each takes. What it does is in imports.py."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from runtide.cli import COMMANDS
from runtide_workers.cli.registry import TRACKING, Json, Kafka
from runtide_workers.cli.registry import app as runtide

Project = Annotated[str | None, typer.Option(help="default: what it is called in the source")]
Group = Annotated[str | None, typer.Option(help="of all these runs; default: the source's own")]
Tag = Annotated[list[str] | None, typer.Option(help="put this on all these runs; may be given again")]
Run = Annotated[list[str] | None, typer.Option("--run", help="only these runs, by id or glob; may be given again")]
Same = Annotated[
    bool, typer.Option("--same-hardware", help="they ran on machines like this one: baselines of what runs here")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="read everything, say what would be imported, keep nothing")]
Again = Annotated[bool, typer.Option("--again", help="as if nothing had been imported yet; stored once all the same")]
Timeout = Annotated[float, typer.Option(min=0, help="seconds to wait at most until some hundred runs are stored")]
Steps = Annotated[float, typer.Option(help="where steps are fractions: 1000 makes thousandths of them")]

EXAMPLES = (
    "runtide import tensorboard ./runs --project digits",
    "runtide import mlflow http://mlflow:5000 --experiment digits --dry-run",
    "runtide import mlflow ./mlruns",
    "runtide import wandb ./wandb",
    "runtide import trackio",
    "runtide import neptune ./exports/data",
    "runtide import csv history.csv --project digits --column run=name",
)

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    epilog="\n\n".join(["Examples:", *EXAMPLES]),
    context_settings={"help_option_names": ["-h", "--help"]},
)
runtide.add_typer(app, name="import", help=f"{COMMANDS['import'][0].capitalize()}.", rich_help_panel=TRACKING)


@app.command("tensorboard", help="Event files: each folder that holds some is a run.")
def tensorboard(
    path: Annotated[str, typer.Argument(help="a log folder, or one event file", metavar="LOGDIR")],
    project: Project = None, group: Group = None, tag: Tag = None, run: Run = None, same_hardware: Same = False,
    dry_run: DryRun = False, again: Again = False, kafka: Kafka = None, timeout: Timeout = 600.0, as_json: Json = False,
) -> int:  # fmt: skip
    from runtide.importing import tensorboard as source
    from runtide_workers.cli import imports

    wishes = imports.wishes(project, group, tag, run, same_hardware, again)
    return imports.bring("tensorboard", lambda: source.runs(path), wishes, dry_run, kafka, timeout, as_json)


@app.command("mlflow", help="A folder of files, an SQLite file, a database or a tracking server of MLflow.")
def mlflow(
    store: Annotated[str, typer.Argument(help="a path, or a tracking URI such as http://host:5000", metavar="STORE")],
    experiment: Annotated[list[str] | None, typer.Option(help="name or id; may be given again; default: all")] = None,
    project: Project = None, group: Group = None, tag: Tag = None, run: Run = None, same_hardware: Same = False,
    dry_run: DryRun = False, again: Again = False, kafka: Kafka = None, timeout: Timeout = 600.0, as_json: Json = False,
) -> int:  # fmt: skip
    from runtide.importing import mlflow as source
    from runtide_workers.cli import imports

    wishes = imports.wishes(project, group, tag, run, same_hardware, again)
    return imports.bring(
        "mlflow", lambda: source.runs(store, experiment or ()), wishes, dry_run, kafka, timeout, as_json
    )


@app.command("wandb", help="Runs of Weights & Biases that are on this disk, logged offline or not.")
def wandb(
    path: Annotated[str, typer.Argument(help="a folder wandb, or one .wandb file", metavar="PATH")] = "wandb",
    project: Project = None, group: Group = None, tag: Tag = None, run: Run = None, same_hardware: Same = False,
    dry_run: DryRun = False, again: Again = False, kafka: Kafka = None, timeout: Timeout = 600.0, as_json: Json = False,
) -> int:  # fmt: skip
    from runtide.importing import wandb as source
    from runtide_workers.cli import imports

    wishes = imports.wishes(project, group, tag, run, same_hardware, again)
    return imports.bring("wandb", lambda: source.runs(path), wishes, dry_run, kafka, timeout, as_json)


@app.command("neptune", help="What neptune-exporter wrote.")
def neptune(
    path: Annotated[str, typer.Argument(help="its folder of Parquet files", metavar="PATH")] = "exports/data",
    step_multiplier: Steps = 1.0,
    project: Project = None, group: Group = None, tag: Tag = None, run: Run = None, same_hardware: Same = False,
    dry_run: DryRun = False, again: Again = False, kafka: Kafka = None, timeout: Timeout = 600.0, as_json: Json = False,
) -> int:  # fmt: skip
    from runtide.importing import neptune as source
    from runtide_workers.cli import imports

    wishes = imports.wishes(project, group, tag, run, same_hardware, again)
    return imports.bring(
        "neptune", lambda: source.runs(path, step_multiplier), wishes, dry_run, kafka, timeout, as_json
    )


@app.command("trackio", help="Trackio's SQLite files.")
def trackio(
    path: Annotated[str | None, typer.Argument(help="default: where Trackio keeps them", metavar="[PATH]")] = None,
    project: Project = None, group: Group = None, tag: Tag = None, run: Run = None, same_hardware: Same = False,
    dry_run: DryRun = False, again: Again = False, kafka: Kafka = None, timeout: Timeout = 600.0, as_json: Json = False,
) -> int:  # fmt: skip
    from runtide.importing import trackio as source
    from runtide_workers.cli import imports

    wishes = imports.wishes(project, group, tag, run, same_hardware, again)
    return imports.bring("trackio", lambda: source.runs(path), wishes, dry_run, kafka, timeout, as_json)


@app.command("csv", help="Tables: CSV, Parquet or JSON lines, with a row per point or a column per metric.")
def table(
    path: Annotated[list[str], typer.Argument(help="files, or folders of them", metavar="PATH...")],
    column: Annotated[
        list[str] | None, typer.Option(help="run=, metric=, step=, value= or time=NAME; may be given again")
    ] = None,
    time_unit: Annotated[
        Literal["s", "ms", "us", "ns"] | None, typer.Option(help="of times that are numbers; default: by their size")
    ] = None,
    step_multiplier: Steps = 1.0,
    project: Project = None, group: Group = None, tag: Tag = None, run: Run = None, same_hardware: Same = False,
    dry_run: DryRun = False, again: Again = False, kafka: Kafka = None, timeout: Timeout = 600.0, as_json: Json = False,
) -> int:  # fmt: skip
    from runtide.importing import tables as source
    from runtide_workers.cli import imports

    reading = source.Reading(imports.pairs(column or []), time_unit or "", step_multiplier)
    wishes = imports.wishes(project, group, tag, run, same_hardware, again)
    return imports.bring("csv", lambda: source.runs(path, reading), wishes, dry_run, kafka, timeout, as_json)
