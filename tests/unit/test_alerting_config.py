"""alerts.toml and RUNTIDE_NOTIFY: what is read, and that every error names file, key, value and what is right."""

import re
from pathlib import Path
from typing import Any

import pytest

from runtide.errors import SettingsError
from runtide_workers.alerting import targets
from runtide_workers.alerting.config import COOLDOWN_S, AlertSettings, ProjectSettings, load
from runtide_workers.alerting.targets import LOCAL_SCHEMES, Security

WHOLE = """
[family]
fields = ["config.batch_size", "meta.gpu/names", "tags"]

[[project]]
name = "llm"
primary = "val/loss"
threshold = 6
quiet = true
cooldown_s = 60

[[rule]]
project = "llm"
metric = "train/*"
above = 5
severity = "page"
name = "too high"

[[rule]]
metric = "acc"
below = 0.1

[[notify]]
url = "json://127.0.0.1:9/hook"
severity = "warn"
project = "llm"
label = "team"

[[notify]]
url = "slack://T1234567A/B1234567B/cccccccccccccccccccccccc"

[security]
allow_hosts = ["127.0.0.1", "Hooks.Example.com"]
"""
SLACK = "slack://T1234567A/B1234567B/cccccccccccccccccccccccc"
TOKEN = "cccccccccccccccccccccccc"


def read(path: Path, text: str, **env: str) -> AlertSettings:
    file = path / "alerts.toml"
    file.write_text(text)
    return load({"RUNTIDE_HOME": str(path), **env})


def test_without_a_file_there_are_defaults(tmp_path: Path) -> None:
    found = load({"RUNTIDE_HOME": str(tmp_path)})
    assert found == AlertSettings()
    assert found.project("any") == ProjectSettings("any", "", None, False, COOLDOWN_S)


def test_everything_that_can_be_said(tmp_path: Path) -> None:
    found = read(tmp_path, WHOLE)
    assert found.family_fields == ("config.batch_size", "meta.gpu/names", "tags")
    assert found.project("llm") == ProjectSettings("llm", "val/loss", 6.0, True, 60.0)
    first, second = found.rules
    assert (first.project, first.metric) == ("llm", "train/*")
    assert first.spec == {"above": 5, "severity": "page", "name": "too high"}
    assert (second.project, second.spec) == ("", {"below": 0.1})
    team, slack = found.channels
    assert (team.label, team.severity, team.project, team.severities) == ("team", "warn", "llm", ("page", "warn"))
    assert (slack.label, slack.severity, slack.project) == ("slack", "page", "")
    assert found.security.allow_hosts == frozenset(("127.0.0.1", "hooks.example.com"))


def test_the_example_of_the_document_works(tmp_path: Path) -> None:
    document = (Path(__file__).parents[2] / "docs" / "alerts.md").read_text()
    [example] = re.findall(r"```toml\n(.*?)```", document, re.DOTALL)
    for text in (example, example.replace("# allow_schemes", "allow_schemes")):
        found = read(tmp_path, text.replace("TokenA/TokenB/TokenC", SLACK.removeprefix("slack://")))
        assert [channel.label for channel in found.channels] == ["team-llm", "json"]
        assert found.project("llm").primary == "val/loss" and len(found.rules) == 1


def test_who_is_told_of_what(tmp_path: Path) -> None:
    team, slack = read(tmp_path, WHOLE).channels
    assert team.wants("llm", "warn") and not team.wants("llm", "info") and not team.wants("vision", "page")
    assert slack.wants("vision", "page") and not slack.wants("vision", "warn")


def test_the_environment_names_urls_too(tmp_path: Path) -> None:
    found = read(tmp_path, "", RUNTIDE_NOTIFY=f"json://127.0.0.1:9/a \n {SLACK}")
    assert [(channel.label, channel.severity) for channel in found.channels] == [("json", "page"), ("slack", "page")]


