"""`Client.runs` on the real engine: filters, order, columns, and what each field is of runs as they really go."""

import itertools
import math
import time
from typing import Any

import pyarrow as pa
import pytest

from runtide_storage import Client
from runtide_storage.errors import FilterError, QueryError
from runtide_storage.ids import key_id, run_key
from runtide_storage.reader import Reader
from runtide_storage.run_table import COLUMNS, shown
from runtide_storage.writer import Writer
from tests.fixtures.histories import START_MS, Point, Stored
from tests.fixtures.storage import Engine

NAN = math.nan
SEQS = itertools.count()


def add(writer: Writer, run_id: str, state: str = "finished", **row: Any) -> Stored:
    run = Stored(writer, "p", run_id)
    fixed = {"run": run.run, "project": "p", "run_id": run_id, "attempt": 1, "version": 1, "state": state}
    texts: dict[str, Any] = {"name": "", "group": "", "job_type": "", "tags": [], "notes": "", "host": ""}
    texts["exit_code"] = None
    writer.rows("runs", [fixed | texts | {"started_at": START_MS, "ended_at": None} | row])
    return run


def log(writer: Writer, run: Stored, metric: str, *values: float, attempt: int = 1, first: int = 0) -> None:
    writer.rows("metrics", [{"id": key_id(metric), "name": metric}])
    seqs = [next(SEQS) for _ in values]
    points = [
        Point(metric, first + number, START_MS + seq, value, attempt, attempt, seq)
        for number, (seq, value) in enumerate(zip(seqs, values, strict=True))
    ]
    run.batch(points, {attempt: attempt})


def put(writer: Writer, run: Stored, section: str, name: str, value: str, number: float | None = None) -> None:
    row = {"run": run.run, "section": section, "name": name, "value": value, "number": number, "ts": time.time_ns()}
    writer.rows("run_values", [row])


def define(writer: Writer, run: Stored, name: str, at: int = 1, **said: str) -> None:
    row = {"run": run.run, "name": name, "goal": "", "step_metric": "", "summary": "", "alert": "", "ts": at}
    writer.rows("metric_defs", [row | said])


def found(client: Client, where: str, **options: Any) -> list[str]:
    return [row["run_id"] for row in client.runs(where=where, order_by=options.pop("order_by", "run_id"), **options)]


def test_the_example_of_the_documentation(writer: Writer, client: Client) -> None:
    for number, (lr, acc, tags) in enumerate(
        [(0.1, 0.95, ["prod"]), (0.1, 0.5, ["prod"]), (0.1, 0.99, []), (0.001, 1, ["prod"])]
    ):
        run = add(writer, f"r{number}", tags=tags)
        put(writer, run, "config", "lr", str(lr), lr)
        log(writer, run, "val/acc", 0.1, acc)
    where = 'config.lr > 0.01 and summary.val/acc >= 0.9 and tags has "prod"'
    table = client.runs("p", where, order_by="-last.val/acc", columns=["config.lr", "last.val/acc"])
    assert [(row["run_id"], row["config.lr"], row["last.val/acc"]) for row in table] == [("r0", 0.1, 0.95)]
    assert client.count("p", where) == 1
    assert client.count("q", where) == 0
    assert client.count() == client.count(where="") == client.count(where={}) == 4
    assert client.count(where={"tag": "prod"}) == 3


def test_a_relaunched_runs_metrics_are_those_of_its_latest_attempt(writer: Writer, client: Client) -> None:
    run = add(writer, "r", attempt=2)
    log(writer, run, "loss", 9.0, 8.0, 0.001, 99.0)
    log(writer, run, "loss", 7.0, 6.0, attempt=2, first=2)
    define(writer, run, "loss", goal="minimize")
    names = [f"{how}.loss" for how in ("first", "last", "min", "max", "mean", "best", "n", "nonfinite")]
    [row] = client.runs(columns=names).to_pylist()
    assert [row[name] for name in names] == [9.0, 6.0, 6.0, 9.0, 7.5, 6.0, 4, 0]
    assert found(client, "min.loss < 1 or max.loss > 50") == []
    log(writer, run, "loss", 5.0, attempt=2, first=3)  # logged again at the same step
    assert found(client, "last.loss = 5 and n.loss = 5 and attempt = 2") == ["r"]


def test_metrics_over_many_buckets_of_steps(writer: Writer, client: Client) -> None:
    run = add(writer, "r")
    log(writer, run, "loss", *(float(number % 1500) for number in range(3000)))
    assert found(
        client, "first.loss = 0 and last.loss = 1499 and min.loss = 0 and max.loss = 1499 and n.loss = 3000"
    ) == ["r"]
    assert found(client, "mean.loss = 749.5") == ["r"]


