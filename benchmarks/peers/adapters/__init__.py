"""The peers, in the order of the tables, and those that can be asked to begin while their server is away."""

from __future__ import annotations

from benchmarks.peers.adapters.aim import Aim, AimServer
from benchmarks.peers.adapters.clearml import ClearML, ClearMLOnline
from benchmarks.peers.adapters.comet import Comet, CometOnline
from benchmarks.peers.adapters.floor import Floor
from benchmarks.peers.adapters.mlflow import MlflowFile, MlflowServer, MlflowSqlite
from benchmarks.peers.adapters.neptune import Neptune, NeptuneOnline
from benchmarks.peers.adapters.pluto import PlutoServer
from benchmarks.peers.adapters.runtide import Runtide, RuntideOnline
from benchmarks.peers.adapters.swanlab import SwanLab, SwanLabOnline
from benchmarks.peers.adapters.tensorboard import TensorBoard, TensorBoardX
from benchmarks.peers.adapters.trackio import Trackio, TrackioServer
from benchmarks.peers.adapters.wandb import Wandb, WandbOnline
from benchmarks.peers.protocol import Adapter

PEERS: dict[str, type[Adapter]] = {
    "floor": Floor,
    "runtide": Runtide,
    "wandb": Wandb,
    "mlflow-file": MlflowFile,
    "mlflow-sqlite": MlflowSqlite,
    "aim": Aim,
    "trackio": Trackio,
    "tensorboard": TensorBoard,
    "tensorboardx": TensorBoardX,
    "swanlab": SwanLab,
    "neptune": Neptune,
    "clearml": ClearML,
    "comet": Comet,
}
DOWN: dict[str, type[Adapter]] = {
    "runtide-online": RuntideOnline,
    "wandb-online": WandbOnline,
    "mlflow-server": MlflowServer,
    "aim-server": AimServer,
    "trackio-server": TrackioServer,
    "swanlab-online": SwanLabOnline,
    "neptune-online": NeptuneOnline,
    "clearml-online": ClearMLOnline,
    "comet-online": CometOnline,
    "pluto-server": PlutoServer,
}
