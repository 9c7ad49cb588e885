"""Journals of imported runs: the same from the same source, only what is new of a grown one, and never half of one."""

import json
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from runtide.importing.book import Book
from runtide.importing.bringing import Wishes
from runtide.importing.lines import Rows
from runtide.importing.model import Facts, Row, Unreadable, of_iso, of_seconds, run_id_of, typed
from runtide.importing.writing import VERSIONS_FIRST, Record, Written, write
from tests.fixtures.import_stores import lines_of, points_of

SECOND_NS = 1_000_000_000
T0_NS = 1_700_000_000 * SECOND_NS


class Source:
    """A run whose rows are a list."""

    def __init__(self, rows: Sequence[Row], facts: Facts | None = None) -> None:
        self.project, self.run_id, self.origin, self.fingerprint = "p", "r", "test:r", "f"
        self.undated_ns = T0_NS
        self.lost: dict[str, int] = {}
        self.given = list(rows)
        self.said = facts or Facts(T0_NS, T0_NS + SECOND_NS, config={"lr": 0.1})

    def rows(self) -> Iterator[Row]:
        return iter(self.given)

    def facts(self) -> Facts:
        return self.said


Line = tuple[str, int, dict[str, Any]]


def written(
    source: Source, folder: Path, known: Record | None = None, again: bool = False
) -> tuple[Written, list[Line]]:
    folder.mkdir()
    adjust = Wishes().adjust
    found = write(source, known, str(folder), kind="test", kafka="k", fingerprint="f", adjust=adjust, again=again)
    lines = list(lines_of(folder))
    assert len(lines) == found.lines and (not lines or lines[-1][2]["e"] in ("finish", "end"))
    return found, lines


def said(lines: Sequence[Line]) -> list[Any]:
    """Each line without its time: a row as its step, an event as its data."""
    return [line["s"] if "m" in line else line["d"] for _, _, line in lines]


def rows_to(steps: int, dated: bool = True) -> list[Row]:
    return [(T0_NS + step * SECOND_NS if dated else None, step, {"loss": 1 / (step + 1)}) for step in range(steps)]


def test_the_same_rows_make_the_same_journal(tmp_path: Path) -> None:
    first, lines = written(Source(rows_to(10)), tmp_path / "a")
    second, same = written(Source(rows_to(10)), tmp_path / "b")
    assert first == second and lines == same
    again, same = written(Source(rows_to(10)), tmp_path / "c", first.record, again=True)
    assert again == first and lines == same


def test_what_a_journal_says(tmp_path: Path) -> None:
    facts = Facts(
        T0_NS, T0_NS + 9 * SECOND_NS, "failed", name="n", group="g", job_type="j", tags=["t"], notes="words",
        config={"a": {"b": 1}, "api_key": "hunter2"}, summary={"best": math.nan}, meta={"git/commit": "c0ffee"},
    )  # fmt: skip
    found, lines = written(Source(rows_to(2), facts), tmp_path / "a")
    assert [line.get("e", "points") for _, _, line in lines] == [
        "start", "config", "meta", "summary", "finish", "points", "points", "finish",
    ]  # fmt: skip
    seqs = [seq for _, seq, _ in lines]
    assert (
        seqs[5:7] == [0, 1] and seqs[0] >= VERSIONS_FIRST and seqs[:5] + seqs[7:] == list(range(seqs[0], seqs[0] + 6))
    )
    start, config, _, summary, finish, *_, last = (line for _, _, line in lines)
    assert start["d"] == {"name": "n", "group": "g", "job_type": "j", "tags": ["t"], "notes": "words"}
    assert config["d"] == {"a/b": 1, "api_key": "***"} and summary["d"] == {"best": "NaN"}
    end = {"t": T0_NS + 9 * SECOND_NS, "e": "finish", "d": {"state": "failed", "exit_code": 1, "error": None}}
    assert finish == last == end
    header = json.loads(min((tmp_path / "a").iterdir()).read_text().partition("\n")[0])
    assert (header["start"], header["mode"], header["kafka"], found.points) == (T0_NS, "offline", "k", 2)


