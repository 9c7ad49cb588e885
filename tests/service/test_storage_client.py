"""The query API on the real engine."""

from typing import Any

import pyarrow as pa
import pytest

from runtide_storage import Client
from runtide_storage.errors import Ambiguous, NotFound, QueryError, Unreachable
from runtide_storage.ids import key_id
from runtide_storage.writer import Writer
from tests.fixtures.histories import START_MS, Point, Stored
from tests.fixtures.storage import Engine

NAMES = ["it's", 'say "hi"', "back\\slash", "tab\t\nline", "ünï 😀", "{a:String}", "%s", "x" * 10_000, "a/b", "<b>"]


def add(writer: Writer, project: str, run_id: str, at_ms: int = 0, state: str = "running", **row: Any) -> Stored:
    texts = {"name": "", "group": "", "job_type": "", "tags": [], "notes": "", "host": ""}
    run = Stored(writer, project, run_id)
    fixed = {"run": run.run, "project": project, "run_id": run_id, "exit_code": None, "attempt": 1, "version": 1}
    times = {"started_at": START_MS + at_ms, "ended_at": None, "state": state}
    writer.rows("runs", [fixed | times | texts | row])
    return run


def refs(client: Client, *arguments: Any, **options: Any) -> list[str]:
    return [f"{row['project']}/{row['run_id']}" for row in client.runs(*arguments, **options)]


def test_runs_are_filtered_ordered_and_cut(writer: Writer, client: Client) -> None:
    add(writer, "a", "1", 10, group="g", tags=["x", "y"], name="first")
    add(writer, "a", "2", 20, state="finished", tags=["x"])
    add(writer, "b", "1", 30, group="g")
    assert refs(client) == ["b/1", "a/2", "a/1"]
    assert refs(client, "a") == ["a/2", "a/1"]
    assert refs(client, order_by="started_at", limit=2) == ["a/1", "a/2"]
    assert refs(client, limit=1, offset=1) == ["a/2"]
    assert refs(client, where={"state": "finished"}) == ["a/2"]
    assert refs(client, where={"state": ["finished", "running"], "group": "g"}) == ["b/1", "a/1"]
    assert refs(client, where={"tag": "x"}) == ["a/2", "a/1"]
    assert refs(client, where={"tag": ["x", "y"]}) == ["a/1"]
    assert refs(client, where={"name": "first"}) == ["a/1"]
    assert refs(client, "nope") == []


@pytest.mark.parametrize("name", NAMES)
def test_hostile_names_are_only_names(writer: Writer, client: Client, name: str) -> None:
    run = add(writer, "p", "r", name=name, group=name, tags=[name])
    writer.rows("metrics", [{"id": key_id(name), "name": name}])
    run.batch([Point(name, 0, START_MS, 1.5, 1, 1, 0)], {1: 1})
    [row] = client.runs(where={"name": name, "group": name, "tag": name}).to_pylist()
    assert (row["run"], row["name"], row["tags"]) == (name, name, [name])
    assert client.run(name)["run_id"] == "r"
    [point] = client.history(name, name).to_pylist()
    assert (point["metric"], point["mean"]) == (name, 1.5)
    assert client.metrics(name).to_pylist()[0]["metric"] == name
    assert len(client.sql("SELECT * FROM v_points WHERE run = {n:String} AND metric = {n:String}", {"n": name})) == 1
    assert len(client.sql("SELECT 1 FROM v_runs WHERE run IN {n:Array(String)}", {"n": [name, "other"]})) == 1


def test_references(writer: Writer, client: Client) -> None:
    add(writer, "a", "abc1", name="base")
    add(writer, "a", "abd2", name="base")
    add(writer, "b", "abc1", name="abd2")
    assert client.run("a/abc1")["project"] == "a"
    assert client.run("abd2")["project"] == "a"  # an id before a name
    assert client.run("abd")["run_id"] == "abd2"
    assert client.run("b/ab")["run_id"] == "abc1"
    assert client.run("abc1", project="b")["project"] == "b"
    with pytest.raises(Ambiguous, match="'abc1' could be any of 2 runs: a/abc1, b/abc1") as caught:
        client.run("abc1")
    assert sorted(caught.value.candidates) == ["a/abc1", "b/abc1"]
    with pytest.raises(Ambiguous, match="3 runs"):
        client.run("ab")
    with pytest.raises(Ambiguous, match="'base'"):
        client.run("base")
    for wrong in ("nope", "", "c/abc1", "a/abc1/", "%", "ab_", "'"):
        with pytest.raises(NotFound, match="there is no run"):
            client.run(wrong)
    with pytest.raises(QueryError):
        client.run(5)  # type: ignore[arg-type]


