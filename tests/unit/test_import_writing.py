"""Journals of imported runs: the same from the same source, only what is new of a grown one, and never half of one."""

import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtide.importing.book import Book
from runtide.importing.bringing import Wishes
from runtide.importing.lines import Rows, together
from runtide.importing.model import Facts, Row, Unreadable, of_iso, of_seconds, run_id_of, typed
from runtide.importing.writing import Record, Written, write
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


def written(source: Source, folder: Path, known: Record | None = None) -> tuple[Written, list[dict[str, object]]]:
    folder.mkdir()
    found = write(source, known, str(folder), kind="test", kafka="k", fingerprint="f", adjust=Wishes().adjust)
    return found, list(lines_of(folder))


def rows_to(steps: int, dated: bool = True) -> list[Row]:
    return [(T0_NS + step * SECOND_NS if dated else None, step, {"loss": 1 / (step + 1)}) for step in range(steps)]


def test_the_same_rows_make_the_same_journal(tmp_path: Path) -> None:
    first, lines = written(Source(rows_to(10)), tmp_path / "a")
    second, again = written(Source(rows_to(10)), tmp_path / "b")
    assert first == second and lines == again
    assert os.listdir(tmp_path / "a") == os.listdir(tmp_path / "b")
    other, _ = written(Source(rows_to(11)), tmp_path / "c")
    assert other.record.writer != first.record.writer


def test_what_a_journal_says(tmp_path: Path) -> None:
    facts = Facts(
        T0_NS, T0_NS + 9 * SECOND_NS, "failed", name="n", group="g", job_type="j", tags=["t"], notes="words",
        config={"a": {"b": 1}, "api_key": "hunter2"}, summary={"best": math.nan}, meta={"git/commit": "c0ffee"},
    )  # fmt: skip
    found, lines = written(Source(rows_to(2), facts), tmp_path / "a")
    header, *rest = lines
    assert (header["seq"], header["start"], header["mode"]) == (0, T0_NS, "offline")
    end = {"t": T0_NS + 9 * SECOND_NS, "e": "finish", "d": {"state": "failed", "exit_code": 1, "error": None}}
    assert [line.get("e", "points") for line in rest] == [
        "start", "config", "meta", "summary", "finish", "points", "points", "finish",
    ]  # fmt: skip
    assert rest[0]["d"] == {"name": "n", "group": "g", "job_type": "j", "tags": ["t"], "notes": "words"}
    assert rest[1]["d"] == {"a/b": 1, "api_key": "***"} and rest[3]["d"] == {"best": "NaN"}
    assert rest[4] == rest[-1] == end
    assert found.lines == found.record.lines == len(rest) and found.points == 2


def test_a_grown_source_goes_on_in_the_same_writer(tmp_path: Path) -> None:
    source = Source(rows_to(5000), Facts(T0_NS, T0_NS, "running", config={"lr": 0.1, "gone": 1}))
    first, before = written(source, tmp_path / "a")
    source.given = rows_to(5003)
    source.said = Facts(T0_NS, T0_NS + SECOND_NS, "finished", config={"lr": 0.2})
    second, lines = written(source, tmp_path / "b", first.record)
    header, *rest = lines
    assert (header["writer"], header["seq"]) == (before[0]["writer"], len(before) - 1)
    assert [line.get("d") or line["s"] for line in rest] == [
        {"lr": 0.2, "gone": None}, {"state": "finished", "exit_code": 0, "error": None}, 5000, 5001, 5002,
        {"state": "finished", "exit_code": 0, "error": None},
    ]  # fmt: skip
    assert (second.points, second.is_rewritten, second.record.rows) == (3, False, 5003)
    nothing, lines = written(source, tmp_path / "c", second.record)
    assert (nothing.lines, lines, nothing.record) == (0, [], second.record)


@pytest.mark.parametrize("now", [rows_to(9), [*rows_to(9), *rows_to(1)], [(T0_NS, 0, {"loss": 7.0}), *rows_to(20)[1:]]])
def test_a_rewritten_source_is_another_writer(tmp_path: Path, now: list[Row]) -> None:
    first, before = written(Source(rows_to(10)), tmp_path / "a")
    second, lines = written(Source(now), tmp_path / "b", first.record)
    assert second.is_rewritten and second.points == len(now)
    assert (lines[0]["seq"], lines[0]["writer"] == before[0]["writer"]) == (0, False)


def test_a_source_without_times_may_be_copied_and_touched(tmp_path: Path) -> None:
    first, _ = written(Source(rows_to(10, dated=False)), tmp_path / "a")
    touched = Source(rows_to(10, dated=False), Facts(T0_NS + SECOND_NS, T0_NS + SECOND_NS, config={"lr": 0.1}))
    touched.undated_ns += SECOND_NS
    copy, _ = written(touched, tmp_path / "b")
    assert copy.record.writer == first.record.writer
    nothing, lines = written(touched, tmp_path / "c", first.record)
    assert nothing.lines == 0 and lines == []
    touched.given = rows_to(12, dated=False)
    grown, lines = written(touched, tmp_path / "d", first.record)
    assert grown.points == 2 and {line["t"] for line in lines if "m" in line} == {T0_NS}


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


ROWS = st.lists(
    st.tuples(
        st.one_of(st.none(), st.integers(1, 5_000_000)),
        st.integers(0, 3),
        st.dictionaries(st.sampled_from("abc"), st.floats(allow_nan=False), min_size=1, max_size=3),
    ),
    max_size=30,
)


@given(rows=ROWS)
def test_rows_that_are_put_together_keep_every_point(rows: list[Row]) -> None:
    def points(found: Sequence[Row]) -> list[tuple[int | None, int, str, float]]:
        return [
            (t and t // 1_000_000, step, name, value) for t, step, metrics in found for name, value in metrics.items()
        ]

    assert points(list(together(rows))) == points(rows)


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
