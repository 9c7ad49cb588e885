"""What a rule and a threshold would have done, on runs that are stored."""

import math
import time
from typing import Any

import numpy as np

from runtide_storage import Client
from runtide_storage.writer import Writer
from runtide_workers.alerting.replay import replay_detection, replay_rule
from runtide_workers.detection.rules import parse
from tests.fixtures.planned import add_planned


def test_a_rule_on_the_last_runs_says_where_it_would_have_fired(writer: Writer, client: Client) -> None:
    add_planned(writer, "calm", 1, {"train/loss": [1.0] * 50, "acc": [9.0]})
    add_planned(writer, "hot", 2, {"train/loss": [1.0, math.nan, 6.0, 7.0], "train/gnorm": [8.0]})
    add_planned(writer, "on", 3, {"train/loss": [9.0]}, state="running")
    add_planned(writer, "else", 4, {"train/loss": [9.0]}, project="q")
    hits = replay_rule(client, parse({"above": 5, "name": "hot"}), "p", "train/*", 10)
    assert [(hit.ref, hit.metric, hit.points, [alert.step for alert in hit.alerts]) for hit in hits] == [
        ("p/hot", "train/gnorm", 1, [0]),
        ("p/hot", "train/loss", 4, [2]),
        ("p/calm", "train/loss", 50, []),
    ]
    [alert] = hits[1].alerts
    assert (alert.kind, alert.detail["name"], alert.detail["value"]) == ("rule", "hot", 6.0)
    assert [hit.ref for hit in replay_rule(client, parse("> 5"), "p", "train/loss", 1)] == ["p/hot"]
    assert replay_rule(client, parse("> 5"), "p", "nope", 10) == []
    assert replay_rule(client, parse("> 5"), "nobody", "*", 10) == []


def test_a_rule_sees_raw_points_over_the_borders_of_blocks(writer: Writer, client: Client) -> None:
    values = [1.0] * 70_000 + [2.0] * 70_000
    add_planned(writer, "long", 1, {"loss": values})
    rule = parse({"change": "+50%", "window": 5_000})
    [hit] = replay_rule(client, rule, "p", "loss", 5)
    expected = rule.update(rule.start(), np.arange(len(values)), np.array(values))
    assert hit.alerts == expected and len(expected) == 1 and hit.points == 140_000


def store_baselines(writer: Writer, family: int, peaks: dict[str, list[float]], runs: list[int], **row: Any) -> None:
    shape = {
        "edges": [0.0, 1.0],
        "curves": [[1.0]] * len(runs),
        "steps": [[0.0]] * len(runs),
        "cohort": 1,
        "gap_s": 1.0,
    }
    fitted = shape | {
        "family": family,
        "members": runs,
        "wild": [],
        "goal": "minimize",
        "scale": "log",
        "made_at": time.time_ns() // 1_000_000,
    }
    writer.rows(
        "baselines",
        [fitted | {"metric": metric, "aspect": "value", "peaks": each} | row for metric, each in peaks.items()],
    )


def test_how_many_healthy_runs_a_threshold_would_have_alarmed_on(writer: Writer, client: Client) -> None:
    runs = [add_planned(writer, f"r{at}", at, {"val/loss": [1.0]}, family=1).run for at in range(5)]
    others = [add_planned(writer, f"s{at}", at, {"acc": [1.0]}, family=2, primary="").run for at in range(3)]
    elsewhere = [add_planned(writer, f"t{at}", at, {"acc": [1.0]}, family=3, project="q").run for at in range(3)]
    store_baselines(
        writer,
        1,
        {
            "val/loss": [0.0, 5.0, 0.0, 0.0, math.nan],  # the second would have paged by its primary metric
            "train/loss": [0.0, 0.0, 5.0, 5.0, 0.0],  # the third alone: a warning
            "acc": [0.0, 0.0, 0.0, 5.0, 0.0],  # the fourth by two metrics
        },
        runs,
    )
    store_baselines(writer, 2, {"acc": [9.0, 0.0, 3.0]}, others)
    store_baselines(writer, 3, {"acc": [9.0, 9.0, 9.0]}, elsewhere)
    found = replay_detection(client, "p", 4.0)
    assert (found.runs, found.alarmed, found.paged) == (8, 4, 2)
    by_metric = {(each.family, each.metric): (each.runs, each.alarmed) for each in found.metrics}
    assert by_metric == {
        ("01", "val/loss"): (4, 1),
        ("01", "train/loss"): (5, 2),
        ("01", "acc"): (5, 1),
        ("02", "acc"): (3, 1),
    }
    assert found.text == (
        "on your last 8 healthy runs this setting would have paged twice, and have shown a warning on 2 more"
    )
    assert replay_detection(client, "p", 2.5).alarmed == 5
    calm = replay_detection(client, "p", 10.0)
    assert (calm.alarmed, calm.paged) == (0, 0) and calm.text.endswith("would have paged never")


def test_wild_runs_are_not_healthy_ones(writer: Writer, client: Client) -> None:
    runs = [add_planned(writer, f"r{at}", at, {"val/loss": [1.0]}, family=1).run for at in range(4)]
    store_baselines(writer, 1, {"val/loss": [0.0, 0.0, 0.0, 99.0]}, runs, wild=[runs[3]])
    found = replay_detection(client, "p")
    assert (found.runs, found.alarmed) == (3, 0)


def test_no_healthy_runs_yet(client: Client) -> None:
    assert "no healthy runs to try this on yet" in replay_detection(client, "p").text
