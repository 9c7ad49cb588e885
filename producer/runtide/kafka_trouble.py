"""Why Kafka can't be used, in one line that says what to do about it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from typing import Any

from aiokafka import errors
from aiokafka.conn import create_conn

from runtide.errors import SettingsError

LOOK_S = 5.0
_CHECK_USER = "check RUNTIDE_KAFKA_SASL_USERNAME, _SASL_PASSWORD and _SASL_MECHANISM"
_CHECK_PROTOCOL = "check RUNTIDE_KAFKA_SECURITY_PROTOCOL and the port in RUNTIDE_KAFKA"
_RIGHTS = "SECURITY.md lists the rights"
# What a connection needs. aiokafka's own names for a client differ from those of a connection by nothing else.
_SECURITY = ("ssl_context", "security_protocol", "sasl_mechanism", "sasl_plain_username", "sasl_plain_password")

_WRONG_USER = (
    errors.SaslAuthenticationFailed, errors.AuthenticationFailedError, errors.UnsupportedSaslMechanismError,
    errors.IllegalSaslStateError,
)  # fmt: skip


def in_words(error: BaseException) -> str:
    """One line. Where the error itself names no remedy, its type and text."""
    text = " ".join(str(error).split())
    if isinstance(error, SettingsError):
        return text
    if isinstance(error, errors.TopicAuthorizationFailedError):
        return f"this user may not use topic {_names(error)}: grant it the right ({_RIGHTS})"
    if isinstance(error, errors.GroupAuthorizationFailedError):
        return f"this user may not use group {_names(error)}: grant it the right ({_RIGHTS})"
    if isinstance(error, errors.ClusterAuthorizationFailedError):
        return f"this user may not do that to the cluster: grant it the right ({_RIGHTS})"
    if isinstance(error, _WRONG_USER):
        return f"Kafka refuses this user and password: {_CHECK_USER}"
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_message.startswith(("Hostname mismatch", "IP address mismatch")):
            return f"its certificate is for another name ({error.verify_message}): correct RUNTIDE_KAFKA"
        wrong = f"its certificate can't be verified ({error.verify_message})"
        return f"{wrong}: RUNTIDE_KAFKA_SSL_CAFILE must name the file of the CA that signed it"
    if isinstance(error, ssl.SSLError):
        return f"no TLS can be agreed on ({error.reason or text}): {_CHECK_PROTOCOL}"
    if isinstance(error, errors.KafkaConnectionError) and text.endswith(" closed"):
        return f"it hangs up: {_CHECK_PROTOCOL}"
    name = type(error).__name__
    return f"{name}: {text}" if text and name not in text else text or name


def is_denial(error: BaseException) -> bool:
    """Does it come from our own settings, so that trying again with the same ones hardly helps?"""
    return isinstance(error, (*_WRONG_USER, ssl.SSLError, SettingsError))


async def cause(error: BaseException, options: Mapping[str, Any]) -> BaseException:
    """What is behind it, by a closer look where a client only says that it can't connect. `options`: its own."""
    if isinstance(error, (errors.KafkaConnectionError, TimeoutError)):
        return await _look(options) or error
    return error


async def explain(error: BaseException, options: Mapping[str, Any]) -> str:
    """One line, after the closer look."""
    return in_words(await cause(error, options))


async def _look(options: Mapping[str, Any]) -> Exception | None:
    """Connect to each bootstrap server as the client does, for it keeps the reason to itself. None: one can be used."""
    security = {name: options[name] for name in _SECURITY if name in options}
    first: Exception | None = None
    for server in str(options["bootstrap_servers"]).split(","):
        host, _, port = server.strip().rpartition(":")
        try:
            async with asyncio.timeout(LOOK_S):
                connection = await create_conn(
                    host.strip("[]"), int(port), request_timeout_ms=int(LOOK_S * 1000), **security
                )
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the reason that is asked for
            first = first or error
        else:
            connection.close()
            return None
    return first


def _names(error: BaseException) -> str:
    """Those that the error is about: its argument is a set of them, or a text that ends in the name."""
    told = error.args[0] if error.args else ""
    if isinstance(told, (set, frozenset, list, tuple)):
        return ", ".join(sorted(map(str, told)))
    return str(told).rpartition(" ")[2]