def test_many_curves_come_together_and_in_order(writer: Writer, client: Client) -> None:
    for number in range(5):
        run = add(writer, "p", f"r{number}")
        run.begin()
        run.batch([Point("loss", step, START_MS, number + step, 1, 1, step) for step in range(3 + 20 * number)], {1: 1})
    table = client.history(["r4", "r0", "p/r2", "r4"], ["loss", "acc/val", "loss"], points=30)
    assert table.columns == ["project", "run_id", "metric", "x", "step", "mean", "min", "max", "last", "n", "nonfinite"]
    order = list(dict.fromkeys(row["run_id"] for row in table))
    assert order == ["r4", "r0", "r2"]
    assert pa.types.is_dictionary(table.arrow.schema.field("run_id").type)
    frame = table.to_pandas()
    assert frame.groupby("run_id", observed=True)["n"].sum().to_dict() == {"r4": 83, "r0": 3, "r2": 43}
    assert len(client.history([], ["loss"])) == len(client.history("r0", [])) == len(client.history("r0", "nope")) == 0


def test_ranks_and_other_metrics_meet_on_the_same_line(writer: Writer, client: Client) -> None:
    run = add(writer, "p", "r")
    run.begin()
    lines = [
        *(Point("acc/val", 0, START_MS, seq / 10, 1, rank, seq) for rank in (1, 2) for seq in range(3)),
        *(Point("loss", 0, START_MS, rank + seq, 1, rank, seq) for rank in (1, 2) for seq in range(4)),
    ]
    run.batch(lines, {1: 1, 2: 1})
    found = [(row["x"], row["mean"]) for row in client.history("r", "loss", x="acc/val")]
    assert sorted(found) == [(0.0, 1.0), (0.0, 2.0), (0.1, 2.0), (0.1, 3.0), (0.2, 3.0), (0.2, 4.0)]


@pytest.mark.parametrize("wrong", [{"points": 0}, {"points": 10**9}, {"attempts": "some"}, {"window": ("a", 1)}])
def test_history_refuses_what_it_can_not_do(writer: Writer, client: Client, wrong: dict[str, Any]) -> None:
    add(writer, "p", "r")
    with pytest.raises(QueryError, match=next(iter(wrong))):
        client.history("r", "loss", **wrong)
    with pytest.raises(QueryError, match="curves"):
        client.history("r", [str(number) for number in range(20_001)])


@pytest.mark.parametrize(
    ("query", "params", "said"),
    [
        ("SELEC 1", None, "Syntax error"),
        ("SELECT * FROM v_run", None, r"v_run.*docs/sql\.md lists the views"),
        ("SELECT los FROM v_summary", None, r"los.*lists the columns"),
        ("SELECT {a:Int8}", None, "give a value for every"),
        ("SELECT 1", {"a": 1}, r"\{name:Type\}"),
        ("SELECT %(a)s", {"a": "x' OR 1"}, r"\{name:Type\}"),
        ("SELECT {a:Int8}", {"a": "x"}, "."),
        ("INSERT INTO metrics VALUES (1, 'x')", None, "only reading is allowed"),
        ("DROP TABLE points", None, "only reading is allowed"),
        ("SELECT 1; DROP TABLE points", None, "Multi-statements"),
        ("SELECT 1 FORMAT CSV", None, "."),
        ("SELECT * FROM url('http://127.0.0.1:1/', 'CSV', 'a String')", None, "only reading is allowed"),
        ("SELECT count() FROM numbers(1e12)", None, "too long|took too|read less|Timeout"),
        ("", None, "no query"),
    ],
)
@pytest.mark.parametrize("role", ["analyst", "writer"])  # the first has limits on the server, the second gets them
def test_errors_of_sql_are_one_line_that_names_the_fix(
    database: Engine, role: str, query: str, params: dict[str, Any] | None, said: str
) -> None:
    settings = " SETTINGS max_execution_time = 1" if "1e12" in query else ""
    with pytest.raises(QueryError, match=said) as caught:
        Client(database.url(role)).sql(query + settings, params)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 600
    assert "FORMAT Arrow" not in str(caught.value) and "version 2" not in str(caught.value)


def test_sql_limits(database: Engine) -> None:
    analyst, writer = Client(database.url("analyst")), Client(database.url("writer"))
    for client in (analyst, writer):
        assert len(client.sql("SELECT number FROM numbers(100);", limit=7)) == 7
        assert len(client.sql("SHOW TABLES", limit=3)) == 3
        assert client.sql("SELECT 1 AS one -- a comment").to_pylist() == [{"one": 1}]
        with pytest.raises((QueryError, Unreachable)):
            client.sql("SELECT number FROM numbers(3000000)")


def test_an_answer_in_many_shapes(client: Client) -> None:
    result = client.sql("SELECT number AS n, toString(number) AS s, map('a', number) AS m FROM numbers(2)")
    assert result.columns == ["n", "s", "m"] and len(result) == 2
    assert list(result) == result.to_pylist() == [{"n": 0, "s": "0", "m": {"a": 0}}, {"n": 1, "s": "1", "m": {"a": 1}}]
    assert list(result.to_pandas()["s"]) == ["0", "1"]
    assert isinstance(result.arrow, pa.Table) and "2 rows" in repr(result)


def test_without_a_server() -> None:
    with pytest.raises(Unreachable, match="can't be reached"):
        Client("http://reader:x@127.0.0.1:1/runtide")
