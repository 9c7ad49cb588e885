"""No tracker at all: the cheapest thing that keeps a call through SIGKILL. What others cost above it is their own."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from importlib import import_module

from benchmarks.peers.protocol import Adapter, Log, Point


class Floor(Adapter):
    title = "floor: orjson + os.write"
    venv = "floor"
    distribution = "orjson"
    statement = "import orjson"
    reader = "orjson, line by line"

    def init(self, run: str) -> Log:
        orjson = import_module("orjson")
        self.fd = os.open(self.folder / f"{run}.jsonl", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        fd, clock, dumps, write, newline = self.fd, time.time_ns, orjson.dumps, os.write, orjson.OPT_APPEND_NEWLINE
        return lambda step, data: write(fd, dumps({"t": clock(), "s": step, "m": data}, None, newline))

    def finish(self) -> None:
        os.close(self.fd)

    def read(self, run: str, names: Iterable[str]) -> Iterator[Point]:
        loads, wanted = import_module("orjson").loads, set(names)
        with (self.folder / f"{run}.jsonl").open("rb") as lines:
            for line in map(loads, lines):
                for name, value in line["m"].items():
                    if name in wanted:
                        yield name, line["s"], value
