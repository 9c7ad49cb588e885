"""JAX, Flax and Optax: metrics of a jitted step are logged when they are ready, in order, without waiting."""

import runpy
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import runtide
from tests.fixtures.journals import BARE, journal, journals

jax: Any = pytest.importorskip("jax", reason="jax is not installed: make test-libraries")
jnp: Any = pytest.importorskip("jax.numpy", reason="jax is not installed: make test-libraries")
optax: Any = pytest.importorskip("optax", reason="optax is not installed: make test-libraries")
train_state: Any = pytest.importorskip("flax.training.train_state", reason="flax is not installed: make test-libraries")
linen: Any = pytest.importorskip("flax.linen", reason="flax is not installed: make test-libraries")

STEPS = 20
X = np.random.default_rng(0).normal(size=(16, 3)).astype("float32")
Y = X @ np.array([1.0, -2.0, 0.5], dtype="float32")


@pytest.fixture
def run(tmp_path: Path) -> Iterator[runtide.Run]:
    run = runtide.init("jax", dir=tmp_path, settings=BARE)
    yield run
    run.finish()


def new_state() -> Any:
    model = linen.Dense(1)
    params = model.init(jax.random.key(0), X)
    return train_state.TrainState.create(apply_fn=model.apply, params=params, tx=optax.sgd(0.1))


@jax.jit  # type: ignore[untyped-decorator]
def train_step(state: Any, x: Any, y: Any) -> tuple[Any, Any]:
    def loss_of(params: Any) -> Any:
        return jnp.mean((state.apply_fn(params, x)[:, 0] - y) ** 2)

    loss, gradients = jax.value_and_grad(loss_of)(state.params)
    return state.apply_gradients(grads=gradients), {"loss": loss, "norms": [optax.tree.norm(gradients)]}


def test_a_train_state_of_flax(run: runtide.Run, tmp_path: Path) -> None:
    from runtide.integrations.jax import Metrics

    state, found = new_state(), []
    with Metrics() as metrics:
        for _ in range(STEPS):
            step = int(state.step)
            state, values = train_step(state, X, Y)
            metrics.log(values, step=step)
            found.append(values)
    written = journal(tmp_path)
    assert written.points("loss") == [(step, float(values["loss"])) for step, values in enumerate(found)]
    assert written.points("norms/0") == [(step, float(values["norms"][0])) for step, values in enumerate(found)]


def test_a_training_that_goes_on(run: runtide.Run, tmp_path: Path) -> None:
    from runtide.integrations.jax import Metrics

    state = new_state()
    for _ in range(2):
        with Metrics(run) as metrics:
            for _ in range(3):
                state, values = train_step(state, X, Y)
                metrics.log(values, step=int(state.step))
    assert [step for step, _ in journal(tmp_path).points("loss")] == [1, 2, 3, 4, 5, 6]


class Late:
    """A device's value that is not there until it is."""

    def __init__(self, value: float) -> None:
        self.value = value
        self.ready = False
        self.waited_for = False

    def is_ready(self) -> bool:
        return self.ready

    def item(self) -> float:
        self.waited_for = not self.ready
        return self.value


def test_nothing_waits_for_the_device(run: runtide.Run, tmp_path: Path) -> None:
    from runtide.integrations.jax import Metrics

    metrics = Metrics(pending_max=3)
    values = [Late(float(number)) for number in range(5)]
    before = time.time()
    for number, value in enumerate(values[:3]):
        metrics.log({"x": value}, step=number)
    assert journal(tmp_path).points("x") == []
    values[0].ready = values[1].ready = True
    metrics.log({"x": values[3]}, step=3)
    assert journal(tmp_path).points("x") == [(0, 0.0), (1, 1.0)]
    metrics.log({"x": values[4]}, step=4)
    assert not any(value.waited_for for value in values)
    metrics.log({"x": 5.0}, step=5)  # four would be pending: the oldest is waited for
    assert values[2].waited_for and not values[3].waited_for
    metrics.close()
    assert journal(tmp_path).points("x") == [(step, float(step)) for step in range(6)]
    times = [line["t"] / 1e9 for line in journal(tmp_path).lines if "m" in line]
    assert times == sorted(times) and times[0] >= before - 1e-3


def test_low_precision_and_not_a_number(run: runtide.Run, tmp_path: Path) -> None:
    from runtide.integrations.jax import Metrics

    with Metrics() as metrics:
        metrics.log({"half": jnp.bfloat16(1.5), "nan": jnp.float32(jnp.nan), "count": jnp.int32(3)})
    [(step, values)] = journal(tmp_path).metrics
    assert (step, values) == (0, {"count": 3, "half": 1.5, "nan": "NaN"})


def test_a_training_that_fails_keeps_what_was_ready_or_not(tmp_path: Path) -> None:
    from runtide.integrations.jax import Metrics

    def fails() -> None:
        with runtide.init("jax", dir=tmp_path, settings=BARE), Metrics() as metrics:
            metrics.log({"loss": jnp.float32(0.5)}, step=0)
            raise MemoryError

    with pytest.raises(MemoryError):
        fails()
    [written] = journals(tmp_path)
    assert written.points("loss") == [(0, 0.5)]
    assert written.events("finish")[0]["state"] == "failed"


def test_the_example_learns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**BARE, "dir": tmp_path}.items():
        monkeypatch.setenv(f"RUNTIDE_{name.upper()}", str(value))
    runpy.run_path(str(Path(__file__).parents[2] / "examples" / "flax_train_state.py"), run_name="__main__")
    course = [value for _, value in journal(tmp_path).points("loss")]
    assert len(course) == 200 and course[-1] < course[0] / 2
