"""Where messages go, through Apprise: which URLs are allowed, and how one message is sent. No secret of a URL gets out.

Apprise is imported by the first URL that is looked at: most workers tell nobody.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from runtide import redact

if TYPE_CHECKING:
    from apprise import Apprise, AppriseAsset, NotifyBase

SEND_TIMEOUT_S = 30.0  # for one message, whatever the service does; connecting and reading have 4 s each
ERROR_CHARS_MAX = 300
SECRET_CHARS_MIN = 3  # shorter parts of a URL are words such as "to"

# They act on this machine instead of telling somebody.
LOCAL_SCHEMES = frozenset(
    ("blink1", "dbus", "gio", "glib", "gnome", "kde", "macosx", "qt", "syslog", "windows")
)  # fmt: skip
# Attributes of Apprise's services that name the server which is really spoken to.
_SERVERS = ("host", "smtp_host")
_SEPARATORS = re.compile(r"[/:@?&=#,\s]+")


@dataclass(frozen=True, slots=True)
class Security:
    """Which URLs may be used. None: every host; every scheme but those that act on this machine.

    `allow_hosts` is about URLs that name their server (json://, mailtos://, ntfy:// ...). Slack and its like have their
    servers built in: `allow_schemes` is about them.
    """

    allow_hosts: frozenset[str] | None = None
    allow_schemes: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """One notification, in plain text."""

    title: str
    body: str
    severity: str


# Sends a message: blocking, bounded in time. None, or why it could not, in one line. Never raises.
Send = Callable[[Message], "str | None"]


def scheme(url: str) -> str:
    """What comes before "://", in lower case; "" without it."""
    name, separator, _ = url.partition("://")
    return name.lower() if separator and re.fullmatch(r"[A-Za-z0-9+.-]{1,30}", name) else ""


def masked(url: str) -> str:
    """The URL as it may be shown."""
    return f"{scheme(url) or '?'}://{redact.HIDDEN}"


def fault(url: str, security: Security) -> str | None:
    """Why this URL can't be used, or None. Nothing is sent."""
    name = scheme(url)
    if not name:
        return "expected a URL of Apprise, such as slack://..., mailtos://... or json://host/path"
    if security.allow_schemes is None and name in LOCAL_SCHEMES:
        return "it acts on the worker's own machine; [security] allow_schemes could allow it"
    if security.allow_schemes is not None and name not in security.allow_schemes:
        return f"[security] allow_schemes has only {', '.join(sorted(security.allow_schemes))}"
    service = _service(url)
    if service is None:
        known = "something in it is missing or wrong" if _known(name) else "Apprise has no such service here"
        return f"{known}; Apprise's documentation lists the URLs"
    if security.allow_hosts is not None and "host" in type(service).template_tokens:
        servers = {str(server).lower() for each in _SERVERS if (server := getattr(service, each, None))}
        if not servers or not servers <= security.allow_hosts:
            return f"[security] allow_hosts has only {', '.join(sorted(security.allow_hosts))}"
    return None


def open_target(url: str) -> Send:
    """What sends to `url`. Raises ValueError if Apprise can't use it."""
    service = _service(url)
    if service is None:
        raise ValueError(f"{masked(url)} can't be used")
    return _Target(url, service)


class _Target:
    def __init__(self, url: str, service: NotifyBase) -> None:
        from apprise import Apprise

        self._apprise: Apprise = Apprise(asset=_asset())
        self._apprise.add(service)
        self._hidden = _secrets(url, keep=str(service.host) if "host" in type(service).template_tokens else "")

    def __call__(self, message: Message) -> str | None:
        from apprise import NotifyFormat, NotifyType

        kinds = {"page": NotifyType.FAILURE, "warn": NotifyType.WARNING}
        try:
            result = self._apprise.notify(
                body=message.body, title=message.title, body_format=NotifyFormat.TEXT,
                notify_type=kinds.get(message.severity, NotifyType.INFO),
            )  # fmt: skip
            if result:
                return None
            said = [entry.message for entry in result.logs()] or [f"no answer within {SEND_TIMEOUT_S:.0f} s"]
        except Exception as error:  # noqa: BLE001 - a plugin may raise anything; the others must go on
            said = [f"{type(error).__name__}: {error}"]
        return self._clean(said[-1])

    def _clean(self, text: str) -> str:
        """One line without any part of the URL that could be a secret."""
        for secret in self._hidden:
            text = text.replace(secret, redact.HIDDEN)
        return redact.text(" ".join(text.split()))[:ERROR_CHARS_MAX]


def _secrets(url: str, keep: str) -> list[str]:
    """All parts of the URL but its scheme and `keep`, as they are and decoded, the longest first."""
    rest = url.partition("://")[2]
    parts = {part for text in (rest, unquote(rest)) for part in (text, *_SEPARATORS.split(text))}
    return sorted((p for p in parts if len(p) >= SECRET_CHARS_MIN and p != keep), key=len, reverse=True)


@cache
def _asset() -> AppriseAsset:
    from apprise import AppriseAsset

    logger = logging.getLogger("apprise")  # what it says is in the results; its debug lines hold URLs
    logger.addHandler(logging.NullHandler())
    logger.propagate = False
    return AppriseAsset(
        app_id="Runtide", app_desc="Runtide alerts", async_mode=False, service_timeout=SEND_TIMEOUT_S,
        allow_templates=False, http_redirects=False,
    )  # fmt: skip


def _service(url: str) -> NotifyBase | None:
    """Apprise's object for the URL, or None. It follows no redirects: they would lead around `allow_hosts`."""
    from apprise import Apprise

    try:
        service = Apprise.instantiate(url, asset=_asset(), suppress_exceptions=False)
    except Exception:  # noqa: BLE001 - what plugins raise on a bad URL is theirs, and may quote it
        return None
    if service is not None:
        service.redirects = False
    return service


def _known(name: str) -> bool:
    import apprise.manager_plugins

    manager: Any = apprise.manager_plugins.NotificationManager()  # type: ignore[no-untyped-call]
    return name in manager and bool(manager[name].enabled)
