"""Secrets taken out of everything that is captured, before anything is written.

Two kinds of evidence: a name that says so (`HF_TOKEN`, `db_password`), and a text that looks like a secret by itself
(credentials in a URL, tokens of well-known services, private keys). Numbers are never secrets: `max_tokens = 4096`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

HIDDEN = "***"

# Words of machine learning that hold the word of a secret: tokenizer, tokenize, tokens, keypoint, keyword, monkey ...
_NAME = re.compile(
    r"""token(?!i[sz]|s(?:[^a-z]|$))|secret|passw(?:or)?d|passphrase|credential|cookie|signature
    |(?:^|[^a-z]|api|access|private|secret|ssh|master|license|account|encryption)(?:key|pwd|auth|bearer|authorization|dsn)(?:[^a-z]|$)""",
    re.VERBOSE,
)
_SHOUTED = ("TOKEN", "KEY", "SECRET", "PASSW", "PASSPHRASE", "CREDENTIAL", "PWD_", "AUTH", "COOKIE", "DSN")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")

_URL_CREDENTIALS = re.compile(r"(?P<scheme>\b[a-zA-Z][a-zA-Z0-9+.-]{0,30}://)[^\s/@'\"<>]{1,2000}@")
_URL_QUERY = re.compile(
    r"(?P<name>[?&][\w.-]*(?:token|secret|passw(?:or)?d|key|sig|signature|auth)=)[^\s&#'\"]{1,4000}", re.IGNORECASE
)
_KNOWN = re.compile(
    r"""\b(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|hf_[A-Za-z0-9]{20,}|sk-[\w-]{16,}|pypi-[\w-]{20,}
    |xox[abeoprs]-[\w-]{10,}|(?:AKIA|ASIA)[A-Z0-9]{16}|AIza[\w-]{30,}|ya29\.[\w-]{20,}|npm_[A-Za-z0-9]{30,}
    |eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{8,})""",
    re.VERBOSE,
)
_PRIVATE_KEY = re.compile(
    r"-----BEGIN (?P<kind>[A-Z ]{0,40}PRIVATE KEY(?: BLOCK)?)-----.*?(?:-----END (?P=kind)-----|\Z)", re.DOTALL
)
_BEARER = re.compile(r"(?P<name>\b(?:Bearer|Basic)\s+)[A-Za-z0-9+/._~=-]{12,}")
# NAME=value, "name": "value", --name=value, -Dname=value. The value must look like one, not like code or a number.
_ASSIGNED = re.compile(r"""(?<![\w.-])(?P<name>[A-Za-z_][\w.-]{0,80})["']?[ \t]{0,3}(?:=>|[:=])[ \t]{0,3}""")
_VALUE = re.compile(r""""[^"\n]{1,4000}"|'[^'\n]{1,4000}'|[^\s,;&|<>(){}\[\]"']{1,4000}""")
_CODE_WORDS = frozenset(("none", "null", "true", "false", "str", "int", "float", "bytes", "bool", "self", "optional"))


def is_secret_name(name: str) -> bool:
    """Does this name (of a variable, an option, a config key) say that its value is a secret?"""
    if name.isupper() and any(word in name for word in _SHOUTED):
        return True
    return _NAME.search(_CAMEL.sub("_", name).lower()) is not None


def text(value: str, *, assignments: bool = False) -> str:
    """The text without what looks like a secret; `assignments` also hides NAME=value where the name says so."""
    if "://" in value:
        value = _URL_CREDENTIALS.sub(rf"\g<scheme>{HIDDEN}@", value)
        value = _URL_QUERY.sub(rf"\g<name>{HIDDEN}", value)
    if "PRIVATE KEY" in value:
        value = _PRIVATE_KEY.sub(HIDDEN, value)
    value = _KNOWN.sub(HIDDEN, value)
    value = _BEARER.sub(rf"\g<name>{HIDDEN}", value)
    return _without_assigned(value) if assignments else value


def value_of(name: str, value: Any) -> Any:
    """A captured value under its name: hidden, cleaned, or as it is. Goes into lists and dicts."""
    if isinstance(value, str):
        return HIDDEN if value and is_secret_name(name) else text(value)
    if isinstance(value, list | tuple):
        return [value_of(name, item) for item in value]
    if isinstance(value, dict):
        return {key: value_of(key if isinstance(key, str) else name, item) for key, item in value.items()}
    return value


def mapping(values: Mapping[str, Any]) -> dict[str, Any]:
    """`value_of` for each item; a "/" in a name separates, so that `openai/key` is seen as a key."""
    return {name: value_of(name, value) for name, value in values.items()}


def arguments(argv: Iterable[str]) -> list[str]:
    """A command line: hides the values of `--api-key X`, `--api-key=X`, `API_KEY=X`, and what `text` hides."""
    cleaned: list[str] = []
    hide_next = False
    for argument in argv:
        if hide_next and not argument.startswith("-"):
            cleaned.append(HIDDEN)
            hide_next = False
            continue
        name, equals, value = argument.partition("=")
        secret = is_secret_name(name.lstrip("-+").rpartition("/")[2])
        hide_next = secret and not equals and argument.startswith("-")
        if secret and equals and value:
            cleaned.append(f"{name}={HIDDEN}")
        else:
            cleaned.append(text(argument, assignments=True))
    return cleaned


def _without_assigned(text: str) -> str:
    pieces: list[str] = []
    done = 0  # up to here the text is in `pieces`
    for found in _ASSIGNED.finditer(text):
        if found.start() < done or not is_secret_name(found["name"]):
            continue
        value = _VALUE.match(text, found.end())
        if value is None:
            continue
        bare = value[0].strip("\"'")
        if bare.lower() not in _CODE_WORDS and not bare.replace(".", "", 1).isdigit():
            quote = value[0][0] if value[0][0] in "\"'" else ""
            pieces.append(f"{text[done : found.end()]}{quote}{HIDDEN}{quote}")
            done = value.end()
    return "".join((*pieces, text[done:]))
