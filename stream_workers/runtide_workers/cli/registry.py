"""The command line's frame: the app, how a command joins it, and the options that several share."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Annotated, Any

import typer

from runtide.cli import COMMANDS, version

TRACKING, STACK, READING, JUDGING, KEEPING = "Track", "Local stack and services", "Look", "Judge", "Keep"

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


def command(
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


def use_home(home: str | None) -> None:
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
