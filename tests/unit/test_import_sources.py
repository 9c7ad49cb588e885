"""Stores of other trackers as runs: written by their own libraries, broken on purpose, or not there at all."""

import json
import math
import sqlite3
import struct
import sys
from pathlib import Path
from typing import Any

import pytest

from runtide.importing import mlflow, neptune, tensorboard, trackio
from runtide.importing.bringing import Wishes, look
from runtide.importing.model import Facts, ImportFailed, SourceRun, Unreadable
from tests.fixtures.import_stores import (
    EventFile,
    Logged,
    Points,
    neptune_export,
    of_tensorboard,
    same,
    tensorboard_run,
)

START_MS = 1_767_225_600_000


def points_of(run: SourceRun) -> Points:
    logged = Logged()
    for time_ns, step, metrics in run.rows():
        assert time_ns is not None
        for name, value in metrics.items():
            logged.add(name, step, time_ns // 1_000_000, float(value))
    return logged.sorted()


# ---- TensorBoard


@pytest.fixture(scope="module", autouse=True)
def _libraries() -> None:
    pytest.importorskip("tensorboard", reason="the extra `import` is not installed")


def test_tensorboard_folders_are_runs(tmp_path: Path) -> None:
    expected = {
        "train": tensorboard_run(tmp_path / "train", 1, 30),
        "deep/er": tensorboard_run(tmp_path / "deep" / "er", 2, 30, tensors=True),
    }
    (tmp_path / "empty").mkdir()
    found = {run.name: run for run in tensorboard.runs(str(tmp_path))}
    assert found.keys() == expected.keys()
    assert all(same(points_of(found[name]), logged.sorted()) for name, logged in expected.items())
    assert found["train"].run_id == "train" and found["deep/er"].run_id.startswith("deep-er-")
    assert found["train"].facts().started_ns == (START_MS + 86_400_000) * 1_000_000
    [alone] = tensorboard.runs(str(tmp_path / "train" / found["train"].files[0]))
    assert alone.run_id == "train" and same(points_of(alone), expected["train"].sorted())


def test_tensorboard_hyperparameters(tmp_path: Path) -> None:
    said, proto = of_tensorboard("plugins.hparams.plugin_data_pb2"), of_tensorboard("compat.proto.summary_pb2")
    start, end = said.HParamsPluginData(), said.HParamsPluginData()
    start.session_start_info.group_name = "g"
    start.session_start_info.hparams["lr"].number_value = 0.1
    start.session_start_info.hparams["name"].string_value = "adam"
    start.session_start_info.hparams["wide"].bool_value = True
    end.session_end_info.status = of_tensorboard("plugins.hparams.api_pb2").STATUS_FAILURE
    file = EventFile(tmp_path)
    for tag, data in (("_hparams_/session_start_info", start), ("_hparams_/session_end_info", end)):
        plugin = proto.SummaryMetadata.PluginData(plugin_name="hparams", content=data.SerializeToString())
        summary = proto.Summary()
        summary.value.add(tag=tag, metadata=proto.SummaryMetadata(plugin_data=plugin))
        file.summary(0, START_MS, summary)
    file.scalars(3, START_MS, {"loss": 0.5})
    file.close()
    [run] = tensorboard.runs(str(tmp_path))
    assert points_of(run) == {"loss": [(3, START_MS, 0.5)]}
    facts = run.facts()
    assert (facts.config, facts.group, facts.state) == ({"lr": 0.1, "name": "adam", "wide": True}, "g", "failed")


def test_tensorboard_tensors_that_are_no_scalars(tmp_path: Path) -> None:
    proto, tensor = of_tensorboard("compat.proto.summary_pb2"), of_tensorboard("util.tensor_util").make_tensor_proto
    file = EventFile(tmp_path)
    text = proto.SummaryMetadata(plugin_data=proto.SummaryMetadata.PluginData(plugin_name="text"))
    summary = proto.Summary()
    summary.value.add(tag="words", tensor=tensor("hello", dtype="string"), metadata=text)
    summary.value.add(tag="words", tensor=tensor("again", dtype="string"))  # the plugin was told before
    summary.value.add(tag="vector", tensor=tensor([1.0, 2.0], dtype="float32"))
    summary.value.add(tag="double", tensor=tensor(0.1, dtype="float64"))
    summary.value.add(tag="whole", tensor=tensor(7, dtype="int64"))
    file.summary(1, START_MS, summary)
    file.close()
    [run] = tensorboard.runs(str(tmp_path))
    assert points_of(run) == {"double": [(1, START_MS, 0.1)], "whole": [(1, START_MS, 7.0)]}


def test_tensorboard_files_that_are_torn_or_broken(tmp_path: Path) -> None:
    tensorboard_run(tmp_path, 1, 50)
    [run] = tensorboard.runs(str(tmp_path))
    [path] = tmp_path.iterdir()
    whole, data = list(run.rows()), path.read_bytes()
    for size in (0, 5, 13, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:size])
        rows = list(run.rows())
        assert repr(rows) == repr(whole[: len(rows)]) and len(rows) < len(whole) and run.lost == {}

    broken = bytearray(data)
    broken[len(data) // 2] ^= 0xFF  # somewhere inside a record, or its length
    path.write_bytes(broken)
    rows = list(run.rows())
    assert run.lost and 0 < len(rows) < len(whole) and set(map(repr, rows)) <= set(map(repr, whole))

    path.write_bytes(struct.pack("<QI", 1 << 60, 0) + data)
    assert list(run.rows()) == [] and run.lost == {"bytes behind a broken record": len(data) + 12}


# ---- Trackio


def trackio_file(path: Path, columns: str) -> sqlite3.Connection:
    database = sqlite3.connect(path)
    database.execute(
        f"CREATE TABLE metrics (id INTEGER PRIMARY KEY, timestamp TEXT, run_name TEXT, step INT, metrics TEXT{columns})"
    )
    return database


def test_trackio_of_an_old_version(tmp_path: Path) -> None:
    with trackio_file(tmp_path / "digits.db", "") as database:
        for step in range(3):
            said = json.dumps({"loss": "NaN" if step else 0.5, "deep": {"er": step}, "text": "x"})
            moment = f"2026-01-01T00:00:0{step}.5+00:00"
            database.execute("INSERT INTO metrics VALUES (NULL, ?, 'my run', ?, ?)", [moment, step, said])
    (tmp_path / "other.db").write_bytes(b"SQLite format 3\x00 and nothing more")
    (tmp_path / "third.db").touch()
    [run, broken] = trackio.runs(str(tmp_path))
    assert (run.project, run.run_id[:7]) == ("digits", "my-run-")
    at = START_MS + 500
    assert repr(points_of(run)) == repr(
        {
            "loss": [(0, at, 0.5), (1, at + 1000, math.nan), (2, at + 2000, math.nan)],
            "deep/er": [(s, at + s * 1000, float(s)) for s in range(3)],
        }
    )
    assert run.facts().name == "my run" and run.facts().ended_ns == (at + 2000) * 1_000_000
    with pytest.raises(Unreadable, match="no file of Trackio"):
        list(broken.rows())


# ---- Neptune


def test_neptune_export(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="the extra `server` is not installed")
    logged = neptune_export(tmp_path / "ws_p-00", "ws/p", "RUN-1", 1, 40)
    neptune_export(tmp_path / "ws_p-00", "ws/p", "RUN-2", 2, 10, parts=1)
    (tmp_path / "ws_p-00" / "RUN-3-00_part_0.parquet").write_bytes(b"no Parquet")
    first, second, broken = neptune.runs(str(tmp_path))
    assert (first.project, first.run_id, first.origin) == ("ws-p", "RUN-1", "neptune:ws/p/RUN-1")
    rows = list(first.rows())
    assert [row[0] for row in rows] == sorted(row[0] or 0 for row in rows)
    assert same(points_of(first), logged.sorted()) and first.lost == {"values of kind file": 1}
    facts = first.facts()
    assert (facts.name, facts.tags, facts.state) == ("seed 1", ["a", "b"], "finished")
    assert facts.config == {"parameters/lr": 0.1, "parameters/depth": 3}
    assert facts.started_ns == (START_MS + 86_400_000) * 1_000_000
    list(second.rows())
    assert second.facts().state == "failed"
    with pytest.raises(Unreadable, match="ArrowInvalid"):
        list(broken.rows())


# ---- MLflow


def test_mlflow_is_not_let_at_other_databases(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    trackio_file(path, "").close()
    before = path.read_bytes()
    for store in (str(path), f"sqlite:///{path}"):
        with pytest.raises(ImportFailed, match="no SQLite file of MLflow"):
            mlflow.uri_of(store)
    assert path.read_bytes() == before
    assert mlflow.uri_of("http://mlflow:5000") == "http://mlflow:5000"
    (tmp_path / "mlruns" / "0").mkdir(parents=True)
    (tmp_path / "mlruns" / "0" / "meta.yaml").touch()
    assert mlflow.uri_of(str(tmp_path)) == mlflow.uri_of(f"file://{tmp_path}/mlruns") == f"file://{tmp_path}/mlruns"


# ---- what is not there


@pytest.mark.parametrize(
    ("runs", "reason"),
    [
        (tensorboard.runs, r"no event files \(\*tfevents\*\)"),
        (trackio.runs, r"looked for \*\.db"),
        (neptune.runs, r"no <run>_part_<n>\.parquet"),
        (lambda path: list(mlflow.runs(path)), r"no experiments \(\*/meta\.yaml\)"),
    ],
)
def test_nothing_there(tmp_path: Path, runs: Any, reason: str) -> None:
    with pytest.raises(ImportFailed, match=reason):
        runs(str(tmp_path))
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ImportFailed, match="there is no"):
        runs(str(tmp_path / "nope"))


@pytest.mark.parametrize(("module", "runs"), [("mlflow", mlflow.runs), ("tensorboard", tensorboard.runs)])
def test_a_library_that_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, module: str, runs: Any) -> None:
    (tmp_path / "events.out.tfevents.1").write_bytes(b"")
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / "meta.yaml").touch()
    for name in [name for name in sys.modules if name.partition(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportFailed, match=rf"needs {module} .*pip install 'runtide\[import\]'"):
        list(*(run.rows() for run in runs(str(tmp_path))))


class Named:
    """A run that is only called something."""

    project, fingerprint, undated_ns = "p", "", 1

    def __init__(self, run_id: str, origin: str) -> None:
        self.run_id, self.origin = run_id, origin
        self.lost: dict[str, int] = {}

    def rows(self) -> Any:
        return iter([(1, 0, {"a": 1.0, "b": 2.0})])

    def facts(self) -> Facts:
        return Facts(1, 1)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [("one", ["one"]), ("t*", ["two-x"]), ("a/two", ["two-x"]), ("*", ["one", "two-x"]), ("b*", [])],
)
def test_runs_are_chosen_by_name(pattern: str, expected: list[str]) -> None:
    runs = [Named("one", "x:/logs/one"), Named("two-x", "x:/logs/a/two")]
    report = look(runs, Wishes(runs=[pattern]))
    assert [run.run_id for run in report.runs] == expected
    assert all((run.points, run.metrics, run.status) == (2, 2, "found") for run in report.runs)
