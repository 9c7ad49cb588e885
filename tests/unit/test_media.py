"""Tables, histograms, images and charts: what the summary keeps of them, and the metrics that histograms give."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pandas as pd
import pytest
from PIL import Image as PillowImage
from sklearn import metrics

import runtide
from runtide import media
from runtide.media import Histogram, Image, Table, histogram, plot
from tests.fixtures.journals import BARE, journal


@pytest.fixture
def run(tmp_path: Path) -> Iterator[runtide.Run]:
    run = runtide.init("media", dir=tmp_path, settings=BARE)
    yield run
    run.finish()


def summary_of(directory: Path, name: str) -> dict[str, Any]:
    found = journal(directory).values("summary")
    return {key.removeprefix(f"{name}/"): value for key, value in found.items() if key.startswith(f"{name}/")}


def test_numbers_beside_a_table_are_kept_and_the_newest_table_stays(run: runtide.Run, tmp_path: Path) -> None:
    table = Table(columns=["id", "text"])
    table.add_data(1, "one")
    run.log({"loss": 0.5, "examples": table, "nested": {"deep": table}})
    table.add_data(2, Image(np.zeros((2, 3))))
    run.log({"loss": 0.25, "examples": table})
    assert journal(tmp_path).points("loss") == [(0, 0.5), (1, 0.25)]
    assert summary_of(tmp_path, "examples") == {
        "kind": "table", "step": 1, "columns": ["id", "text"], "rows": 2,
        "data": [[1, "one"], [2, {"kind": "image", "width": 3, "height": 2}]],
    }  # fmt: skip
    assert summary_of(tmp_path, "nested/deep")["rows"] == 1
    run.finish()
    assert journal(tmp_path).events("drops") == []


def test_what_is_unknown_is_still_refused(run: runtide.Run, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "runtide"):
        run.log({"text": "x", "object": object(), "list": [Image(None), 1], "good": 1.0})
    assert journal(tmp_path).metrics == [(0, {"good": 1.0})]
    run.finish()
    assert journal(tmp_path).events("drops") == [{"count": 3, "reason": "a value that is not a number"}]


def test_tables_are_made_of_many_things() -> None:
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    assert Table(dataframe=frame).describe() == {"columns": ["a", "b"], "rows": 2, "data": [[1, "x"], [2, "y"]]}
    assert Table(data=np.arange(4).reshape(2, 2), columns=["a", "b"]).data == [[0, 1], [2, 3]]
    table = Table(columns=[])
    table.add_column("a", [1, 2])
    table.add_column("b", np.array([3.0, 4.0]))
    assert table.get_column("b", convert_to="numpy").tolist() == [3.0, 4.0]
    assert list(table.iterrows()) == [(0, [1, 3.0]), (1, [2, 4.0])]
    with pytest.raises(ValueError, match="has 1 values"):
        table.add_column("c", [1])


def test_large_tables_are_cut_and_say_so() -> None:
    rows = Table(["n"], [[n] for n in range(5_000)]).describe()
    assert (rows["rows"], len(rows["data"])) == (5_000, media.ROWS_MAX)
    long = Table(["text"], [["x" * 2_000] for _ in range(900)]).describe()
    assert long["rows"] == 900 and 0 < len(long["data"]) < 900
    assert len(orjson.dumps(long["data"])) <= media.ROWS_BYTES_MAX


@pytest.mark.parametrize("bare", [False, True])
def test_a_histogram_s_numbers(bare: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same with numpy and without."""
    if bare:
        monkeypatch.setattr(histogram, "_numpy", lambda: None)
    values = np.random.default_rng(0).normal(size=(10, 50))
    found = Histogram(values, num_bins=20)
    counts, edges = np.histogram(values, 20)
    assert found.histogram == counts.tolist() and found.bins == pytest.approx(edges.tolist())
    expected = {"mean": values.mean(), "std": values.std(), "min": values.min(), "max": values.max(),
                **{f"p{q:02d}": np.percentile(values, q) for q in (5, 50, 95)}}  # fmt: skip
    assert found.numbers() == pytest.approx(expected)
    assert Histogram([1.0, float("nan"), float("inf")]).describe()["nonfinite"] == 2
    assert Histogram([]).numbers() == {} and Histogram([3, 3]).numbers()["std"] == 0
    assert Histogram([2.0, 2.0], num_bins=4).describe()["count"] == 2


def test_a_ready_histogram_s_numbers_are_estimated() -> None:
    values = np.random.default_rng(0).uniform(0, 10, 10_000)
    found = Histogram(np_histogram=np.histogram(values, 100)).numbers()
    quantiles = {f"p{q:02d}": np.percentile(values, q) for q in (5, 50, 95)}
    assert found == pytest.approx({"mean": values.mean(), **quantiles}, abs=0.1)
    with pytest.raises(ValueError, match="need 3 edges"):
        Histogram(np_histogram=([1, 2], [0, 1]))


def test_a_histogram_over_time(run: runtide.Run, tmp_path: Path) -> None:
    for step in range(3):
        run.log({"grad": Histogram([step, step + 1.0]), "loss": 1.0})
    assert journal(tmp_path).points("grad/mean") == [(step, step + 0.5) for step in range(3)]
    assert journal(tmp_path).points("loss") == [(step, 1.0) for step in range(3)]
    assert summary_of(tmp_path, "grad")["count"] == 2 and summary_of(tmp_path, "grad")["step"] == 2


