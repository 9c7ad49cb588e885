"""torch: its SummaryWriter beside ours, gradients that are watched, and tensors in histograms and images."""

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import runtide
from runtide.integrations.tensorboard import SummaryWriter
from runtide.media import Histogram, Image
from tests.fixtures.journals import BARE, journal

torch: Any = pytest.importorskip("torch", reason="torch is not installed: make test-libraries")
board: Any = pytest.importorskip("torch.utils.tensorboard", reason="tensorboard is not installed: make test-libraries")
events: Any = pytest.importorskip(
    "tensorboard.backend.event_processing.event_accumulator", reason="tensorboard is not installed: make test-libraries"
)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[runtide.Run]:
    run = runtide.init("torch", dir=tmp_path / "journal", settings=BARE)
    yield run
    run.finish()


def test_the_writer_has_the_methods_of_torch_s_with_their_arguments() -> None:
    theirs = {
        name: each for name, each in inspect.getmembers(board.SummaryWriter, inspect.isfunction) if name[0] != "_"
    }
    assert len(theirs) > 20
    for name, method in {**theirs, "__init__": board.SummaryWriter.__init__}.items():
        wanted = list(inspect.signature(method).parameters.values())
        ours = list(inspect.signature(getattr(SummaryWriter, name)).parameters.values())[: len(wanted)]
        assert [(each.name, each.default) for each in ours] == [(each.name, each.default) for each in wanted], name


def test_what_tensorboard_reads_is_what_the_journal_holds(run: runtide.Run, tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    with board.SummaryWriter(tmp_path / "board") as theirs, SummaryWriter(tmp_path / "board") as ours:
        for step in range(5):
            loss = torch.rand((), generator=generator)
            for writer in (theirs, ours):
                writer.add_scalar("loss", loss, step, walltime=1_700_000_000 + step)
    read = events.EventAccumulator(str(tmp_path / "board")).Reload()
    written = journal(tmp_path / "journal")
    assert written.points("loss") == [(each.step, each.value) for each in read.Scalars("loss")]
    assert [line["t"] / 1e9 for line in written.lines if "m" in line] == [
        each.wall_time for each in read.Scalars("loss")
    ]


def test_watched_gradients(run: runtide.Run, tmp_path: Path) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.ReLU(), torch.nn.Linear(2, 1))
    run.watch(model, log="all", log_freq=2)
    expected = []
    for step in range(4):
        model.zero_grad()
        model(torch.full((4, 3), float(step + 1))).sum().backward()
        norms = {name: float(each.grad.norm()) for name, each in model.named_parameters()}
        total = float(torch.cat([each.grad.flatten() for each in model.parameters()]).norm())
        if step % 2 == 0:
            expected.append((step, norms, total))
        run.log({"step": float(step)})
    run.unwatch(model)
    model(torch.ones(4, 3)).sum().backward()
    written = journal(tmp_path / "journal")
    for name, _ in model.named_parameters():
        assert written.points(f"gradients/{name}") == [(step, norms[name]) for step, norms, _ in expected]
    assert [step for step, _ in written.points("gradients/norm")] == [0, 2]
    totals = [value for _, value in written.points("gradients/norm")]
    assert totals == pytest.approx([total for *_, total in expected], rel=1e-6)
    assert [step for step, _ in written.points("parameters/0.weight")] == [0, 2]
    assert [step for step, _ in written.points("step")] == [0, 1, 2, 3]  # watching takes no step of its own


def test_parameters_without_gradients_do_not_hold_up_the_others(run: runtide.Run, tmp_path: Path) -> None:
    model = torch.nn.ModuleDict({"used": torch.nn.Linear(2, 1), "unused": torch.nn.Linear(2, 1)})
    run.watch(model, log_freq=1)
    for _ in range(3):
        model.zero_grad()
        model["used"](torch.ones(1, 2)).sum().backward()
        run.log({"x": 0.0})
    assert len(journal(tmp_path / "journal").points("gradients/used.weight")) == 2  # the last one with the next pass


def test_what_is_no_model_is_told_and_not_raised(run: runtide.Run, tmp_path: Path) -> None:
    run.watch("no model")
    run.finish()
    [drop] = journal(tmp_path / "journal").events("drops")
    assert "can't be watched" in drop["reason"]


def test_tensors_in_histograms_and_images(run: runtide.Run, tmp_path: Path) -> None:
    weights = torch.arange(5.0, requires_grad=True)
    assert Histogram(weights).numbers() == Histogram([0, 1, 2, 3, 4]).numbers()
    assert Histogram(torch.tensor([1.5], dtype=torch.bfloat16)).numbers()["mean"] == 1.5
    run.log({"picture": Image(torch.zeros(3, 4, 5), caption="c"), "loss": torch.tensor(0.5, requires_grad=True)})
    summary = journal(tmp_path / "journal").values("summary")
    assert (summary["picture/width"], summary["picture/height"]) == (5, 4)
    assert journal(tmp_path / "journal").points("loss") == [(0, 0.5)]
