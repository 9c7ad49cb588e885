"""TensorBoard's event files, written by TensorBoard's own writer and by tensorboardX.

`tensorboard.summary.Writer` stands on the EventFileWriter that torch.utils.tensorboard uses as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib import import_module
from typing import Any

from benchmarks.peers.protocol import Adapter, Log, Point


class TensorBoard(Adapter):
    title = "TensorBoard"
    venv = "tensorboard"
    distribution = "tensorboard"
    statement = "from tensorboard.summary import Writer"
    reader = "EventAccumulator, without its limit of 10,000 points"

    def init(self, run: str) -> Log:
        self.writer: Any = self.open(str(self.folder / run))
        add = self.writer.add_scalar

        def log(step: int, data: dict[str, float]) -> None:
            for name, value in data.items():
                add(name, value, step)

        return log

    def open(self, directory: str) -> Any:
        return import_module("tensorboard.summary").Writer(directory)

    def finish(self) -> None:
        self.writer.close()

    def read(self, run: str, names: Iterable[str]) -> Iterator[Point]:
        """One of the two writers makes scalars, the other tensors of one number."""
        accumulator = import_module("tensorboard.backend.event_processing.event_accumulator").EventAccumulator
        events = accumulator(str(self.folder / run), size_guidance={"scalars": 0, "tensors": 0})
        events.Reload()
        scalars, tensors = set(events.Tags()["scalars"]), set(events.Tags()["tensors"])
        for name in names:
            if name in scalars:
                yield from ((name, event.step, event.value) for event in events.Scalars(name))
            elif name in tensors:
                for event in events.Tensors(name):
                    yield name, event.step, number(event.tensor_proto)


class TensorBoardX(TensorBoard):
    title = "tensorboardX"
    venv = "tensorboardx"
    distribution = "tensorboardX"
    statement = "from tensorboardX import SummaryWriter"
    reader = "TensorBoard's"

    def open(self, directory: str) -> Any:
        return import_module("tensorboardX").SummaryWriter(directory)


def number(tensor: Any) -> float:
    return float(import_module("tensorboard.util.tensor_util").make_ndarray(tensor))
