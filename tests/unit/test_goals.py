"""What a metric's name says of it."""

import pytest

from runtide_storage.goals import is_held_out


@pytest.mark.parametrize(
    "metric", ["val_loss", "valLoss", "eval/accuracy", "test/f1", "validation_0-logloss", "dev.em"]
)
def test_metrics_of_data_that_is_not_trained_on(metric: str) -> None:
    assert is_held_out(metric)


@pytest.mark.parametrize(
    "metric", ["loss", "train/loss", "value_loss", "std_deviation", "device/temperature", "latest"]
)
def test_other_metrics(metric: str) -> None:
    assert not is_held_out(metric)
