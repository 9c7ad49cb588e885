"""What benchmarks.soak reads of a running stack every few seconds, and what a line through such samples says."""

import csv
import os
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Self, TextIO

import numpy as np
import psutil

from runtide.shipper import status
from runtide_workers.embedded import stackfile
from runtide_workers.embedded.probes import http_get_json
from tests.fixtures.stack import Stack

EVERY_S = 10.0
MIB = 1 << 20
Row = dict[str, float | str]


class Sampler:
    """`with Sampler(stack, {"trainer": pid}, folder)`: a row per process and one of the path, every `every_s`.

    They are in `processes` and `path`, and in two CSV files of `folder` as they come.
    """

    def __init__(self, stack: Stack, others: Mapping[str, int], folder: Path, every_s: float = EVERY_S) -> None:
        self.processes: list[Row] = []
        self.path: list[Row] = []
        self._stack, self._others, self._folder, self._every_s = stack, others, folder, every_s
        self._began = time.monotonic()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._failure: BaseException | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()
        self.check()

    def check(self) -> None:
        """Raise what ended the sampling."""
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            with (
                open(self._folder / "processes.csv", "w", newline="") as processes,
                open(self._folder / "path.csv", "w", newline="") as path,
            ):
                while not self._end.is_set():
                    next_s = time.monotonic() + self._every_s
                    found = self._look_at_processes()
                    write(processes, found, header=not self.processes)
                    self.processes += found
                    seen = self._look_at_path()
                    write(path, [seen], header=not self.path)
                    self.path.append(seen)
                    self._end.wait(max(next_s - time.monotonic(), 0))
        except BaseException as error:  # noqa: BLE001 - told to whoever waits
            self._failure = error

    def _look_at_processes(self) -> list[Row]:
        described = self._stack.described()
        pids = {"supervisor": int(described["pid"]), **self._others}
        pids |= {name.split()[0]: mark.pid for name, mark in stackfile.processes(described).items()}
        for process in self._stack.processes("shipper"):
            pids["shipper"] = process.pid
        at_s = round(time.monotonic() - self._began, 1)
        rows: list[Row] = []
        for part, pid in pids.items():
            try:
                process = psutil.Process(pid)
                memory, cpu = process.memory_full_info(), process.cpu_times()
                rows.append(
                    {"at_s": at_s, "part": part, "pid": pid, "rss_mib": memory.rss / MIB, "uss_mib": memory.uss / MIB,
                     "fds": process.num_fds(), "threads": process.num_threads(), "cpu_s": cpu.user + cpu.system}
                )  # fmt: skip
            except psutil.Error:  # it is being started anew
                continue
        return rows

    def _look_at_path(self) -> Row:
        described = self._stack.described()
        _, worker = http_get_json(described["services"]["worker 0"]["port"], "/healthz")
        worker = worker if isinstance(worker, dict) else {}
        shipper = next(iter(status.read(self._stack.journals)), status.ShipperStatus())
        files, journal_bytes = size_of(self._stack.journals)
        _, stored_bytes = size_of(self._stack.home / "clickhouse")
        _, log_bytes = size_of(self._stack.home / "logs")
        seen: Row = {
            "at_s": round(time.monotonic() - self._began, 1),
            "state": described["state"],
            "load": os.getloadavg()[0],
        }
        seen |= {f"worker_{name}": worker.get(name, "") for name in ("lag", "freshness_s", "points", "dead_letters")}
        seen |= {
            f"shipper_{name}": getattr(shipper, name)
            for name in ("backlog_bytes", "unconfirmed_bytes", "lag_s", "journals", "resent_lines")
        }
        seen |= {"journal_files": files, "journal_mib": journal_bytes / MIB, "logs_mib": log_bytes / MIB}
        return seen | {"stored_mib": stored_bytes / MIB, "parts_of_one_table": self._parts_of_one_table()}

    def _parts_of_one_table(self) -> int:
        """Folders of the table that has most: parts, and those merged into others that are not deleted yet."""
        walked = os.walk(self._stack.home / "clickhouse")
        return max((len(folders) for _, folders, names in walked if "format_version.txt" in names), default=0)


def write(file: TextIO, rows: list[Row], *, header: bool) -> None:
    if rows:
        writer = csv.DictWriter(file, list(rows[0]))
        if header:
            writer.writeheader()
        writer.writerows(rows)
        file.flush()


def size_of(folder: Path) -> tuple[int, int]:
    """Files below it and their bytes; what vanishes meanwhile does not count."""
    files = total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.stat(os.path.join(root, name)).st_size
                files += 1
            except FileNotFoundError:
                continue
    return files, total


def slope_per_h(at_s: Iterable[float], values: Iterable[float]) -> float:
    """Theil and Sen's: the median of the slopes between all pairs, which a few jumps don't move."""
    x, y = np.array(list(at_s)), np.array(list(values))
    first, second = np.triu_indices(len(x), 1)
    return float(np.median((y[second] - y[first]) / (x[second] - x[first]))) * 3600