def test_images_files_and_figures(run: runtide.Run, tmp_path: Path) -> None:
    picture = PillowImage.new("RGB", (4, 3))
    picture.save(tmp_path / "a.png")
    run.log(
        {"pillow": picture, "path": Image(str(tmp_path / "a.png"), caption="c"), "array": Image(np.zeros((3, 4, 3)))}
    )
    size = (tmp_path / "a.png").stat().st_size
    assert summary_of(tmp_path, "pillow") == {"kind": "image", "step": 0, "mode": "RGB", "width": 4, "height": 3}
    path = str(tmp_path / "a.png")
    assert summary_of(tmp_path, "path") == {"kind": "image", "step": 0, "caption": "c", "path": path, "bytes": size}
    assert (summary_of(tmp_path, "array")["width"], summary_of(tmp_path, "array")["height"]) == (4, 3)
    run.log({"frame": pd.DataFrame({"a": [1]}), "sound": media.Audio(np.zeros(5), sample_rate=8_000)})
    assert summary_of(tmp_path, "frame")["data"] == [[1]]
    assert summary_of(tmp_path, "sound") == {"kind": "audio", "step": 1, "sample_rate": 8_000, "shape": [5]}
    assert str(Image(np.zeros((3, 4)))) == "<image: width 4, height 3>"


def test_charts(run: runtide.Run, tmp_path: Path) -> None:
    table = Table(["x", "y"], [[1, 2], [3, 4]])
    run.log({"line": plot.line(table, "x", "y", title="t"), "bars": plot.bar(table, "x", "y")})
    assert summary_of(tmp_path, "line") == {
        "kind": "chart/line", "step": 0, "title": "t", "fields/x": "x", "fields/y": "y", "columns": ["x", "y"],
        "rows": 2, "data": [[1, 2], [3, 4]],
    }  # fmt: skip
    assert plot.line_series([0, 1], [[1, 2], [3, 4]], ["a", "b"]).table.data == [
        [0, "a", 1], [1, "a", 2], [0, "b", 3], [1, "b", 4],
    ]  # fmt: skip
    assert plot.line_series([[0], [5]], [[1], [3]]).table.data == [[0, "key_0", 1], [5, "key_1", 3]]
    assert plot.scatter(table, "x", "y").kind == "chart/scatter"
    assert plot.histogram(table, "x").fields == {"value": "x"}
    assert plot.plot_table("us/spec", table, {"x": "y"}).kind == "chart/us/spec"


Y_TRUE = np.random.default_rng(0).integers(0, 3, 60)
SCORES = np.random.default_rng(1).dirichlet(np.ones(3), 60).round(2)


def test_confusion_matrices_are_scikit_learn_s() -> None:
    guessed = SCORES.argmax(axis=1)
    expected = metrics.confusion_matrix(Y_TRUE, guessed).ravel().tolist()
    for chart in (plot.confusion_matrix(probs=SCORES, y_true=Y_TRUE),
                  plot.confusion_matrix(y_true=Y_TRUE, preds=guessed, class_names=["a", "b", "c"])):  # fmt: skip
        assert [row[2] for row in chart.table.data] == expected
    assert chart.table.data[1][:2] == ["a", "b"]
    words = plot.confusion_matrix(y_true=["cat", "dog"], preds=["cat", "cat"], class_names=["cat", "dog"])
    assert words.table.data == [["cat", "cat", 1], ["cat", "dog", 0], ["dog", "cat", 1], ["dog", "dog", 0]]
    with pytest.raises(ValueError, match="2 labels and 1 predictions"):
        plot.confusion_matrix(y_true=[0, 1], preds=[0])


def test_curves_are_scikit_learn_s() -> None:
    roc = plot.roc_curve(Y_TRUE, SCORES, labels=["a", "b", "c"]).table.data
    precision_recall = plot.pr_curve(Y_TRUE, SCORES).table.data
    for label, name in enumerate("abc"):
        false, true, _ = metrics.roc_curve(label == Y_TRUE, SCORES[:, label], drop_intermediate=False)
        assert np.array([row[1:] for row in roc if row[0] == name]) == pytest.approx(np.column_stack([false, true]))
        precision, recall, _ = metrics.precision_recall_curve(label == Y_TRUE, SCORES[:, label])
        found = np.array([row[1:] for row in precision_recall if row[0] == str(label)])
        assert found == pytest.approx(np.column_stack([precision, recall])[::-1])
    assert {row[0] for row in plot.roc_curve(Y_TRUE, SCORES, classes_to_plot=[1]).table.data} == {"1"}


def test_long_curves_are_thinned() -> None:
    scores = np.random.default_rng(0).random((5_000, 2))
    rows = plot.roc_curve(np.random.default_rng(1).integers(0, 2, 5_000), scores, classes_to_plot=[1]).table.data
    assert len(rows) <= plot.POINTS_MAX + 1 and rows[-1][1:] == [1.0, 1.0]
