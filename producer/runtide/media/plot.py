"""Charts as `run.log` keeps them: a table, and what is drawn of it. Names and arguments are those of `wandb.plot`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

from runtide.media import Chart, Table

POINTS_MAX = 500  # of a curve that are kept


def line(table: Table, x: str, y: str, stroke: str | None = None, title: str = "", **_: Any) -> Chart:
    """y over x, a line for each value of the column `stroke`."""
    return Chart("line", table, {"x": x, "y": y, **({"stroke": stroke} if stroke else {})}, title)


def scatter(table: Table, x: str, y: str, title: str = "", **_: Any) -> Chart:
    return Chart("scatter", table, {"x": x, "y": y}, title)


def bar(table: Table, label: str, value: str, title: str = "", **_: Any) -> Chart:
    return Chart("bar", table, {"label": label, "value": value}, title)


def histogram(table: Table, value: str, title: str = "", **_: Any) -> Chart:
    return Chart("histogram", table, {"value": value}, title)


def line_series(
    xs: Any, ys: Iterable[Iterable[Any]], keys: Iterable[str] | None = None, title: str = "", xname: str = "x", **_: Any
) -> Chart:
    """Several lines: `xs` is one sequence for all, or one for each."""
    several = [list(y) for y in ys]
    given = list(xs)
    shared = not given or not isinstance(given[0], Iterable)
    names = list(keys) if keys is not None else [f"key_{number}" for number in range(len(several))]
    rows = [
        [x, name, y]
        for number, (name, values) in enumerate(zip(names, several, strict=True))
        for x, y in zip(given if shared else given[number], values, strict=False)
    ]
    return Chart("line", Table([xname, "key", "y"], rows), {"x": xname, "y": "y", "stroke": "key"}, title)


def plot_table(
    vega_spec_name: str, data_table: Table, fields: Mapping[str, Any], string_fields: Any = None, **_: Any
) -> Chart:
    """A chart whose drawing is defined at wandb: its table and fields are kept."""
    return Chart(
        vega_spec_name, data_table, {name: str(value) for name, value in fields.items()}, str(string_fields or "")
    )


def confusion_matrix(
    probs: Any = None, y_true: Any = None, preds: Any = None, class_names: Sequence[str] | None = None,
    title: str = "Confusion matrix", **_: Any,
) -> Chart:  # fmt: skip
    """How often each class was taken for each other: rows [Actual, Predicted, nPredictions], all pairs."""
    true = _labels(y_true)
    guessed = (
        _labels(preds) if preds is not None else [max(range(len(row)), key=row.__getitem__) for row in _rows(probs)]
    )
    if len(true) != len(guessed):
        raise ValueError(f"{len(true)} labels and {len(guessed)} predictions")
    classes = sorted({*true, *guessed}, key=str) if class_names is None else list(range(len(class_names)))
    known = {label: str(label) for label in classes} if class_names is None else dict(enumerate(map(str, class_names)))
    if class_names is not None and not {*true, *guessed} <= known.keys():  # labels, not positions
        classes = list(class_names)
        known = {label: str(label) for label in classes}
    counts: dict[tuple[Any, Any], int] = {}
    for pair in zip(true, guessed, strict=True):
        counts[pair] = counts.get(pair, 0) + 1
    rows = [[known[a], known[b], counts.get((a, b), 0)] for a in classes for b in classes]
    fields = {"Actual": "Actual", "Predicted": "Predicted", "nPredictions": "nPredictions"}
    return Chart("confusion_matrix", Table(["Actual", "Predicted", "nPredictions"], rows), fields, title)


def roc_curve(
    y_true: Any = None, y_probas: Any = None, labels: Sequence[str] | None = None, classes_to_plot: Any = None,
    title: str = "ROC", **_: Any,
) -> Chart:  # fmt: skip
    """One class against the others, for each: rows [class, fpr, tpr] at every threshold."""
    rows = [
        [name, false, true] for name, counts in _curves(y_true, y_probas, labels, classes_to_plot)
        for false, true in _roc(counts)
    ]  # fmt: skip
    return Chart("roc", Table(["class", "fpr", "tpr"], rows), {"x": "fpr", "y": "tpr", "class": "class"}, title)


def pr_curve(
    y_true: Any = None, y_probas: Any = None, labels: Sequence[str] | None = None, classes_to_plot: Any = None,
    interp_size: int = 21,  # noqa: ARG001 - wandb's; here all thresholds are kept
    title: str = "Precision v. Recall", **_: Any,
) -> Chart:  # fmt: skip
    """One class against the others, for each: rows [class, precision, recall] at every threshold."""
    rows = [
        [name, precision, recall] for name, counts in _curves(y_true, y_probas, labels, classes_to_plot)
        for precision, recall in _precision_recall(counts)
    ]  # fmt: skip
    table = Table(["class", "precision", "recall"], rows)
    return Chart("pr", table, {"x": "recall", "y": "precision", "class": "class"}, title)


def pr_curve_of_scores(labels: Any, scores: Any, title: str = "") -> Chart:
    """Of one class: `labels` say whether it is it, `scores` how likely that seemed."""
    rows = [
        list(pair) for pair in _precision_recall(_counts([bool(label) for label in _labels(labels)], _labels(scores)))
    ]
    return Chart("pr", Table(["precision", "recall"], rows), {"x": "recall", "y": "precision"}, title)


def _curves(
    y_true: Any, y_probas: Any, labels: Sequence[str] | None, classes_to_plot: Any
) -> Iterable[tuple[str, list[tuple[int, int]]]]:
    true, rows = _labels(y_true), _rows(y_probas)
    classes = sorted(set(true), key=str) if len(set(map(type, true))) > 1 else sorted(set(true))
    if rows and len(classes) < len(rows[0]):  # a class that never occurs: then classes are positions
        classes = list(range(len(rows[0])))
    for position, label in enumerate(classes):
        if classes_to_plot is None or label in classes_to_plot:
            named = labels is not None and position < len(labels)
            name = str(labels[position]) if named and labels is not None else str(label)
            yield name, _counts([each == label for each in true], [row[position] for row in rows])


def _counts(hits: Sequence[bool], scores: Sequence[float]) -> list[tuple[int, int]]:
    """(true positives, false positives) when all down to a score count as hits, for each score, the highest first."""
    found = []
    true = false = 0
    for _, same in groupby(sorted(zip(scores, hits, strict=True), key=lambda pair: -pair[0]), key=lambda pair: pair[0]):
        for _, hit in same:
            true, false = true + hit, false + (not hit)
        found.append((true, false))
    return found


def _roc(counts: Sequence[tuple[int, int]]) -> list[tuple[float, float]]:
    if not counts:
        return []
    positives, negatives = counts[-1]
    points = [(0, 0), *counts]
    return _thinned([(false / negatives if negatives else 0.0, true / positives if positives else 0.0)
                     for true, false in points])  # fmt: skip


def _precision_recall(counts: Sequence[tuple[int, int]]) -> list[tuple[float, float]]:
    positives = counts[-1][0] if counts else 0
    return _thinned([(1.0, 0.0), *((true / (true + false), true / positives if positives else 1.0)
                                   for true, false in counts)])  # fmt: skip


def _thinned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most POINTS_MAX of them, the last one among them."""
    stride = -(-len(points) // POINTS_MAX)
    return points if stride <= 1 else [*points[:-1:stride], points[-1]]


def _labels(values: Any) -> list[Any]:
    if values is None:
        return []
    found = values.tolist() if hasattr(values, "tolist") else list(values)
    return [value.item() if hasattr(value, "item") else value for value in found]


def _rows(values: Any) -> list[list[float]]:
    return [_labels(row) for row in _labels(values)]
