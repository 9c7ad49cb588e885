"""`runtide`: all commands, what they take, and how their errors look. What they do is in the modules beside this one.

Everything heavy is imported by the command that needs it: `runtide --help` must not wait for ClickHouse's driver.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

import typer
import typer.main

from runtide.cli import COMMANDS, USAGE, CommandError, version
from runtide_workers.cli import alerts, baseline

TRACKING, STACK, READING = "Track", "Local stack and services", "Look"

app = typer.Typer(
    name="runtide",
    help="Experiment metrics for machine-learning training: log and forget, know within seconds, ask anything.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

Home = Annotated[str | None, typer.Option("--home", help="folder of the stack (RUNTIDE_HOME, default ~/.runtide)")]
Json = Annotated[bool, typer.Option("--json", help="print one JSON object")]
Directory = Annotated[str | None, typer.Option("--dir", help="the journal directory (RUNTIDE_DIR)")]
Kafka = Annotated[str | None, typer.Option("--kafka", help="bootstrap servers (RUNTIDE_KAFKA)")]


def run(arguments: Sequence[str]) -> int:
    """Parse and do. Returns the exit code; raises what `runtide.cli.guarded` turns into one line."""
    command = typer.main.get_command(app)
    try:
        code = command.main(args=list(arguments), prog_name="runtide", standalone_mode=False)
    except typer.Abort:
        raise KeyboardInterrupt from None
    except Exception as error:
        if not _is_usage_error(error):
            raise
        context: Any = getattr(error, "ctx", None)
        if type(error).__name__ == "NoArgsIsHelpError":
            return 0  # the help is out already
        where = context.command_path if context is not None else "runtide"
        raise CommandError(f"{error.format_message()} (`{where} --help` says what it takes)", USAGE) from None  # type: ignore[attr-defined]
    return code if isinstance(code, int) else 0


def _is_usage_error(error: Exception) -> bool:
    """Typer brings a click of its own and does not export this class by name."""
    return any(base.__name__ == "ClickException" for base in type(error).__mro__)


def _command(
    name: str, panel: str, *examples: str, passes_on: bool = False
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a command under its line of `COMMANDS`, with examples at the end of its help."""
    settings: dict[str, Any] = {}
    if passes_on:  # what follows belongs to another program
        settings = {"ignore_unknown_options": True, "allow_extra_args": True, "allow_interspersed_args": False}
        if not examples:  # and so does its help
            settings["help_option_names"] = []
    what = COMMANDS[name][0]
    epilog = "\n\n".join(["Examples:", *examples]) if examples else None
    return app.command(
        name,
        help=what[0].upper() + what[1:] + ".",
        epilog=epilog,
        rich_help_panel=panel,
        context_settings=settings,
    )


def _use_home(home: str | None) -> None:
    """The SDK's settings, storage's and the children's all read the environment."""
    if home:
        os.environ["RUNTIDE_HOME"] = os.path.abspath(os.path.expanduser(home))


def _version(wanted: bool) -> None:
    if wanted:
        print(version())
        raise typer.Exit


@app.callback()
def _main(
    show_version: Annotated[
        bool, typer.Option("--version", help="print the version", is_eager=True, callback=_version)
    ] = False,
) -> None:
    pass


# ---------------------------------------------------------------------- local stack and services


@_command(
    "up", STACK, "runtide up", "runtide up --detach && python train.py", "runtide up --home ./b --port-base 18700"
)
def up(
    home: Home = None,
    port_base: Annotated[int | None, typer.Option(help="first of the ports it listens on, default 17700")] = None,
    workers: Annotated[int, typer.Option(min=1, max=6, help="worker processes")] = 1,
    dashboard: Annotated[bool, typer.Option(help="serve the pages")] = True,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="return when it is ready, and leave it running")
    ] = False,
    broker_memory: Annotated[float, typer.Option(help="GiB after which the broker is drained and started anew")] = 2.0,
    as_json: Json = False,
) -> int:
    from runtide_workers.cli import stack

    _use_home(home)
    return stack.up(port_base, workers, dashboard, detach, broker_memory, as_json)


@_command("down", STACK, "runtide down")
def down(home: Home = None, as_json: Json = False) -> int:
    from runtide_workers.cli import stack

    _use_home(home)
    return stack.down(as_json)


