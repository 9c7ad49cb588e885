"""Commands that keep, mark and remove what is stored."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from runtide_workers.cli.registry import KEEPING, Json, command

RUN = typer.Argument(help="PROJECT/RUN, or RUN where that is unique", metavar="RUN")


@command("tag", KEEPING, "runtide tag llm/k3v9x2ab +prod -- -candidate", "runtide tag k3v9x2ab prod best")
def tag(
    run: Annotated[str, RUN],
    tags: Annotated[list[str], typer.Argument(help="TAG or +TAG adds, -TAG (after --) removes", metavar="TAG…")],
    as_json: Json = False,
) -> int:
    from runtide_workers.cli import marking

    return marking.tag(run, tags, as_json)


@command(
    "note",
    KEEPING,
    "runtide note llm/k3v9x2ab 'loader rewritten: compare with care'",
    "runtide note k3v9x2ab - < why.txt",
)
def note(
    run: Annotated[str, RUN],
    text: Annotated[str, typer.Argument(help="'-' reads it from stdin", metavar="TEXT")],
    as_json: Json = False,
) -> int:
    from runtide_workers.cli import marking

    return marking.note(run, text, as_json)


@command(
    "decide",
    KEEPING,
    "runtide decide llm/k3v9x2ab keep --reason 'val/loss 2 % better over 5 seeds' --next 'same with 3x the data'",
    "runtide decide k3v9x2ab drop --hypothesis 'warmup helps' --against llm/base --reason 'no gain'",
)
def decide(
    run: Annotated[str, RUN],
    verdict: Annotated[str, typer.Argument(help="what is concluded: keep, drop, unclear, or your own word")],
    reason: Annotated[str, typer.Option(help="why")],
    next_step: Annotated[str | None, typer.Option("--next", help="what comes next")] = None,
    hypothesis: Annotated[str | None, typer.Option(help="what was expected before")] = None,
    against: Annotated[
        list[str] | None, typer.Option(help="a run that it was compared with; may be given again", metavar="RUN")
    ] = None,
    as_json: Json = False,
) -> int:
    from runtide_workers.cli import marking

    return marking.decide(run, verdict, reason, next_step, hypothesis, against or [], as_json)


@command(
    "log-book",
    KEEPING,
    "runtide log-book llm",
    "runtide log-book llm --since 30d --markdown > llm.md",
    "runtide log-book --where 'error ~ \"(?i)out of memory\"'",
)
def log_book(
    project: Annotated[str | None, typer.Argument(help="default: all", metavar="PROJECT")] = None,
    since: Annotated[str, typer.Option(help="how far back: 90d, 12w, 6h")] = "90d",
    where: Annotated[str | None, typer.Option(help="only of runs that pass this filter (docs/filters.md)")] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="as a document")] = False,
    as_json: Json = False,
) -> int:
    from runtide_workers.cli import logbook
    from runtide_workers.cli.paging import paged

    with paged():
        return logbook.log_book(project, since, where, markdown, as_json)


@command(
    "rm",
    KEEPING,
    "runtide rm llm/k3v9x2ab --reason 'wrong data'",
    "runtide rm --project scratch --yes",
    'runtide rm --where \'project = "llm" and state = "failed" and started < 30d ago\' --dry-run',
)
def rm(
    runs: Annotated[
        list[str] | None, typer.Argument(help="PROJECT/RUN, or RUN where that is unique", metavar="RUN…")
    ] = None,
    project: Annotated[str | None, typer.Option(help="all runs of this project")] = None,
    where: Annotated[str | None, typer.Option(help="all runs that pass this filter (docs/filters.md)")] = None,
    reason: Annotated[str, typer.Option(help="why; it is kept with the run's name")] = "",
    force: Annotated[bool, typer.Option("--force", help="those that are running too")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="don't ask")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would be deleted")] = False,
    as_json: Json = False,
) -> int:
    from runtide_workers.cli import keeping

    return keeping.remove(runs or [], project, where, reason, force=force, yes=yes, dry_run=dry_run, as_json=as_json)


@command(
    "retention",
    KEEPING,
    "runtide retention set scratch 30d --keep-tag prod",
    "runtide retention show",
    "runtide retention apply --dry-run",
    "runtide retention unset scratch",
)
def retention(
    action: Annotated[Literal["show", "set", "unset", "apply"], typer.Argument(help="what to do")] = "show",
    project: Annotated[str | None, typer.Argument(help="whose runs", metavar="PROJECT")] = None,
    days: Annotated[str | None, typer.Argument(help="how long after their end: 90d, 12w", metavar="DURATION")] = None,
    keep_tag: Annotated[list[str] | None, typer.Option(help="runs with this tag stay; may be given again")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what is due")] = False,
    as_json: Json = False,
) -> int:
    from runtide_workers.cli import keeping

    return keeping.retention_of(action, project, days, keep_tag or [], dry_run=dry_run, as_json=as_json)


@command("backup", KEEPING, "runtide backup", "runtide backup tuesday --base monday")
def backup(
    name: Annotated[str | None, typer.Argument(help="of the backup; default: the time", metavar="NAME")] = None,
    base: Annotated[str | None, typer.Option(help="an earlier backup: keep only what is new since")] = None,
    as_json: Json = False,
) -> int:
    from runtide_workers.cli import keeping

    return keeping.make_backup(name, base, as_json)


@command("restore", KEEPING, "runtide restore tuesday", "runtide restore tuesday --force")
def restore(
    name: Annotated[str, typer.Argument(help="of the backup", metavar="NAME")],
    force: Annotated[bool, typer.Option("--force", help="drop what is stored now")] = False,
    as_json: Json = False,
) -> int:
    from runtide_workers.cli import keeping

    return keeping.bring_back(name, force, as_json)
