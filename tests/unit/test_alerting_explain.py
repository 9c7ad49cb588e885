"""What changed, and in which words."""

from typing import Any

import pytest

from runtide_workers.alerting import explain
from runtide_workers.detection import Alert

BASE = {
    "config.lr": 0.1, "config.seed": 1, "config.output_dir": "/a", "meta.git/commit": "aaaaaaaaaaaaaaaa",
    "meta.git/diff": "", "meta.packages": {"numpy": "2.0", "torch": "2.5"}, "meta.cpu/model": "a", "meta.argv": ["x"],
    "meta.env/OMP_NUM_THREADS": "1", "dataset.digits": "v1",
}  # fmt: skip


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        ({}, {}),
        ({"config.seed": 2, "config.output_dir": "/b", "meta.argv": ["y"]}, {}),
        ({"config.lr": 1.0}, {"config": {"lr": [0.1, 1.0]}}),
        ({"config.new": True}, {"config": {"new": [None, True]}}),
        ({"meta.git/commit": "b"}, {"commit": ["aaaaaaaaaaaaaaaa", "b"]}),
        ({"meta.packages": {"numpy": "2.1", "torch": "2.5"}}, {"packages": {"numpy": ["2.0", "2.1"]}}),
        ({"meta.cpu/model": "b"}, {"hardware": {"cpu/model": ["a", "b"]}}),
        ({"meta.env/OMP_NUM_THREADS": "4"}, {"environment": {"env/OMP_NUM_THREADS": ["1", "4"]}}),
        ({"dataset.digits": "v2"}, {"dataset": {"digits": ["v1", "v2"]}}),
    ],
)
def test_changes(other: dict[str, Any], expected: dict[str, Any]) -> None:
    assert explain.changes(BASE | other, BASE) == expected


def test_a_diff_names_its_files() -> None:
    diff = "diff --git a/train.py b/train.py\n--- a/train.py\n+++ b/train.py\n"
    found = explain.changes(BASE | {"meta.git/diff": diff}, BASE)
    assert found["diff"]["files"] == ["train.py"]
    assert "uncommitted changes in train.py" in explain.changed_text(found, "r1")


def test_the_nearest_is_the_latest_of_those_that_differ_least() -> None:
    others = [("old", BASE), ("far", BASE | {"config.lr": 3, "config.x": 1}), ("new", dict(BASE))]
    assert explain.nearest(BASE | {"config.lr": 1.0}, others) == ("new", {"config": {"lr": [0.1, 1.0]}})
    assert explain.nearest(BASE, []) == ("", {})


def test_causes() -> None:
    lr = {"config": {"lr": [0.1, 1.0]}}
    assert explain.cause(lr) == explain.cause(dict(lr)) != explain.cause({"config": {"lr": [0.1, 2.0]}})
    assert explain.cause({}) == explain.cause({"hardware": {"cpu/model": ["a", "b"]}}) == ""


def test_nothing_changed_is_said() -> None:
    assert explain.changed_text({}, "r1") == "Nothing that was recorded changed against r1."
    assert explain.changed_text({}, "") == ""


@pytest.mark.parametrize(
    "kind",
    [
        "regression",
        "plateau",
        "divergence",
        "final_regression",
        "throughput",
        "improvement",
        "nan",
        "spike",
        "rule",
        "?",
    ],
)
@pytest.mark.parametrize("detail", [{}, {"effect": float("inf"), "baseline": 0.0, "value": float("nan"), "n": 3}])
def test_every_kind_has_words_whatever_the_numbers(kind: str, detail: dict[str, Any]) -> None:
    alert = Alert(kind, "page", 7, detail)
    assert "loss" in explain.title(alert, "loss", "run 1") or kind == "throughput"
    assert "step 7" in explain.text(alert, "loss", 100.0)


def test_a_run_that_gets_faster_is_not_called_one_of_a_better_loss() -> None:
    detail = {"effect": -0.4, "baseline": 0.02, "value": 0.012, "n": 9, "of": "pace"}
    alert = Alert("improvement", "info", 7, detail)
    assert explain.title(alert, "loss", "run 1") == "run 1 is 40.0% faster than its baselines"
    assert explain.text(alert, "loss", 100.0).startswith("The time per step is 40.00% better")


def test_long_lists_are_cut() -> None:
    changed = {"config": {f"k{i}": [0, "x" * 500] for i in range(40)}}
    text = explain.changed_text(changed, "r1")
    assert "32 more of config" in text and len(text) < 1_500
