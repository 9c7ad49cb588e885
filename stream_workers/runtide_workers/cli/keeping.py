"""`runtide rm`, `retention`, `backup` and `restore`: how long what is stored stays."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from clickhouse_connect.driver.client import Client as Driver

from runtide.cli import CommandError
from runtide_storage import Client, backup, retention
from runtide_storage.cluster import VARIABLE, cluster_name
from runtide_storage.connect import connect
from runtide_storage.deletion import Deletions
from runtide_storage.errors import NotFound
from runtide_storage.reader import Reader
from runtide_storage.runs import RunName, resolve
from runtide_storage.settings import clickhouse_url
from runtide_storage.writer import Writer
from runtide_workers.cli import output
from runtide_workers.cli.alert_actions import seconds, who

LISTED_MAX = 10
PAGE = 10_000
_DAY_S = 86_400


def remove(
    refs: Sequence[str], project: str | None, where: str | None, reason: str, *, force: bool, yes: bool, dry_run: bool,
    as_json: bool,
) -> int:  # fmt: skip
    """Delete runs for good. 1: the answer was no."""
    if bool(refs) == (project is not None or where is not None):
        raise CommandError("delete what? Give RUNs, or --project and --where")
    with _writer() as driver:
        reader, deletions = Reader(driver), Deletions(driver, cluster_name())
        rows = _chosen(deletions, refs, project, where)
        running = [row for row in rows if row["state"] == "running"]
        if running and not force:
            one = output.clean(f"{running[0]['project']}/{running[0]['run_id']}")
            raise CommandError(f"{len(running)} of them are running, as {one}: end them first, or --force")
        runs = resolve(reader, [f"{row['project']}/{row['run_id']}" for row in rows])
        points = sum(deletions.sizes(run.key for run in runs).values())
        if not as_json:
            _list(runs, points)
        if dry_run or not runs:
            _told(runs, points, deleted=False, as_json=as_json)
            return 0
        if not yes and not _agreed(len(runs)):
            print("nothing was deleted", file=sys.stderr)
            return 1
        deletions.delete(runs, who(), reason)
    _told(runs, points, deleted=True, as_json=as_json)
    return 0


def retention_of(
    action: str, project: str | None, duration: str | None, keep_tags: Sequence[str], *, dry_run: bool, as_json: bool
) -> int:
    """Show, set, lift or apply how long runs are kept."""
    if action in ("set", "unset") and project is None:
        raise CommandError(f"retention {action}: of which project?")
    if (action == "set") != (duration is not None):
        raise CommandError("retention set PROJECT DURATION, as in `runtide retention set scratch 30d`")
    if keep_tags and action != "set":
        raise CommandError("--keep-tag goes with `retention set`")
    with _writer() as driver:
        reader = Reader(driver)
        if action == "apply":
            return _apply(reader, Deletions(driver, cluster_name()), project, dry_run, as_json)
        if action != "show" and project is not None:
            retention.keep(Writer(driver), project, None if duration is None else _days(duration), keep_tags, who())
        found = [each for each in retention.policies(reader) if project in (None, each["project"])]
        waiting = len(retention.due(reader, project))
    if as_json:
        print(output.as_json({"retention": found, "due": waiting}))
    elif not found:
        print(f"{output.clean(project) if project else 'every project'}: runs are kept for ever")
    else:
        rows = [(each["project"], f"{each['days']} d", each["keep_tags"], each["who"], each["at"]) for each in found]
        output.table(("project", "kept", "but not with tags", "by", "since"), rows)
        print(f"{waiting} runs are due: workers delete them within minutes, `runtide retention apply` now")
    return 0


def _apply(reader: Reader, deletions: Deletions, project: str | None, dry_run: bool, as_json: bool) -> int:
    runs = [run for run, _ in retention.due(reader, project)]
    points = sum(deletions.sizes(run.key for run in runs).values())
    if not dry_run:
        retention.apply(reader, deletions, project)
    if not as_json and runs:
        _list(runs, points)
    _told(runs, points, deleted=not dry_run, as_json=as_json)
    return 0


def make_backup(name: str | None, base: str | None, as_json: bool) -> int:
    """The whole database, as it is now."""
    _only_one_server("BACKUP")
    chosen = name or datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%SZ")
    began = time.monotonic()
    with _writer(backup.TIMEOUT_S) as driver:
        if sys.stderr.isatty():
            print(f"backing up {driver.database} …", file=sys.stderr)
        held = backup.backup(driver, chosen, base)
    _told_of_backup(chosen, held, time.monotonic() - began, "holds", as_json)
    return 0


def bring_back(name: str, force: bool, as_json: bool) -> int:
    """The database as it was when the backup was made."""
    _only_one_server("RESTORE")
    began = time.monotonic()
    with _writer(backup.TIMEOUT_S) as driver:
        if sys.stderr.isatty():
            print(f"restoring {driver.database} …", file=sys.stderr)
        held = backup.restore(driver, name, force=force)
    _told_of_backup(name, held, time.monotonic() - began, "is restored:", as_json)
    return 0


def _only_one_server(statement: str) -> None:
    if cluster_name():
        raise CommandError(
            f"{VARIABLE} is set: in a cluster use ClickHouse's {statement} ... ON CLUSTER (docs/cluster.md)"
        )


def _told_of_backup(name: str, held: dict[str, Any], took_s: float, what: str, as_json: bool) -> None:
    if as_json:
        print(output.as_json({"backup": name, "seconds": took_s, **held}))
    else:
        print(f"{name} {what} {held['runs']:,} runs and {held['points']:,} points ({output.duration(took_s)})")


def _chosen(deletions: Deletions, refs: Sequence[str], project: str | None, where: str | None) -> list[dict[str, Any]]:
    with Client() as client:
        if refs:
            return [_run(client, deletions, ref) for ref in dict.fromkeys(refs)]
        found: list[dict[str, Any]] = []
        while rows := client.runs(project, where, limit=PAGE, offset=len(found)).to_pylist():
            found += rows
        return found


def _run(client: Client, deletions: Deletions, ref: str) -> dict[str, Any]:
    try:
        return client.run(ref)
    except NotFound as error:
        gone = deletions.buried(ref)
        if not gone:
            raise
        last = gone[-1]
        why = f" ({last['reason']})" if last["reason"] else ""
        raise NotFound(f"{ref!r} was deleted {output.moment(last['at'])} by {last['who']}{why}") from error


def _list(runs: Sequence[RunName], points: int) -> None:
    for run in runs[:LISTED_MAX]:
        print(f"  {output.clean(run.ref)}" + (f"  {output.clean(run.name)}" if run.name else ""))
    if len(runs) > LISTED_MAX:
        print(f"  … and {len(runs) - LISTED_MAX} more")
    print(f"{len(runs)} runs with {points:,} points")


def _told(runs: Sequence[RunName], points: int, *, deleted: bool, as_json: bool) -> None:
    if as_json:
        print(output.as_json({"runs": [run.ref for run in runs], "points": points, "deleted": deleted}))
    elif deleted:
        print("deleted; ClickHouse frees their space as it merges")


def _agreed(n: int) -> bool:
    if not sys.stdin.isatty():
        raise CommandError("nobody can be asked here: --yes deletes without asking, --dry-run only looks")
    return input(f"Delete {n} runs for good? [y/N] ").strip().lower() in ("y", "yes")


def _days(duration: str) -> int:
    days = seconds(duration) / _DAY_S
    if days < 1 or days > retention.DAYS_MAX or days != int(days):
        raise CommandError(f"{duration}: whole days, as in 30d or 12w")
    return int(days)


@contextmanager
def _writer(answer_timeout_s: float | None = None) -> Iterator[Driver]:
    url = clickhouse_url("writer")
    client = connect(url) if answer_timeout_s is None else connect(url, answer_timeout_s=answer_timeout_s)
    try:
        yield client
    finally:
        client.close()
