"""A run: what `init` returns and training scripts talk to."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from math import fsum, isfinite
from time import time_ns
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

import orjson

from runtide import redact
from runtide._writer import Writer
from runtide.events import INT64_MAX, INT64_MIN
from runtide.exits import Ending, ending_of
from runtide.mapping import Config, Summary
from runtide.plain import as_mapping, clip, plain
from runtide.settings import Settings
from runtide.values import CHUNK_BYTES, chunks, to_step, to_time_ns
from runtide.wandb.run import WandbRun

if TYPE_CHECKING:
    from runtide.store.uploads import Upload
    from runtide.store.used import UsedArtifact

NAMES_MAX = 100_000  # metric names remembered as good
TITLE_CHARS_MAX = 512
LEVELS = ("INFO", "WARN", "ERROR")

_dumps = orjson.dumps
_LINE = orjson.OPT_APPEND_NEWLINE | orjson.OPT_SERIALIZE_NUMPY
_PLAIN_NUMBERS = frozenset((float, int))
_numbers: set[type] = {float, int}  # and numpy.float64 once it has been met: orjson writes these bit by bit


class Run(WandbRun):
    """One run as seen by one process. Made by `init`. Methods may be called from any thread; none of them raises."""

    def __init__(
        self,
        settings: Settings,
        *,
        name: str | None = None,
        job_type: str | None = None,
        notes: str | None = None,
        config: Any = None,
        command: Sequence[str] | None = None,
    ) -> None:
        self._settings = settings
        self._name = _title(name)
        self._group = _title(settings.group or None)
        self._job_type = _title(job_type)
        self._notes = None if notes is None else redact.text(clip(str(notes)))
        self._tags = tuple(map(_word, settings.tags))
        self._names: set[str] = set()  # metric names that were checked
        self._alerted_at: dict[str, float] = {}
        self._writer = Writer(settings, self._first_events)
        self._config = Config(lambda changes: self._writer.emit_values("config", changes))
        self._summary = Summary(lambda changes: self._writer.emit_values("summary", changes), self._last_value)
        self._writer.start(command)
        if config is not None:
            self._config.update(as_mapping(config) or {})

    @property
    def id(self) -> str:
        return self._settings.run_id

    @property
    def project(self) -> str:
        return self._settings.project

    @property
    def name(self) -> str:
        return self._name or self.id

    @name.setter
    def name(self, name: str) -> None:
        self._name = _title(name)
        self._writer.emit("name", {"name": self._name})

    @property
    def tags(self) -> tuple[str, ...]:
        return self._tags

    @tags.setter
    def tags(self, tags: Iterable[str]) -> None:
        self._tags = tuple(map(_word, (tags,) if isinstance(tags, str) else tags))
        self._writer.emit("tags", {"tags": list(self._tags)})

    @property
    def group(self) -> str | None:
        return self._group

    @property
    def job_type(self) -> str | None:
        return self._job_type

    @property
    def notes(self) -> str | None:
        return self._notes

    @notes.setter
    def notes(self, notes: str | None) -> None:
        self._notes = None if notes is None else redact.text(clip(str(notes)))
        if self._notes:
            self.note(self._notes)

    @property
    def mode(self) -> str:
        return self._settings.mode

    @property
    def dir(self) -> str:
        """Where this run's journal is."""
        return self._writer.journal.directory

    @property
    def url(self) -> str | None:
        """The run's page, if a dashboard is known."""
        return run_url(self._settings)

    @property
    def step(self) -> int:
        """The step that `log` uses next if none is given."""
        return self._writer.step

    @property
    def config(self) -> Config:
        """What the run was made with: `run.config.lr`, `run.config["lr"]`, nested. Each change is an event."""
        return self._config

    @property
    def summary(self) -> Config:
        """Results that deserve a column, set by hand. What was logged last needn't be: queries and readers know it."""
        return self._summary

    def log(
        self,
        data: Mapping[str, Any],
        step: int | None = None,
        commit: bool | None = None,
        timestamp: Any = None,
    ) -> None:
        """Record numbers at a step. Once it has returned, even SIGKILL can't take them away.

        `data`: name -> number or numpy/torch/jax scalar; nested dicts get names with "/". Values that are no numbers
        are refused one by one, with a warning. `step`: any order, any repetition; omitted, it counts up from 0 or from
        the last explicit one. `commit=False`: more belongs to this step, so it isn't counted up. `timestamp`: seconds
        since 1970 or a datetime; default: now.
        """
        writer = self._writer
        try:
            with writer.lock:
                types = set(map(type, data.values()))
                if (
                    data.keys() <= self._names
                    and types <= _numbers
                    # One bad value makes the sum NaN, infinite or an error. (numpy's own sum would warn of infinities.)
                    and isfinite(sum(data.values()) if types <= _PLAIN_NUMBERS else fsum(data.values()))
                    and timestamp is None
                ):
                    if step is None:
                        step = writer.step
                    if type(step) is int and INT64_MIN <= step < INT64_MAX:
                        line = _dumps({"t": time_ns(), "s": step, "m": data}, None, _LINE)
                        if len(line) < CHUNK_BYTES:
                            writer.journal.append(line)
                            writer.step = step if commit is False else step + 1
                            return
        except Exception:  # noqa: BLE001, S110 - whatever it was, the careful way finds out
            pass
        self._log_with_care(data, step, commit, timestamp)

    def _log_with_care(self, data: Any, step: Any, commit: Any, timestamp: Any) -> None:
        """`log` for names that are new, values that need a look, and data too long for one line."""
        writer = self._writer
        if not writer.enabled:
            return
        try:
            with writer.lock:
                refuse = writer.refusals.add
                number = writer.step if step is None else to_step(step)
                if number is None:
                    refuse("a step that is no whole number", f"{type(step).__name__}; logged at step {writer.step}")
                    number = writer.step
                now = time_ns() if timestamp is None else to_time_ns(timestamp)
                if now is None:
                    refuse("a timestamp that is none", f"{type(timestamp).__name__}; logged with the time of now")
                    now = time_ns()
                if isinstance(data, Mapping):
                    for chunk in chunks(data, refuse, self._names, partial(self._media, step=number)):
                        writer.journal.append(_dumps({"t": now, "s": number, "m": chunk}, None, _LINE))
                        self._remember(chunk)
                else:
                    refuse("a log call without a dict", type(data).__name__)
                writer.step = number if commit is False else min(number + 1, INT64_MAX)
        except Exception as error:  # noqa: BLE001 - never into training
            writer.refusals.add("a log call that failed", f"{type(error).__name__}: {error}")

    def define_metric(
        self,
        name: str,
        step_metric: str | None = None,
        step_sync: bool | None = None,
        hidden: bool | None = None,
        summary: str | None = None,
        goal: Literal["minimize", "maximize"] | None = None,
        overwrite: bool | None = None,
        *,
        alert: Any = None,
    ) -> None:
        """Say what a metric (or a glob such as `val/*`) means: its goal, its x axis, which value stands for it.

        `summary`: min, max, mean, best, last or none; of several the first one counts. `step_sync`, `hidden` and
        `overwrite` are wandb's and change nothing: axes are read from the same line, and the last call wins.
        """
        del step_sync, hidden, overwrite
        step_metric = getattr(step_metric, "name", step_metric)
        summary = str(summary).partition(",")[0].strip() if summary is not None else None
        if goal not in (None, "minimize", "maximize"):
            self._writer.refusals.add("a goal that is neither minimize nor maximize", clip(str(goal), 60))
            goal = None
        found = {"name": _title(name), "goal": goal, "step_metric": step_metric, "summary": summary, "alert": alert}
        self._writer.emit("define_metric", {key: redact.value_of("", plain(value)) for key, value in found.items()})

    def alert(self, title: str, text: str = "", level: str = "WARN", wait_duration: float = 60) -> None:
        """Tell people. The same title is not sent again for `wait_duration` seconds. `level`: INFO, WARN or ERROR."""
        seconds = _seconds(wait_duration, 60.0)
        words = {"title": _title(title) or "", "text": redact.text(clip(str(text)))}
        grade = str(getattr(level, "value", level)).upper()
        now = time.monotonic()
        with self._writer.lock:
            if now - self._alerted_at.get(words["title"], float("-inf")) < seconds:
                return
            self._alerted_at[words["title"]] = now
        grade = grade if grade in LEVELS else "WARN"
        self._writer.emit("alert", {**words, "level": grade, "wait_duration": seconds})

    def note(self, text: str) -> None:
        """Write into the run's notebook."""
        self._writer.emit("note", {"text": redact.text(clip(str(text)))})

    def decide(
        self,
        verdict: str,
        reason: str,
        next_step: str | None = None,
        *,
        hypothesis: str | None = None,
        against: Iterable[str] = (),
    ) -> None:
        """Record what was expected of this run and concluded from it, why, and what comes next.

        `against`: the runs that it was compared with, as `project/run_id`.
        """
        found = {"verdict": verdict, "reason": reason, "next_step": next_step, "hypothesis": hypothesis}
        texts = {key: v if v is None else redact.text(clip(str(v))) for key, v in found.items()}
        others = plain(
            [against] if isinstance(against, str) else list(against) if isinstance(against, Iterable) else []
        )
        self._writer.emit("decision", {**texts, "against": others})

    def use_dataset(
        self, name: str, path_or_uri: str | os.PathLike[str] | None = None, version: str | None = None
    ) -> None:
        """Record that the run reads a dataset. Digest and size of a local file or directory follow in the background.

        The data stays where it is.
        """
        place = None if path_or_uri is None else str(path_or_uri)
        self._record("dataset", {"name": name, "uri": place, "version": version}, place)

    def log_artifact(
        self,
        path: str | os.PathLike[str],
        name: str | None = None,
        type: str | None = None,  # noqa: A002 - wandb's word
        aliases: Iterable[str] = (),
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """Record that the run made a file or a directory. Digest and size follow in the background.

        With RUNTIDE_ARTIFACTS, a folder or a URL such as s3://bucket/artifacts, a copy is kept there, too, as the next
        version of `name`. What is not there by the end of the process is told, with the command that completes it.
        """
        if hasattr(path, "log_into"):  # wandb's Artifact
            path.log_into(self, aliases)
            return
        place = os.path.abspath(str(path))
        names = [aliases] if isinstance(aliases, str) else list(aliases)
        found = {"name": name or os.path.basename(place), "type": type, "path": place, "aliases": names}
        self._record("artifact", found | ({"metadata": as_mapping(metadata)} if metadata else {}), place)

    def use_artifact(self, ref: str, type: str | None = None, **_wandb: Any) -> UsedArtifact:  # noqa: A002, ARG002
        """Record that the run uses an artifact: `[project/]name[:alias|vN|digest]`, or a digest alone.

        Nothing is fetched yet: `.get()` of what is returned does that, or raises `runtide.store.StoreError`.
        """
        from runtide.store.used import UsedArtifact

        ref = str(getattr(ref, "name", ref))
        if ref.count("/") == 2 and "://" not in ref:  # wandb's begin with whose they are
            ref = ref.partition("/")[2]
        self._record("use_artifact", {"ref": ref}, None)
        used = UsedArtifact(self._settings, self._writer, str(ref))
        if self._settings.artifacts:
            self._writer.submit(used.resolve)
        return used

    def finish(self, exit_code: int | None = None, timeout: float = 5.0, quiet: bool | None = None) -> None:  # noqa: ARG002
        """Say goodbye and wait, at most `timeout` seconds, until the broker has everything.

        Optional: a process that ends without it loses nothing. An exit code other than 0 means failed.
        """
        self._writer.end(Ending(exit_code or 0, None), timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.end(ending_of(error))

    def __repr__(self) -> str:
        return f"<runtide.Run {self.project}/{self.id}>"

    def _first_events(self) -> list[tuple[str, dict[str, Any]]]:
        found = {
            "name": self._name,
            "group": self._group,
            "job_type": self._job_type,
            "tags": list(self._tags) or None,
            "notes": self._notes,
            "resume": self._settings.resume,
        }
        events = [("start", {key: value for key, value in found.items() if value is not None})]
        config = self._config.as_event()  # not empty only if the journal could not be opened in `init`
        return [*events, ("config", config)] if config else events

    def _remember(self, names: Iterable[str]) -> None:
        if len(self._names) > NAMES_MAX:
            self._names.clear()
        self._names.update(names)
        numpy = sys.modules.get("numpy")
        if numpy is not None and len(_numbers) == len(_PLAIN_NUMBERS):
            _numbers.add(numpy.float64)

    def _record(self, kind: str, data: Mapping[str, Any], place: str | None) -> None:
        """An event now, and once more with the digest when that is known: a training that dies soon has said it."""
        facts = {key: redact.value_of("", plain(value)) for key, value in data.items()}
        self._writer.emit(kind, facts)
        if place is not None:
            upload = None
            if kind == "artifact" and self._settings.artifacts:
                from runtide.store import uploads

                upload = uploads.expect(self._settings, self._writer, facts, place)
            self._writer.submit(lambda: self._describe(kind, facts, place, upload))

    def _describe(self, kind: str, facts: dict[str, Any], place: str, upload: Upload | None) -> None:
        from runtide import artifacts

        path = artifacts.local_path(place)
        if path is not None:
            self._writer.emit(kind, {**facts, **artifacts.describe(path)})
        if upload is not None:
            upload.act()


def run_url(settings: Settings) -> str | None:
    """Where the dashboard shows this run, alone until others are added. Ids hold no characters that need quoting."""
    if not settings.dashboard:
        return None
    return f"{settings.dashboard.rstrip('/')}/compare?project={settings.project}&runs={settings.run_id}"


def _title(text: Any) -> str | None:
    return None if text is None else _word(text)


def _word(text: Any) -> str:
    return clip(redact.text(str(text)), TITLE_CHARS_MAX)


def _seconds(duration: Any, default: float) -> float:
    try:
        return float(duration.total_seconds() if hasattr(duration, "total_seconds") else duration)
    except (TypeError, ValueError):
        return default
