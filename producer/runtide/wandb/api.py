"""`wandb.Api()`: runs that are stored, read through `runtide_storage`. For new code, its `Client` says and can more."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, overload

from runtide.errors import RuntideError
from runtide.wandb.filters import order_of, where_of

PAGE = 500  # runs that are read at once


class Api:
    """Reads ClickHouse as `runtide` commands do: RUNTIDE_CLICKHOUSE, else the local stack. Nothing can be changed."""

    def __init__(self, *_: Any, **__: Any) -> None:
        try:
            # Not an import statement: the SDK depends on nothing else of ours.
            storage = importlib.import_module("runtide_storage")
        except ModuleNotFoundError as error:
            raise RuntideError(f"Api: {error.name} is not installed: pip install 'runtide[server]'") from None
        self._client: Any = storage.Client()

    def runs(
        self,
        path: str | None = None,
        filters: Mapping[str, Any] | None = None,
        order: str | None = "+created_at",
        per_page: int = PAGE,
        **_: Any,
    ) -> Runs:
        """The runs of `project` or `entity/project`, of all projects without a path."""
        project = path.rpartition("/")[2] if path else None
        return Runs(self._client, project, where_of(filters or {}), order_of(order), max(1, per_page))

    def run(self, path: str) -> StoredRun:
        """The run `project/id`, `entity/project/id`, or its id."""
        ref = "/".join(path.strip("/").split("/")[-2:])
        return StoredRun(self._client, self._client.run(ref))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        raise RuntideError(f"Api.{name}: not here; runtide_storage.Client and the commands of `runtide` may have it")


class Runs(Sequence["StoredRun"]):
    """Some runs, read page by page."""

    def __init__(self, client: Any, project: str | None, where: str | None, order: str, page: int) -> None:
        self._client = client
        self._project = project
        self._where = where
        self._order = order
        self._page = page
        self._count: int | None = None

    def __len__(self) -> int:
        if self._count is None:
            self._count = int(self._client.count(self._project, self._where))
        return self._count

    @overload
    def __getitem__(self, index: int) -> StoredRun: ...
    @overload
    def __getitem__(self, index: slice) -> list[StoredRun]: ...
    def __getitem__(self, index: int | slice) -> StoredRun | list[StoredRun]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        number = index + len(self) if index < 0 else index
        if not 0 <= number < len(self):
            raise IndexError(index)
        [row] = self._rows(number, 1)
        return self._stored(row)

    def __iter__(self) -> Iterator[StoredRun]:
        offset = 0
        while rows := self._rows(offset, self._page):
            yield from map(self._stored, rows)
            offset += len(rows)

    def _rows(self, offset: int, limit: int) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._client.runs(
            self._project, self._where, self._order, limit=limit, offset=offset
        ).to_pylist()
        return found

    def _stored(self, row: Mapping[str, Any]) -> StoredRun:
        return StoredRun(self._client, row)


class StoredRun:
    """A run as it is stored. Nested config has flat names, `optimizer/lr`; summary has metrics' last values, too."""

    def __init__(self, client: Any, row: Mapping[str, Any]) -> None:
        self._client = client
        self._row = dict(row)
        self.project: str = row["project"]
        self.id: str = row["run_id"]
        self.name: str = row["run"]
        self.state: str = row["state"]
        self.tags: list[str] = list(row["tags"])
        self.group: str | None = row["group"]
        self.job_type: str | None = row["job_type"]
        self.notes: str | None = row["notes"]
        self.entity = ""
        self.path = [self.project, self.id]
        started: datetime | None = row["started_at"]
        self.created_at = started.isoformat() if started is not None else None

    @property
    def display_name(self) -> str:
        return self.name

    @property
    def url(self) -> str | None:
        from runtide._run import run_url
        from runtide.settings import load

        return run_url(load(project=self.project, run_id=self.id))

    @property
    def config(self) -> dict[str, Any]:
        return dict(self._whole()["config"])

    @property
    def summary(self) -> dict[str, Any]:
        """What the run put there; of a metric of which it says nothing, the last value."""
        last = {row["metric"]: row["last"] for row in self._client.summaries(self._ref).to_pylist()}
        return {**last, **self._whole()["summary"]}

    summary_metrics = summary

    @property
    def metadata(self) -> dict[str, Any]:
        return dict(self._whole()["meta"])

    @property
    def lastHistoryStep(self) -> int:  # noqa: N802 - wandb's name
        """-1 without any."""
        return max((row["last_step"] for row in self._client.metrics(self._ref).to_pylist()), default=-1)

    def history(
        self,
        samples: int = 500,
        keys: Sequence[str] | None = None,
        x_axis: str = "_step",
        pandas: bool = True,
        **_: Any,
    ) -> Any:
        """About `samples` rows, a pandas DataFrame or with `pandas=False` a list of dicts: steps, and the last value of
        each metric in each bucket. All metrics without `keys`, the machine's own left out.
        """
        names = self._names(keys)
        rows: dict[Any, dict[str, Any]] = {}
        if names:
            x = "step" if x_axis == "_step" else x_axis
            for row in self._client.history(self._ref, names, points=samples, x=x).to_pylist():
                rows.setdefault(row["x"], {x_axis: row["x"]})[row["metric"]] = row["last"]
        found = [rows[place] for place in sorted(rows)]
        if not pandas:
            return found
        try:
            frame = importlib.import_module("pandas").DataFrame
        except ModuleNotFoundError:
            raise RuntideError("history: pandas is not installed: pip install pandas, or pandas=False") from None
        return frame(found)

    def scan_history(
        self, keys: Sequence[str] | None = None, page_size: int = 1000, min_step: int = 0, max_step: int | None = None
    ) -> Iterator[dict[str, Any]]:
        """Every point: a dict for each step; with `keys`, only steps that have all of them. Holds the run in memory."""
        del page_size
        rows: dict[int, dict[str, Any]] = {}
        names = self._names(keys)
        for name in names:
            for block in self._client.points(self._ref, name):
                for row in block.to_pylist():
                    if row["step"] >= min_step and (max_step is None or row["step"] < max_step):
                        at = rows.setdefault(row["step"], {"_step": row["step"], "_timestamp": row["ts"].timestamp()})
                        at[name] = row["value"]
        yield from (rows[step] for step in sorted(rows) if keys is None or all(name in rows[step] for name in names))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        raise RuntideError(
            f"run.{name}: not here; `runtide show`, `runtide tag` and runtide_storage.Client may have it"
        )

    def __repr__(self) -> str:
        return f"<Run {self._ref} ({self.state})>"

    @property
    def _ref(self) -> str:
        return f"{self.project}/{self.id}"

    def _whole(self) -> dict[str, Any]:
        if "config" not in self._row:
            self._row = self._client.run(self._ref)
        return self._row

    def _names(self, keys: Sequence[str] | None) -> list[str]:
        wanted = [name for name in keys or () if name not in ("_step", "_timestamp", "_runtime")]
        if keys is not None:
            return wanted
        every = [row["metric"] for row in self._client.metrics(self._ref).to_pylist()]
        return [name for name in every if not name.startswith("system/")]
