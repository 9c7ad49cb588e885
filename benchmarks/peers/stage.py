"""One measurement of one peer, inside its environment: `python -m benchmarks.peers.stage PEER MEASUREMENT ...`.

What was found is appended to the file `--result` as lines of JSON, one by one, so that a measurement that has to be
ended has told what it knew until then. Standard output belongs to the peers.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.peers.adapters import DOWN, PEERS
from benchmarks.peers.protocol import Adapter, Log

WARM_UP_CALLS = 50
WORK_SIZE = 320  # of the matrices: about 1 ms
FIRST_CALLS = 10  # of the measurement "start"
Say = Callable[..., None]


def names(scalars: int) -> list[str]:
    return [f"train/metric_{number:03d}" for number in range(scalars)]


def value(step: int, number: int) -> float:
    """What metric `number` has at `step`: known again when it is read back. TensorBoard keeps 32 bits of it."""
    return number + step / 8192


def row(step: int, metrics: list[str]) -> dict[str, float]:
    """A new dict with new values, as training loops make them."""
    return {name: value(step, number) for number, name in enumerate(metrics)}


def work() -> Callable[[], object]:
    """About 1 ms of what training does: it leaves the caches cold and the interpreter's lock free."""
    import numpy as np

    left, right = np.ones((WORK_SIZE, WORK_SIZE)), np.empty((WORK_SIZE, WORK_SIZE))
    return lambda: np.matmul(left, left, out=right)


def latencies_us(log: Log, scalars: int, calls: int, cap_s: float, between: Callable[[], object] | None) -> list[float]:
    """Of `calls` calls after a warm-up, or of those that fit into `cap_s` seconds: one at least."""
    clock, metrics, found = time.perf_counter_ns, names(scalars), list[float]()
    warm_until, end = clock() + int(cap_s * 2e8), clock() + int(cap_s * 1e9)  # a fifth of the time at most
    first = WARM_UP_CALLS
    for step in range(WARM_UP_CALLS + calls):
        if between is not None:
            between()
        data = row(step, metrics)
        began = clock()
        log(step, data)
        ended = clock()
        found.append((ended - began) / 1e3)
        if step < first and ended > warm_until:
            first = step
        if step >= first + calls - 1 or ended > end:
            break
    return found[first:]


def load(peer: Adapter) -> None:
    """Import what a training script imports: that is measured for itself, and not part of `init`."""
    exec(peer.statement, {})  # noqa: S102 - a constant of its adapter


def said(error: BaseException) -> str:
    """On one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:200]


def quantile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def start(peer: Adapter, args: argparse.Namespace, say: Say) -> None:
    """From nothing to nothing, with a few calls between: also what has to be subtracted from `throughput`."""
    load(peer)
    began = time.perf_counter()
    log = peer.init("start")
    say(init_ms=(time.perf_counter() - began) * 1e3)
    metrics = names(args.scalars)
    for step in range(FIRST_CALLS):
        log(step, row(step, metrics))
    began = time.perf_counter()
    peer.finish()
    say(finish_ms=(time.perf_counter() - began) * 1e3)


def latency(peer: Adapter, args: argparse.Namespace, say: Say) -> None:
    log = peer.init("latency")
    found = latencies_us(log, args.scalars, args.calls, args.cap, work() if args.work else None)
    say(p50_us=quantile(found, 0.5), p99_us=quantile(found, 0.99), calls=len(found))
    os._exit(0)  # what still waits in its queues is not part of this measurement


def throughput(peer: Adapter, args: argparse.Namespace, say: Say) -> None:
    """As fast as it takes them, until `finish` has returned."""
    log, metrics, clock = peer.init("throughput"), names(args.scalars), time.perf_counter
    began, step = clock(), 0
    while step < args.calls and clock() - began < args.cap:
        log(step, row(step, metrics))
        step += 1
    peer.finish()
    say(points=step * args.scalars, seconds=clock() - began)


def kill(peer: Adapter, args: argparse.Namespace, _say: Say) -> None:
    """SIGKILL as soon as the last call has returned. `--gap` seconds lie between the calls."""
    log, metrics = peer.init("kill"), names(args.scalars)
    for step in range(args.calls):
        if args.gap:
            time.sleep(args.gap)
        log(step, row(step, metrics))
    os.kill(os.getpid(), signal.SIGKILL)


def recover(peer: Adapter, args: argparse.Namespace, say: Say) -> None:
    """How many of the killed run's calls are there, with every one of their values?"""
    expected = {name: number for number, name in enumerate(names(args.scalars))}
    kept = {(name, step) for name, step, found in peer.read("kill", expected) if found == value(step, expected[name])}
    steps = range(args.calls)
    say(lost=sum(any((name, step) not in kept for name in expected) for step in steps))


def fill(peer: Adapter, args: argparse.Namespace, say: Say) -> None:
    peer.fill("filled", names(1)[0], (value(step, 0) for step in range(args.calls)))
    say(filled=args.calls)


def read(peer: Adapter, _args: argparse.Namespace, say: Say) -> None:
    """One curve of `--calls` points. The reader's own import counts: people wait for it."""
    began = time.perf_counter()
    found = sum(1 for _ in peer.read("filled", names(1)))
    say(read_s=time.perf_counter() - began, found=found)


def down(peer: Adapter, args: argparse.Namespace, say: Say) -> None:
    """Its server can't be reached. What does training see of it?"""
    load(peer)
    began = time.perf_counter()
    try:
        log = peer.init("down")
    except BaseException as error:  # noqa: BLE001 - whatever it raises would end a training script
        say(init_ms=(time.perf_counter() - began) * 1e3, raised=said(error))
        os._exit(0)
    say(init_ms=(time.perf_counter() - began) * 1e3)
    try:
        found = latencies_us(log, args.scalars, args.calls, args.cap, work())
    except BaseException as error:  # noqa: BLE001 - as above
        say(raised=f"in log: {said(error)}")
        os._exit(0)
    say(p50_us=quantile(found, 0.5), p99_us=quantile(found, 0.99), most_us=max(found), calls=len(found))
    began = time.perf_counter()
    peer.finish()
    say(finish_ms=(time.perf_counter() - began) * 1e3)
    os._exit(0)


MEASUREMENTS: dict[str, Callable[[Adapter, argparse.Namespace, Say], None]] = {
    measurement.__name__: measurement for measurement in (start, latency, throughput, kill, recover, fill, read, down)
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("peer", choices=[*PEERS, *DOWN])
    parser.add_argument("measurement", choices=list(MEASUREMENTS))
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--result", type=Path, required=True)
    parser.add_argument("--scalars", type=int, default=10, help="of each call")
    parser.add_argument("--calls", type=int, default=1000)
    parser.add_argument("--cap", type=float, default=30.0, help="seconds after which no further call is made")
    parser.add_argument("--gap", type=float, default=0.0, help="seconds between calls")
    parser.add_argument("--work", action="store_true", help="do something between calls")
    args = parser.parse_args()

    def say(**facts: Any) -> None:
        with args.result.open("a") as file:
            file.write(json.dumps(facts) + "\n")

    peer = (PEERS.get(args.peer) or DOWN[args.peer])(args.folder)
    MEASUREMENTS[args.measurement](peer, args, say)


if __name__ == "__main__":
    main()
