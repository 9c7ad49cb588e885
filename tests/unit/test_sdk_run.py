"""What a training script can say, and what becomes of it in the journal."""

import datetime as dt
import json
import logging
import math
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

import runtide
from tests.fixtures.journals import BARE, journal, journals

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "events.schema.json").read_text("utf-8"))


@pytest.fixture
def run(tmp_path: Path) -> Iterator[runtide.Run]:
    run = runtide.init("unit", dir=tmp_path, settings=BARE)
    yield run
    run.finish()


def test_every_line_keeps_the_contract(tmp_path: Path) -> None:
    with runtide.init("unit", id="all", dir=tmp_path, name="n", group="g", job_type="j", tags=["t"], notes="words",
                      config={"lr": 1e-3, "deep": {"er": [1, None, "x"]}}, mode="offline") as run:  # fmt: skip
        run.log({"loss": 1.0, "nested": {"a": 1, "b": float("nan")}})
        run.config.update({"lr": 2})
        run.summary["best"] = np.float32(0.5)
        run.define_metric("loss", goal="minimize", step_metric="epoch", summary="min")
        run.tags = ["other"]
        run.name = "another"
        run.alert("hot", "87 degrees", level="error", wait_duration=5)
        run.note("a note")
        run.decide("keep", "it is better", next_step="run longer", hypothesis="wider helps", against="unit/base")
        run.decide("keep", "it is better", against=5)  # type: ignore[arg-type]
        run.use_dataset("digits", tmp_path, version="1")
        run.log_artifact(__file__, type="code", aliases=["latest"])
        run.use_artifact("weights:v1")
        run.log({"bad": object()})
    written = journal(tmp_path)
    for line in written.lines:
        jsonschema.validate(line, SCHEMA)
    assert written.lines[0]["e"] == "start"
    assert written.lines[-1] == {
        "t": written.lines[-1]["t"], "e": "finish", "d": {"state": "finished", "exit_code": 0, "error": None}
    }  # fmt: skip
    assert {line["e"] for line in written.lines if "e" in line} == {
        "start", "config", "summary", "meta", "define_metric", "tags", "name", "alert", "note", "decision", "dataset",
        "artifact", "use_artifact", "drops", "finish",
    }  # fmt: skip
    start = {"name": "n", "group": "g", "job_type": "j", "tags": ["t"], "notes": "words", "resume": "allow"}
    assert written.events("start") == [start]
    assert written.values("config") == {"lr": 2, "deep/er": [1, None, "x"]}
    decision: dict[str, Any] = {
        "verdict": "keep",
        "reason": "it is better",
        "next_step": None,
        "hypothesis": None,
        "against": [],
    }
    told = {"next_step": "run longer", "hypothesis": "wider helps", "against": ["unit/base"]}
    assert written.events("decision") == [decision | told, decision]
    assert written.events("alert") == [
        {"title": "hot", "text": "87 degrees", "level": "ERROR", "wait_duration": 5.0},
    ]


def test_omitted_steps_count_up_and_explicit_ones_set_the_counter(run: runtide.Run, tmp_path: Path) -> None:
    run.log({"x": 0.0})
    run.log({"x": 1.0})
    run.log({"x": 2.0}, step=10)
    run.log({"x": 3.0})
    run.log({"x": 4.0}, step=5)
    run.log({"x": 5.0}, commit=False)
    run.log({"x": 6.0})
    run.log({"x": 7.0}, 20, False)
    run.log({"x": 8.0}, commit=True)
    run.log({"x": 9.0}, step=-3)
    assert [step for step, _ in journal(tmp_path).points("x")] == [0, 1, 10, 11, 5, 6, 6, 20, 20, -3]
    assert run.step == -2


@pytest.mark.parametrize(
    ("step", "written"),
    [(np.int32(7), 7), (3.0, 3), (np.float64(4), 4), (np.array(5), 5), (2**63 - 1, 2**63 - 1), (-(2**63), -(2**63))],
)
def test_a_step_may_be_any_whole_number(run: runtide.Run, tmp_path: Path, step: Any, written: int) -> None:
    run.log({"x": 1.0}, step=step)
    assert journal(tmp_path).points("x") == [(written, 1.0)]


