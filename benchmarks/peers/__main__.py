"""Runtide and other trackers side by side, each in an environment and in processes of its own.

First `python -m benchmarks.peers --install`, which makes the environments; then without it. The rounds go through all
peers in turn, so that whatever else the machine does hits all of them. Every peer is set up as its documentation says
for work without a network; what is switched off for that is in its adapter (benchmarks/peers/adapters/).

Runtide is measured offline, as they are: its journal is all that `log` and `finish` wait for. How long it takes from
there to a query, and what that costs, is `benchmarks.ingest`'s matter.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from benchmarks.peers import measure
from benchmarks.peers.adapters import DOWN, PEERS
from benchmarks.peers.install import Installed, find, install
from benchmarks.peers.measure import KILLS, LATENCIES, PARTS, ROUNDS, Found, Sizes
from benchmarks.peers.protocol import Adapter
from benchmarks.peers.table import Column, Figures, table
from benchmarks.report import Figure, machine, versions
from runtide.settings import home_directory

UNITS = {
    "import": "ms",
    "init": "ms",
    "finish": "ms",
    "points per second": "points/s",
    "cpu per point": "s per million",
    "bytes per point": "bytes",
    "read": "s",
    "installed size": "MB",
    "distributions": "packages",
    **{f"{name}: {share}": "us" for name in LATENCIES for share in ("p50", "p99")},
    **{f"lost, {name}": "calls" for name in KILLS},
    "down: init": "ms",
    "down: p50": "us",
    "down: p99": "us",
    "down: slowest call": "us",
    "down: finish": "ms",
}
TABLES = {
    "log(), us: p50 / p99 (spread of p50)": [
        Column(name.removeprefix("log of "), (f"{name}: p50", f"{name}: p99")) for name in LATENCIES
    ],
    "full speed until finish() has returned; calls lost at SIGKILL": [
        Column("points/s", ("points per second",)),
        Column("CPU s per million points", ("cpu per point",)),
        Column("bytes/point", ("bytes per point",)),
        *(Column(f"lost, {name}", (f"lost, {name}",)) for name in KILLS),
    ],
    "start, end, install, read": [
        Column("import, ms", ("import",)),
        Column("init, ms", ("init",)),
        Column("finish, ms", ("finish",)),
        Column("installed, MB", ("installed size",)),
        Column("packages", ("distributions",)),
        Column("read one curve, s", ("read",)),
    ],
    "its server can't be reached": [
        Column("init, ms", ("down: init",)),
        Column("log() of 10, us: p50 / p99 / slowest", ("down: p50", "down: p99", "down: slowest call")),
        Column("finish, ms", ("down: finish",)),
    ],
}  # fmt: skip


def main() -> None:
    args = _arguments()
    venvs: Path = args.venvs.absolute()
    wanted = [key for key in (*PEERS, *DOWN) if not args.only or {key, _venv(key)} & set(args.only)]
    if args.install:
        raise SystemExit(_install(venvs, list(dict.fromkeys(map(_venv, wanted)))))
    there = _installed(venvs, wanted)
    if not there:
        raise SystemExit("there is nothing to measure")
    found = {key: Found() for key in there}
    sizes = Sizes(args.points, args.cap, args.down_limit)
    _measure(there, found, sizes, args.parts, args.repeat)
    figures = {
        key: {name: Figure.of(name, values, UNITS[name]) for name, values in of.values.items() if name in UNITS}
        for key, of in found.items()
    }
    _print(figures, found, sizes)
    if args.json:
        listed = [
            figure.as_json() | {"name": f"{_title(key)}: {name}", "least": figure.least, "most": figure.most}
            for key, of in figures.items()
            for name, figure in of.items()
        ]
        peers = {_distribution(key): there[key].versions[_distribution(key)] for key in there}
        notes = {_title(key): of.notes for key, of in found.items() if of.notes}
        about = {"versions": versions() | peers, "machine": machine()}
        print(json.dumps({"figures": listed, "notes": notes, **about}), flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = list(dict.fromkeys([*map(_venv, (*PEERS, *DOWN)), *PEERS, *DOWN]))
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    parser.add_argument("--install", action="store_true", help="make the environments, and stop")
    parser.add_argument(
        "--venvs", type=Path, default=Path(home_directory()) / "peers", help="where they are (RUNTIDE_HOME/peers)"
    )
    parser.add_argument("--only", nargs="+", metavar="PEER", choices=names, help=", ".join(names))
    parser.add_argument("--parts", nargs="+", metavar="PART", choices=PARTS, default=PARTS, help=", ".join(PARTS))
    parser.add_argument(
        "--points", type=int, default=200_000, help="logged for throughput; other numbers follow (200,000)"
    )
    parser.add_argument("--repeat", type=int, default=3, help="rounds (3)")
    parser.add_argument("--cap", type=float, default=30.0, help="seconds that a series of calls may take (30)")
    parser.add_argument(
        "--down-limit", type=float, default=180.0, help="seconds to wait for one without its server (180)"
    )
    return parser.parse_args()


def _install(venvs: Path, names: list[str]) -> int:
    """Those that are there stay, but Runtide: it is this repository, which may have changed."""
    failed = 0
    for name in names:
        there = find(venvs, name) if name != _venv("runtide") else None
        try:
            there = there or install(venvs, name)
        except subprocess.CalledProcessError as error:
            print(f"{name}: {error}", file=sys.stderr)
            failed = 1
            continue
        print(f"{name}: {there.size_bytes / 1e6:.1f} MB, {there.distributions} packages", flush=True)
    return failed


def _installed(venvs: Path, wanted: list[str]) -> dict[str, Installed]:
    there = {key: found for key in wanted if (found := find(venvs, _venv(key)))}
    for name in dict.fromkeys(_venv(key) for key in wanted if key not in there):
        print(f"{name} isn't installed in {venvs}: left out (--install makes it)", file=sys.stderr)
    return there


def _measure(
    there: Mapping[str, Installed], found: Mapping[str, Found], sizes: Sizes, parts: tuple[str, ...], repeat: int
) -> None:
    for number in range(repeat):
        for key, part in ((key, part) for key in there if key in PEERS for part in ROUNDS if part in parts):
            print(f"round {number + 1}: {key}, {part}", file=sys.stderr)
            ROUNDS[part](key, there[key], sizes, found[key])
    for key in there:
        if key in PEERS and "read" in parts:
            print(f"{key}, read", file=sys.stderr)
            measure.read(key, there[key], sizes, found[key], repeat)
        if key in DOWN and "down" in parts:
            print(f"{key}, down", file=sys.stderr)
            measure.down(key, there[key], sizes, found[key])


def _print(figures: Mapping[str, Figures], found: Mapping[str, Found], sizes: Sizes) -> None:
    rows = {_title(key): of for key, of in figures.items()}
    for title, columns in TABLES.items():
        text = table(rows, columns)
        if text:
            print(f"\n{title}\n\n{text}")
    print(
        f"\n{sizes.points:,} points in {measure.SCALARS}s; lost of {sizes.killed_calls:,} calls of {measure.SCALARS}",
        end="",
    )
    print(f"; latency of up to {sizes.calls:,} calls; {sizes.read_points:,} read")
    for key, of in found.items():
        for note in dict.fromkeys(of.notes):
            print(f"{_title(key)}: {note}")


def _adapter(key: str) -> type[Adapter]:
    return PEERS.get(key) or DOWN[key]


def _title(key: str) -> str:
    return _adapter(key).title


def _venv(key: str) -> str:
    return _adapter(key).venv


def _distribution(key: str) -> str:
    return _adapter(key).distribution


if __name__ == "__main__":
    main()