def test_metrics_of_nothing_but_nan(writer: Writer, client: Client) -> None:
    for run_id, values in (("nan", [NAN, NAN]), ("late", [1.0, NAN]), ("fine", [1.0])):
        run = add(writer, run_id)
        log(writer, run, "loss", *values)
        define(writer, run, "loss", goal="minimize")
    add(writer, "none")
    assert found(client, "last.loss = nan") == ["late", "nan"]
    assert found(client, "last.loss != nan") == ["fine"]
    assert found(client, "last.loss < 5 or last.loss >= 5") == ["fine"]
    assert found(client, "last.loss != 7") == ["fine", "late", "nan"]
    assert found(client, "not last.loss = 7") == ["fine", "late", "nan", "none"]
    assert found(client, "min.loss = nan and mean.loss = nan and nonfinite.loss = 2") == ["nan"]
    assert found(client, "best.loss is null") == ["nan", "none"]
    assert found(client, "best.loss <= 1") == ["fine", "late"]
    assert found(client, "summary.loss = nan") == ["late", "nan"]


def test_missing_values_come_last_and_nan_before_them(writer: Writer, client: Client) -> None:
    for run_id, value in (("a", 2.0), ("b", NAN), ("c", None), ("d", 1.0), ("e", 2.0), ("f", None), ("g", math.inf)):
        run = add(writer, run_id)
        if value is not None:
            log(writer, run, "loss", value)
            put(writer, run, "config", "x", str(value), value if math.isfinite(value) else None)
    assert found(client, "", order_by="last.loss") == ["d", "a", "e", "g", "b", "c", "f"]
    assert found(client, "", order_by="-last.loss") == ["g", "a", "e", "d", "b", "c", "f"]
    assert found(client, "", order_by=["-last.loss", "-run_id"]) == ["g", "e", "a", "d", "b", "f", "c"]
    assert found(client, "", order_by="last.loss", limit=2, offset=1) == ["a", "e"]
    assert found(client, "", order_by="-summary.loss") == ["g", "a", "e", "d", "b", "c", "f"]


def test_numbers_come_before_texts(writer: Writer, client: Client) -> None:
    for run_id, (value, number) in {
        "a": ('"b"', None),
        "b": ("10", 10),
        "c": ('"a"', None),
        "d": ("9", 9),
        "e": ("null", 0),
    }.items():
        put(writer, add(writer, run_id), "config", "x", value, number)
    assert found(client, "", order_by="config.x") == ["d", "b", "c", "a", "e"]
    assert found(client, "", order_by="-config.x") == ["b", "d", "a", "c", "e"]
    assert found(client, "config.x is null") == ["e"]  # deleted


def test_the_summary_is_what_the_run_put_there_else_of_the_metric(writer: Writer, client: Client) -> None:
    for run_id, how in {"own": "min", "min": "min", "mean": "mean", "best": "best", "none": "none", "last": ""}.items():
        run = add(writer, run_id)
        log(writer, run, "val/acc", 0.5, 0.2, 0.9, 0.4)
        define(writer, run, "val/*", summary=how, goal="maximize" if how == "best" else "")
        if run_id == "own":
            put(writer, run, "summary", "val/acc", "0.123", 0.123)
    exact = add(writer, "exact")
    log(writer, exact, "val/acc", 0.5, 0.7, 0.4)
    define(writer, exact, "val/acc", at=1, summary="max")
    define(writer, exact, "val/*", at=2, summary="min")
    table = client.runs(columns=["summary.val/acc"], order_by="summary.val/acc")
    values = {"own": 0.123, "min": 0.2, "last": 0.4, "mean": 0.5, "exact": 0.7, "best": 0.9, "none": None}
    assert {row["run_id"]: row["summary.val/acc"] for row in table} == pytest.approx(values)
    assert [row["run_id"] for row in table] == list(values)
    assert found(client, "summary.val/acc < 0.3") == ["min", "own"]


def test_columns_are_numbers_or_truths_where_all_are(writer: Writer, client: Client) -> None:
    for run_id, (mixed, lr, flag, odd) in {"a": ("1", "0.5", "true", '"NaN"'), "b": ('"x"', "1", "false", "2")}.items():
        run = add(writer, run_id)
        for name, value in {"mixed": mixed, "lr": lr, "flag": flag, "odd": odd, 'it\'s "x"': "[1]"}.items():
            put(writer, run, "config", name, value, float(value) if value[0].isdigit() else None)
    add(writer, "c")
    columns = [
        "config.mixed",
        "config.lr",
        "config.flag",
        "config.odd",
        "config.none",
        'config."it\'s \\"x\\""',
        "id",
        "state",
    ]
    table = client.runs(columns=columns, order_by="run_id")
    assert table.columns[-7:] == [name for name in columns if name != "state"]  # it is there already
    rows = [[row[name] for name in columns[:3]] for row in table]
    assert rows == [["1", 0.5, True], ["x", 1.0, False], [None, None, None]]
    assert [row["config.odd"] for row in table][1:] == [2.0, None] and math.isnan(table.to_pylist()[0]["config.odd"])
    assert [row[columns[5]] for row in table] == ["[1]", "[1]", None]
    assert len(client.runs("nothing", columns=columns)) == 0