def test_a_grown_source_sends_what_is_new(tmp_path: Path) -> None:
    source = Source(rows_to(5000), Facts(T0_NS, T0_NS, "running", config={"lr": 0.1, "gone": 1}))
    first, before = written(source, tmp_path / "a")
    source.given = rows_to(5003)
    source.said = Facts(T0_NS, T0_NS + SECOND_NS, "finished", config={"lr": 0.2})
    second, lines = written(source, tmp_path / "b", first.record)
    ended = {"state": "finished", "exit_code": 0, "error": None}
    assert said(lines) == [{"lr": 0.2, "gone": None}, ended, 5000, 5001, 5002, ended]
    assert [seq for _, seq, line in lines if "m" in line] == [5000, 5001, 5002]
    assert {writer for writer, _, _ in lines} == {writer for writer, _, _ in before}
    assert {seq for _, seq, _ in lines}.isdisjoint(seq for _, seq, _ in before)
    assert (second.points, second.is_rewritten, second.record.rows) == (3, False, 5003)
    nothing, lines = written(source, tmp_path / "c", second.record)
    assert (lines, nothing.record) == ([], second.record)


def test_rows_are_the_same_events_whoever_imports_them_when(tmp_path: Path) -> None:
    """Two machines that know nothing of each other, while the run goes on."""
    events: dict[tuple[str, int], dict[str, Any]] = {}
    records: list[Record | None] = [None, None]
    for step, who in ((3, 0), (5, 1), (9, 0), (11, 1), (12, 0)):
        source = Source(rows_to(step), Facts(T0_NS, T0_NS + step * SECOND_NS, "running", tags=[str(step)]))
        found, lines = written(source, tmp_path / str(step), records[who])
        records[who] = found.record
        for writer, seq, line in lines:
            assert events.setdefault((writer, seq), line) == line
    assert sorted(line["s"] for line in events.values() if "m" in line) == list(range(12))
    last = max((line["t"], seq, line) for (_, seq), line in events.items() if line.get("e") in ("start", "tags"))
    assert last[2]["d"]["tags"] == ["12"]


def test_what_changes_back_is_said_again(tmp_path: Path) -> None:
    source, seen, record, at_ns = Source(rows_to(1)), set[int](), None, 0
    for number, tag in enumerate("abab"):
        source.said = Facts(T0_NS, T0_NS, tags=[tag])
        found, lines = written(source, tmp_path / str(number), record)
        record = found.record
        assert seen.isdisjoint(seq for _, seq, _ in lines)
        [told] = [line for _, _, line in lines if "tags" in line.get("d", {})]
        assert told["d"]["tags"] == [tag] and told["t"] > at_ns  # the later one wins
        seen |= {seq for _, seq, _ in lines}
        at_ns = told["t"]


@pytest.mark.parametrize("now", [rows_to(9), [*rows_to(9), *rows_to(1)], [(T0_NS, 0, {"loss": 7.0}), *rows_to(20)[1:]]])
def test_a_rewritten_source_is_another_writer(tmp_path: Path, now: list[Row]) -> None:
    first, before = written(Source(rows_to(10)), tmp_path / "a")
    second, lines = written(Source(now), tmp_path / "b", first.record)
    assert second.is_rewritten and second.points == len(now)
    assert {writer for writer, _, _ in lines}.isdisjoint(writer for writer, _, _ in before)
    assert min(line["t"] for _, _, line in lines if "e" in line) > max(
        line["t"] for _, _, line in before if "e" in line
    )
    third, lines = written(Source([*now, (T0_NS, 99, {"loss": 1.0})]), tmp_path / "c", second.record)
    assert (third.points, third.record.writer, third.is_rewritten) == (1, second.record.writer, False)


def test_another_history_under_the_same_name_is_another_writer(tmp_path: Path) -> None:
    first, _ = written(Source(rows_to(10)), tmp_path / "a")
    other, _ = written(Source([(T0_NS + 1, 0, {"loss": 1.0}), *rows_to(10)[1:]]), tmp_path / "b")
    assert other.record.writer != first.record.writer


def test_a_source_without_times_may_be_copied_and_touched(tmp_path: Path) -> None:
    first, _ = written(Source(rows_to(10, dated=False)), tmp_path / "a")
    later_ns = T0_NS + 100 * SECOND_NS
    touched = Source(rows_to(10, dated=False), Facts(later_ns, later_ns, config={"lr": 0.1}))
    touched.undated_ns = later_ns
    copy, _ = written(touched, tmp_path / "b")
    assert copy.record.writer == first.record.writer
    nothing, lines = written(touched, tmp_path / "c", first.record)
    assert lines == [] and nothing.record == first.record
    touched.given = rows_to(12, dated=False)
    grown, lines = written(touched, tmp_path / "d", first.record)
    assert grown.points == 2 and {line["t"] for _, _, line in lines if "m" in line} == {T0_NS}


