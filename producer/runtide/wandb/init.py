"""`init` as wandb's scripts call it: its other arguments are understood or ignored, never an error."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import runtide
from runtide import redact, starting
from runtide._run import Run
from runtide.errors import SettingsError
from runtide.plain import as_mapping, clip
from runtide.refusals import warn
from runtide.wandb import settings as wandb_settings


def start(arguments: dict[str, Any], settings: Any, details: dict[str, Any], others: dict[str, Any]) -> Run:
    """Begin the run. `arguments` and `details` as `starting.start` has them; `others`: what only wandb knows."""
    arguments["mode"] = None if arguments["mode"] is None else wandb_settings.mode(arguments["mode"])
    arguments["resume"] = wandb_settings.resume(arguments["resume"])
    entity = others.pop("entity", None)
    if isinstance(settings, Mapping):
        for theirs, ours in wandb_settings.ARGUMENTS.items():
            if ours == "entity":
                entity = entity or settings.get(theirs)
            elif details[ours] is None:
                details[ours] = settings.get(theirs)
        settings = wandb_settings.translated(settings)
    details["config"] = _config(details["config"], others)
    current = runtide.run
    if others.pop("reinit", None) == "return_previous" and current is not None and not current._writer.finished:
        current.config.update(details["config"] or {})
        return current
    for name in ("allow_val_change", "force", "anonymous"):  # nothing to do: always so, or about wandb's accounts
        others.pop(name, None)
    run = starting.start(arguments, settings, **details)
    if entity is not None:
        run._entity = redact.text(clip(str(entity), 128))
        run._writer.emit_values("meta", {"entity": run._entity})
    unused = sorted(name for name, value in others.items() if value not in (None, False))
    if unused:
        run._writer.refusals.add("arguments of init that mean nothing here", ", ".join(unused), len(unused))
    return run


def _config(config: Any, others: dict[str, Any]) -> Any:
    """A mapping, or wandb's path of a YAML file; with the keys that are asked for."""
    exclude, include = others.pop("config_exclude_keys", None), others.pop("config_include_keys", None)
    if isinstance(config, (str, os.PathLike)):
        config = _from_file(config)
    if not exclude and not include:
        return config
    found = as_mapping(config) or {}
    return {
        name: value for name, value in found.items() if name not in (exclude or ()) and (not include or name in include)
    }


def _from_file(path: str | os.PathLike[str]) -> dict[str, Any]:
    """A config of wandb's form: `lr: {value: 0.1, desc: ...}`; a plain mapping is one too."""
    import importlib

    try:
        yaml = importlib.import_module("yaml")
        with open(path, encoding="utf-8") as file:
            found = yaml.safe_load(file)
    except ImportError:
        raise SettingsError(f"config={os.fspath(path)!r}: reading it needs PyYAML: pip install pyyaml") from None
    except Exception as error:  # noqa: BLE001 - a parser of its own: whatever is wrong is said in one line
        raise SettingsError(f"config={os.fspath(path)!r}: {error}") from None
    if not isinstance(found, Mapping):
        warn(f"config={os.fspath(path)!r} holds no mapping: the run has no config")
        return {}
    return {
        str(name): value["value"] if isinstance(value, Mapping) and "value" in value else value
        for name, value in found.items()
        if name != "wandb_version"
    }