def test_a_run_that_is_deleted_meanwhile_is_left_out(writer: Writer, database: Engine) -> None:
    keys = {run_id: add(writer, run_id).run for run_id in "abcd"}
    wanted = pa.array([keys["c"], run_key("p", "never"), keys["a"], keys["d"]], pa.uint64())
    table = shown(Reader(database.client("reader")), wanted)
    assert table.column("run_id").to_pylist() == ["c", "a", "d"]
    assert table.column_names == list(COLUMNS)


def test_times_and_durations(writer: Writer, client: Client) -> None:
    now = time.time_ns() // 1_000_000
    add(writer, "now", started_at=now - 60_000)
    add(writer, "week", started_at=now - 7 * 86_400_000 - 60_000, ended_at=now)
    add(writer, "day", started_at=1_777_593_600_000, ended_at=1_777_593_600_000 + 90_000)  # 2026-05-01
    assert found(client, "started > 7d ago and started < now") == ["now"]
    assert found(client, "started < 1w ago") == ["day", "week"]
    assert found(client, "started = 2026-05-01 and duration = 90s and duration < 1.6m") == ["day"]
    assert found(client, "started > 2026-05-01") == ["now", "week"]
    assert (
        found(client, "started <= 2026-05-01")
        == found(client, "started >= 2026-05-01 and started < 2026-05-02")
        == ["day"]
    )
    assert found(client, "started = '2026-05-01T02:00:00+02:00'") == ["day"]
    assert found(client, "ended is null") == ["now"]
    assert found(client, "ended != 2026-05-01") == ["week"]
    assert found(client, "", order_by="-ended") == ["week", "day", "now"]


def test_states_follow_from_silence(writer: Writer, client: Client) -> None:
    now = time.time_ns() // 1_000_000
    for run_id, silent_s in {"alive": 1, "gone": 1000}.items():
        run = add(writer, run_id, "running", started_at=now - 2_000_000)
        progress = {"run": run.run, "writer": 1, "first": 0, "next": 5}
        writer.rows("ingest_progress", [progress | {"stored_at": now - silent_s * 1000, "point_at": now - 1_000_000}])
    add(writer, "done")
    beat = {"worker": "w", "messages": 1, "points": 1, "duplicates": 0, "dead": 0, "lag": 0}
    writer.rows("worker_beats", [beat | {"at": now, "fresh_to": now}])
    assert found(client, 'state = "running"') == ["alive"]
    assert found(client, 'state in ("crashed", "failed") or health = "stalled"') == ["alive", "gone"]
    assert found(client, 'not state = "crashed"', order_by="-state") == ["alive", "done"]
    assert found(client, "seen_at > 10m ago") == ["alive"]
    assert client.count(where={"state": ["running", "finished"]}) == 2


def test_a_runs_state_is_what_the_view_says(writer: Writer, client: Client) -> None:
    now = time.time_ns() // 1_000_000
    beat = {"worker": "w", "messages": 1, "points": 1, "duplicates": 0, "dead": 0, "lag": 0}
    writer.rows("worker_beats", [beat | {"at": now, "fresh_to": now}])
    plan = {"family": 1, "fields": "{}", "members": [], "goals": "{}", "primary": "", "planned_at": now, "rank": 1}
    cases = itertools.product(
        ("running", "finished", "killed"), (None, 1, 89, 95), (None, 1, 100, 200, 500), (None, 0, 300)
    )
    for number, (state, silent_s, without_s, stall_s) in enumerate(cases):
        ended = {"ended_at": now - 5000} if state != "running" and number % 2 else {}
        tags = [] if state == "running" else ["over"]
        run = add(writer, f"r{number:03d}", state, started_at=now - number * 10_000, tags=tags, **ended)
        if silent_s is not None:
            progress = {"run": run.run, "writer": 1, "first": 0, "next": 5, "stored_at": now - silent_s * 1000}
            writer.rows("ingest_progress", [progress | {"point_at": now - without_s * 1000 if without_s else 0}])
        if stall_s is not None:
            writer.rows("run_plans", [plan | {"run": run.run, "stall_s": float(stall_s)}])
    shown = client.runs(order_by="run_id").to_pylist()
    assert len(shown) == 180 and {row["health"] for row in shown} == {"ok", "stalled"}
    names = ", ".join(f"`{name}`" for name in shown[0])
    view = client.sql(f"SELECT {names} FROM run_states ORDER BY run_id").to_pylist()
    assert shown == view
    over = [row for row in view if row["tags"]]
    assert client.runs(where='tags has "over"', order_by="run_id").to_pylist() == over  # none of them goes on
    assert client.runs(where='state != "running"', order_by="run_id").to_pylist() == [
        row for row in view if row["state"] != "running"
    ]
    with_more = client.runs(where={"tag": "over"}, order_by="run_id", columns=["duration", "started", "alerts", "id"])
    assert [(row["duration"], row["started"], row["alerts"], row["id"]) for row in with_more] == [
        (row["duration_s"], row["started_at"], 0, row["run_id"]) for row in over
    ]


