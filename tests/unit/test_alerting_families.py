"""Whom a run is compared with."""

from typing import Any

import pytest

from runtide_storage.cohorts import Candidate, Facts
from runtide_storage.goals import defined
from runtide_workers.alerting.families import MEMBERS_MAX, choose, family_of, goals, primary


def facts(group: str = "g", tags: tuple[str, ...] = (), **values: Any) -> Facts:
    named = {name.replace("__", ".", 1).replace("__", "/"): value for name, value in values.items()}
    return Facts(1, "p", "r", "", group, "", tags, "running", 1, 0, 0, named)


@pytest.mark.parametrize(
    ("changed", "is_same"),
    [
        ({"config__lr": 0.3}, True),  # that is what people want to know about
        ({"config__seed": 7}, True),
        ({"meta__git__commit": "other"}, True),
        ({"config__batch_size": 64}, False),
        ({"config__trainer/max_steps": 500}, False),
        ({"meta__gpu__names": ["B200"]}, False),
        ({"meta__cpu__model": "another"}, False),
        ({"config__precision": "bf16"}, False),
        ({"meta__env__WORLD_SIZE": "16"}, False),
    ],
)
def test_what_makes_another_family(changed: dict[str, Any], is_same: bool) -> None:
    usual: dict[str, Any] = {
        "config__lr": 0.1, "config__seed": 1, "config__batch_size": 32, "config__trainer/max_steps": 100,
        "config__precision": "fp32", "meta__gpu__names": ["H100"], "meta__cpu__model": "a cpu",
        "meta__git__commit": "c0ffee", "meta__env__WORLD_SIZE": "8",
    }  # fmt: skip
    assert (family_of(facts(**usual)).id == family_of(facts(**usual | changed)).id) is is_same


def test_without_a_group_the_script_and_the_task_decide() -> None:
    mlp = family_of(facts("", meta__script="/home/a/train.py", config__model="mlp"))
    assert mlp.id == family_of(facts("", meta__script="/home/b/train.py", config__model="mlp")).id
    assert mlp.id != family_of(facts("", meta__script="/home/a/eval.py", config__model="mlp")).id
    assert mlp.id != family_of(facts("", meta__script="/home/a/train.py", config__model="cnn")).id
    assert family_of(facts(config__model="mlp")).id == family_of(facts(config__model="cnn")).id


def test_the_fields_can_be_chosen() -> None:
    family = family_of(facts(tags=("prod",), config__lr=0.1, config__batch_size=2), ["config.lr", "tags", "meta.none"])
    assert family.fields == {"project": "p", "group": "g", "config.lr": 0.1, "tags": ["prod"]}
    assert '"config.lr": 0.1' in family.text


def test_goals_are_as_defined_else_by_name() -> None:
    found = goals(
        ["val/loss", "reward", "lr", "score", "system/cpu_percent", "system/gpu/0/percent"],
        {"*/loss": "maximize"},
        {"score": "minimize", "val/loss": "minimize"},
    )
    assert found["val/loss"] == "maximize"  # the run's own glob comes before its baselines' definitions
    assert found["score"] == "minimize"
    assert found["reward"] == "maximize"
    assert found["system/gpu/0/percent"] == "maximize"
    assert "lr" not in found and "system/cpu_percent" not in found


def test_a_name_is_stronger_than_a_glob_and_the_last_glob_counts() -> None:
    assert defined({"*": 1, "val/*": 2, "val/loss": 3}, "val/loss") == 3
    assert defined({"*": 1, "val/*": 2}, "val/loss") == 2
    assert defined({"val/*": 2}, "loss") is None


@pytest.mark.parametrize(
    ("known", "explicit", "configured", "expected"),
    [
        (["train/loss", "val/loss", "val/acc"], [], "", "val/loss"),
        (["train/loss", "val/acc"], [], "", "val/acc"),
        (["train/loss", "val/loss", "val/acc"], ["val/acc"], "", "val/acc"),
        (["train/loss", "val/loss"], ["val/loss"], "train/loss", "train/loss"),
        (["train/loss"], [], "not/there", "train/loss"),
        ([], [], "", ""),
    ],
)
def test_the_primary_metric(known: list[str], explicit: list[str], configured: str, expected: str) -> None:
    assert primary(dict.fromkeys(known, "minimize"), explicit, configured) == expected


def candidates(count: int, alarmed: tuple[int, ...] = ()) -> list[Candidate]:
    """The newest first, as storage gives them."""
    return [Candidate(run, f"r{run}", (), run * 1000, run in alarmed) for run in range(count, 0, -1)]


def test_the_latest_healthy_runs_are_the_baseline() -> None:
    assert choose(candidates(30), [], {}, own=0) == list(range(30 - MEMBERS_MAX + 1, 31))
    assert choose(candidates(5), [], {}, own=3) == [1, 2, 4, 5]


def test_people_have_the_last_word() -> None:
    runs = candidates(5, alarmed=(2, 4))
    assert choose(runs, [], {}, own=0) == [1, 3, 5]
    assert choose(runs, [], {"accept": ["r4"], "exclude": ["r1"]}, own=0) == [3, 4, 5]
    assert choose(runs, candidates(2), {"run": ["r1", "r2"], "exclude": ["r2"]}, own=0) == [1]
