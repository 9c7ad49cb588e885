"""Lightning's Trainer with our logger: the journal holds what Lightning's own CSVLogger writes."""

import csv
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import runtide
from tests.fixtures.journals import BARE, Written, journal, journals

torch: Any = pytest.importorskip("torch", reason="torch is not installed: make test-libraries")
lightning: Any = pytest.importorskip("lightning.pytorch", reason="lightning is not installed: make test-libraries")
loggers: Any = pytest.importorskip(
    "lightning.pytorch.loggers", reason="lightning is not installed: make test-libraries"
)
callbacks: Any = pytest.importorskip("lightning.pytorch.callbacks", reason="see above: make test-libraries")


@pytest.fixture
def run(tmp_path: Path) -> Iterator[runtide.Run]:
    run = runtide.init("lightning", dir=tmp_path / "journal", settings=BARE)
    yield run
    run.finish()


class Model(lightning.LightningModule):  # type: ignore[misc]
    def __init__(self, lr: float = 0.1, fails_at: int | None = None) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.layer = torch.nn.Linear(2, 1)

    def _loss(self, batch: Any) -> Any:
        [x] = batch
        return (self.layer(x) - 1).pow(2).mean()

    def training_step(self, batch: Any, index: int) -> Any:
        if self.hparams.fails_at == self.global_step:
            raise RuntimeError("out of memory")
        loss = self._loss(batch)
        self.log("train_loss", loss, on_step=True, on_epoch=True)
        return loss

    def validation_step(self, batch: Any, index: int) -> None:
        self.log("val_loss", self._loss(batch))

    def test_step(self, batch: Any, index: int) -> None:
        self.log("test_loss", self._loss(batch))

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=self.hparams.lr)


def data() -> Any:
    torch.manual_seed(0)
    return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.randn(12, 2)), batch_size=3)


def trainer(directory: Path, logger: Any, **options: Any) -> Any:
    warnings.filterwarnings("ignore", message=".*num_workers.*|.*tensorboard.*|.*Checkpoint directory.*")
    options = {"max_epochs": 2, **options}
    return lightning.Trainer(
        logger=[logger, loggers.CSVLogger(directory, name="", version="csv")], default_root_dir=directory,
        log_every_n_steps=1, accelerator="cpu", enable_progress_bar=False, enable_model_summary=False, **options,
    )  # fmt: skip


def theirs(directory: Path) -> dict[str, list[tuple[int, float]]]:
    """What the CSVLogger wrote: name -> (step, value)."""
    found: dict[str, list[tuple[int, float]]] = {}
    with open(directory / "csv" / "metrics.csv", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            for name, value in row.items():
                if name != "step" and value != "":
                    found.setdefault(name, []).append((int(row["step"]), float(value)))
    return found


def assert_equal(written: Written, expected: dict[str, list[tuple[int, float]]]) -> None:
    assert expected
    for name, points in expected.items():
        assert sorted(written.points(name)) == sorted(points), name


def test_fit_and_test(run: runtide.Run, tmp_path: Path) -> None:
    from runtide.integrations.lightning import RuntideLogger

    fitting = trainer(tmp_path, RuntideLogger())
    model = Model()
    fitting.fit(model, data(), data())
    fitting.test(model, data(), verbose=False)
    written = journal(tmp_path / "journal")
    expected = theirs(tmp_path)
    assert {"train_loss_step", "train_loss_epoch", "val_loss", "test_loss", "epoch"} <= expected.keys()
    assert_equal(written, expected)
    assert written.values("config")["lr"] == 0.1
    assert not written.events("finish")  # it is the script's to finish


def test_checkpoints_and_a_fit_that_goes_on(run: runtide.Run, tmp_path: Path) -> None:
    from runtide.integrations.lightning import WandbLogger

    saving = callbacks.ModelCheckpoint(tmp_path / "checkpoints", monitor="val_loss", save_last=True)
    logger = WandbLogger(log_model=True)
    first = trainer(tmp_path / "first", logger, callbacks=[saving])
    first.fit(Model(), data(), data())
    second = trainer(tmp_path / "second", logger, max_epochs=3, enable_checkpointing=False)
    second.fit(Model(), data(), data(), ckpt_path=str(tmp_path / "checkpoints" / "last.ckpt"))
    run.finish()
    written = journal(tmp_path / "journal")
    expected = theirs(tmp_path / "first")
    for name, points in theirs(tmp_path / "second").items():
        expected.setdefault(name, []).extend(points)
    assert_equal(written, expected)
    assert [step for step, _ in written.points("train_loss_step")] == list(range(12))
    summary = written.values("summary")
    assert summary["best_model_path"] == saving.best_model_path
    assert summary["best_model_score"] == float(saving.best_model_score)
    paths = {event["path"] for event in written.events("artifact")}
    assert {saving.best_model_path, saving.last_model_path} <= paths


def test_a_fit_that_fails_is_a_failed_run(tmp_path: Path) -> None:
    from runtide.integrations.lightning import RuntideLogger

    runtide.finish()
    logger = RuntideLogger(project="lightning", id="fails", save_dir=tmp_path / "journal", settings=BARE)
    assert (logger.name, logger.version) == ("lightning", "fails")
    with pytest.raises(RuntimeError, match="out of memory"):
        trainer(tmp_path, logger).fit(Model(fails_at=3), data(), data())
    [written] = journals(tmp_path / "journal")
    assert [step for step, _ in written.points("train_loss_step")] == [0, 1, 2]
    assert written.events("finish")[0]["state"] == "failed"


def test_only_the_first_rank_logs(run: runtide.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from runtide.integrations.lightning import RuntideLogger

    monkeypatch.setattr(lightning.utilities.rank_zero_only, "rank", 1)
    logger = RuntideLogger()
    logger.log_metrics({"loss": 1.0}, 0)
    logger.log_hyperparams({"lr": 0.1})
    assert journal(tmp_path / "journal").metrics == []
    assert "lr" not in journal(tmp_path / "journal").values("config")
