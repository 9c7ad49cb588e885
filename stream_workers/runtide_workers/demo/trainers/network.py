"""A small neural network in plain numpy."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Network:
    """One hidden layer with ReLU, softmax on top, trained by Adam or plain gradient descent."""

    def __init__(self, inputs: int, hidden: int, outputs: int, rng: np.random.Generator) -> None:
        self.weights = [
            rng.normal(0, np.sqrt(2 / inputs), (inputs, hidden)),
            np.zeros(hidden),
            rng.normal(0, np.sqrt(2 / hidden), (hidden, outputs)),
            np.zeros(outputs),
        ]
        self.first = [np.zeros_like(w) for w in self.weights]
        self.second = [np.zeros_like(w) for w in self.weights]

    def probabilities(self, x: Array) -> tuple[Array, Array]:
        """(activations of the hidden layer, class probabilities) for rows of `x`."""
        w1, b1, w2, b2 = self.weights
        hidden = np.maximum(x @ w1 + b1, 0)
        scores = hidden @ w2 + b2
        scores = np.exp(scores - scores.max(axis=1, keepdims=True))
        return hidden, scores / scores.sum(axis=1, keepdims=True)

    def gradients(self, x: Array, labels: NDArray[np.int64]) -> tuple[float, float, list[Array]]:
        """(mean cross-entropy, accuracy, gradient of each weight) on one batch."""
        hidden, p = self.probabilities(x)
        loss = cross_entropy(p, labels)
        accuracy = float(np.mean(p.argmax(axis=1) == labels))
        d = p.copy()
        d[np.arange(len(labels)), labels] -= 1
        d /= len(labels)
        back = (d @ self.weights[2].T) * (hidden > 0)
        return loss, accuracy, [x.T @ back, back.sum(axis=0), hidden.T @ d, d.sum(axis=0)]

    def adam(self, gradients: list[Array], lr: float, step: int) -> None:
        for w, g, m, v in zip(self.weights, gradients, self.first, self.second, strict=True):
            m += 0.1 * (g - m)
            v += 0.001 * (g * g - v)
            w -= lr * (m / (1 - 0.9 ** (step + 1))) / (np.sqrt(v / (1 - 0.999 ** (step + 1))) + 1e-8)

    def descend(self, gradients: list[Array], lr: float) -> None:
        for w, g in zip(self.weights, gradients, strict=True):
            w -= lr * g


def cross_entropy(p: Array, labels: NDArray[np.int64]) -> float:
    with np.errstate(divide="ignore"):  # being certain of a wrong answer costs infinity
        return float(-np.mean(np.log(p[np.arange(len(labels)), labels])))