def test_another_file(tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text("[[project]]\nname = 'p'\n")
    assert "p" in load({"RUNTIDE_ALERTS": str(other), "RUNTIDE_HOME": "/nowhere"}).projects
    with pytest.raises(SettingsError, match=r"missing\.toml: there is no such file"):
        load({"RUNTIDE_ALERTS": str(tmp_path / "missing.toml")})


def test_a_url_is_a_secret(tmp_path: Path) -> None:
    [channel] = read(tmp_path, f"[[notify]]\nurl = '{SLACK}'\n").channels
    assert TOKEN not in repr(channel) and TOKEN not in channel.key and len(channel.key) == 16
    with pytest.raises(SettingsError) as caught:
        read(tmp_path, f"[[notify]]\nurl = '{SLACK.replace('slack', 'slakc')}'\n")
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nonsense", "this is not TOML"),
        ("[projects]\n", "projects: there is no such table; known are family, project, rule, notify, security"),
        ("[project]\nname = 'p'\n", r"project = .*expected tables \[\[project\]\]"),
        ("[[family]]\n", r"family = .*expected one table \[family\]"),
        ("[family]\nfields = 'a'\n", "family.fields = 'a': expected a list of strings"),
        ("[family]\nfields = ['lr']\n", r"family.fields = 'lr': expected config.NAME, meta.NAME"),
        ("[[project]]\nprimary = 'l'\n", r"project\[1\].name: it is missing"),
        ("[[project]]\nname = ''\n", r"project\[1\].name = '': expected a string that is not empty"),
        ("[[project]]\nname = 'a/b'\n", r"project\[1\].name = 'a/b': expected a project's name"),
        ("[[project]]\nname = 'a'\n[[project]]\nname = 'a'\n", r"project\[2\].name = 'a': expected each project once"),
        (
            "[[project]]\nname = 'a'\nprimery = 'l'\n",
            r"project\[1\].primery: there is no such key; known are name",
        ),
        ("[[project]]\nname = 'a'\nthreshold = 0\n", r"project\[1\].threshold = 0: expected a number above 0"),
        ("[[project]]\nname = 'a'\nthreshold = true\n", r"threshold = True: expected a number above 0"),
        ("[[project]]\nname = 'a'\nthreshold = nan\n", r"threshold = nan: expected a number"),
        ("[[project]]\nname = 'a'\ncooldown_s = -1\n", r"cooldown_s = -1: expected a number, 0 or more"),
        ("[[project]]\nname = 'a'\nquiet = 'yes'\n", r"project\[1\].quiet = 'yes': expected true or false"),
        ("[[rule]]\nabove = 5\n", r"rule\[1\].metric: it is missing"),
        ("[[rule]]\nmetric = 'm'\nabvoe = 5\n", r"rule\[1\].abvoe: there is no such key"),
        ("[[rule]]\nmetric = 'm'\n", r"alerts.toml: rule\[1\]: ."),
        ("[[rule]]\nmetric = 'm'\nabove = 'x'\n", r"alerts.toml: rule\[1\]: ."),
        ("[[notify]]\nseverity = 'page'\n", r"notify\[1\].url: it is missing"),
        ("[[notify]]\nurl = 'json://h/'\nseverity = 'bad'\n", r"severity = 'bad': expected one of page, warn, info"),
        ("[[notify]]\nurl = 'hello'\n", r"notify\[1\].url = '\?://\*\*\*': expected a URL of Apprise"),
        ("[[notify]]\nurl = 'nosuch://x'\n", "Apprise has no such service"),
        ("[[notify]]\nurl = 'slack://x'\n", "something in it is missing or wrong"),
        ("[[notify]]\nurl = 'syslog://'\n", "acts on the worker's own machine"),
        ("[security]\nallow_hosts = 'h'\n", "security.allow_hosts = 'h': expected a list of strings"),
    ],
)
def test_errors(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said) as caught:
        read(tmp_path, text)
    assert str(tmp_path / "alerts.toml") in str(caught.value) and "\n" not in str(caught.value)


def test_a_bad_url_of_the_environment_is_named_by_its_place(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"RUNTIDE_NOTIFY: URL 2, 'gnome://\*\*\*': it acts on"):
        read(tmp_path, "", RUNTIDE_NOTIFY="json://127.0.0.1/a gnome://")


@pytest.mark.parametrize("scheme", sorted(LOCAL_SCHEMES))
def test_nothing_acts_on_this_machine_unless_it_is_allowed(scheme: str) -> None:
    assert "own machine" in str(targets.fault(f"{scheme}://", Security()))


def test_what_apprise_calls_local_is_in_the_list() -> None:
    import apprise.manager_plugins

    manager: Any = apprise.manager_plugins.NotificationManager()  # type: ignore[no-untyped-call]
    local = {name for name in manager.schemas(include_disabled=True) if manager[name].url_identifier is False}
    assert local and local <= LOCAL_SCHEMES


@pytest.mark.parametrize(
    ("url", "hosts", "schemes", "allowed"),
    [
        ("syslog://", None, {"syslog"}, True),
        ("json://h/x", None, {"syslog"}, False),
        ("json://h/x", {"h"}, None, True),
        ("json://h:8080/x", {"h"}, None, True),
        ("json://user:pass@evil/x", {"h"}, None, False),
        ("json://H/x", {"h"}, None, True),
        ("mailtos://u:p@example.com?to=a@b.org", {"example.com"}, None, True),
        ("mailtos://u:p@example.com?smtp=evil.org", {"example.com"}, None, False),
        (SLACK, {"h"}, None, True),  # its server is built in: a matter of schemes
        (SLACK, None, {"json"}, False),
    ],
)
def test_only_allowed_hosts_and_schemes(
    url: str, hosts: set[str] | None, schemes: set[str] | None, allowed: bool
) -> None:
    limits = Security(None if hosts is None else frozenset(hosts), None if schemes is None else frozenset(schemes))
    assert (targets.fault(url, limits) is None) == allowed
