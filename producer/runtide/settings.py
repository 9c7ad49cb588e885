"""The SDK's settings: argument of `init`, else environment, else `stack.json` of a local stack, else default.

load(project="llm", mode=None)                # None = not given
load({"capture_git": False}, project="llm")   # init(settings={...})
RUNTIDE_SYSTEM_INTERVAL_S=0 python train.py   # every field is also an environment variable
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

import orjson

from runtide.errors import SettingsError

Mode = Literal["online", "offline", "disabled"]
Shipper = Literal["process", "thread", "external"]

ENVIRONMENT_PREFIX = "RUNTIDE_"
DEFAULT_KAFKA = "127.0.0.1:17700"
DEFAULT_PROJECT = "default"
_CHOICES = {
    "mode": ("online", "offline", "disabled"),
    "shipper": ("process", "thread", "external"),
    "resume": ("allow", "must", "never"),
}
_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off", "")
_KAFKA_CHOICES = {
    "SECURITY_PROTOCOL": ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"),
    "SASL_MECHANISM": ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"),
}


@dataclass(frozen=True, slots=True)
class Settings:
    """How this process tracks. Sizes in bytes, times in seconds; an interval of 0 means never."""

    project: str = DEFAULT_PROJECT
    mode: Mode = "online"
    home: str = ""  # of the local stack: its stack.json tells where Kafka and the dashboard are
    dir: str = ""  # of the journals; should be on a disk of this node, not on NFS
    run_id: str = ""  # "": a new one
    group: str = ""
    tags: tuple[str, ...] = ()
    resume: str = "allow"
    kafka: str = DEFAULT_KAFKA  # bootstrap servers, as the shipper gets them
    dashboard: str = ""  # URL, for links
    artifacts: str = ""  # folder or URL of the artifact store: what `log_artifact` names is kept there. "": nowhere
    shipper: Shipper = "process"
    segment_bytes: int = 64 << 20
    max_journal_bytes: int = 16 << 30  # of all journals of the directory together
    heartbeat_interval_s: float = 30.0
    system_interval_s: float = 15.0
    capture_git: bool = True  # commit, branch, remote
    capture_diff: bool = True  # what is not committed
    capture_command: bool = True  # arguments, script, working directory
    capture_packages: bool = True
    capture_environment: bool = True  # a fixed list of variables, see capture.py
    capture_seeds: bool = True
    capture_hardware: bool = True
    capture_user: bool = True
    quiet: bool = False  # no line at init


def load(
    given: Mapping[str, Any] | Settings | None = None, env: Mapping[str, str] | None = None, **arguments: Any
) -> Settings:
    """The settings of a run. `arguments` that are None count as not given. Raises `SettingsError`."""
    env = os.environ if env is None else env
    arguments = {name: value for name, value in arguments.items() if value is not None}
    if isinstance(given, Settings):  # a field left at its default counts as not given
        given = {name: value for name, value in asdict(given).items() if value != _default(name)}
    given = dict(given or {})
    unknown = sorted(set(given) - set(_DEFAULTS))
    if unknown:
        raise SettingsError(f"settings: there is no setting {unknown[0]!r}")
    arguments = {**given, **arguments}
    settings = replace(
        Settings(**_from_environment(env)),
        **{name: _checked(name, value, name) for name, value in arguments.items()},
    )
    return _with_places(settings, {*arguments, *_set_in(env)})


def stack(home: str) -> dict[str, Any]:
    """What the local stack wrote into `<home>/stack.json`; {} if there is none."""
    try:
        with open(os.path.join(home, "stack.json"), "rb") as file:
            found = orjson.loads(file.read())
    except (OSError, orjson.JSONDecodeError):
        return {}
    return found if isinstance(found, dict) else {}


def home_directory(env: Mapping[str, str] | None = None) -> str:
    """RUNTIDE_HOME, else ~/.runtide."""
    env = os.environ if env is None else env
    return _absolute(env.get("RUNTIDE_HOME") or "~/.runtide")


def kafka_client_options(env: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The keyword arguments for aiokafka's clients that RUNTIDE_KAFKA_* ask for. Raises `SettingsError`.

    SECURITY_PROTOCOL, SASL_MECHANISM, SASL_USERNAME, SASL_PASSWORD, SSL_CAFILE, SSL_CERTFILE, SSL_KEYFILE,
    SSL_KEY_PASSWORD, SSL_CHECK_HOSTNAME. With a SASL user name and no protocol, SASL_SSL is meant: a password never
    goes over the wire in clear by mistake.
    """
    env = os.environ if env is None else env
    given = {name.removeprefix("RUNTIDE_KAFKA_"): value for name, value in env.items() if value}
    user, password = given.get("SASL_USERNAME"), given.get("SASL_PASSWORD")
    protocol = _kafka_choice(given, "SECURITY_PROTOCOL", "SASL_SSL" if user else "PLAINTEXT")
    options: dict[str, Any] = {}
    if protocol != "PLAINTEXT":
        options["security_protocol"] = protocol
    if protocol.startswith("SASL_"):
        if not user or not password:
            raise SettingsError(f"RUNTIDE_KAFKA_SASL_USERNAME and _SASL_PASSWORD: both are needed for {protocol}")
        options["sasl_mechanism"] = _kafka_choice(given, "SASL_MECHANISM", "PLAIN")
        options["sasl_plain_username"], options["sasl_plain_password"] = user, password
    if protocol.endswith("SSL"):
        options["ssl_context"] = _ssl_context(given)
    return options


