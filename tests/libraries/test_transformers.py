"""Hugging Face's Trainer with our callback: the journal holds the Trainer's own log history."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import runtide
from tests.fixtures.journals import BARE, Written, journal, journals

torch: Any = pytest.importorskip("torch", reason="torch is not installed: make test-libraries")
pytest.importorskip("accelerate", reason="accelerate is not installed: make test-libraries")
transformers: Any = pytest.importorskip("transformers", reason="transformers is not installed: make test-libraries")


@pytest.fixture
def run(tmp_path: Path) -> Iterator[runtide.Run]:
    run = runtide.init("transformers", dir=tmp_path / "journal", settings=BARE)
    yield run
    run.finish()


class Data(torch.utils.data.Dataset):  # type: ignore[misc]
    def __len__(self) -> int:
        return 16

    def __getitem__(self, number: int) -> dict[str, Any]:
        tokens = torch.tensor([number % 7, (number * 3) % 7, 1, 2])
        return {"input_ids": tokens, "labels": tokens}


def new_trainer(directory: Path, callback: Any, **options: Any) -> Any:
    transformers.set_seed(0)
    config = transformers.GPT2Config(vocab_size=8, n_positions=4, n_embd=8, n_layer=1, n_head=2)
    options = {"max_steps": 6, "logging_steps": 1, "eval_strategy": "steps", "eval_steps": 3, "save_strategy": "no",
               **options}  # fmt: skip
    arguments = transformers.TrainingArguments(
        str(directory), per_device_train_batch_size=4, report_to=[], use_cpu=True, disable_tqdm=True, **options
    )
    model = transformers.GPT2LMHeadModel(config)
    return transformers.Trainer(model, arguments, train_dataset=Data(), eval_dataset=Data(), callbacks=[callback])


def assert_history(written: Written, history: list[dict[str, Any]]) -> None:
    expected: dict[str, list[tuple[int, float]]] = {}
    for entry in history:
        for name, value in entry.items():
            if name != "step":
                ours = f"eval/{name.removeprefix('eval_')}" if name.startswith("eval_") else f"train/{name}"
                expected.setdefault(ours, []).append((entry["step"], float(value)))
    assert {"train/loss", "eval/loss", "train/learning_rate"} <= expected.keys()
    for name, points in expected.items():
        assert written.points(name) == points, name


def test_training(run: runtide.Run, tmp_path: Path) -> None:
    from runtide.integrations.transformers import RuntideCallback

    trainer = new_trainer(tmp_path, RuntideCallback())
    trainer.train()
    written = journal(tmp_path / "journal")
    assert_history(written, trainer.state.log_history)
    config = written.values("config")
    assert config["max_steps"] == 6 and config["model/n_embd"] == 8


def test_checkpoints_the_best_and_training_that_goes_on(run: runtide.Run, tmp_path: Path) -> None:
    from runtide.integrations.transformers import RuntideCallback

    saving = {
        "save_strategy": "steps",
        "save_steps": 3,
        "load_best_model_at_end": True,
        "metric_for_best_model": "loss",
    }
    first = new_trainer(tmp_path, RuntideCallback(log_model=True), **saving)
    first.train()
    second = new_trainer(tmp_path, RuntideCallback(), max_steps=9)
    second.train(resume_from_checkpoint=str(tmp_path / "checkpoint-6"))
    run.finish()
    written = journal(tmp_path / "journal")
    assert [step for step, _ in written.points("train/loss")] == list(range(1, 10))
    again = [entry["loss"] for entry in second.state.log_history if "loss" in entry]
    assert [value for _, value in written.points("train/loss")] == again
    assert written.values("summary")["best_metric"] == first.state.best_metric
    goals = {each["name"]: each["goal"] for each in written.events("define_metric")}
    assert goals["eval/loss"] == "minimize"
    places = {event["path"] for event in written.events("artifact")}
    assert places == {str(tmp_path / "checkpoint-3"), str(tmp_path / "checkpoint-6")}


def test_a_training_that_fails_keeps_its_steps(tmp_path: Path) -> None:
    from runtide.integrations.transformers import RuntideCallback

    class Fails(transformers.TrainerCallback):  # type: ignore[misc]
        def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step == 3:
                raise MemoryError

    def fails() -> None:
        with runtide.init("transformers", dir=tmp_path / "journal", settings=BARE):
            trainer = new_trainer(tmp_path, RuntideCallback())
            trainer.add_callback(Fails())
            trainer.train()

    with pytest.raises(MemoryError):
        fails()
    [written] = journals(tmp_path / "journal")
    assert [step for step, _ in written.points("train/loss")] == [1, 2, 3]
    assert written.events("finish")[0]["state"] == "failed"


def test_other_processes_than_the_main_one_log_nothing(run: runtide.Run, tmp_path: Path) -> None:
    from runtide.integrations.transformers import RuntideCallback

    state = transformers.TrainerState(is_world_process_zero=False)
    callback = RuntideCallback()
    callback.on_train_begin(None, state, None)
    callback.on_log(None, state, None, {"loss": 1.0})
    callback.on_train_end(None, state, None)
    assert journal(tmp_path / "journal").metrics == []
