"""What fuzzing begins with, and what it once found, holds: without atheris, on any machine."""

import importlib

import pytest

from runtide_storage import Client
from tests.fuzz import filters
from tests.fuzz.targets import CORPUS, TARGETS, seeds


@pytest.mark.parametrize("name", [name for name in TARGETS if name != "filters"])
def test_every_known_input(name: str) -> None:
    target = importlib.import_module(f"tests.fuzz.{name}")
    for data in seeds(target, name):
        target.check(data)


def test_every_known_filter_on_the_engine(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filters, "client", client)
    monkeypatch.setattr(filters, "_run", set())
    for data in seeds(filters, "filters"):
        filters.check(data)


def test_the_corpus_belongs_to_targets() -> None:
    assert {path.name for path in CORPUS.iterdir()} <= set(TARGETS)
