"""What `Run` has besides, so that scripts written for wandb go on: docs/wandb.md says what each of these does."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from runtide.errors import RuntideError
from runtide.events import JOURNAL_SUFFIX, Header, parse_header
from runtide.run_directory import lock_is_free

if TYPE_CHECKING:
    from runtide._writer import Writer
    from runtide.journal import Journal
    from runtide.last_values import LastValues
    from runtide.mapping import Config
    from runtide.settings import Settings

CODE_FILES_MAX = 1_000
HEADER_BYTES_MAX = 16 << 10


class WandbRun:
    """The part of `Run` that only wandb's scripts ask for."""

    _settings: Settings
    _writer: Writer
    _summary: Config
    _entity: str | None = None  # who owns the run at wandb; here it is only recorded
    sweep_id: str | None = None  # there are no sweeps
    sweep_url: str | None = None
    _watches: Sequence[Any] = ()
    _last_values: LastValues | None = None
    _last_of: Journal | None = None

    log_artifact: Callable[..., Any]
    use_artifact: Callable[..., Any]
    finish: Callable[..., None]

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """A run that another process gets (multiprocessing's spawn) is the same run there, with a writer of its own."""
        return _joined, (self._settings, *(getattr(self, f"_{name}") for name in ("name", "job_type", "notes")))

    def __deepcopy__(self, memo: Any) -> Any:
        """A run is one: scikit-learn copies estimators with the callbacks that hold it."""
        return self

    @property
    def entity(self) -> str:
        return self._entity or ""

    @property
    def path(self) -> str:
        """`project/id`, which every query takes."""
        return f"{self._settings.project}/{self._settings.run_id}"

    @property
    def offline(self) -> bool:
        return self._settings.mode == "offline"

    @property
    def disabled(self) -> bool:
        return self._settings.mode == "disabled"

    @property
    def start_time(self) -> float:
        """Seconds since 1970."""
        header = self._writer.journal.header
        return header.start / 1e9 if header is not None else 0.0

    @property
    def settings(self) -> Settings:
        return self._settings

    @property
    def resumed(self) -> bool:
        """Has this host journals of an earlier process of this run? Nobody asks the server."""
        own = self._writer.journal.header
        if own is None:
            return False
        directory = self._writer.journal.directory
        try:
            paths = [os.path.join(directory, name) for name in os.listdir(directory) if name.endswith(JOURNAL_SUFFIX)]
        except OSError:
            return False
        return any(_is_of_an_earlier_process(path, own) for path in paths)

    def _last_value(self, name: str) -> float | None:
        """What this process has logged last under a name."""
        from runtide.last_values import LastValues

        with self._writer.lock:
            if self._last_values is None or self._last_of is not self._writer.journal:  # a forked child has another
                self._last_of = self._writer.journal
                self._last_values = LastValues(self._last_of)
            self._last_values.read()
            value = self._last_values.values.get(name)
        return None if value is None else float(value)

    def _media(self, name: str, value: Any, step: int) -> Mapping[str, float] | None:
        """Keep what a table, a histogram, an image, ... says of itself; None: it is nothing of the kind."""
        from runtide import media

        try:
            return media.record(self._summary, name, value, step)
        except Exception:  # noqa: BLE001 - other people's figures: refused like any other object
            return None

    def project_name(self) -> str:
        return self._settings.project

    def get_url(self) -> str | None:
        return getattr(self, "url", None)

    def get_project_url(self) -> str | None:
        return self._settings.dashboard or None

    def get_sweep_url(self) -> str | None:
        return None

    def join(self, exit_code: int | None = None) -> None:
        """`finish`, as it was called long ago."""
        self.finish(exit_code)

    def mark_preempting(self) -> None:
        """Record that the machine is about to take the process away."""
        self._writer.emit_values("meta", {"preempting": True})

    def watch(self, models: Any, criterion: Any = None, log: Any = "gradients", log_freq: int = 1000, **_: Any) -> None:
        """Log norms of a torch model's gradients, `log="all"`: of its parameters too, at every `log_freq`th pass."""
        del criterion
        try:
            from runtide.integrations.torch import watch

            self._watches = [*self._watches, *watch(self, models, log, log_freq)]  # type: ignore[arg-type]
        except Exception as error:  # noqa: BLE001 - never into training
            self._writer.refusals.add("a model that can't be watched", f"{type(models).__name__}: {error}")

    def unwatch(self, models: Any = None) -> None:
        """Stop what `watch` began."""
        wanted = models if models is None or isinstance(models, (list, tuple)) else [models]
        for each in self._watches:
            if wanted is None or any(each.model is model for model in wanted):
                each.close()

    def save(self, glob_str: Any = None, base_path: Any = None, policy: str = "live") -> list[str]:
        """Record the files that match as artifacts of type "file"; returns their paths."""
        del base_path, policy
        import glob

        paths = sorted(filter(os.path.isfile, glob.glob(os.fspath(glob_str)))) if glob_str else []
        for path in paths:
            self.log_artifact(path, type="file")
        return list(map(os.path.abspath, paths))

    def log_code(
        self,
        root: str | None = ".",
        name: str | None = None,
        include_fn: Callable[..., bool] | None = None,
        exclude_fn: Callable[..., bool] | None = None,
    ) -> Any:
        """Record source files (`*.py` if nothing else is said) under `root` as an artifact of type "code"."""
        from runtide.wandb.artifact import Artifact

        code = Artifact(name or f"source-{self._settings.project}", "code")
        top = os.path.abspath(root or ".")
        for path in _files(top):
            included = path.endswith(".py") if include_fn is None else _asked(include_fn, path, top)
            if included and not (exclude_fn is not None and _asked(exclude_fn, path, top)):
                code.add_file(path, os.path.relpath(path, top))
            if len(code.entries) >= CODE_FILES_MAX:
                self._writer.refusals.add("source files that were not recorded", f"more than {CODE_FILES_MAX}", 0)
                break
        self.log_artifact(code)
        return code

    def log_model(self, path: Any, name: str | None = None, aliases: Iterable[str] = ()) -> Any:
        """`log_artifact` of type "model"."""
        return self.log_artifact(path, name, "model", aliases)

    def use_model(self, name: str) -> Any:
        """`use_artifact`."""
        return self.use_artifact(name)

    def link_artifact(self, artifact: Any, target_path: str, aliases: Sequence[str] = ()) -> None:
        """Record that an artifact belongs into a collection; wandb's registry is not here."""
        name = getattr(artifact, "name", artifact)
        self._writer.emit("note", {"text": f"linked {name} to {target_path} {' '.join(map(str, aliases))}".rstrip()})

    def link_model(self, path: Any, registered_model_name: str, name: str | None = None, aliases: Any = ()) -> None:
        self.log_model(path, name, aliases)
        self.link_artifact(name or path, registered_model_name, aliases)

    def upsert_artifact(self, artifact_or_path: Any, name: str | None = None, type: str | None = None) -> Any:  # noqa: A002
        return self.log_artifact(artifact_or_path, name, type)

    finish_artifact = upsert_artifact

    def restore(self, name: str, *_: Any, **__: Any) -> Any:
        """Files stay where the run wrote them."""
        raise RuntideError(f"restore({name!r}): files stay where the run wrote them; open it there, or use an artifact")


def _joined(settings: Settings, name: str | None, job_type: str | None, notes: str | None) -> Any:
    import runtide

    if runtide.run is None or runtide.run._settings != settings:
        runtide.run = runtide.Run(settings, name=name, job_type=job_type, notes=notes)
    return runtide.run


def _is_of_an_earlier_process(path: str, own: Header) -> bool:
    try:
        with open(path, "rb") as file:
            other = parse_header(file.readline(HEADER_BYTES_MAX))
    except (OSError, ValueError):
        return False
    return other.writer != own.writer and other.start < own.start and lock_is_free(path)


def _files(top: str) -> Iterable[str]:
    for directory, names, files in os.walk(top):
        names[:] = sorted(name for name in names if not name.startswith(".") and name not in ("node_modules", "wandb"))
        yield from (os.path.join(directory, file) for file in sorted(files))


def _asked(accepts: Callable[..., bool], path: str, top: str) -> bool:
    """wandb's filters take the path, newer ones the root as well."""
    try:
        return bool(accepts(path, top))
    except TypeError:
        return bool(accepts(path))
