"""What people set about alerts: the file alerts.toml and RUNTIDE_NOTIFY. docs/alerts.md has an example of all of it.

settings = load()                      # $RUNTIDE_ALERTS, else $RUNTIDE_HOME/alerts.toml; without a file: all defaults
settings.project("llm").cooldown_s
settings.channels                      # whom to tell
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from runtide.errors import SettingsError
from runtide.events import identity_fault
from runtide.settings import home_directory
from runtide_workers.alerting import targets
from runtide_workers.alerting.tables import Table, read_toml
from runtide_workers.alerting.targets import Security

Severity = Literal["page", "warn", "info"]

FILE = "alerts.toml"
ENVIRONMENT_FILE = "RUNTIDE_ALERTS"
ENVIRONMENT_URLS = "RUNTIDE_NOTIFY"
SEVERITIES: tuple[Severity, ...] = ("page", "warn", "info")  # the worst first
COOLDOWN_S = 600.0

_RULE_KEYS = ("above", "below", "change", "window", "for", "severity", "name")


@dataclass(frozen=True, slots=True)
class ProjectSettings:
    """How the runs of a project are judged. None and "": nobody said."""

    name: str = ""
    primary: str = ""  # the metric that may page alone
    threshold: float | None = None  # of the statistic
    quiet: bool = False  # alerts are kept and shown, but nobody is told
    cooldown_s: float = COOLDOWN_S  # after an incident of a group, before another one may page


@dataclass(frozen=True, slots=True)
class RuleSettings:
    """A rule of the file: `spec` is what `detection.rules.parse` takes, `metric` a glob, `project` "" any."""

    project: str
    metric: str
    spec: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Channel:
    """Somebody to tell. The URL holds secrets: only `key` (its hash) and `label` may be written or shown."""

    url: str = field(repr=False)
    label: str
    severity: Severity = "page"  # and what is worse
    project: str = ""  # "": all

    @property
    def key(self) -> str:
        return hashlib.sha256(self.url.encode()).hexdigest()[:16]

    @property
    def severities(self) -> tuple[Severity, ...]:
        return SEVERITIES[: SEVERITIES.index(self.severity) + 1]

    def wants(self, project: str, severity: str) -> bool:
        return self.project in ("", project) and severity in self.severities


@dataclass(frozen=True, slots=True)
class AlertSettings:
    """All of it. `family_fields` None: the default ones."""

    family_fields: tuple[str, ...] | None = None
    projects: Mapping[str, ProjectSettings] = field(default_factory=dict)
    rules: tuple[RuleSettings, ...] = ()
    channels: tuple[Channel, ...] = ()
    security: Security = field(default_factory=Security)

    def project(self, name: str) -> ProjectSettings:
        """What was said of a project, or the defaults."""
        return self.projects.get(name) or ProjectSettings(name)

    @property
    def cooldown_s_max(self) -> float:
        """The longest of any project, and of those that nothing was said of."""
        return max(project.cooldown_s for project in (*self.projects.values(), self.project("")))


def load(env: Mapping[str, str] | None = None) -> AlertSettings:
    """Read file and environment. Raises `SettingsError`: one line that names file, key, value and what is right."""
    env = os.environ if env is None else env
    given = env.get(ENVIRONMENT_FILE)
    path = os.path.expanduser(given) if given else os.path.join(home_directory(env), FILE)
    top = read_toml(path, missing_is_fine=not given)
    table = Table(path, "", top, ("family", "project", "rule", "notify", "security"))
    security = _security(table.table("security", ("allow_hosts", "allow_schemes")))
    channels = [_channel(entry, security) for entry in table.tables("notify", ("url", "severity", "project", "label"))]
    channels += [_from_environment(url, number, security) for number, url in enumerate(_urls(env), 1)]
    return AlertSettings(
        family_fields=_family_fields(table.table("family", ("fields",))),
        projects=_projects(table),
        rules=tuple(_rule(entry) for entry in table.tables("rule", ("project", "metric", *_RULE_KEYS))),
        channels=tuple(channels),
        security=security,
    )


def _family_fields(table: Table) -> tuple[str, ...] | None:
    fields = table.texts("fields", None)
    for name in fields or ():
        section, dot, key = name.partition(".")
        if name != "tags" and not (section in ("config", "meta") and dot and key):
            raise table.error("fields", name, 'config.NAME, meta.NAME or "tags"')
    return fields


def _projects(top: Table) -> dict[str, ProjectSettings]:
    found: dict[str, ProjectSettings] = {}
    for table in top.tables("project", ("name", "primary", "threshold", "quiet", "cooldown_s")):
        name = _project_name(table, "name", required=True)
        if name in found:
            raise table.error("name", name, "each project once")
        found[name] = ProjectSettings(
            name,
            primary=table.text("primary", ""),
            threshold=table.number("threshold", None, above=0),
            quiet=table.flag("quiet", False),
            cooldown_s=table.number("cooldown_s", COOLDOWN_S, least=0),
        )
    return found


def _rule(table: Table) -> RuleSettings:
    from runtide_workers.detection import rules

    spec = {name: table.values[name] for name in _RULE_KEYS if name in table.values}
    try:
        rules.parse(spec)
    except ValueError as error:
        raise SettingsError(f"{table.place}: {error}") from None
    return RuleSettings(_project_name(table, "project"), table.text("metric"), spec)


def _channel(table: Table, security: Security) -> Channel:
    url = table.text("url")
    fault = targets.fault(url, security)
    if fault:
        raise SettingsError(f"{table.place}.url = {targets.masked(url)!r}: {fault}")
    severity = table.choice("severity", SEVERITIES, "page")
    return Channel(url, table.text("label", "") or targets.scheme(url), severity, _project_name(table, "project"))


def _from_environment(url: str, number: int, security: Security) -> Channel:
    fault = targets.fault(url, security)
    if fault:
        raise SettingsError(f"{ENVIRONMENT_URLS}: URL {number}, {targets.masked(url)!r}: {fault}")
    return Channel(url, targets.scheme(url))


def _urls(env: Mapping[str, str]) -> list[str]:
    return env.get(ENVIRONMENT_URLS, "").split()


def _security(table: Table) -> Security:
    hosts, schemes = table.texts("allow_hosts", None), table.texts("allow_schemes", None)
    return Security(
        None if hosts is None else frozenset(host.lower() for host in hosts),
        None if schemes is None else frozenset(scheme.lower().removesuffix("://") for scheme in schemes),
    )


def _project_name(table: Table, key: str, *, required: bool = False) -> str:
    name = table.text(key) if required else table.text(key, "")
    fault = identity_fault(name) if name else None
    if fault:
        raise table.error(key, name, f"a project's name, but this {fault}")
    return name