@pytest.mark.parametrize("step", [2**63, "7", 0.5, float("nan"), object(), [1], None.__class__, np.array([1, 2])])
def test_a_step_that_is_none_costs_the_step_but_not_the_data(run: runtide.Run, tmp_path: Path, step: Any) -> None:
    run.log({"x": 1.0})
    run.log({"x": 2.0}, step=step)
    run.log({"x": 3.0})
    assert journal(tmp_path).points("x") == [(0, 1.0), (1, 2.0), (2, 3.0)]


@pytest.mark.parametrize(
    ("timestamp", "ns"),
    [
        (1_700_000_000, 1_700_000_000_000_000_000),
        (1_700_000_000.25, 1_700_000_000_250_000_000),
        (np.float64(1.5), 1_500_000_000),
        (dt.datetime(2026, 1, 2, tzinfo=dt.UTC), 1_767_312_000_000_000_000),
    ],
)
def test_a_timestamp_is_kept(run: runtide.Run, tmp_path: Path, timestamp: Any, ns: int) -> None:
    for _ in range(2):  # the second time the name is known
        run.log({"x": 1.0}, timestamp=timestamp)
    assert [line["t"] for line in journal(tmp_path).lines if "m" in line] == [ns, ns]


@pytest.mark.parametrize("timestamp", [float("nan"), float("inf"), -1, "yesterday", object(), 1e30])
def test_a_timestamp_that_is_none_becomes_now(run: runtide.Run, tmp_path: Path, timestamp: Any) -> None:
    run.log({"x": 1.0}, timestamp=timestamp)
    [line] = [line for line in journal(tmp_path).lines if "m" in line]
    assert line["t"] >= journal(tmp_path).header.start


class Hostile:
    def __float__(self) -> float:
        raise RuntimeError("no")

    def __repr__(self) -> str:
        raise RuntimeError("no")


class Scalar:
    """As torch and jax scalars behave."""

    shape = ()

    def item(self) -> float:
        return 0.25


class Rude(dict[str, float]):
    def items(self) -> Any:
        raise RuntimeError("no")

    values = items
    keys = items


