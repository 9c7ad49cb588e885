"""`Settings` that also takes wandb's settings: the few that mean something here are translated, the others ignored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runtide.refusals import warn
from runtide.settings import Settings as OurSettings

# wandb's settings without x_... and _..., which are ignored as well.
_KNOWN = frozenset(
    (
        "allow_media_symlink", "allow_offline_artifacts", "allow_val_change", "anonymous", "api_key",
        "app_url_override", "base_url", "capture_loggers", "code_dir", "config_paths", "console",
        "console_chunk_max_bytes", "console_chunk_max_seconds", "console_multipart", "credentials_file",
        "disable_code", "disable_git_fork_point", "disable_job_creation", "disabled", "docker", "email",
        "finish_timeout", "finish_timeout_raises", "force", "fork_from", "git_commit", "git_remote", "git_remote_url",
        "git_root", "heartbeat_seconds", "host", "http_proxy", "https_proxy", "identity_token_file", "ignore_globs",
        "init_timeout", "insecure_disable_ssl", "job_name", "job_source", "label_disable", "launch",
        "launch_config_path", "login_timeout", "max_end_of_run_history_metrics", "max_end_of_run_summary_metrics",
        "notebook_name", "organization", "program", "program_abspath", "program_relpath", "reinit", "relogin",
        "resume_from", "resumed", "sagemaker_disable", "save_code", "settings_system", "settings_workspace",
        "show_colors", "show_emoji", "show_errors", "show_info", "show_warnings", "start_method", "stop_fn",
        "stop_on_fatal_error", "strict", "summary_timeout", "summary_warnings", "sweep_id", "sweep_param_path",
        "symlink", "sync_tensorboard", "table_raise_on_max_row_limit_exceeded", "use_dot_wandb", "username",
    )
)  # fmt: skip
_OURS = {  # wandb's name -> ours
    "root_dir": "dir", "run_group": "group", "run_tags": "tags", "silent": "quiet", "x_stats_sampling_interval":
    "system_interval_s",
}  # fmt: skip
ARGUMENTS = {"entity": "entity", "run_name": "name", "run_notes": "notes", "run_job_type": "job_type"}  # of `init`


def translated(given: Mapping[str, Any]) -> dict[str, Any]:
    """wandb's settings as ours. What neither knows stays, and is an error for `load` or `Settings`."""
    ours: dict[str, Any] = {}
    ignored = []
    for name, value in given.items():
        if name in ("x_disable_stats", "_disable_stats"):
            ours |= {"system_interval_s": 0.0} if value else {}
        elif name == "disable_git":
            ours |= {"capture_git": False} if value else {}
        elif name == "mode":
            ours["mode"] = mode(value)
        elif name == "resume":
            ours["resume"] = resume(value)
        elif name in _OURS:
            ours |= {_OURS[name]: value} if value is not None else {}
        elif name in _KNOWN or name in ARGUMENTS or name.startswith(("x_", "_")):
            ignored.append(name)
        else:
            ours[name] = value
    if "system_interval_s" in ours:
        ours["system_interval_s"] = float(ours["system_interval_s"])
    if ignored:
        warn(f"settings of wandb that mean nothing here: {', '.join(sorted(ignored))}")
    return {name: value for name, value in ours.items() if value is not None}


def mode(value: Any) -> Any:
    """wandb's modes as ours: several processes may always share a run, and "dryrun" is how offline was called."""
    return {"dryrun": "offline", "run": "online", "shared": "online"}.get(str(value), value)


def resume(value: Any) -> Any:
    """None: as if it was not said. "auto" is wandb's for a process that died and comes back; here the id decides."""
    return None if value in ("auto", "", None, True, False) else value


class Settings(OurSettings):
    __doc__ = OurSettings.__doc__
    __slots__ = ()

    def __init__(self, **given: Any) -> None:
        super().__init__(**translated(given))
