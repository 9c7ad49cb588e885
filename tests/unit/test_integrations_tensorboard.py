"""The SummaryWriter; tests/libraries compares its signatures and numbers with torch's own."""

import math
from pathlib import Path

import numpy as np
import pytest

import runtide
from runtide.integrations.tensorboard import SummaryWriter
from tests.fixtures.journals import BARE, journal, journals


def test_scalars_and_what_else_are_numbers(tmp_path: Path) -> None:
    with SummaryWriter("logs/first", project="board", dir=tmp_path, settings=BARE) as writer:
        for step in range(3):
            writer.add_scalar("loss", np.float32(1 / (step + 1)), step)
        writer.add_scalar("loss", math.nan, 3, walltime=1_700_000_000.5)
        writer.add_scalars("both", {"train": 1.0, "test": 2.0}, 3)
        writer.add_scalar("counted", 1.0)
        writer.add_hparams({"lr": 0.1, "optimizer": "adam"}, {"hparam/accuracy": 0.9}, global_step=3)
        writer.add_histogram("weights", np.arange(5.0), 3)
    written = journal(tmp_path)
    assert written.points("loss")[:3] == [(step, float(np.float32(1 / (step + 1)))) for step in range(3)]
    assert math.isnan(written.points("loss")[3][1])
    assert [line["t"] for line in written.lines if line.get("m") == {"loss": "NaN"}] == [1_700_000_000_500_000_000]
    assert written.points("both/test") == [(3, 2.0)]
    assert written.points("counted") == [(4, 1.0)]
    assert written.values("config") == {"lr": 0.1, "optimizer": "adam"}
    assert written.points("hparam/accuracy") == [(3, 0.9)]
    assert written.points("weights/p50") == [(3, 2.0)]
    assert written.events("start")[0]["name"] == "first"
    assert written.events("finish")[0]["state"] == "finished"


def test_pictures_and_texts_are_described(tmp_path: Path) -> None:
    run = runtide.init("board", dir=tmp_path, settings=BARE)
    writer = SummaryWriter()
    writer.add_text("words", "hello")
    writer.add_image("picture", np.zeros((3, 4, 5)), 1)
    writer.add_images("pictures", np.zeros((2, 6, 7, 3)), 1, dataformats="NHWC")
    writer.add_audio("sound", np.zeros((1, 100)), 2, sample_rate=8000)
    writer.add_video("film", np.zeros((1, 2, 3, 4, 5)))
    writer.add_pr_curve("pr", np.array([1, 0, 1]), np.array([0.9, 0.8, 0.1]), 2)
    writer.add_graph("Linear(2, 3)")
    writer.add_custom_scalars({})
    writer.flush()
    writer.close()
    run.log({"after": 1.0})  # the run was not the writer's, and goes on
    summary = journal(tmp_path).values("summary")
    assert summary["words"] == "hello"
    assert (summary["picture/width"], summary["picture/height"], summary["picture/step"]) == (5, 4, 1)
    assert (summary["pictures/width"], summary["pictures/count"]) == (7, 2)
    assert summary["sound/sample_rate"] == 8000 and summary["sound/shape"] == [1, 100]
    assert summary["pr/data"] == [[1.0, 0.0], [1.0, 0.5], [0.5, 0.5], [2 / 3, 1.0]]
    assert summary["graph"] == "Linear(2, 3)"
    assert journal(tmp_path).points("after")
    run.finish()


def test_a_run_that_fails_and_one_that_goes_on(tmp_path: Path) -> None:
    def fails() -> None:
        with SummaryWriter("x", id="same", dir=tmp_path, settings=BARE) as writer:
            writer.add_scalar("loss", 1.0, 0)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    with SummaryWriter("x", id="same", dir=tmp_path, purge_step=1, settings=BARE) as writer:
        writer.add_scalar("loss", 0.5, 1)
        assert writer.run.resumed
    first, second = journals(tmp_path)
    assert (first.points("loss"), second.points("loss")) == ([(0, 1.0)], [(1, 0.5)])
    assert [each.events("finish")[0]["state"] for each in (first, second)] == ["failed", "finished"]


def test_what_can_not_be_described_is_told_and_not_raised(tmp_path: Path) -> None:
    with SummaryWriter("x", dir=tmp_path, settings=BARE) as writer:
        writer.add_image("no picture", object(), 1)
        writer.add_histogram("no numbers", "text", 1)
    assert sum(drop["count"] for drop in journal(tmp_path).events("drops")) == 2
