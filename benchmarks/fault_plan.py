"""Which part is harmed when, and how: a schedule from a seed."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Part = Literal["trainer", "shipper", "worker", "broker 1", "broker 2", "broker 3", "clickhouse"]
Kind = Literal["SIGKILL", "SIGSTOP"]
PARTS: tuple[Part, ...] = ("trainer", "shipper", "worker", "broker 1", "broker 2", "broker 3", "clickhouse")
KINDS: tuple[Kind, ...] = ("SIGKILL", "SIGSTOP")


@dataclass(frozen=True)
class Fault:
    """`stopped_s`: how long it sleeps, 0 if it is killed. `pick` (0 to 1) chooses among several of a part."""

    part: Part
    kind: Kind
    stopped_s: float
    pick: float

    def __str__(self) -> str:
        return f"{self.part} {self.kind}" + (f" {self.stopped_s:.1f} s" if self.stopped_s else "")


def schedule(seed: int, faults: int, stop_s_max: float) -> list[Fault]:
    """`faults` faults. Every round of seven harms each part once, and every two rounds in both ways.

    Stops last from one second to `stop_s_max`, short ones as often per octave as long ones.
    """
    return list(itertools.islice(_turns(random.Random(seed), stop_s_max), faults))


def _turns(chance: random.Random, stop_s_max: float) -> Iterator[Fault]:
    while True:
        first = {part: chance.choice(KINDS) for part in PARTS}
        for is_second in (False, True):
            for part in chance.sample(PARTS, len(PARTS)):
                kind = first[part] if not is_second else KINDS[1 - KINDS.index(first[part])]
                seconds = math.exp(chance.uniform(0, math.log(stop_s_max))) if kind == "SIGSTOP" else 0.0
                yield Fault(part, kind, seconds, chance.random())