def test_verdicts_and_open_alerts(writer: Writer, client: Client) -> None:
    runs = {name: add(writer, name) for name in ("bad", "good", "none")}
    fixed = {"reason": "", "goal": "", "step": None, "value": None, "baseline": None, "effect": None, "low": None}
    for name, verdict in (("bad", "worse"), ("good", "same")):
        for metric in ("", "loss"):
            row = {"run": runs[name].run, "metric": metric, "verdict": verdict if not metric else "better"}
            writer.rows("verdicts", [fixed | row | {"high": None, "n": 3, "made_at": START_MS}])
    alert = {
        "ts": START_MS,
        "kind": "regression",
        "severity": "warn",
        "title": "",
        "text": "",
        "metric": "",
        "step": None,
    }
    alert |= {"detail": "{}", "version": 1, "incident": "", "quiet": 0}
    for number, (name, state) in enumerate([("bad", "open"), ("bad", "open"), ("bad", "resolved"), ("good", "open")]):
        writer.rows("alerts", [alert | {"id": str(number), "run": runs[name].run, "state": state}])
    said = {"who": "ada", "reason": "", "at": START_MS}
    writer.rows("alert_actions", [said | {"id": "3", "action": "acknowledge"}])
    assert found(client, 'verdict = "worse"') == ["bad"]
    assert found(client, 'verdict != "worse"') == ["good"]
    assert found(client, "verdict is null") == ["none"]
    assert found(client, "alerts > 0") == ["bad"]
    assert found(client, "alerts = 0") == ["good", "none"]
    table = client.runs(columns=["alerts", "verdict"], order_by=["-alerts", "verdict"])
    assert [(row["run_id"], row["alerts"], row["verdict"]) for row in table] == [
        ("bad", 2, "worse"),
        ("good", 0, "same"),
        ("none", 0, None),
    ]


def test_what_only_the_server_knows_points_at_the_character_too(writer: Writer, client: Client) -> None:
    add(writer, "r", name="x")
    where = 'name ~ "x" and config.a ~ "(" or notes ~ "[z-a]"'
    with pytest.raises(FilterError, match=r"this is no regular expression \(RE2\): missing \)") as caught:
        client.runs(where=where)
    assert caught.value.position == where.index('"("')
    assert client.count(where=r'name ~ "^\w$"') == 1
    assert client.count(where=r'name like "\x"') == 0  # a backslash before an ordinary character
    assert client.count(where=r'name like "\\x_%"') == 0


NO_FIELDS: list[dict[str, Any]] = [
    {"order_by": "loss"},
    {"order_by": "--state"},
    {"order_by": ["state", "state,"]},
    {"columns": ["nope.x"]},
]
NO_QUESTIONS: list[dict[str, Any]] = [
    {"limit": -1},
    {"offset": 1.5},
    {"where": 5},
    {"where": {"x": "1"}},
    {"where": {"state": 5}},
    {"where": {"tag": [5]}},
    {"columns": [5]},
    {"columns": 5},
    {"columns": ["config.a"] * 401},
    {"order_by": ["state"] * 21},
]


@pytest.mark.parametrize("arguments", NO_FIELDS + NO_QUESTIONS, ids=str)
def test_what_is_no_question(client: Client, arguments: dict[str, Any]) -> None:
    with pytest.raises(FilterError if arguments in NO_FIELDS else QueryError):
        client.runs(**arguments)


def test_an_order_that_is_none_points_at_its_character(client: Client) -> None:
    assert len(client.runs(where={"run_id": [], "tag": []})) == 0
    with pytest.raises(FilterError) as caught:
        client.runs(order_by=["state", "-conifg.lr"])
    assert (caught.value.position, caught.value.pointer) == (1, "-conifg.lr\n ^")
