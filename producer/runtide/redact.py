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
    |(?:^|[^a-z]|api|access|private|secret|ssh|master|license|account|encryption)(?:key|pwd|auth|bearer|authorization|dsn)(?:[^a-z]|$)
    |(?:api|access|private|ssh|master|encryption)[^a-z]?keys(?:[^a-z]|$)""",
    re.VERBOSE,
)
_SHOUTED = ("TOKEN", "KEY", "SECRET", "PASSW", "PASSPHRASE", "CREDENTIAL", "PWD_", "AUTH", "COOKIE", "DSN")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")

# Nothing here may take long, whatever the text: a repetition is followed by nothing that could fail, or is bounded, or
# begins only where it can't begin again one character later.
#
# user:password@, where the password may hold @ and / as they are but looks like no port, or anything@ before a slash
_URL_CREDENTIALS = re.compile(
    r"""(?P<scheme>\b[a-zA-Z][a-zA-Z0-9+.-]{0,30}://)
    (?: (?!\[)[^\s/:@'"<>]*:(?!/|\d{1,5}/)[^\s'"<>]{1,500}@ | [^\s/'"<>]+@ )""",
    re.VERBOSE,
)
_URL_QUERY = re.compile(
    r"(?P<name>[?&#][\w.-]{0,60}(?:token|secret|passw(?:or)?d|pwd|key|sig|signature|auth|credential)=)[^\s&#'\"]+",
    re.IGNORECASE,
)
_KNOWN = re.compile(
    r"""(?<![A-Za-z0-9])(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|hf_[A-Za-z0-9]{20,}
    |sk-(?=[\w-]{0,60}\d)[\w-]{16,}
    |[rs]k_(?:live|test)_[A-Za-z0-9]{16,}|pypi-[\w-]{20,}|nvapi-[\w-]{20,}|gsk_[A-Za-z0-9]{20,}|r8_[A-Za-z0-9]{20,}
    |xox[abeoprs]-[\w-]{10,}|(?:AKIA|ASIA)[A-Z0-9]{16}|AIza[\w-]{30,}|ya29\.[\w-]{20,}|npm_[A-Za-z0-9]{30,}
    |(?<![\w-])eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{8,})""",
    re.VERBOSE,
)
_PRIVATE_KEY = re.compile(
    r"-----BEGIN (?P<kind>[A-Z ]{0,40}PRIVATE KEY(?: BLOCK)?)-----.*?(?:-----END (?P=kind)-----|\Z)", re.DOTALL
)
_BEARER = re.compile(r"(?P<name>\bBearer\s+)(?!auth)[A-Za-z0-9+/._~=-]{12,}", re.IGNORECASE)
_BASIC = re.compile(r"(?P<name>\bBasic\s+)(?P<value>[A-Za-z0-9+/]{4,}={0,2})", re.IGNORECASE)
# NAME=value, "name": "value", --name value, environ["NAME"] = "value", name: str = "value", setdefault("NAME", "value")
_ASSIGNED = re.compile(
    r"""(?<![\w.-])(?P<name>[\w.-]++)(?P<quote>["']?)\]?[ \t]{0,3}
    (?P<sign>:[ \t]{0,3}(?:typing\.)?(?:str|bytes|Any|None|SecretStr|Final|ClassVar|Optional|Union)
      (?:\[[\w., |]{0,60}\])?(?:[ \t]{0,3}\|[ \t]{0,3}\w{1,30}){0,3}[ \t]{0,3}=(?!=)
    |=>|:=|[=!]==?|[?+|]?=|[:,]|(?<=[ \t])(?=[^\s-]))(?P<space>[ \t]{0,3})""",
    re.VERBOSE,
)
_HUNK_END = r"(?=\n@@\ |\ndiff\ )|\Z"  # where the closing quotes are not part of a diff
_QUOTED = rf"""(?:\"{{3}}(?s:.)*?(?:\"{{3}}|{_HUNK_END}) | '{{3}}(?s:.)*?(?:'{{3}}|{_HUNK_END})
    | "[^"\\\n]*(?:\\(?s:.)[^"\\\n]*)*"? | '[^'\\\n]*(?:\\(?s:.)[^'\\\n]*)*'?)"""
_VALUE = re.compile(rf"""(?: {_QUOTED} | [^\s,;&|<>(){{}}\[\]"']+ )+""", re.VERBOSE)
_VALUE_IN_QUOTES = re.compile(rf"{_QUOTED}+", re.VERBOSE)  # as in code: only shells go on without a space
_VALUE_OF_LINE = re.compile(rf"""(?: {_QUOTED} | [^\s"']+ )+""", re.VERBOSE)  # as in shells and .env files
_VALUE_OF_HEADER = re.compile(r"[^\n\"']+")
_VALUES = re.compile(r"[\[({][^\[\](){}]*")  # of a list
_LINE_STARTS = ("", "export", "set", "ENV")
_SECRET_WITH_DASH = re.compile(r"-(?!-)[\w+/=.~-]{11,}")  # longer than short options; long ones have two dashes
_HEADERS = ("authorization", "cookie")
_COMPARED = ("==", "===", "!=", "!==")
_VAGUE = ("key", "token")  # "sort by key=loss" tells no secret
_CODE_WORDS = frozenset(
    ("none", "null", "true", "false", "str", "int", "float", "bytes", "bool", "self", "optional", "any", "secretstr")
)


def is_secret_name(name: str) -> bool:
    """Does this name (of a variable, an option, a config key) say that its value is a secret?"""
    if name.isupper() and any(word in name for word in _SHOUTED):
        return True
    return _NAME.search(_CAMEL.sub("_", name).lower()) is not None


def text(value: str, *, assignments: bool = False) -> str:
    """The text without what looks like a secret.

    Of NAME=value where the name says so, what stands without spaces is hidden; with `assignments`, as in code and
    command lines, the other ways to write that as well.
    """
    if "://" in value:
        value = _URL_CREDENTIALS.sub(rf"\g<scheme>{HIDDEN}@", value)
    if "=" in value:
        value = _URL_QUERY.sub(rf"\g<name>{HIDDEN}", value)
    if "PRIVATE KEY" in value:
        value = _PRIVATE_KEY.sub(HIDDEN, value)
    value = _KNOWN.sub(HIDDEN, value)
    value = _BEARER.sub(rf"\g<name>{HIDDEN}", value)
    value = _BASIC.sub(_without_login, value)
    return _without_assigned(value, only_tight=not assignments) if assignments or "=" in value else value


def value_of(name: str, value: Any) -> Any:
    """A captured value under its name: hidden, cleaned, or as it is. Goes into lists and dicts.

    All texts below a name that says so are secrets, whatever they are called themselves.
    """
    if isinstance(value, str):
        return HIDDEN if value and is_secret_name(name) else text(value)
    if isinstance(value, list | tuple):
        return [value_of(name, item) for item in value]
    if isinstance(value, dict):
        return {
            text(key) if isinstance(key, str) else key: value_of(f"{name}/{key}", item) for key, item in value.items()
        }
    return value


def mapping(values: Mapping[str, Any]) -> dict[str, Any]:
    """`value_of` for each item; a "/" in a name separates, so that `openai/key` is seen as a key."""
    return {name: value_of(name, value) for name, value in values.items()}


def arguments(argv: Iterable[str]) -> list[str]:
    """A command line: hides the values of `--api-key X`, `--api-key=X`, `API_KEY=X`, and what `text` hides."""
    cleaned: list[str] = []
    hide_next = False
    for argument in argv:
        if hide_next and (not argument.startswith("-") or _SECRET_WITH_DASH.fullmatch(argument)):
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


def _without_login(found: re.Match[str]) -> str:
    """Basic is also an English word; what belongs to logins is `user:password` in base64."""
    import binascii

    try:
        login = binascii.a2b_base64(found["value"] + "=" * (-len(found["value"]) % 4)).decode()
    except ValueError:
        return found[0]
    return f"{found['name']}{HIDDEN}" if ":" in login and login.isprintable() else found[0]


def _without_assigned(text: str, *, only_tight: bool) -> str:
    pieces: list[str] = []
    done = 0  # up to here the text is in `pieces`
    for found in _ASSIGNED.finditer(text):
        if found.start() < done:
            continue
        value = _assigned(text, found, only_tight=only_tight)
        if value is not None:
            first = value[0][0]
            opening, closing = (first, first) if first in "\"'" else (first, "") if first in "[({" else ("", "")
            pieces.append(f"{text[done : value.start()]}{opening}{HIDDEN}{closing}")
            done = value.end()
    return "".join((*pieces, text[done:]))


def _assigned(text: str, found: re.Match[str], *, only_tight: bool) -> re.Match[str] | None:
    """The secret that is assigned here, if one is. It must look like one, not like code or a number."""
    name, sign, at = found["name"], found["sign"], found.end()
    if only_tight and (sign != "=" or found["space"] or name.lower() in _VAGUE):
        return None
    if (not sign and not name.startswith("--")) or not is_secret_name(name):
        return None
    is_quoted = text[at : at + 1] in ("'", '"')
    if sign == "," and not (found["quote"] and is_quoted and name.isupper()):
        return None
    begins_line = _begins_line(text, found.start())
    if name.lower() == "key" and not is_quoted and not begins_line:
        return None  # sorted(runs, key=loss)
    if sign in _COMPARED and name.lower().rpartition(".")[2] in _VAGUE:
        return None  # if key == "lr"
    pattern = _VALUE_IN_QUOTES if is_quoted and (found["space"] or sign != "=") else _VALUE
    if text[at : at + 1] in ("[", "(", "{"):
        pattern = _VALUES
    elif sign == ":" and not is_quoted and name.lower().endswith(_HEADERS):
        pattern = _VALUE_OF_HEADER
    elif sign == "=" and not is_quoted and not found["space"] and begins_line:
        pattern = _VALUE_OF_LINE
    value = pattern.match(text, at)
    if value is None:
        return None
    has_quotes = '"' in value[0] or "'" in value[0]
    if not has_quotes and (sign in _COMPARED or len(sign) > 3 or value.re is _VALUES):
        return None  # two variables are compared; a parameter has a default; a tuple of numbers
    bare = value[0].rstrip(",;)").strip("\"'")
    is_number = not has_quotes and bare.replace(".", "", 1).isdigit()
    return None if not bare or is_number or bare.lower() in _CODE_WORDS else value


def _begins_line(text: str, at: int) -> bool:
    start = text.rfind("\n", max(0, at - 100), at) + 1
    return (start > 0 or at <= 100) and text[start:at].strip("+- \t") in _LINE_STARTS
