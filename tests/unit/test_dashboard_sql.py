"""The SQL console: what it asks, draws and says, and what of an answer a browser can't take as it is."""

import io
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import streamlit as st

from runtide_dashboard import console
from runtide_storage.errors import QueryError, Unreachable
from tests.fixtures.pages import HOSTILE, Storage, answered, open_page, words


@pytest.fixture
def storage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Storage]:
    yield from answered(monkeypatch)


def test_an_empty_console_offers_examples(storage: Storage) -> None:
    app = open_page("sql")
    assert "Write a question" in words(app) and not app.dataframe
    app.selectbox(key="_example").set_value("Runs by state").run()
    assert app.text_area[0].value == console.EXAMPLES["Runs by state"] and len(app.dataframe) == 1


def test_a_link_asks_at_once_about_what_is_chosen(storage: Storage) -> None:
    storage.table = pa.table({HOSTILE: [1, 2], "n": [3, 4]})
    app = open_page("sql", sql="SELECT 1", sql_metric="eval/accuracy")
    assert ("SELECT 1", "llm", "eval/accuracy") in storage.asked
    assert list(app.dataframe[0].value[HOSTILE]) == [1, 2]
    assert "2 rows in 12 ms" in words(app)


def test_without_a_choice_it_is_about_the_most_telling_metric(storage: Storage) -> None:
    open_page("sql", sql="SELECT 1")
    assert ("SELECT 1", "llm", "eval/accuracy") in storage.asked


def test_a_refusal_is_shown_as_it_was_said(storage: Storage) -> None:
    storage.table = QueryError(f"Unknown column {HOSTILE}")
    app = open_page("sql", sql="SELECT x")
    assert "ClickHouse refused it" in words(app)
    assert app.code[0].value == f"Unknown column {HOSTILE}" and app.code[0].language in (None, "", "plaintext")
    storage.table = Unreachable("ClickHouse can't be reached")
    assert "The database doesn't answer" in words(open_page("sql", sql="SELECT x"))


def test_a_long_answer_is_cut_aloud(storage: Storage) -> None:
    storage.table = pa.table({"n": range(console.ROWS_MAX + 1)})
    app = open_page("sql", sql="SELECT n")
    assert "Only the first 10,000 rows" in words(app) and len(app.dataframe[0].value) == console.ROWS_MAX


def test_a_chart_of_the_answer(storage: Storage) -> None:
    storage.table = pa.table({"a.b[0]": ["x", "y"], "n": [1, 2], "m": [1.5, 2.5]})
    assert not open_page("sql", sql="SELECT 1").get("vega_lite_chart")
    for kind in ("line", "points", "bars"):
        st.cache_data.clear()
        app = open_page("sql", sql="SELECT 1", chart=kind, chart_y="n")
        assert len(app.get("vega_lite_chart")) == 1
        assert app.selectbox(key="_chart_x").value == "a.b[0]" and app.selectbox(key="_chart_y").value == "n"
    assert open_page("sql", sql="SELECT 1", chart="pie").get("vega_lite_chart") == []


def test_only_what_a_statement_names_is_given_to_it() -> None:
    assert console.parameters("SELECT 1", project="p", metric="m") == {}
    assert console.parameters("SELECT { metric : String}", project="p", metric="m") == {"metric": "m"}


def test_names_that_occur_twice_get_a_number() -> None:
    assert console.distinct(["a", "a", "b", "a (2)", "a"]) == ["a", "a (2)", "b", "a (2) (2)", "a (3)"]


def test_what_a_browser_would_round_or_cannot_draw_is_text() -> None:
    answer = pa.table(
        {
            "key": pa.array([2**64 - 1, None], pa.uint64()),
            "small": pa.array([1, None], pa.uint64()),
            "map": pa.array([[("lr", "0.1")], None], pa.map_(pa.string(), pa.string())),
            "raw": pa.array([b"a\xff", None], pa.binary(2)),
            "none": pa.array([None, None], pa.int64()),
        }
    )
    assert console.shown(answer).to_pylist() == [
        {"key": str(2**64 - 1), "small": 1, "map": '{"lr": "0.1"}', "raw": "a\\xff", "none": None},
        {"key": None, "small": None, "map": None, "raw": None, "none": None},
    ]


def test_files_hold_the_answer_itself() -> None:
    answer = pa.table({"name": ['a,"b"', None], "tags": [["x"], []], "n": [2**62, 1]})
    assert pq.read_table(io.BytesIO(console.as_parquet(answer))).equals(answer)
    assert console.as_csv(answer).decode().splitlines() == [
        "name,tags,n", f'"a,""b""","[""x""]",{2**62}', ",[],1",
    ]  # fmt: skip


def test_what_can_be_drawn() -> None:
    answer = pa.table({"t": pa.array([0], pa.timestamp("ms")), "s": ["a"], "l": [[1]], "n": [1], "f": [0.5]})
    assert console.axes(answer) == (["t", "s", "n", "f"], ["n", "f"])