def test_hostile_values_are_refused_one_by_one(
    run: runtide.Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    round_and_round: dict[str, Any] = {"deep": 1.0}
    round_and_round["self"] = round_and_round
    data: dict[Any, Any] = {
        "good": 1.5, "object": object(), "hostile": Hostile(), "text": "1.0", "none": None, "huge": "x" * 10_000_000,
        "list": [1.0], "array": np.zeros(3), "complex": 1j, "bytes": b"1", "date": np.datetime64("2026-01-01"),
        "": 1.0, "new\nline": 1.0, "x" * 513: 1.0, "\ud800": 1.0, float("nan"): 1.0, None: 1.0, (1, 2): 1.0,
        "round": round_and_round, "rude": Rude(a=1.0), "too big": 10**400, 7: 7.0, "last": 2.5,
    }  # fmt: skip
    with caplog.at_level(logging.WARNING, "runtide"):
        for _ in range(3):
            run.log(data)
    for junk in (None, 3, "x", [("a", 1)], Rude(b=1.0)):
        run.log(junk)  # type: ignore[arg-type]
    kept = {"good": 1.5, "round/deep": 1.0, "7": 7.0, "last": 2.5}
    assert journal(tmp_path).metrics == [(step, kept) for step in range(3)]
    assert len(caplog.records) < 15  # one per reason, not one per value
    assert any("not a number" in record.message for record in caplog.records)
    run.finish()
    counts = {drop["reason"]: drop["count"] for drop in journal(tmp_path).events("drops")}
    assert counts["a value that is not a number"] == 3 * 11
    assert counts["a name that is not a string"] == 3 * 3
    assert counts["a log call without a dict"] == 4


def test_scalars_of_other_libraries_are_numbers(run: runtide.Run, tmp_path: Path) -> None:
    values = {
        "float32": np.float32(0.1), "int8": np.int8(-3), "bool": np.bool_(True), "array": np.array([[2.5]]),
        "item": Scalar(), "true": True, "large": 2**70, "minus large": -(2**70), "uint64": np.uint64(2**64 - 1),
    }  # fmt: skip
    for _ in range(2):
        run.log(values)
    expected = {
        "float32": float(np.float32(0.1)), "int8": -3, "bool": 1, "array": 2.5, "item": 0.25, "true": 1,
        "large": 2.0**70, "minus large": -(2.0**70), "uint64": 2.0**64,
    }  # fmt: skip
    assert [values for _, values in journal(tmp_path).metrics] == [expected] * 2


@pytest.mark.parametrize("number", [float, np.float64])
def test_values_that_are_not_finite_are_kept_beside_others(run: runtide.Run, tmp_path: Path, number: Any) -> None:
    for value in (1.0, math.nan, math.inf, -math.inf, 1.7e308):
        run.log({"x": number(value), "y": number(value), "z": number(-math.inf)})
    found = [value for _, value in journal(tmp_path).points("x")]
    assert found[0] == 1.0 and math.isnan(found[1]) and found[2:] == [math.inf, -math.inf, 1.7e308]


def test_a_million_metrics_in_one_call(run: runtide.Run, tmp_path: Path) -> None:
    data = {f"layer.{number}/weight": float(number) for number in range(1_000_000)}
    run.log(data, step=3)
    run.log({"after": 1.0})
    written = journal(tmp_path)
    assert max(map(len, written.raw)) < 1 << 20
    assert {step for step, values in written.metrics if "after" not in values} == {3}
    merged: dict[str, float] = {}
    for _, values in written.metrics[:-1]:
        merged.update(values)
    assert merged == data
    assert written.metrics[-1] == (4, {"after": 1.0})


def test_names_that_meet_when_flattened_are_both_kept(run: runtide.Run, tmp_path: Path) -> None:
    run.log({"a": {"b": 1.0}, "a/b": 2.0}, step=1)
    assert journal(tmp_path).points("a/b") == [(1, 1.0), (1, 2.0)]


def test_threads_share_a_run(run: runtide.Run, tmp_path: Path) -> None:
    def work(number: int) -> None:
        for step in range(500):
            run.log({f"thread{number}": float(step)}, step=step)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    written = journal(tmp_path)
    for number in range(8):
        assert written.points(f"thread{number}") == [(step, float(step)) for step in range(500)]


def test_alerts_of_one_title_wait(run: runtide.Run, tmp_path: Path) -> None:
    for _ in range(3):
        run.alert("same", wait_duration=60)
        run.alert("impatient", level="whatever", wait_duration=0)
    titles = [alert["title"] for alert in journal(tmp_path).events("alert")]
    assert titles.count("same") == 1 and titles.count("impatient") == 3


def test_no_secret_in_what_describes_a_run(tmp_path: Path) -> None:
    run = runtide.init("unit", dir=tmp_path, settings=BARE, tags=["https://u:S3cret@h/"], job_type="password=S3cret")
    run.tags = ("a", "token_x ghp_S3cret0123456789abcdefghij")
    run.alert("https://u:S3cret@h/")
    run.define_metric("loss", summary="https://u:S3cret@h/")
    run.use_artifact("https://u:S3cret@h/a")
    run.finish()
    raw = b"".join(journal(tmp_path).raw)
    assert b"***" in raw and b"S3cret" not in raw


def test_after_the_end_nothing_is_written_and_nothing_raises(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = runtide.init("unit", dir=tmp_path, settings=BARE)
    run.log({"x": 1.0})
    run.finish()
    before = journal(tmp_path).raw
    with caplog.at_level(logging.WARNING, "runtide"):
        for _ in range(5):
            runtide.log({"x": 2.0})
        run.note("late")
        run.config.lr = 1
        run.finish()
    assert journal(tmp_path).raw == before
    assert [record.message for record in caplog.records] == [f"run {run.id}: lines after finish"]


def test_the_current_run(tmp_path: Path) -> None:
    first = runtide.init("unit", dir=tmp_path, settings=BARE, config={"a": 1})
    assert runtide.run is first and runtide.config.a == 1
    runtide.log({"x": 1.0})
    second = runtide.init("unit", dir=tmp_path, settings=BARE)
    runtide.log({"x": 2.0})
    runtide.summary["y"] = 3
    runtide.finish()
    assert (first.id, second.id) != (second.id, first.id)
    one, two = journals(tmp_path)
    assert one.points("x") == [(0, 1.0)] and one.events("finish") != []
    assert two.points("x") == [(0, 2.0)] and two.values("summary") == {"y": 3}


def test_disabled_does_nothing(tmp_path: Path) -> None:
    with runtide.init("unit", dir=tmp_path, mode="disabled", config={"a": 1}) as run:
        run.log({"x": 1.0})
        run.note("a note")
        run.summary["y"] = 2
        assert (run.config.a, run.summary.y) == (1, 2)
    assert list(tmp_path.iterdir()) == []


def test_names_that_are_not_valid_are_made_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "runtide"):
        run = runtide.init("my project/ä", id="../../etc", dir=tmp_path, settings=BARE)
    run.finish()
    assert (run.project, run.id) == ("my-project", "..-..-etc")
    assert len(caplog.records) == 2
    assert journal(tmp_path).header.project == "my-project"


def test_resume(tmp_path: Path) -> None:
    def again(**more: Any) -> runtide.Run:
        run = runtide.init("unit", dir=tmp_path, settings=BARE, **more)
        run.finish()
        return run

    assert again(id="one").id == "one"
    assert again(id="one").id == "one"
    assert again(id="one", resume="must").id == "one"
    assert again(id="one", resume="never").id != "one"
    assert again(id="two", resume="never").id == "two"
    with pytest.raises(runtide.SettingsError, match="resume='must'"):
        again(resume="must")
    with pytest.raises(runtide.SettingsError, match="resume='maybe'"):
        again(resume="maybe")


def test_a_second_writer_joins_a_living_run_only(tmp_path: Path) -> None:
    first = runtide.init("unit", id="shared", dir=tmp_path, settings=BARE)
    second = runtide.Run(first._settings)
    second.finish()
    first.finish()
    runtide.init("unit", id="shared", dir=tmp_path, settings=BARE).finish()
    assert [written.header.join for written in journals(tmp_path)] == [False, True, False]


def test_one_line_says_where_the_run_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "stack.json").write_text(json.dumps({"dashboard": "http://127.0.0.1:17702"}))
    run = runtide.init("unit", id="r", mode="offline", settings={"home": str(tmp_path)})
    run.finish()
    assert run.url is not None and run.url.startswith("http://127.0.0.1:17702/")
    assert capsys.readouterr().err == f"runtide: unit/r · {run.url}\n"


def test_artifacts_are_described(run: runtide.Run, tmp_path: Path) -> None:
    data = tmp_path / "data"
    (data / "sub").mkdir(parents=True)
    (data / "a.txt").write_text("hello")
    (data / "sub" / "b.txt").write_text("world")
    run.use_dataset("mine", data, version="v1")
    run.use_dataset("far", "s3://key:secret@bucket/data")
    run.log_artifact(data / "a.txt", name="weights", type="model", aliases=("best",))
    run.finish()
    written = journal(tmp_path)
    datasets = [event for event in written.events("dataset") if "digest" in event]
    assert [(event["name"], event["version"], event["bytes"], event["files"]) for event in datasets] == [
        ("mine", "v1", 10, 2)
    ]
    assert {"name": "far", "uri": "s3://***@bucket/data", "version": None} in written.events("dataset")
    [plain, described] = written.events("artifact")
    assert plain == {"name": "weights", "type": "model", "path": str(data / "a.txt"), "aliases": ["best"]}
    assert described["digest"].startswith("blake2b:") and described["bytes"] == 5