def test_values_that_the_contract_has_not_are_counted() -> None:
    rows = Rows(1)
    row = (5, 0, {"good": 1.0, "text": "x", "": 1.0, "big": 10**30, "yes": True, "nan": math.nan, "none": None})
    [line] = rows.lines([row])
    assert line.line == b'{"t":5,"s":0,"m":{"good":1.0,"big":1e+30,"yes":1,"nan":"NaN"}}\n'
    assert rows.refused == {"a value that is not a number": 2, "an empty name": 1}


def test_a_row_that_is_too_long_for_a_line_is_several() -> None:
    metrics = {f"metric/{number:06}": float(number) for number in range(20_000)}
    lines = list(Rows(1).lines([(5, 0, metrics)] * 2))
    assert len(lines) > 2 and max(len(line.line) for line in lines) < 1 << 20
    assert sum(line.points for line in lines) == 40_000


@pytest.mark.parametrize("step", [2**63, 0.5, None, "1"])
def test_a_step_that_is_none_is_told(step: object) -> None:
    with pytest.raises(Unreadable, match="step"):
        list(Rows(1).lines([(5, step, {"a": 1.0})]))  # type: ignore[list-item]


def test_a_book_forgets_drafts_and_keeps_what_is_on_its_way(tmp_path: Path) -> None:
    book = Book(str(tmp_path), "kafka:9092")
    book.open()
    with pytest.raises(BlockingIOError, match="another import"):
        Book(str(tmp_path), "kafka:9092").open()
    Book(str(tmp_path), "another:9092").open()

    record, _ = written(Source(rows_to(3)), tmp_path / "a")
    for run_id in ("whole", "half"):
        folder = Path(book.draft(run_id))
        (folder / "w.000000.jsonl").write_text("{}\n")
    book.keep("whole", record.record)
    book.drop("half")
    assert (book.publish(), book.known("p", "whole")) == (1, None)
    book.draft("begun")
    book.close()

    after = Book(str(tmp_path), "kafka:9092")
    after.open()
    assert not after.is_drafted("begun")
    after.settle()
    assert after.publish() == 1  # its journal is not delivered yet
    os.unlink(Path(after.journals) / "whole" / "w.000000.jsonl")
    after.settle()
    assert (after.publish(), after.known("p", "whole")) == (0, record.record)


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"origin": 1', "\x00"])
def test_a_record_that_can_not_be_read_is_none(tmp_path: Path, text: str) -> None:
    book = Book(str(tmp_path), "k")
    book.open()
    place = Path(book.root) / "done" / "p" / "r.json"
    place.parent.mkdir()
    place.write_text(text)
    assert book.known("p", "r") is None


def test_words_of_sources() -> None:
    assert [typed(text) for text in ("3", "0.5", "1e-3", "True", "false", "007", "adam", "nan", "1_0", "")] == [
        3, 0.5, 0.001, True, False, "007", "adam", "nan", "1_0", "",
    ]  # fmt: skip
    assert run_id_of("plain-1.0") == "plain-1.0"
    assert len({run_id_of(name) for name in ("a/b", "a-b", "a b", "a" * 300, "a" * 301, "é", "")}) == 7
    assert of_iso("2023-11-14T22:13:20.000001Z") == of_iso("2023-11-14 22:13:20.000001") == T0_NS + 1000
    assert of_iso("2023-11-14T23:13:20+01:00") == of_seconds(1_700_000_000.0) == T0_NS
    assert of_seconds(1700000000.123) == T0_NS + 123_000_000


def test_points_come_back_from_a_journal(tmp_path: Path) -> None:
    _, lines = written(Source([(T0_NS, 0, {"a": math.nan, "b": -0.0}), (T0_NS, 1, {"a": math.inf})]), tmp_path / "a")
    at_ms = T0_NS // 1_000_000
    assert repr(points_of(lines)) == repr({"a": [(0, at_ms, math.nan), (1, at_ms, math.inf)], "b": [(0, at_ms, -0.0)]})
