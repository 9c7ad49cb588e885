"""Config and summary: nested, with attributes, and an event for each change."""

import argparse
import dataclasses
import enum
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtide.mapping import Config
from runtide.plain import plain


class Colour(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Options:
    lr: float = 0.1
    layers: tuple[int, ...] = (1, 2)


@pytest.fixture
def events() -> list[dict[str, Any]]:
    return []


@pytest.fixture
def config(events: list[dict[str, Any]]) -> Config:
    return Config(events.append)


def test_access(config: Config) -> None:
    config.lr = 0.1
    config["model"] = {"depth": 3, "head": {"name": "mlp"}}
    config["model/width"] = 8
    assert (config["lr"], config.model.depth, config["model"]["head"].name, config["model/head/name"]) == (
        0.1,
        3,
        "mlp",
        "mlp",
    )
    assert list(config) == ["lr", "model"] and len(config) == 2 and "model" in config and "other" not in config
    assert config.get("other", 5) == 5
    assert config.as_dict() == {"lr": 0.1, "model": {"depth": 3, "head": {"name": "mlp"}, "width": 8}}
    with pytest.raises(AttributeError):
        _ = config.other
    with pytest.raises(KeyError):
        _ = config["other"]


def test_each_change_is_one_event(config: Config, events: list[dict[str, Any]]) -> None:
    config.update({"a": 1, "b": {"c": 2, "d": 3}}, e=4)
    config.b.c = 5
    config.a = 1
    config.a = 1.0
    config.a = True
    config.b = {"d": 3, "f": 6}
    config.b = 7
    config["b"] = {"g": 8}
    del config.b
    config.setdefault("a", 9)
    config.pop("e")
    assert events == [
        {"a": 1, "b/c": 2, "b/d": 3, "e": 4},
        {"b/c": 5},
        {"a": 1.0},
        {"a": True},
        {"b/c": None, "b/f": 6},
        {"b/d": None, "b/f": None, "b": 7},
        {"b": None, "b/g": 8},
        {"b/g": None},
        {"e": None},
    ]


def test_update_merges_nested_parts(config: Config) -> None:
    config.update({"model": {"depth": 3}})
    config.update({"model": {"width": 8}}, allow_val_change=True)
    assert config.model.as_dict() == {"depth": 3, "width": 8}


def test_a_list_that_was_changed_in_place_is_told_again(config: Config, events: list[dict[str, Any]]) -> None:
    layers = [1]
    config.layers = layers
    layers.append(2)
    config.layers = layers
    assert events == [{"layers": [1]}, {"layers": [1, 2]}]


def test_secrets_are_not_told(config: Config, events: list[dict[str, Any]]) -> None:
    config.update({"db": {"password": "x", "url": "pg://u:p@h/d"}, "api_key": "k", "max_tokens": 5})
    assert events == [{"db/password": "***", "db/url": "pg://***@h/d", "api_key": "***", "max_tokens": 5}]
    assert config.db.password == "x"
    config.update({"https://u:p@h": 1})
    del config["https://u:p@h"]
    assert events[1:] == [{"https://***@h": 1}, {"https://***@h": None}]


def test_values_that_share_parts_come_to_an_end(config: Config, events: list[dict[str, Any]]) -> None:
    shared: Any = [1]
    for _ in range(12):
        shared = [shared] * 9  # 9^12 values as a tree
    nested: Any = {"x": 1}
    for _ in range(14):
        nested = {str(number): nested for number in range(5)}
    config.update({"lists": shared, "dicts": nested, "after": 1})
    assert len(events) == 1


def test_what_people_call_a_config(config: Config) -> None:
    config.update(argparse.Namespace(seed=1))
    config.update(Options())
    config.update([("pairs", 2)])
    assert config.as_dict() == {"seed": 1, "lr": 0.1, "layers": (1, 2), "pairs": 2}


class Hostile:
    shape = "none"

    def __str__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("value", "json"),
    [
        (float("nan"), "NaN"), (float("-inf"), "-Infinity"), (2**70, str(2**70)), ((1, "a"), [1, "a"]),
        ({3, 1}, [1, 3]),
        (Path("/x"), "/x"), (Colour.RED, "red"), (Options(), {"lr": 0.1, "layers": [1, 2]}), (np.float32(0.5), 0.5),
        (np.arange(3), [0, 1, 2]), (np.zeros((100, 100)), "ndarray of float64 (100, 100)"), (b"abc", "3 bytes"),
        (int, "builtins.int"), (Hostile(), "<Hostile>"), ("x" * 70_000, "x" * 65_536 + "... (70000 characters)"),
        ("\ud800", "?"), ({1: {"a": None}}, {"1": {"a": None}}),
    ],
)  # fmt: skip
def test_any_value_becomes_json(value: Any, json: Any) -> None:
    assert plain(value) == json


def test_values_without_end_are_cut() -> None:
    deep: list[Any] = []
    deep.append(deep)
    assert "<list>" in str(plain(deep))
    found = plain(range(10**9))
    assert found == "range(0, 1000000000)"
    cut = plain(list(range(20_000)))
    assert isinstance(cut, list) and len(cut) == 10_000