def _ssl_context(given: Mapping[str, str]) -> Any:
    import ssl  # here: 10 ms that the SDK itself never needs

    try:
        context = ssl.create_default_context(cafile=given.get("SSL_CAFILE"))
        if "SSL_CERTFILE" in given:
            context.load_cert_chain(given["SSL_CERTFILE"], given.get("SSL_KEYFILE"), given.get("SSL_KEY_PASSWORD"))
    except (OSError, ssl.SSLError) as error:
        names = [f"RUNTIDE_KAFKA_{name}" for name in ("SSL_CAFILE", "SSL_CERTFILE", "SSL_KEYFILE") if name in given]
        raise SettingsError(f"{', '.join(names)}: {error}") from None
    context.check_hostname = _flag("RUNTIDE_KAFKA_SSL_CHECK_HOSTNAME", given.get("SSL_CHECK_HOSTNAME", "true"))
    return context


def _kafka_choice(given: Mapping[str, str], name: str, default: str) -> str:
    value = given.get(name, default).upper()
    if value not in _KAFKA_CHOICES[name]:
        raise SettingsError(f"RUNTIDE_KAFKA_{name}={value!r}: expected one of {', '.join(_KAFKA_CHOICES[name])}")
    return value


def _from_environment(env: Mapping[str, str]) -> dict[str, Any]:
    return {name: _parsed(name, env[_variable(name)]) for name in _set_in(env)}


def _set_in(env: Mapping[str, str]) -> list[str]:
    return [name for name in _DEFAULTS if env.get(_variable(name))]


def _variable(name: str) -> str:
    return ENVIRONMENT_PREFIX + name.upper()


def _parsed(name: str, text: str) -> Any:
    key, default = _variable(name), _default(name)
    try:
        if isinstance(default, bool):
            return _flag(key, text)
        if isinstance(default, int):
            return _checked(name, int(text), key)
        if isinstance(default, float):
            return _checked(name, float(text), key)
    except ValueError as error:
        if isinstance(error, SettingsError):
            raise
        raise SettingsError(f"{key}={text!r}: expected {_kind(default)}") from None
    return _checked(name, tuple(filter(None, map(str.strip, text.split(",")))) if name == "tags" else text, key)


def _checked(name: str, value: Any, key: str) -> Any:
    default = _default(name)
    if name == "tags":
        value = (value,) if isinstance(value, str) else value
        if not isinstance(value, (list, tuple, set, frozenset)):
            raise SettingsError(f"{key}={value!r}: expected a list of strings, got {type(value).__name__}")
        return tuple(map(str, sorted(value) if isinstance(value, (set, frozenset)) else value))
    if name in _CHOICES and value not in _CHOICES[name]:
        raise SettingsError(f"{key}={value!r}: expected one of {', '.join(_CHOICES[name])}")
    if isinstance(default, str) and isinstance(value, os.PathLike):
        value = os.fspath(value)
    if isinstance(default, float) and type(value) is int:
        value = float(value)
    if type(value) is not type(default):
        raise SettingsError(f"{key}={value!r}: expected {_kind(default)}, got {type(value).__name__}")
    if isinstance(value, (int, float)) and not value >= 0:
        raise SettingsError(f"{key}={value!r}: expected {_kind(default)}, 0 or more")
    return value


def _with_places(settings: Settings, given: set[str]) -> Settings:
    """Fill in what depends on other settings: directories made absolute, the local stack's addresses."""
    home = _absolute(settings.home or "~/.runtide")
    found = stack(home)

    def place(name: str, value: str) -> str:
        known = found.get(name)
        return known if name not in given and isinstance(known, str) else value

    return replace(
        settings,
        home=home,
        dir=_absolute(settings.dir or os.path.join(home, "journal")),
        kafka=place("kafka", settings.kafka),
        dashboard=place("dashboard", settings.dashboard),
    )


def _absolute(path: str) -> str:
    return os.path.abspath(os.path.expanduser(path))


def _flag(key: str, text: str) -> bool:
    word = text.strip().lower()
    if word not in _TRUE and word not in _FALSE:
        raise SettingsError(f"{key}={text!r}: expected true or false")
    return word in _TRUE


def _default(name: str) -> Any:
    return _DEFAULTS[name]


def _kind(default: Any) -> str:
    return {bool: "true or false", int: "an integer", float: "a number", str: "a string"}[type(default)]


_DEFAULTS: dict[str, Any] = {field.name: field.default for field in fields(Settings)}