@_command(
    "status", STACK, "runtide status", 'eval "$(runtide status --env)"', "runtide status --json | jq .pipeline.lag"
)
def status(
    home: Home = None,
    as_json: Json = False,
    env: Annotated[bool, typer.Option("--env", help="print export lines for a shell")] = False,
) -> int:
    from runtide_workers.cli import status

    _use_home(home)
    return status.print_environment() if env else status.status(as_json)


@_command("doctor", STACK, "runtide doctor")
def doctor(home: Home = None, as_json: Json = False) -> int:
    from runtide_workers.cli import doctor

    _use_home(home)
    return doctor.doctor(as_json)


@_command("demo", STACK, passes_on=True)
def demo(context: typer.Context, home: Home = None) -> int:
    from runtide_workers.demo.__main__ import main

    _use_home(home)
    return main(context.args)


@_command(
    "migrate", STACK, "runtide migrate", "RUNTIDE_CLICKHOUSE=http://writer:...@db:8123/runtide runtide migrate --json"
)
def migrate(
    home: Home = None,
    partitions: Annotated[int | None, typer.Option(min=1, help="of topic runtide.events, if it is created")] = None,
    as_json: Json = False,
) -> int:
    from runtide_workers.cli import services

    _use_home(home)
    return services.migrate(partitions, as_json)


@_command("worker", STACK, passes_on=True)
def worker(context: typer.Context, home: Home = None) -> int:
    from runtide_workers.app import main

    _use_home(home)
    return main(context.args)


@_command("dashboard", STACK, "runtide dashboard", "runtide dashboard --port 8501")
def dashboard(
    home: Home = None,
    port: Annotated[int, typer.Option(min=1, max=65535)] = 17702,
    address: Annotated[str, typer.Option(help="where to listen; the default is this machine only")] = "127.0.0.1",
) -> int:
    from runtide_workers.cli import services

    _use_home(home)
    return services.dashboard(port, address)


@_command("shipper", STACK, "runtide shipper", "runtide shipper --dir /var/lib/runtide --kafka kafka:9092")
def shipper(
    directory: Directory = None,
    kafka: Kafka = None,
    once: Annotated[bool, typer.Option("--once", help="end when all that is there now is confirmed stored")] = False,
) -> int:
    from runtide import commands

    return commands.shipper(directory, kafka, once)


# ---------------------------------------------------------------------- track


@_command(
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


@_command("sync", TRACKING, "runtide sync", "runtide sync --dir ./journal --kafka kafka:9092")
def sync(
    directory: Directory = None,
    kafka: Kafka = None,
    timeout: Annotated[float, typer.Option(min=0, help="seconds to wait at most")] = 60.0,
    as_json: Json = False,
) -> int:
    from runtide import commands

    return commands.sync(directory, kafka, timeout, as_json)


# ---------------------------------------------------------------------- look


@_command("runs", READING, "runtide runs --project llm --state running", "runtide runs --tag prod --limit 5 --json")
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


@_command("show", READING, "runtide show llm/k3v9x2ab", "runtide show k3v9x2ab --json")
def show(
    run: Annotated[str, typer.Argument(help="PROJECT/RUN, or RUN where that is unique", metavar="RUN")],
    as_json: Json = False,
) -> int:
    from runtide_workers.cli import data

    return data.show(run, as_json)


@_command(
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


app.add_typer(alerts.app, name="alerts", help=f"{COMMANDS['alerts'][0].capitalize()}.", rich_help_panel=READING)


@_command("ack", READING, "runtide ack 3f2a91c0", "runtide ack llm/k3v9x2ab --reason 'the new data set'")
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


# ---------------------------------------------------------------------- judge

Refs = Annotated[
    list[str] | None,
    typer.Option("--baseline", help="runs, tag:NAME, alias:NAME or group:NAME, with commas between; default: its own"),
]
Metrics = Annotated[list[str] | None, typer.Option("--metric", help="this metric, or glob, only; may be given again")]


@_command("verdict", READING, "runtide verdict llm/k3v9x2ab")
def verdict(
    run: Annotated[str, typer.Argument(help="PROJECT/RUN, or RUN where that is unique", metavar="RUN")],
    as_json: Json = False,
) -> int:
    from runtide_workers.cli import verdicts

    return verdicts.verdict(run, as_json)


@_command(
    "compare",
    READING,
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


@_command(
    "gate",
    READING,
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


app.add_typer(baseline.app, name="baseline", help=f"{COMMANDS['baseline'][0].capitalize()}.", rich_help_panel=READING)


@_command(
    "regressions",
    READING,
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
