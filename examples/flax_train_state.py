"""Flax: a TrainState whose metrics are logged without waiting for the device.

Needs `pip install jax flax optax`; `python examples/flax_train_state.py`, then `runtide curves`.
"""

import jax
import jax.numpy as jnp
import optax
from flax import linen
from flax.training.train_state import TrainState

import runtide
from runtide.integrations.jax import Metrics


class Network(linen.Module):
    @linen.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return linen.Dense(1)(linen.relu(linen.Dense(16)(x)))[:, 0]


@jax.jit
def train_step(state: TrainState, x: jax.Array, y: jax.Array) -> tuple[TrainState, dict[str, jax.Array]]:
    def loss_of(params: object) -> jax.Array:
        return jnp.mean((state.apply_fn(params, x) - y) ** 2)

    loss, gradients = jax.value_and_grad(loss_of)(state.params)
    return state.apply_gradients(grads=gradients), {"loss": loss, "gradient_norm": optax.tree.norm(gradients)}


def main() -> None:
    config = {"lr": 0.05, "steps": 200}
    x = jax.random.normal(jax.random.key(0), (256, 4))
    y = jnp.sin(x).sum(axis=1)
    network = Network()
    params = network.init(jax.random.key(1), x)
    state = TrainState.create(apply_fn=network.apply, params=params, tx=optax.adam(config["lr"]))
    with runtide.init(project="flax", config=config) as run, Metrics(run) as metrics:
        run.define_metric("loss", goal="minimize")
        for step in range(config["steps"]):
            state, found = train_step(state, x, y)
            metrics.log(found, step=step)


if __name__ == "__main__":
    main()
