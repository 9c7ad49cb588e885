"""`runtide log-book`: what was tried, concluded and decided, and what failed, day by day, the newest first."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from runtide.cli import CommandError
from runtide_storage import Client, goals
from runtide_storage.errors import NotFound
from runtide_workers.cli import output

RUNS_MAX = 10_000
METRICS_MAX = 3  # of a comparison
_UNITS = {"h": "hours", "d": "days", "w": "weeks"}
_SAID = """
SELECT project, run_id, run, ts, 'decision' AS kind, decision, reason, next_step, hypothesis, against, who, verdict,
    verdict_reason, '' AS text
FROM v_decisions WHERE ts >= {since:DateTime64(3)} AND (project = {project:String} OR {project:String} = '')
UNION ALL
SELECT project, run_id, run, ts, 'note', '', '', NULL, NULL, [], nullIf(JSONExtractString(body, 'who'), ''), NULL, NULL,
    JSONExtractString(body, 'text')
FROM v_events
WHERE kind = 'note' AND ts >= {since:DateTime64(3)} AND (project = {project:String} OR {project:String} = '')
ORDER BY ts DESC, project, run_id
"""
_BAD_ENDS = 'state in ("failed", "crashed", "killed")'
_MARKS = re.compile(r"([\\`*_{}\[\]()#+!|~>-])")

Entry = dict[str, Any]


def log_book(project: str | None, since: str, where: str | None, markdown: bool, as_json: bool) -> int:
    """Decisions with what they rest on, notes, and runs that ended badly with their cause."""
    earliest = datetime.now(UTC) - _span(since)
    with Client() as client:
        entries = _said(client, project, earliest, where) + _ended_badly(client, project, earliest, where)
    entries.sort(key=lambda entry: entry["at"], reverse=True)
    if as_json:
        print(output.as_json({"project": project, "since": earliest, "entries": entries}))
        return 0
    title = f"Log book of {project or 'all projects'}"
    for line in _document(title, entries) if markdown else _lines(entries):
        print(line)
    if not entries:
        print(
            f"nothing was noted or decided, and no run failed, in the last {since}: `runtide decide RUN VERDICT` does"
        )
    return 0


def _span(text: str) -> timedelta:
    match = re.fullmatch(r"(\d{1,5})([hdw])", text)
    if match is None:
        raise CommandError(f"--since {text!r}: as 90d, 12w or 6h")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def _said(client: Client, project: str | None, earliest: datetime, where: str | None) -> list[Entry]:
    """Decisions and notes, each decision with how the run compares with those it was held against."""
    rows = client.sql(_SAID, {"project": project or "", "since": earliest}).to_pylist()
    if where is not None:
        passing = client.runs(project, where, limit=RUNS_MAX).to_pylist()
        chosen = {(run["project"], run["run_id"]) for run in passing}
        rows = [row for row in rows if (row["project"], row["run_id"]) in chosen]
    return [
        {
            "at": row["ts"], "kind": row["kind"], "ref": f"{row['project']}/{row['run_id']}", "run": row["run"],
            "who": row["who"], "decision": row["decision"] or None, "reason": row["reason"] or row["text"],
            "next_step": row["next_step"], "hypothesis": row["hypothesis"], "against": row["against"],
            "compared": _compared(client, f"{row['project']}/{row['run_id']}", row["against"]),
            "verdict": row["verdict"], "verdict_reason": row["verdict_reason"],
        }
        for row in rows
    ]  # fmt: skip


def _compared(client: Client, ref: str, against: Sequence[str]) -> list[dict[str, Any]]:
    """The metrics with a goal, held-out ones first."""
    if not against:
        return []
    try:
        rows = client.compare(ref, baseline=against).to_pylist()
    except NotFound:  # one of them was deleted since
        return []
    told = [row for row in rows if row["verdict"] is not None]
    told.sort(key=lambda row: (not goals.is_held_out(row["metric"]), row["metric"]))
    return [{name: row[name] for name in ("metric", "value", "baseline", "relative", "verdict")} for row in told]


def _ended_badly(client: Client, project: str | None, earliest: datetime, where: str | None) -> list[Entry]:
    seconds = int((datetime.now(UTC) - earliest).total_seconds())
    conditions = [_BAD_ENDS, f"started > {seconds}s ago", *([f"({where})"] if where else [])]
    columns = ["error", "meta.exec/stderr_tail"]
    rows = client.runs(project, " and ".join(conditions), limit=RUNS_MAX, columns=columns).to_pylist()
    return [
        {
            "at": row["ended_at"] or row["seen_at"] or row["started_at"], "kind": row["state"],
            "ref": f"{row['project']}/{row['run_id']}", "run": row["run"], "exit_code": row["exit_code"],
            "reason": _last_line(row["error"]) or _last_line(row["meta.exec/stderr_tail"]) or _unknown(row),
        }
        for row in rows
    ]  # fmt: skip


def _last_line(text: str | None) -> str:
    """Of a trace it is the exception."""
    return next((line.strip() for line in reversed((text or "").splitlines()) if line.strip()), "")


def _unknown(row: Mapping[str, Any]) -> str:
    if row["state"] == "crashed":
        return "nothing was heard of it any more"
    return f"exit code {row['exit_code']}" if row["exit_code"] is not None else "no reason is known"


def _document(title: str, entries: Sequence[Entry]) -> Iterator[str]:
    """Markdown. What people and runs wrote is text in it, never markup."""
    yield f"# {_escaped(title)}"
    for day, entry in _by_day(entries):
        if day:
            yield f"\n## {day}"
        yield f"\n### {_escaped(entry['run'])} ({_escaped(entry['ref'])}): {_escaped(_headline(entry))}\n"
        for name, text in _parts(entry):
            yield f"- **{name}**: {_escaped(text)}"


def _lines(entries: Sequence[Entry]) -> Iterator[str]:
    for day, entry in _by_day(entries):
        if day:
            yield day
        yield f"  {output.clean(entry['run'])} ({output.clean(entry['ref'])}): {output.clean(_headline(entry))}"
        for name, text in _parts(entry):
            yield f"    {name}: {output.clean(text)}"


def _by_day(entries: Sequence[Entry]) -> Iterator[tuple[str, Entry]]:
    """Each entry, with its day where that begins."""
    before = ""
    for entry in entries:
        day = output.moment(entry["at"])[:10]
        yield ("" if day == before else day), entry
        before = day


def _headline(entry: Entry) -> str:
    return str(entry["decision"] if entry["kind"] == "decision" else entry["kind"])


def _parts(entry: Entry) -> Iterator[tuple[str, str]]:
    if entry["kind"] != "decision":
        yield ("note" if entry["kind"] == "note" else "cause"), entry["reason"]
        return
    if entry["hypothesis"]:
        yield "expected", entry["hypothesis"]
    if entry["against"]:
        yield "compared with", ", ".join(entry["against"])
    for row in entry["compared"][:METRICS_MAX]:
        relative = f" ({row['relative']:+.2%})" if row["relative"] is not None else ""
        yield row["metric"], f"{row['value']:.6g}, theirs {row['baseline']:.6g}{relative}: {row['verdict']}"
    if entry["verdict"]:
        yield "verdict of the detector", f"{entry['verdict']}: {entry['verdict_reason']}"
    yield "reason", entry["reason"]
    if entry["next_step"]:
        yield "next", entry["next_step"]
    if entry["who"]:
        yield "by", entry["who"]


def _escaped(text: object) -> str:
    return _MARKS.sub(r"\\\1", output.clean(text).replace("&", "&amp;").replace("<", "&lt;"))
