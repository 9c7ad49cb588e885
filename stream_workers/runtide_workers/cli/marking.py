"""`runtide tag`, `note` and `decide`: what people say of a run."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from runtide.cli import CommandError
from runtide_storage.annotate import Annotations
from runtide_storage.connect import connect
from runtide_storage.reader import Reader
from runtide_storage.runs import RunName, resolve
from runtide_storage.settings import clickhouse_url
from runtide_storage.writer import Writer
from runtide_workers.cli import output
from runtide_workers.cli.alert_actions import who


def tag(ref: str, given: Sequence[str], as_json: bool) -> int:
    """Add and remove tags; what the run has already changes nothing."""
    add = [text.removeprefix("+") for text in given if not text.startswith("-")]
    remove = [text.removeprefix("-") for text in given if text.startswith("-")]
    if not all((*add, *remove)):
        raise CommandError("a tag is empty: TAG or +TAG adds it, -TAG removes it")
    if both := set(add) & set(remove):
        raise CommandError(f"add or remove {output.clean(min(both))!r}? It is given as both")
    with _said_of(ref) as (reader, run, annotations):
        tags = annotations.tag(reader, run, add, remove)
    if as_json:
        print(output.as_json({"project": run.project, "run_id": run.run_id, "tags": tags}))
    else:
        print(f"{output.clean(run.ref)}: {output.cell(tags) or 'no tags'}")
    return 0


def note(ref: str, text: str, as_json: bool) -> int:
    """Put a note beside the run."""
    said = (sys.stdin.read() if text == "-" else text).strip()
    if not said:
        raise CommandError("the note is empty")
    with _said_of(ref) as (_, run, annotations):
        annotations.note(run, said)
    _done(run, {"note": said}, as_json, "noted")
    return 0


def decide(
    ref: str,
    verdict: str,
    reason: str,
    next_step: str | None,
    hypothesis: str | None,
    against: Sequence[str],
    as_json: bool,
) -> int:
    """Keep what was expected and concluded, compared with which runs, why, and what comes next."""
    if not verdict.strip() or not reason.strip():
        raise CommandError("a decision has a verdict and a --reason")
    with _said_of(ref) as (reader, run, annotations):
        others = resolve(reader, against)
        annotations.decide(run, verdict, reason, next_step, hypothesis, others)
    said = {"verdict": verdict, "reason": reason, "next_step": next_step, "hypothesis": hypothesis}
    _done(run, {**said, "against": [other.ref for other in others]}, as_json, f"decided: {verdict}")
    return 0


@contextmanager
def _said_of(ref: str) -> Iterator[tuple[Reader, RunName, Annotations]]:
    """Through the writer alone: what was just written must be read."""
    client = connect(clickhouse_url("writer"))
    try:
        reader = Reader(client)
        [run] = resolve(reader, [ref])
        yield reader, run, Annotations(Writer(client), who())
    finally:
        client.close()


def _done(run: RunName, said: Mapping[str, object], as_json: bool, told: str) -> None:
    if as_json:
        print(output.as_json({"project": run.project, "run_id": run.run_id, **said}))
    else:
        print(f"{output.clean(run.ref)}: {output.clean(told)}")
